"""The compiled step against the reference interpreter, on generated strategies and bars."""

import importlib.util
import random
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jts_trading.kernels.loader import load


def load_reference() -> ModuleType:
    """Load the interpreter from its file."""
    name = "strategy_interpreter"
    path = Path(__file__).parents[1] / "reference" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


reference = load_reference()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Compile the generated source with numba."""
    folder = tmp_path_factory.mktemp("kernels")
    return lambda source: vars(load(source, folder))


@st.composite
def markets(draw: st.DrawFn, low: int = 30, high: int = 90) -> "reference.Market":
    """Whole-tick bars in small ranges, so that ties are frequent, with hours missing."""
    count = draw(st.integers(low, high))
    gaps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 5, 30]), min_size=count, max_size=count))
    moves = draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count))
    spans = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    hour, price, hours, bars = 0, 100, [], []
    for gap, move, span in zip(gaps, moves, spans, strict=True):
        hour += gap
        opened, price = price, max(price + move, 5)
        bar = {
            "open": opened,
            "high": max(opened, price) + span,
            "low": min(opened, price) - span,
            "close": price,
            "volume": 10 + 7 * span,
        }
        hours.append(hour)
        bars.append({name: Fraction(value) for name, value in bar.items()})
    return reference.Market(hours, bars)


NAMES = st.lists(
    st.from_regex(r"[a-z][a-z0-9_]{2,6}x", fullmatch=True), min_size=6, max_size=6, unique=True
)
PERIODS = st.integers(1, 7)


@st.composite
def prices(draw: st.DrawFn, names: tuple[str, ...], prefix: str = "", depth: int = 2) -> str:
    """Generate a text that yields a price."""
    choice = draw(st.integers(0, 6 if depth else 2))
    if choice == 0:
        return prefix + draw(st.sampled_from(["open", "high", "low", "close"]))
    if choice == 1 and names:
        return prefix + draw(st.sampled_from(names))
    if choice <= 2:
        return f"{prefix}{draw(st.sampled_from(['close', 'high']))}[{draw(st.integers(1, 4))}]"
    inner = draw(prices(names, prefix, depth - 1))
    if choice == 3:
        sign, factor = draw(st.sampled_from(["*", "/"])), draw(st.sampled_from([2, 3, "1.05"]))
        return f"({inner}) {sign} {factor}"
    sign, other = draw(st.sampled_from("+-")), draw(prices(names, prefix, depth - 1))
    if choice == 6:
        word = draw(st.sampled_from(["greatest", "least"]))
        return f"{word}({inner}, {other}, abs({prefix}close - {inner}))"
    return f"({inner} {sign} {other} + {draw(st.integers(0, 3))})"


@st.composite
def conditions(draw: st.DrawFn, operand: st.SearchStrategy[str], depth: int = 2) -> str:
    """Generate a text that yields a truth."""
    kind = draw(st.integers(0, 7 if depth else 3))
    a, b = draw(operand), draw(operand)
    if kind == 0:
        return f"{a} crosses {draw(st.sampled_from(['above', 'below', 'ABOVE']))} {b}"
    if kind == 1:
        return f"{a} between [{b}, ({b}) + {draw(st.integers(0, 9))}]"
    if kind in (2, 3):
        return f"{a} {draw(st.sampled_from(['>', '>=', '<', '<=', '==', '!=']))} {b}"
    inner, other = (draw(conditions(operand, depth - 1)) for _ in range(2))
    if kind == 7:
        return f"({inner})[{draw(st.integers(1, 4))}]"
    word = draw(st.sampled_from(["and", "OR", "or", "AND"]))
    return f"not ({inner})" if kind == 4 else f"({inner} {word} {other})"


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, dict[str, int]]:
    """Generate a strategy: names, periods, operators and the order of blocks vary."""
    first, second, third, slow, frame, base = draw(NAMES)
    inner = draw(prices((), depth=1))
    definitions = [
        f"{first} = SMA(period: {draw(PERIODS)})",
        f"{second} = SMA(period: {draw(PERIODS)}, source: {inner})",
        f"{third} = {draw(st.sampled_from(['EMA', 'ATR']))}(period: {draw(PERIODS)})",
    ]
    local = prices((first, second, third))
    frames: dict[str, int] = {}
    blocks = []
    if draw(st.booleans()):
        frames = {frame: draw(st.sampled_from([4, 24])), base: 1}
        blocks.append(f'timeframes {{ {frame} = "{frames[frame]}h" {base} = "1h" }}')
        definitions.append(f"on {frame} {{ {slow} = SMA(period: {draw(PERIODS)}) }}")
        operand = st.one_of(local, prices((slow,), prefix=f"{frame}."), st.just(f"{base}.close"))
    else:
        operand = local
    blocks.append("indicators {\n  " + "\n  ".join(definitions) + "\n}")
    for side, action in (("entry.long", "buy(quantity: 1)"), ("exit.long", 'sell("all")')):
        count = draw(st.integers(1, 2))
        whens = [f"when ({draw(conditions(operand))}) {{ {action} }}" for _ in range(count)]
        blocks.append(f"{side} {{ {' '.join(whens)} }}")
    rest = draw(st.permutations(blocks))
    return 'strategy("Generated") {\n' + "\n".join(rest) + "\n}", frames


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts(), markets())
def test_generated_strategies_when_run_on_gappy_ticks_then_step_equals_reference(
    generated: tuple[str, dict[str, int]], market: "reference.Market"
) -> None:
    """Whatever the names, periods, operators and order of blocks, the source means the text."""
    text, frames = generated

    assert reference.judge(text, market, frames) == reference.run(
        text, market, frames, reference.interpreted
    )


# Machine code takes seconds to make, so a failure is reported as found, without shrinking.
@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(texts(), markets(60, 90))
def test_generated_strategies_when_compiled_then_machine_code_equals_reference(
    compiled: Callable, generated: tuple[str, dict[str, int]], market: "reference.Market"
) -> None:
    """The machine code that numba makes means the text, too."""
    text, frames = generated

    assert reference.judge(text, market, frames) == reference.run(text, market, frames, compiled)


TIES = """strategy("Ties") {
  indicators { quick = SMA(period: 20) calm = SMA(period: 50) }
  entry.long { when (quick crosses above calm) { buy(quantity: 1) } }
  exit.long { when (quick crosses below calm) { sell(quantity: "all") } }
  entry.short { when (quick == calm) { sell(quantity: 1) } }
}"""


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-2, 2), min_size=60, max_size=90), st.integers(1, 9_999_999))
def test_means_when_they_tie_exactly_then_step_decides_as_fractions_do(
    moves: list[int], price: int
) -> None:
    """Two means of the same whole prices are equal exactly when their fractions are."""
    # 50 equal prices make both means tie; later moves in fives of 20 and 50 make them tie again.
    closes = [price + 10] * 55
    for move in moves:
        closes += [closes[-1] + move] * (1 if move else 30)
    bars = [dict.fromkeys(("open", "high", "low", "close", "volume"), Fraction(c)) for c in closes]
    market = reference.Market(list(range(len(bars))), bars)

    fired = reference.run(TIES, market, {}, reference.interpreted)

    assert reference.judge(TIES, market, {}) == fired
    assert any(bits & 4 for bits in fired)


# No two of the prices below 10,000 lie 1.03 % apart: a quotient less one is rounded twice, so that
# a tie of it is decided by rounding in the step, and exactly in the reference.
EVERYTHING = """strategy("Everything") {
  params { n = 3 in 1..9 }
  timeframes { night = "24h"  hour = "1h"  shift = "4h" }
  indicators {
    on night { calm = EMA(period: n)  rising = close > calm  turn = close crosses above calm }
    on shift {
      wave = MACD(fast: 2, slow: 5, signal: 3)
      up = wave.line > wave.signal and not (wave.histogram < wave.histogram[2])
    }
    reach = close / night.close - 1
    pull = EMA(period: 4, source: (high + low) / 2) - SMA(period: 3)
  }
  entry.long {
    when (night.rising and shift.up) { buy(quantity: 1) }
    when (not night.turn and reach > 1.03%) { buy(quantity: "2%") }
    when (volume > avg_volume(period: 5) * 1.5 or price_change(period: 2) < -0.5%) { buy(1) }
  }
  exit.long {
    when (RSI(period: 5) between [30, 70] and -pull >= 2) { sell(quantity: "all") }
    when (hour.close - ATR(period: 3) * 2 > night.calm[1]) { close() }
    when (shift.close[1] != close and (not shift.up)[1]) { close() }
  }
}"""


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_every_kind_of_node_when_compiled_then_machine_code_equals_reference(
    compiled: Callable, seed: int
) -> None:
    """Held truths, outputs, histories and inner sources over three time frames."""
    market = random_walk(seed, 250)
    frames = {"hour": 1, "shift": 4, "night": 24}
    fixed = EVERYTHING.replace("period: n", "period: 3")

    fired = reference.run(EVERYTHING, market, frames, compiled)

    assert fired == reference.run(EVERYTHING, market, frames, reference.interpreted)
    assert reference.judge(fixed, market, frames) == fired
    assert all(any(mask >> bit & 1 for mask in fired) for bit in range(6))


# N is a small number, P a price, both drawn anew.
MARKET_WORDS = (
    "since(close > open[N]) >= N",
    "since(P crosses above P) == N",
    "rank(P, N) > 40%",
    "change(P, N) > 0",
    "MACD(fast: 2, slow: 4, signal: N).histogram > 0",
    "highest(P, N) > P * 1.01",
    "lowest(low, N) >= low[N]",
    "close > session.open + N",
    "session.high - session.low > N",
    "P > session.previous_close",
    "session.previous_low < session.previous_open",
    "time >= 04:00 and minutes_since_open < 1200",
    "time - 02:00 between [1h, 600m]",
    "time + 30m > 06:15",
    "auction or quality",
    "not auction and P > 90 KRW + N",
    "close * volume > 1_500 KRW",
    "(P crosses below P)[N] or (not (P > open) and close > open[N])[2]",
    "since((P > close[N])[1]) < N",
    "greatest(abs(P - close), N, P / 9) > least(P / 30, 4)",
)
ACCOUNT_WORDS = (
    "portfolio.positions < N",
    "portfolio.cash > close * 40 KRW / 1 KRW",
    "portfolio.exposure < 50% and portfolio.day_profit > -N%",
    "portfolio.equity - portfolio.cash > 1_000 KRW",
    "position.quantity == 0",
    "position.value / portfolio.equity < 10%",
    "position.entries < N",
    "greatest(portfolio.positions, N) > least(3, portfolio.positions + 1)",
)
EXIT_WORDS = (
    *ACCOUNT_WORDS,
    "position.profit > N%",
    "not (position.profit > 1%)",
    "P < position.entry_price - N",
    "position.highest * 0.99 > P",
    "position.bars between [1, N]",
    "position.age > 2h or position.bars > N",
)


@st.composite
def wordy_texts(draw: st.DrawFn) -> str:
    """Generate a strategy of the words that the language brings along."""

    def filled(pattern: str) -> str:
        for mark, values in (("P", prices((), depth=1)), ("N", PERIODS.map(str))):
            while mark in pattern.replace("KRW", "").replace("SMA", ""):
                at = next(
                    n
                    for n, c in enumerate(pattern)
                    if c == mark and pattern[n - 1 : n + 2] != "KRW"
                )
                pattern = pattern[:at] + draw(values) + pattern[at + 1 :]
        return f"({pattern})"

    def condition(words: tuple[str, ...]) -> str:
        chosen = draw(st.lists(st.sampled_from(words), min_size=1, max_size=3))
        parts = [filled(word) for word in (*chosen, draw(st.sampled_from(MARKET_WORDS)))]
        return draw(st.sampled_from([" and ", " or "])).join(parts)

    pyramids = draw(st.booleans())
    asked = EXIT_WORDS if pyramids else ACCOUNT_WORDS
    entries = [condition((*MARKET_WORDS, *asked)) for _ in range(2)]
    exits = [condition((*MARKET_WORDS, *EXIT_WORDS)) for _ in range(2)]
    blocks = [
        "entry.long { " + " ".join(f"when ({c}) {{ buy(1) }}" for c in entries) + " }",
        "exit.long { " + " ".join(f"when ({c}) {{ close() }}" for c in exits) + " }",
    ]
    if draw(st.booleans()):
        blocks.append(f"universe {{ {filled(draw(st.sampled_from(MARKET_WORDS)))} volume > 10 }}")
    if draw(st.booleans()):
        blocks.append(f"require quality within {draw(PERIODS)}")
    if pyramids:
        blocks.append("risk_management { pyramiding = 3 }")
    return 'strategy("Words") {\n' + "\n".join(draw(st.permutations(blocks))) + "\n}"


@st.composite
def accounts(draw: st.DrawFn, count: int) -> list[dict[str, Fraction | float | None]]:
    """Generate what an account might say on each bar; flat in stretches."""
    found = []
    seed = random.Random(draw(st.integers(0, 2**32)))
    for at in range(count):
        is_flat = at // 5 % 2 == 0
        facts: dict[str, Fraction | float | None] = {
            "position.quantity": 0 if is_flat else seed.randint(1, 9),
            "position.value": 0 if is_flat else seed.randint(100, 900),
            "position.entries": 0 if is_flat else seed.randint(1, 3),
            "position.entry_price": seed.choice((98, 100.5, 104)),
            "position.profit": seed.choice((-0.02, 0.0, 0.01, 0.05)),
            "position.highest": seed.randint(95, 110),
            "position.bars": seed.randint(1, 6),
            "position.age": seed.choice((0, 3600, 7200, 10800)),
            "portfolio.equity": seed.choice((5_000, 10_000)),
            "portfolio.cash": seed.randint(1_000, 5_000),
            "portfolio.positions": seed.randint(0, 5),
            "portfolio.exposure": seed.choice((0.0, 0.4, 0.5, 0.9)),
            "portfolio.day_profit": seed.choice((-0.04, 0.0, None)),
        }
        for name in ("entry_price", "profit", "highest", "bars", "age"):
            if is_flat:
                facts[f"position.{name}"] = None
        found.append(facts)
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(wordy_texts(), markets(), st.data())
def test_words_of_the_language_when_run_then_step_and_guard_equal_reference(
    text: str, market: "reference.Market", data: st.DataObject
) -> None:
    """Clock, session, since, rank, money, quality, universe and the account mean what they say."""
    facts = data.draw(accounts(len(market.hours)))

    fired = reference.run(text, market, {}, reference.interpreted, facts)

    assert reference.judge(text, market, {}, facts) == fired


EXAMPLES = Path(__file__).parents[2] / "examples" / "strategies"


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.sampled_from(["sma_crossover", "multi_timeframe_momentum"]))
def test_listings_when_run_on_random_bars_then_step_equals_reference(seed: int, name: str) -> None:
    """The first two listings of the seeds mean what they say."""
    text = (EXAMPLES / f"{name}.jts").read_text(encoding="utf-8")
    frames = {"daily": 24, "hourly": 1} if "momentum" in name else {}
    if frames:
        for old, new in (("50", "9"), ("14", "4"), ("12,", "3,"), ("26", "7")):
            text = text.replace(f": {old}", f": {new}")
    market = random_walk(seed, 400)

    fired = reference.run(text, market, frames, reference.interpreted)

    assert reference.judge(text, market, frames) == fired, text
    assert any(fired)


def random_walk(seed: int, count: int) -> "reference.Market":
    """Whole-tick bars that wander, with nights between every eight hours."""
    import random

    chance = random.Random(seed)
    price, bars, hours = 1_000, [], []
    for i in range(count):
        opened, price = price, max(100, price + chance.randint(-15, 16))
        high, low = max(opened, price) + chance.randint(0, 5), min(opened, price)
        values = (opened, high, low, price, chance.randint(1, 99))
        names = ("open", "high", "low", "close", "volume")
        bars.append({n: Fraction(v) for n, v in zip(names, values, strict=True)})
        hours.append(i // 8 * 24 + i % 8)
    return reference.Market(hours, bars)
