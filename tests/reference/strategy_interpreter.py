"""A slow, independent interpreter of strategy texts: the judge of the compiled step.

It shares the parser with the product and nothing else: it keeps every bar, asks for values by
walking the tree back in time, and counts in fractions wherever the language is exact. Tests load
this file by its path (`load_reference` in their own file).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np

from jts_trading.dsl import syntax as s
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.cursor import literal_of_text
from jts_trading.dsl.facts import FACTS, FACTS_SIZE
from jts_trading.dsl.grammar import EXTRA_COLUMNS
from jts_trading.dsl.lexer import read_text
from jts_trading.dsl.parser import parse

Number = Fraction | float
Bars = list[dict[str, Fraction]]


def sma(values: list[Number | None], n: int) -> Number | None:
    """Mean of the last n values that are not null; null where the newest is."""
    if not values or values[-1] is None:
        return None
    known = [v for v in values if v is not None]
    return sum(known[-n:]) / n if len(known) >= n else None


def ema(values: list[Number | None], n: int, weight: float) -> float | None:
    """Exponential average seeded with the mean of the first n."""
    if not values or values[-1] is None:
        return None
    known = [float(v) for v in values if v is not None]
    if len(known) < n:
        return None
    average = sum(known[:n]) / n
    for value in known[n:]:
        average += (value - average) * weight
    return average


def wilder(values: list[Number], n: int) -> float | None:
    """Wilder's average seeded with the mean of the first n."""
    known = [float(v) for v in values]
    if len(known) < n:
        return None
    average = sum(known[:n]) / n
    for value in known[n:]:
        average += (value - average) * (1.0 / n)
    return average


def rsi(values: list[Number | None], n: int) -> float | None:
    """Wilder's relative strength index."""
    known = [float(v) for v in values if v is not None]
    moves = [b - a for a, b in pairwise(known)]
    gain = wilder([max(m, 0.0) for m in moves], n)
    loss = wilder([max(-m, 0.0) for m in moves], n)
    if values[-1] is None or gain is None or loss is None or gain + loss == 0:
        return None
    return 100 * gain / (gain + loss)


def macd(values: list[Number | None], fast: int, slow: int, signal: int) -> dict[str, object]:
    """Line, signal and histogram."""
    lines: list[Number | None] = []
    for end in range(1, len(values) + 1):
        quick = ema(values[:end], fast, 2.0 / (fast + 1.0))
        calm = ema(values[:end], slow, 2.0 / (slow + 1.0))
        lines.append(None if quick is None or calm is None else quick - calm)
    average = ema(lines, signal, 2.0 / (signal + 1.0))
    histogram = None if average is None else lines[-1] - average
    return {"line": lines[-1], "macd": lines[-1], "signal": average, "histogram": histogram}


def atr(bars: Bars, n: int) -> float | None:
    """Wilder's average of the true range."""
    ranges: list[Number] = [
        max(b["high"], a["close"]) - min(b["low"], a["close"]) for a, b in pairwise(bars)
    ]
    return wilder(ranges, n)


def known_values(values: list[Number | None], n: int) -> list[Number] | None:
    """Return the last n values that are not null, or None where the newest is or too few are."""
    known = [v for v in values if v is not None]
    return known[-n:] if values and values[-1] is not None and len(known) >= n else None


def rank(values: list[Number | None], n: int) -> Fraction | None:
    """Share of the n values before the newest that are below it."""
    window = known_values(values, n + 1)
    return None if window is None else Fraction(sum(v < window[-1] for v in window[:-1]), n)


def change(values: list[Number | None], n: int) -> Number | None:
    """Difference from n values ago."""
    window = known_values(values, n + 1)
    return None if window is None else window[-1] - window[0]


PLAIN_CALLS: dict[str, Callable[[list[Number | None], int], Number | None]] = {
    "sma": sma,
    "rank": rank,
    "change": change,
    "highest": lambda values, n: max(known_values(values, n) or [None], key=lambda v: v or 0),
    "lowest": lambda values, n: min(known_values(values, n) or [None], key=lambda v: v or 0),
}


WORDS = ("position", "portfolio", "session", "quality", "auction", "time", "minutes_since_open")


def clock(hour: int) -> dict[str, int]:
    """Return what the start of a bar says, in a market that is open round the clock."""
    return {
        "session": hour // 24,
        "minutes_since_open": hour % 24 * 60,
        "time": hour % 24 * 3600,
        "auction": int(hour % 24 == 7),
        "doubt": int(hour % 11 == 3),
    }


@dataclass
class Interpreter:
    """Judges a strategy on bars; `bars[0]` are those of the base, `bars[k]` of frame k.

    `clocks` and `facts` say, by bar of the base, when it starts and what the account is.
    """

    strategy: s.Strategy
    numbers: dict[str, int]
    memo: dict[tuple[s.Expression, int, int], object] = field(default_factory=dict)
    bars: dict[int, Bars] = field(default_factory=dict)
    counts: list[dict[int, int]] = field(default_factory=list)
    clocks: list[dict[str, int]] = field(default_factory=list)
    facts: list[dict[str, Number | None]] = field(default_factory=list)

    def at(self, node: s.Expression, frame: int, i: int) -> object:
        """Return the value on bar i of a frame: number, truth, fields, or None for null."""
        key = (node, frame, i)
        if key not in self.memo:
            self.memo[key] = self._at(node, frame, i)
        return self.memo[key]

    def _at(  # noqa: C901, PLR0911 - one return per kind
        self, node: s.Expression, frame: int, i: int
    ) -> object:
        match node:
            case s.Literal(value=value):
                return value
            case s.Truth(value=value):
                return value
            case s.Text(value=text):
                literal = literal_of_text(text, read_text("", ""), 0)
                return literal.value
            case s.Reference(parts=parts):
                return self._reference(parts, frame, i)
            case s.Call():
                return self._call(node, frame, i)
            case s.Selected(operand=call, name=name):
                found = self._call(call, frame, i)
                return None if found is None else found[name]
            case s.History(operand=operand, bars=bars):
                return self._history(operand, int(self.at(bars, frame, i)), frame, i)
            case s.Negative(operand=operand):
                value = self.at(operand, frame, i)
                return None if value is None else -value
            case s.Chain(first=first, rest=rest):
                total = self.at(first, frame, i)
                for sign, _, operand in rest:
                    total = _arithmetic(sign, total, self.at(operand, frame, i))
                return total
            case _:
                return self._condition(node, frame, i)

    def fires(self, condition: s.Expression, enters: bool, i: int) -> bool:
        """Return whether a rule fires on a bar: entries need universe and quality, too."""
        if self.at(condition, 0, i) is not True:
            return False
        if not enters:
            return True
        if any(self.at(each, 0, i) is not True for each in self.strategy.filters):
            return False
        for requirement in self.strategy.requirements:
            window = self.clocks[max(0, i + 1 - int(requirement.bars.value)) : i + 1]
            if len(window) < requirement.bars.value or any(c["doubt"] for c in window):
                return False
        return True

    def _condition(  # noqa: PLR0911 - one return per kind
        self, node: s.Expression, frame: int, i: int
    ) -> bool | None:
        match node:
            case s.Comparison(sign=sign, left=left, right=right):
                return _compare(sign, self.at(left, frame, i), self.at(right, frame, i))
            case s.Crossing(upwards=up, left=left, right=right):
                if i < 1:
                    return None
                sides = [self.at(n, frame, j) for j in (i - 1, i) for n in (left, right)]
                if any(side is None for side in sides):
                    return None
                was = _compare("<=" if up else ">=", sides[0], sides[1])
                return was and _compare(">" if up else "<", sides[2], sides[3])
            case s.Between(operand=operand, low=low, high=high):
                value = self.at(operand, frame, i)
                return _every(
                    [
                        _compare(">=", value, self.at(low, frame, i)),
                        _compare("<=", value, self.at(high, frame, i)),
                    ]
                )
            case s.Negation(operand=operand):
                truth = self.at(operand, frame, i)
                return None if truth is None else not truth
            case s.Junction(every=every, operands=operands):
                truths = [self.at(o, frame, i) for o in operands]
                if every:
                    return _every(truths)
                opposite = _every([None if t is None else not t for t in truths])
                return None if opposite is None else not opposite
        raise AssertionError(node)

    def _reference(self, parts: tuple[str, ...], frame: int, i: int) -> object:
        if parts[0] in self.numbers:
            target = self.numbers[parts[0]]
            if target != frame:
                i = self.counts[i][target] - 1
            return self._reference(parts[1:], target, i)
        if i < 0:
            return None
        if parts[0] in WORDS:
            return self._word(parts, i)
        if parts[0] in self.bars[frame][i]:
            return self.bars[frame][i][parts[0]]
        for definition in self.strategy.definitions:
            if definition.name == parts[0] and self.numbers.get(definition.frame, 0) == frame:
                value = self.at(definition.value, frame, i)
                return value[parts[1]] if len(parts) == 2 else value
        raise AssertionError(parts)

    def _word(self, parts: tuple[str, ...], i: int) -> object:
        if parts[0] in ("position", "portfolio"):
            return self.facts[i][".".join(parts)]
        if parts[0] == "session":
            return self._session(parts[1], i)
        if parts[0] in ("quality", "auction"):
            is_marked = self.clocks[i]["doubt" if parts[0] == "quality" else "auction"] == 1
            return is_marked is (parts[0] == "auction")
        return Fraction(self.clocks[i][parts[0]])

    def _session(self, word: str, i: int) -> Fraction | None:
        days = [c["session"] for c in self.clocks[: i + 1]]
        wanted = days[-1]
        if word.startswith("previous_"):
            earlier = [day for day in days if day != wanted]
            if not earlier:
                return None
            wanted, word = earlier[-1], word.removeprefix("previous_")
        inside = [bar for bar, day in zip(self.bars[0], days, strict=False) if day == wanted]
        columns = {
            name: [bar[name] for bar in inside] for name in ("open", "high", "low", "close")
        }
        return {
            "open": columns["open"][0],
            "high": max(columns["high"]),
            "low": min(columns["low"]),
            "close": columns["close"][-1],
        }[word]

    def _since(self, condition: s.Expression, frame: int, i: int) -> Fraction | None:
        true = [j for j in range(i + 1) if self.at(condition, frame, j) is True]
        return Fraction(i - true[-1]) if true else None

    def _series_call(self, node: s.Call, frame: int, i: int) -> Number | None:
        """Evaluate a call whose input may come first: highest(high, 20)."""
        values = [a.value for a in node.arguments if not a.name]
        named = {a.name: a.value for a in node.arguments if a.name}
        is_led = len(values) == 2
        source = values[0] if is_led else named.get("source", s.Reference(0, ("close",)))
        period = values[-1] if values else named["period"]
        n = int(self.at(period, frame, i))
        series = [self.at(source, frame, j) for j in range(i + 1)]
        return PLAIN_CALLS[node.name.lower()](series, n)

    def _history(self, operand: s.Expression, n: int, frame: int, i: int) -> object:
        if isinstance(operand, s.Reference) and operand.parts[0] in self.numbers:
            target = self.numbers[operand.parts[0]]
            if target != frame:
                i = self.counts[i][target] - 1
            frame, operand = target, s.Reference(operand.at, operand.parts[1:])
        return self.at(operand, frame, i - n) if i >= n else None

    def _chosen(self, node: s.Call, frame: int, i: int) -> Number | None:
        values = [self.at(a.value, frame, i) for a in node.arguments]
        if any(value is None for value in values):
            return None
        if node.name == "abs":
            return abs(values[0])
        return max(values) if node.name == "greatest" else min(values)

    def _call(  # noqa: PLR0911 - one return per kind
        self, node: s.Call, frame: int, i: int
    ) -> object:
        if node.name in ("abs", "greatest", "least"):
            return self._chosen(node, frame, i)
        if node.name == "since":
            return self._since(node.arguments[0].value, frame, i)
        if node.name.lower() in PLAIN_CALLS:
            return self._series_call(node, frame, i)
        given = {a.name: a.value for a in node.arguments if a.name != "source"}
        n = {name: int(self.at(value, frame, i)) for name, value in given.items()}
        sources = [a.value for a in node.arguments if a.name == "source"]
        column = "volume" if node.name == "avg_volume" else "close"
        source = sources[0] if sources else s.Reference(0, (column,))
        values = [self.at(source, frame, j) for j in range(i + 1)]
        match node.name:
            case "EMA":
                return ema(values, n["period"], 2.0 / (n["period"] + 1.0))
            case "RSI":
                return rsi(values, n["period"])
            case "MACD":
                return macd(values, n["fast"], n["slow"], n["signal"])
            case "ATR":
                return atr(self.bars[frame][: i + 1], n["period"])
            case "avg_volume":
                return sma(values[:-1], n["period"])
            case "price_change":
                before = values[i - n["period"]] if i >= n["period"] else None
                return None if before is None else (values[i] - before) / before
        raise AssertionError(node.name)


def _both(left: Number, right: Number) -> tuple[Number, Number]:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left, right
    return float(left), float(right)


def _arithmetic(sign: str, left: object, right: object) -> Number | None:
    if left is None or right is None:
        return None
    left, right = _both(left, right)
    if sign == "/":
        return None if right == 0 else left / right
    return {"+": left + right, "-": left - right, "*": left * right}[sign]


def _compare(sign: str, left: object, right: object) -> bool | None:
    if left is None or right is None:
        return None
    left, right = _both(left, right)
    return {
        ">": left > right,
        ">=": left >= right,
        "<": left < right,
        "<=": left <= right,
        "==": left == right,
        "!=": left != right,
    }[sign]


def _every(truths: list[bool | None]) -> bool | None:
    if False in truths:
        return False
    return None if None in truths else True


HOUR = 3600


@dataclass(frozen=True)
class Market:
    """Bars of the base frame with the hour in which each starts; hours may be missing."""

    hours: list[int]
    bars: Bars


Facts = list[dict[str, Number | None]]


def judge(
    text: str, market: Market, frames: dict[str, int], facts: Facts | None = None
) -> list[int]:
    """Return the bits that the interpreter fires; `frames` gives hours per bar by name."""
    strategy = parse(read_text(text, "t"))
    lengths = sorted(set(frames.values()))
    numbers = {name: lengths.index(hours) for name, hours in frames.items()}
    clocks = [clock(hour) for hour in market.hours]
    judged = Interpreter(
        strategy, numbers, bars={0: market.bars}, clocks=clocks, facts=facts or []
    )
    counts: list[dict[int, int]] = [{} for _ in market.hours]
    for number, length in enumerate(lengths[1:], 1):
        slots = [hour // length for hour in market.hours]
        closed: Bars = []
        for slot in sorted(set(slots)):
            inside = [b for b, other in zip(market.bars, slots, strict=True) if other == slot]
            closed.append(
                {
                    "open": inside[0]["open"],
                    "high": max(b["high"] for b in inside),
                    "low": min(b["low"] for b in inside),
                    "close": inside[-1]["close"],
                    "volume": sum((b["volume"] for b in inside), Fraction(0)),
                }
            )
        judged.bars[number] = closed
        for i, slot in enumerate(slots):
            counts[i][number] = len({other for other in slots if other < slot})
    judged.counts = counts
    conditions = [
        (rule.condition, block.block.startswith("entry"))
        for block in strategy.rules
        for rule in block.rules
        for _ in rule.actions
    ]
    return [
        sum(1 << bit for bit, (c, enters) in enumerate(conditions) if judged.fires(c, enters, i))
        for i in range(len(market.hours))
    ]


def run(
    text: str,
    market: Market,
    frames: dict[str, int],
    loaded: Callable,
    facts: Facts | None = None,
) -> list[int]:
    """Return the bits that the generated step fires and the guard lets pass."""
    plan = compile_strategy(text)
    module = loaded(plan.source)
    lengths = [t.seconds // HOUR for t in plan.timeframes]
    state = np.empty(plan.state_size)
    module["init_state"](state)
    guard = loaded(plan.guard)["guard"] if plan.guard else None
    extras = [name for name in EXTRA_COLUMNS if name in plan.needs]
    fired, last = [], None
    for at, (hour, bar) in enumerate(zip(market.hours, market.bars, strict=True)):
        closed = 0
        for bit, length in enumerate(lengths):
            if last is not None and hour // length != last // length:
                closed |= 1 << bit
        last = hour
        values = [float(bar[c]) for c in ("open", "high", "low", "close", "volume")]
        begins = clock(hour)
        mask = int(module["step"](state, *values, closed, *(begins[name] for name in extras)))
        if guard is not None:
            numbers = state[plan.values_slot : plan.values_slot + plan.values].copy()
            row = np.concatenate((_row_of(facts[at]), plan.guard_constants))
            mask = int(guard(mask, numbers, row))
        fired.append(mask)
    assert lengths == sorted(set(frames.values()))[1:]
    return fired


def _row_of(facts: dict[str, Number | None]) -> np.ndarray:
    row = np.ones(FACTS_SIZE)
    for (root, name), word in FACTS.items():
        value = facts[f"{root}.{name}"]
        row[word.place] = np.nan if value is None else float(value)
    return row


def interpreted(source: str) -> dict[str, Callable]:
    """Run the generated source as plain Python: what it means, without machine code."""
    namespace: dict[str, Callable] = {}
    exec(source, namespace)  # noqa: S102 - the generator's own output, under test
    return namespace
