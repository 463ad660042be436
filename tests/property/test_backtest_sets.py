"""Parameter sets that run together come to what each comes to alone, to the bit."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jts_pipelines.backtest import engine, sets, stage
from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.sets import Sets
from jts_pipelines.backtest.settings import AccountLimits, BacktestSettings
from jts_pipelines.backtest.stage import Stages
from jts_pipelines.backtest.trial import Trial
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy, read_strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.lowering import ROWS_FUNCTION
from jts_trading.indicators.catalog import NATIVE, Catalog
from jts_trading.kernels.own_indicators import load_catalog
from storage.errors import InputError

PARAMS = "params { fast = 2 in 2..5 wide = 6 in 6..10 size = 1 in 1..20 cut = 1% in 0.5%..3% }"
TEXTS = {
    "means": """
      indicators { quick = SMA(period: fast) slow = SMA(period: wide) }
      entry.long { when (quick crosses above slow) { buy(quantity: size) } }
      exit.long { when (quick crosses below slow) { sell(quantity: "all") } }""",
    "several": """
      indicators {
        bands = Bollinger(period: wide, deviations: 1.5)
        strength = RSI(period: fast)
        swing = MACD(fast: fast, slow: wide, signal: 4)
      }
      entry.long {
        when (close < bands.lower * (1 + cut / 1%) or strength between [30, 40]) {
          buy(quantity: "7%")
        }
      }
      exit.long {
        when (swing.histogram < 0 and close > bands.middle) { sell(quantity: size) }
      }""",
    # A mean of a mean and a history are no columns: the step is called bar by bar.
    "nested": """
      indicators { quick = SMA(period: fast) slow = EMA(period: wide, source: quick - low) }
      entry.long { when (slow > slow[fast] or close > close[fast]) { buy(quantity: size) } }
      exit.long { when (close < close[fast]) { sell(quantity: "all") } }
      risk_management { stop_loss = "2%" max_positions = 1 }""",
    "frames": """
      timeframes { minute = "1m" wide_bars = "5m" }
      indicators { on wide_bars { trend = SMA(period: fast) }
        on minute { quick = SMA(period: fast) } }
      entry.long { when (minute.quick > wide_bars.trend and minutes_since_open > wide) {
        buy(quantity: size) } }
      exit.long { when (minute.quick < wide_bars.trend * (1 - cut)) { sell(quantity: "all") } }""",
    "account": """
      indicators { quick = SMA(period: fast) slow = SMA(period: wide) }
      rank by quick / slow
      entry.long { when (quick > slow and portfolio.positions < 1) { buy(quantity: "30%") } }
      exit.long {
        when (position.profit > cut or position.bars > wide) { sell(quantity: "all") }
      }""",
    "risk": """
      indicators { quick = SMA(period: fast) slow = SMA(period: wide) }
      entry.long { when (quick > slow) { buy(quantity: "20%") } }
      exit.long { when (quick < slow * (1 - 5%)) { sell(quantity: "all") } }
      risk_management {
        stop_loss = cut take_profit = cut * 2 trailing_stop = cut / 2
        cooldown = fast max_positions = size daily_loss_limit = cut * 4
      }""",
    "entries": """
      indicators { quick = SMA(period: fast) slow = SMA(period: wide) }
      entry.long {
        when (quick > slow and position.entries < wide) { buy(quantity: "4%") }
        when (position.profit > cut / 4 and close > close[1]) { buy(quantity: "2%") }
      }
      exit.long {
        when (quick < slow) { sell(quantity: "all") }
        when (position.profit > cut) { sell(quantity: "5%") }
      }
      risk_management { pyramiding = size stop_loss = cut * 2 max_position_size = cut * 9 }""",
    "limits": """
      indicators { quick = SMA(period: fast) range = ATR(period: wide) }
      entry.long { when (close > quick) {
        buy(quantity: size, type: "limit", price: close - range / wide, time_in_force: "gtc") } }
      exit.long { when (close < quick) { sell(quantity: "all") } }""",
}
SETS = [
    {"fast": fast, "wide": wide, "size": size, "cut": cut}
    for fast, wide, size, cut in (
        *(("2", "6", "1", "0.5%"), ("3", "6", "20", "1.5%"), ("5", "10", "20", "3%")),
        *(("4", "7", "3", "1%"), ("3", "10", "1", "0.75%"), ("5", "8", "9", "2%")),
    )
]

# Sets of one program: whether a factor is a small fraction may change it.
ALIKE = [params | {"cut": "1.5%"} for params in SETS]


def text_of(name: str) -> str:
    """Return a whole text."""
    return f'strategy("Sets") {{ {PARAMS} {TEXTS[name]} }}'


def market(sessions: int = 4, minutes: int = 60) -> pl.DataFrame:
    """Return minutes of two instruments over some sessions, some of them missing."""
    chance, calendar, rows = np.random.default_rng(5), calendar_for("KRX"), []
    for symbol, start in (("005930", 70_000), ("068270", 900)):
        price = start
        for day in calendar.sessions(date(2024, 5, 28), date(2024, 6, 7))[-sessions:]:
            opens = datetime.fromtimestamp(calendar.open_close_ns(day)[0] // 10**9, UTC)
            for step in np.flatnonzero(chance.random(minutes) < 0.9).tolist():
                opened = max(price + int(chance.integers(-price // 90 - 1, price // 90 + 2)), 100)
                price = max(opened + int(chance.integers(-price // 90 - 1, price // 90 + 2)), 100)
                high, low = max(opened, price) + 2, min(opened, price) - 2
                at = opens + timedelta(minutes=step)
                rows.append((symbol, at, opened, high, low, price, int(chance.integers(0, 9))))
    names = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def coins() -> pl.DataFrame:
    """Return minutes of two coins with a fraction of one traded, over a midnight of UTC."""
    chance, start = np.random.default_rng(9), datetime(2025, 9, 1, 20, tzinfo=UTC)
    parts = []
    for symbol, price in (("KRW-BTC", 160_000_000), ("KRW-XRP", 4_000)):
        tick = 1_000 if price > 1_000_000 else 1
        walk = price + tick * np.cumsum(chance.integers(-3, 4, 500)).astype(np.float64)
        parts.append(
            pl.DataFrame(
                {
                    "symbol": symbol,
                    "timestamp": [start + timedelta(minutes=at) for at in range(500)],
                    "open": np.roll(walk, 1).clip(walk - tick, walk + tick),
                    "high": walk + tick,
                    "low": walk - tick,
                    "close": walk,
                    "volume": chance.random(500) * 3 + 0.1,
                }
            )
        )
    return pl.concat(parts).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def require_equal(trial: Trial, alone: BacktestResult) -> None:
    """Check that a trial is the backtest of its parameters."""
    assert len(trial.fills) == alone.fills.height
    assert dict(trial.metrics) == dict(alone.metrics)
    assert trial.path.equity.tolist() == alone.equity["equity"].to_list()
    assert list(trial.sessions) == alone.equity["session"].to_list()
    assert trial.digests == alone.digests
    assert trial.digests.run == alone.digests.run
    assert trial.prefix.is_invariant == alone.prefix.is_invariant


def compare(
    text: str,
    given_sets: Sequence[Mapping[str, str]],
    bars: pl.DataFrame,
    assumed: BacktestSettings,
    kernels: Path,
    *,
    refused: int = 0,
    catalog: Catalog = NATIVE,
) -> int:
    """Run sets together and alone, some of which are refused; return how many fills there were."""
    read = read_strategy(text, catalog=catalog)
    together = Sets(read, Stages(bars, assumed), cache_dir=kernels)
    fills = 0
    for params, found in zip(given_sets, together.run(given_sets), strict=True):
        if isinstance(found, Trial):
            plan = compile_strategy(text, params=params, catalog=catalog)
            alone = run_backtest(plan, bars, assumed, cache_dir=kernels)
            require_equal(found, alone)
            fills += alone.fills.height
            continue
        refused -= 1
        with pytest.raises((StrategyError, InputError)) as error:
            run_backtest(compile_strategy(text, params=params), bars, assumed, cache_dir=kernels)
        assert str(found) == str(error.value)
    assert refused == 0
    return fills


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_sets_when_run_together_then_each_is_its_own_backtest(name: str, kernels: Path) -> None:
    """Fills, figures and digests: of shared columns, of steps, of guards, ranks and limits."""
    assumed = BacktestSettings(cash=9_000_000, interval="1m")

    assert compare(text_of(name), SETS, market(), assumed, kernels) > 100


@pytest.mark.parametrize("name", ["several", "account"])
def test_sets_of_coins_when_run_together_then_each_is_its_own_backtest(
    name: str, kernels: Path
) -> None:
    """Decimals of money and quantities come out the same without tables."""
    text = text_of(name).replace("cut / 1%", "cut").replace("quantity: size", 'quantity: "40%"')
    assumed = BacktestSettings(cash=9_000_000, interval="1m", venue="UPBIT")

    assert compare(text, SETS[:4], coins(), assumed, kernels) > 30


def test_sets_of_library_indicators_when_run_together_then_each_is_its_own_backtest(
    kernels: Path,
) -> None:
    """What calls back into Python shares columns and threads as well."""
    text = """strategy("Wide") {
      params { n = 10 in 5..20 size = 3 in 1..9 }
      indicators { band = ABERRATION(length: n, window: 30) mean = SMA(period: n) }
      entry.long { when (close > band.aber_zg and mean > close[n]) { buy(quantity: size) } }
      exit.long { when (close < band.aber_zg) { sell(quantity: "all") } }
    }"""
    given_sets = [{"n": "8"}, {"n": "12", "size": "7"}]
    assumed = BacktestSettings(cash=9_000_000, interval="1m")

    wide = load_catalog(None)
    assert compare(text, given_sets, market(3), assumed, kernels, catalog=wide) > 20


def test_sets_when_some_cannot_run_then_the_others_do(kernels: Path) -> None:
    """A value outside its range, or a fraction of a share, is refused with the same words."""
    given_sets = [
        *(SETS[0], {"fast": "9"}, {"size": "1.5"}, {"unknown": "1"}, SETS[2]),
        *({"wide": "6m"}, {"size": "2.5"}, SETS[1]),
    ]
    assumed = BacktestSettings(cash=9_000_000, interval="1m")
    text = text_of("means").replace("size = 1 in 1..20", "size = 1 in 1..20 step 0.5")

    assert compare(text, given_sets, market(), assumed, kernels, refused=5) > 50


def test_sets_when_memory_is_short_then_groups_are_small(
    kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer columns at a time, down to none, change nothing."""
    bars, assumed = market(), BacktestSettings(cash=9_000_000, interval="1m")
    text = read_strategy(text_of("means"))

    def fills() -> list[object]:
        found = Sets(text, Stages(bars, assumed), cache_dir=kernels).run(SETS)
        return [trial.fills.tolist() for trial in found if isinstance(trial, Trial)]

    expected = fills()
    for numbers in (3 * bars.height, 2 * bars.height, bars.height):
        monkeypatch.setattr(sets, "COLUMNS_MAX", numbers)
        assert fills() == expected
    monkeypatch.setattr(sets, "GROUP_MAX", 2)
    assert fills() == expected
    assert len(expected) == len(SETS)


def test_sets_when_they_come_in_small_batches_then_little_is_done_again(
    kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bars are laid out once, and batches of other numbers share compiled code."""
    laid_out, loaded = [], []
    monkeypatch.setattr(stage, "prepare", _noting(laid_out, stage.prepare))
    monkeypatch.setattr(sets, "rows_of", _noting(loaded, sets.rows_of))
    stages = Stages(market(), BacktestSettings(cash=9_000_000, interval="1m"))
    together = Sets(read_strategy(text_of("several")), stages, cache_dir=kernels)

    for params in ALIKE:
        assert isinstance(next(together.run([params])), Trial)

    assert len(laid_out) == 1
    # One shape, and what computes each of three indicators.
    assert len(loaded) == 4


ENTRIES = (
    *("quick crosses above slow", "close > close[fast]", "strength < 60", "close > open"),
    *("close > slow * (1 - cut)", "since(close > open) >= fast - 1", "volume > avg_volume(wide)"),
    *("swing.histogram > 0", "close > bands.lower", "high > highest(high, wide) * (1 - cut)"),
    *("time > 09:05", "minutes_since_open > fast", "quick - slow > low - high"),
    "portfolio.positions < fast",
)
EXITS = (
    *("quick crosses below slow", "close < close[fast]", "strength > 50", "swing.histogram < 0"),
    *("close < bands.upper", "position.profit > cut", "position.bars >= wide", "close < open"),
    *("position.highest * (1 - cut) > close", "change(close, fast) < 0"),
)
FRAMES = """timeframes { minute = "1m" coarse = "5m" }
    indicators { on coarse { trend = EMA(period: fast) } }"""


@st.composite
def trading_texts(draw: st.DrawFn) -> str:
    """Return a text that trades on most markets."""
    few = st.lists(st.sampled_from(ENTRIES), min_size=1, max_size=2, unique=True)
    entry = draw(st.sampled_from([" and ", " or "])).join(draw(few))
    leave = " or ".join(draw(st.lists(st.sampled_from(EXITS), min_size=1, max_size=2)))
    frames = draw(st.booleans())
    if frames:
        entry = f"({entry}) and minute.close > coarse.trend * (1 - cut)"
    rank = draw(st.sampled_from(["", "rank by quick / slow", "rank by volume"]))
    size = draw(st.sampled_from(["size", '"20%"', "cut * 9", "fast * 2"]))
    order = draw(
        st.sampled_from(
            [
                *("", "", ', type: "limit", price: close * (1 - cut / 10)'),
                ', type: "stop", stop: close * (1 + cut / 10), time_in_force: "gtc"',
            ]
        )
    )
    risk = draw(
        st.sampled_from(
            [
                *("", "stop_loss = 1%", "trailing_stop = 1% max_positions = 1"),
                "pyramiding = 3 take_profit = 1% max_position_size = 30%",
            ]
        )
    )
    return f"""strategy("Drawn") {{ {PARAMS} {FRAMES if frames else ""} {rank}
      indicators {{
        quick = SMA(period: fast) slow = SMA(period: wide, source: (high + low) / 2)
        strength = RSI(period: fast) swing = MACD(fast: fast, slow: wide, signal: 3)
        bands = Bollinger(period: wide, deviations: 1.5)
      }}
      entry.long {{ when ({entry}) {{ buy(quantity: {size}{order}) }} }}
      exit.long {{ when ({leave}) {{ sell(quantity: "all") }} }}
      risk_management {{ {risk} }}
    }}"""


def plain(source: str, _cache_dir: Path) -> ModuleType:
    """Return the functions of a source without compiling them; dividing by zero as numpy."""
    module = ModuleType("plain")
    vars(module).update(float=np.float64, np=np)
    exec(compile(source, "<source>", "exec"), vars(module))  # noqa: S102 - our own generated text

    def bind(*arguments: Any) -> Callable[..., None]:
        def run(*given: int) -> None:
            left = iter(given)
            rows = (each if isinstance(each, np.ndarray) else next(left) for each in arguments)
            vars(module)[ROWS_FUNCTION](*rows)

        return run

    vars(module)["bind"] = bind
    return module


ASSUMED: tuple[dict[str, Any], ...] = (
    *({}, {}, {"fill": "close", "slippage_ticks": 1}, {"waits_settlement": True}),
    {"volume_percent": "50", "slippage_bps": "3", "impact_bps": "20", "exits_inside": True},
    {"splits": ("005930@2024-06-07=1:2",), "dividends": ("068270@2024-06-07=9",)},
    {"rights": ("005930@2024-06-07=0.2:100", "068270@2024-06-07=1:9")},
    {"delistings": ("005930@2024-06-07=70000", "068270@2024-06-08"), "volume_percent": "50"},
    {
        "limits": AccountLimits(
            order_value="2000000",
            position_share="0.3",
            gross_exposure="0.5",
            daily_loss="0.01",
            drawdown="0.02",
        )
    },
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=trading_texts(),
    given_sets=st.lists(st.sampled_from(SETS), min_size=2, max_size=3, unique_by=id),
    model=st.sampled_from(ASSUMED),
)
def test_generated_texts_when_sets_run_together_then_each_is_its_own_backtest(
    kernels: Path, text: str, given_sets: list[dict[str, str]], model: dict[str, Any]
) -> None:
    """Whatever is asked for: columns or none, guards, ranks, frames, orders, fill models."""
    assumed = BacktestSettings(cash=9_000_000, interval="1m", **model)

    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setattr(engine, "rows_of", plain)
        patch.setattr(sets, "rows_of", plain)
        compare(text, given_sets, market(2, 40), assumed, kernels)


def _noting(calls: list[object], function: object) -> object:
    def noted(*arguments: object, **more: object) -> object:
        calls.append(arguments)
        return function(*arguments, **more)  # type: ignore[operator]

    return noted


def test_prefix_when_sets_share_a_program_then_it_is_checked_once(
    kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the check finds holds for every set of the program."""
    checks = []
    monkeypatch.setattr(sets, "check_prefix", _noting(checks, sets.check_prefix))
    stages = Stages(market(), BacktestSettings(cash=9_000_000, interval="1m"))
    together = Sets(read_strategy(text_of("several")), stages, cache_dir=kernels)

    found = [trial.prefix for trial in together.run(ALIKE) if isinstance(trial, Trial)]

    assert len(found) == len(ALIKE)
    assert len(checks) == 1
    assert found[0].is_invariant
    assert len(found[0].cuts) == 2
