"""Short sales against a slow portfolio written from their rules, on generated markets."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rights_judge import Rights
from short_judge import (
    CALENDAR,
    LADDER,
    LONG,
    SESSIONS,
    SHORT,
    Bar,
    Case,
    Delisting,
    Dividend,
    Drawn,
    Judge,
    Row,
    Split,
    band_of,
)

from jts_pipelines.backtest.engine import run_backtest
from jts_trading.dsl.compiler import compile_strategy

# Powers of two and their like: prices in the first shares are exact in the engine, too.
RATIOS = ((1, 2), (1, 5), (2, 3), (4, 1), (10, 1))
KINDS = (*["move"] * 12, "absent", "halt", "empty", "up", "down", "jump", "fall", "split", "issue")
NEW_SHARES = ("0.0001", "0.2", "0.2154388105", "1", "3")
OFFERS = st.sampled_from((1, 500, 4_000, 15_000, 100_000))


@st.composite
def markets(draw: st.DrawFn) -> Drawn:
    """Draw two or three instruments over 20 to 30 sessions, with everything that KRX knows."""
    days = SESSIONS[: draw(st.integers(20, len(SESSIONS)))]
    symbols = [f"00{n}{n}00" for n in range(1, draw(st.integers(2, 3)) + 1)]
    splits: list[Split] = []
    rights: list[Rights] = []
    bars = {symbol: dict(_history(draw, symbol, days, splits, rights)) for symbol in symbols}
    paid = st.tuples(st.sampled_from(days), st.sampled_from((7, 361, 5_000)))
    dividends = [
        Dividend(symbol, day, amount)
        for symbol in symbols
        for day, amount in draw(st.lists(paid, max_size=3))
    ]
    # Days without a session of the market are among them, and some after the data.
    later = st.sampled_from((*days[5:], CALENDAR.next_session(days[-1]), date(2025, 5, 24)))
    # Prices do not follow them: what is left may open outside the limits.
    offered = st.tuples(st.sampled_from(days), st.sampled_from(NEW_SHARES), OFFERS)
    rights += [
        Rights(symbol, day, ratio, price)
        for symbol in symbols
        for day, ratio, price in draw(st.lists(offered, max_size=1))
    ]
    prices = st.sampled_from((0, 1, 40, 20_000))
    ended = draw(st.sets(st.sampled_from(symbols), max_size=1))
    delistings = [Delisting(symbol, draw(later), draw(prices)) for symbol in sorted(ended)]
    return Drawn(bars, tuple(splits), tuple(dividends), tuple(delistings), tuple(rights))


def _history(
    draw: st.DrawFn, symbol: str, days: list[date], splits: list[Split], rights: list[Rights]
) -> Iterator[tuple[date, Bar]]:
    close = draw(st.sampled_from((960, 4_990, 19_950, 71_000)))
    has_traded = False
    for day in days:
        kind = draw(st.sampled_from(KINDS))
        if kind == "absent":
            continue
        if kind == "halt":
            yield day, Bar(0, 0, 0, close, 0, "halted")
            continue
        # An engine takes no prices of 100 billion won.
        kind = "fall" if close > 5_000_000 else kind
        if kind == "split" and has_traded:
            old, new = draw(st.sampled_from(RATIOS))
            splits.append(Split(symbol, day, old, new))
            close = max(close * old // new, 10)
        if kind == "issue" and has_traded:
            price = max(close * draw(st.integers(40, 110)) // 100, 1)
            issue = Rights(symbol, day, draw(st.sampled_from(NEW_SHARES)), price)
            rights.append(issue)
            left = issue.after(close)
            close = close if left is None else max(left.base, 10)
        bar = _bar(draw, day, close, kind)
        close, has_traded = bar.close, has_traded or bar.trades
        yield day, bar


def _bar(draw: st.DrawFn, day: date, close: int, kind: str) -> Bar:
    volume = draw(st.integers(1, 3_000))
    if kind == "empty":
        return Bar(close, close, close, close, 0)
    if kind in ("up", "down"):
        locked = band_of(day, close)[kind == "up"]
        return Bar(locked, locked, locked, locked, volume)
    close = close * {"jump": 8, "fall": 2}.get(kind, 1) // {"fall": 9}.get(kind, 1)
    start = LADDER.floor(max(close * (100 + draw(st.integers(-6, 6))) // 100, 10))
    end = LADDER.floor(max(close * (100 + draw(st.integers(-12, 14))) // 100, 10))
    high = LADDER.ceil(max(start, end) * (100 + draw(st.integers(0, 4))) // 100)
    low = LADDER.floor(min(start, end) * (100 - draw(st.integers(0, 4))) // 100)
    return Bar(start, high, low, end, volume)


# Few pairs: each is compiled.
PAIRS = (("market", "market"), ("limit", "limit"), ("stop", "market"), ("stop_limit", "stop"))
CASES = st.builds(
    Case,
    kinds=st.sampled_from(PAIRS),
    force=st.sampled_from(("day", "ioc", "fok", "gtc")),
    size=st.sampled_from(('"20%"', '"40%"', '"100%"', "700000 KRW", "37", "kelly")),
    leave=st.sampled_from(('"all"', '"all"', '"15%"', "200000 KRW", "11")),
    sides=st.sampled_from(((LONG, SHORT), (SHORT, LONG), (SHORT,))),
    is_wide=st.booleans(),
    asks=st.booleans(),
    fill=st.sampled_from(("next_open", "close", "opening_auction", "closing_auction")),
    volume_percent=st.sampled_from((0, 0, 1, 10)),
    slippage_bps=st.sampled_from((0, 30)),
    slippage_ticks=st.sampled_from((0, 2)),
    exits_inside=st.booleans(),
    waits_settlement=st.booleans(),
    stop_loss=st.sampled_from((0, 3)),
    trailing_stop=st.sampled_from((0, 4)),
    take_profit=st.sampled_from((0, 5)),
    max_position_size=st.sampled_from((0, 0, 35)),
    pyramiding=st.sampled_from((1, 2, 3)),
    max_positions=st.sampled_from((0, 1, 2)),
    cooldown=st.sampled_from((0, 0, 2)),
    limits=st.sampled_from((None, None, (600_000, 30, 80, 6), (10**9, 40, 100, 900))),
    margin=st.sampled_from((100, 50, 20)),
    maintenance=st.sampled_from((0, 5, 30)),
    borrow=st.sampled_from((0, 4, 40)),
    sells_short=st.sampled_from((True, True, True, False)),
)


def as_frame(market: dict[str, dict[date, Bar]]) -> pl.DataFrame:
    """Return generated bars as the lake would."""
    rows = [
        {
            "symbol": symbol,
            "timestamp": datetime.fromtimestamp(
                CALENDAR.open_close_ns(day)[0] // 10**9 - 9 * 3600, UTC
            ),
            "trade_date": day,
            **{name: getattr(bar, name) or None for name in ("open", "high", "low")},
            **{name: getattr(bar, name) for name in ("close", "volume", "status")},
        }
        for symbol, bars in market.items()
        for day, bar in bars.items()
    ]
    prices = dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Int64)
    return pl.DataFrame(rows, schema_overrides={"timestamp": pl.Datetime("ms", "UTC"), **prices})


def found_rows(fills: pl.DataFrame) -> list[Row]:
    """Return the fills of the product as the judge writes them."""
    reason = pl.col("reason")
    return fills.select(
        "session",
        pl.col("instrument").str.strip_prefix("KRX:"),
        "side",
        "quantity",
        "price",
        pl.when(reason.is_in(["borrowed", "margin_call"])).then(reason).otherwise(pl.lit("")),
        "borrow_fee",
    ).rows()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(drawn=markets(), case=CASES)
def test_short_sales_on_any_market_fill_and_value_like_the_judge(
    drawn: Drawn, case: Case, kernels: Path
) -> None:
    """Every fill and fee, and equity at every session end, agree to the won."""
    days = sorted({day for bars in drawn.bars.values() for day in bars})
    if not drawn.traded:
        return
    judge = Judge(case, drawn)
    judge.run(days)

    result = run_backtest(
        compile_strategy(case.text),
        as_frame(drawn.bars),
        case.assumed(drawn),
        cache_dir=kernels,
    )

    assert found_rows(result.fills) == judge.fills
    assert result.equity.select("cash", "equity").rows() == judge.equity
    assert result.metrics["dividends"] == judge.paid
    assert result.metrics["rights"] == judge.sold
    assert result.prefix.difference == ""
