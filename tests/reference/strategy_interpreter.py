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


@dataclass
class Interpreter:
    """Judges a strategy on bars; `bars[0]` are those of the base, `bars[k]` of frame k."""

    strategy: s.Strategy
    numbers: dict[str, int]
    memo: dict[tuple[s.Expression, int, int], object] = field(default_factory=dict)
    bars: dict[int, Bars] = field(default_factory=dict)
    counts: list[dict[int, int]] = field(default_factory=list)

    def at(self, node: s.Expression, frame: int, i: int) -> object:
        """Return the value on bar i of a frame: number, truth, fields, or None for null."""
        key = (node, frame, i)
        if key not in self.memo:
            self.memo[key] = self._at(node, frame, i)
        return self.memo[key]

    def _at(  # noqa: PLR0911 - one return per kind
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
        if parts[0] in self.bars[frame][i]:
            return self.bars[frame][i][parts[0]]
        for definition in self.strategy.definitions:
            if definition.name == parts[0] and self.numbers.get(definition.frame, 0) == frame:
                value = self.at(definition.value, frame, i)
                return value[parts[1]] if len(parts) == 2 else value
        raise AssertionError(parts)

    def _history(self, operand: s.Expression, n: int, frame: int, i: int) -> object:
        if isinstance(operand, s.Reference) and operand.parts[0] in self.numbers:
            target = self.numbers[operand.parts[0]]
            if target != frame:
                i = self.counts[i][target] - 1
            frame, operand = target, s.Reference(operand.at, operand.parts[1:])
        return self.at(operand, frame, i - n) if i >= n else None

    def _call(  # noqa: PLR0911 - one return per kind
        self, node: s.Call, frame: int, i: int
    ) -> object:
        given = {a.name: a.value for a in node.arguments if a.name != "source"}
        n = {name: int(self.at(value, frame, i)) for name, value in given.items()}
        sources = [a.value for a in node.arguments if a.name == "source"]
        column = "volume" if node.name == "avg_volume" else "close"
        source = sources[0] if sources else s.Reference(0, (column,))
        values = [self.at(source, frame, j) for j in range(i + 1)]
        match node.name:
            case "SMA":
                return sma(values, n["period"])
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


def judge(text: str, market: Market, frames: dict[str, int]) -> list[int]:
    """Return the bits that the interpreter fires; `frames` gives hours per bar by name."""
    strategy = parse(read_text(text, "t"))
    lengths = sorted(set(frames.values()))
    numbers = {name: lengths.index(hours) for name, hours in frames.items()}
    judged = Interpreter(strategy, numbers, bars={0: market.bars})
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
        rule.condition for block in strategy.rules for rule in block.rules for _ in rule.actions
    ]
    return [
        sum(1 << bit for bit, c in enumerate(conditions) if judged.at(c, 0, i) is True)
        for i in range(len(market.hours))
    ]


def run(text: str, market: Market, frames: dict[str, int], loaded: Callable) -> list[int]:
    """Return the bits that the generated step fires."""
    plan = compile_strategy(text)
    module = loaded(plan.source)
    lengths = [t.seconds // HOUR for t in plan.timeframes]
    state = np.empty(plan.state_size)
    module["init_state"](state)
    fired, last = [], None
    for hour, bar in zip(market.hours, market.bars, strict=True):
        closed = 0
        for bit, length in enumerate(lengths):
            if last is not None and hour // length != last // length:
                closed |= 1 << bit
        last = hour
        values = [float(bar[c]) for c in ("open", "high", "low", "close", "volume")]
        fired.append(int(module["step"](state, *values, closed)))
    assert lengths == sorted(set(frames.values()))[1:]
    return fired


def interpreted(source: str) -> dict[str, Callable]:
    """Run the generated source as plain Python: what it means, without machine code."""
    namespace: dict[str, Callable] = {}
    exec(source, namespace)  # noqa: S102 - the generator's own output, under test
    return namespace
