"""Short sales against a slow portfolio written from their rules, on generated markets."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
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
KINDS = (
    *["move"] * 24,
    *("absent", "halt", "empty", "up", "down", "to_up", "to_down"),
    *("jump", "fall", "split", "issue"),
)
NEW_SHARES = ("0.0001", "0.2", "0.2154388105", "1", "3")
# Few pairs: each is compiled.
PAIRS = (("market", "market"), ("limit", "limit"), ("stop", "market"), ("stop_limit", "stop"))


def _rarely(*values: object, none: object) -> tuple[object, ...]:
    return (*[none] * 3 * len(values), *values)


# Most of what a case may have is left out of most of them: what orders nothing judges nothing.
CHOICES: dict[str, tuple[Any, ...]] = {
    "kinds": (PAIRS[0], *PAIRS),
    "force": ("day", "ioc", "fok", "gtc"),
    "size": ('"100%"', '"100%"', '"40%"', "700000 KRW", "37", "kelly"),
    "leave": ('"all"', '"all"', '"30%"', "200000 KRW", "11"),
    "sides": ((LONG, SHORT), (SHORT, LONG), (SHORT,)),
    "is_wide": (False, True),
    "asks": (False, False, True),
    "fill": ("next_open", "close", "opening_auction", "closing_auction"),
    "volume_percent": _rarely(1, 10, none=0),
    "slippage_bps": _rarely(30, none=0),
    "slippage_ticks": _rarely(2, none=0),
    "exits_inside": (False, True),
    "waits_settlement": _rarely(True, none=False),
    "stop_loss": _rarely(3, 9, none=0),
    "trailing_stop": _rarely(4, none=0),
    "take_profit": _rarely(5, none=0),
    "max_position_size": _rarely(35, none=0),
    "pyramiding": (1, 2, 3),
    "max_positions": _rarely(1, 2, none=0),
    "cooldown": _rarely(2, none=0),
    "limits": ((600_000, 30, 80, 6), (10**9, 60, 100, 900), (10**9, 10_000, 10_000, 900)),
    "margin": (100, 50, 20),
    "maintenance": (0, 5, 30),
    "borrow": (0, 4, 40),
}


def case_of(chance: Random) -> Case:
    """Choose what the strategy orders and what the run assumes."""
    found = {name: chance.choice(values) for name, values in CHOICES.items()}
    if not found["asks"]:
        return Case(**found | {"limits": None})
    # Each text that asks for the account is compiled into its own portfolio: few of them.
    kinds = chance.choice(PAIRS[:2])
    return Case(**found | {"kinds": kinds, "is_wide": False, "sides": (LONG, SHORT)})


def market_of(chance: Random) -> Drawn:
    """Make two or three instruments over 20 to 30 sessions, with everything that KRX knows."""
    days = SESSIONS[: chance.randint(20, len(SESSIONS))]
    symbols = [f"00{n}{n}00" for n in range(1, chance.randint(2, 3) + 1)]
    splits: list[Split] = []
    rights: list[Rights] = []
    bars = {symbol: dict(_history(chance, symbol, days, splits, rights)) for symbol in symbols}
    dividends = [
        Dividend(symbol, chance.choice(days), chance.choice((7, 361, 5_000)))
        for symbol in symbols
        for _ in range(chance.randint(0, 3))
    ]
    # Prices do not follow them: what is left may open outside the limits.
    rights += [
        Rights(symbol, chance.choice(days), chance.choice(NEW_SHARES), chance.choice((1, 4_000)))
        for symbol in symbols
        if not chance.randint(0, 5)
    ]
    # Days without a session of the market are among them, and some after the data.
    later = (*days[5:], CALENDAR.next_session(days[-1]), date(2025, 5, 24))
    delistings = [
        Delisting(symbol, chance.choice(later), chance.choice((0, 0, 1, 40, 20_000)))
        for symbol in symbols
        if not chance.randint(0, 3)
    ]
    return Drawn(bars, tuple(splits), tuple(dividends), tuple(delistings), tuple(rights))


def _history(
    chance: Random, symbol: str, days: list[date], splits: list[Split], rights: list[Rights]
) -> Iterator[tuple[date, Bar]]:
    close = chance.choice((960, 4_990, 19_950, 71_000))
    has_traded = False
    for day in days:
        # An engine takes no prices of 100 billion won.
        kind = chance.choice(KINDS) if close < 5_000_000 else "fall"
        if kind == "absent":
            continue
        if kind == "halt":
            yield day, Bar(0, 0, 0, close, 0, "halted")
            continue
        if kind == "split" and has_traded:
            old, new = chance.choice(RATIOS)
            splits.append(Split(symbol, day, old, new))
            close = max(close * old // new, 10)
        if kind == "issue" and has_traded:
            price = max(close * chance.randint(40, 110) // 100, 1)
            issue = Rights(symbol, day, chance.choice(NEW_SHARES), price)
            rights.append(issue)
            left = issue.after(close)
            close = close if left is None else max(left.base, 10)
        bar = _bar(chance, day, close, kind)
        close, has_traded = bar.close, has_traded or bar.trades
        yield day, bar


def _bar(chance: Random, day: date, close: int, kind: str) -> Bar:
    volume = chance.randint(1, 3_000)
    if kind == "empty":
        return Bar(close, close, close, close, 0)
    if kind in {"up", "down"}:
        locked = band_of(day, close)[kind == "up"]
        return Bar(locked, locked, locked, locked, volume)
    close = close * {"jump": 8, "fall": 2}.get(kind, 1) // {"fall": 9}.get(kind, 1)
    start = LADDER.floor(max(close * (100 + chance.randint(-6, 6)) // 100, 10))
    end = LADDER.floor(max(close * (100 + chance.randint(-12, 14)) // 100, 10))
    if kind in {"to_up", "to_down"}:
        end = band_of(day, close)[kind == "to_up"]
        high, low = max(start, end), min(start, end)
        return Bar(start, high, low, end, volume)
    high = LADDER.ceil(max(start, end) * (100 + chance.randint(0, 4)) // 100)
    low = LADDER.floor(min(start, end) * (100 - chance.randint(0, 4)) // 100)
    return Bar(start, high, low, end, volume)


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


def steps(*closes: int) -> dict[date, Bar]:
    """Return bars that open and close at one price and can trade on both sides."""
    found = (Bar(close, close + 5, close - 5, close, 100_000) for close in closes)
    return dict(zip(SESSIONS, found, strict=False))


def check(case: Case, drawn: Drawn, kernels: Path) -> Judge:
    """Run the product and the judge: every fill and fee, and cash and equity, to the won."""
    days = sorted({day for bars in drawn.bars.values() for day in bars})
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
    return judge


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_short_sales_on_any_market_fill_and_value_like_the_judge(seed: int, kernels: Path) -> None:
    """Whatever a text orders and a run assumes, on markets with everything that KRX knows."""
    chance = Random(seed)
    case, drawn = case_of(chance), market_of(chance)
    if drawn.traded:
        check(case, drawn, kernels)


@pytest.mark.parametrize(("last", "called"), [(2_000, False), (2_005, True)])
def test_collateral_as_large_as_the_position_is_enough(
    last: int, called: bool, kernels: Path
) -> None:
    """Twice the price, margin of all of it: to the won, less than that is too little."""
    bars = {"001100": steps(1_010, 1_000, 1_000, 1_000, last, last, last)}

    judge = check(Case(size="100", leave="11", maintenance=0), Drawn(bars), kernels)

    assert any(reason == "margin_call" for *_, reason, _ in judge.fills) == called


def test_lowest_close_after_a_split_is_rounded_down(kernels: Path) -> None:
    """1,000 become 666: 4 % above are 692.64, and all is left on a close of 693."""
    bars = {"001100": steps(1_010, 1_000, 1_000, 1_000, 693, 693, 693)}
    drawn = Drawn(bars, (Split("001100", SESSIONS[4], 2, 3),))

    judge = check(Case(size="100", leave="11", trailing_stop=4), drawn, kernels)

    assert [row[3] for row in judge.fills] == [100, 50, 0, 150]


def test_collateral_of_the_part_that_a_split_leaves_is_free_for_more(kernels: Path) -> None:
    """29 become 2: nine old shares are owed in money, and what they had pledged pays for more."""
    bars = {"001100": steps(72_000, 71_000, 71_000, 710_000, 700_000, 700_000, 700_000)}
    drawn = Drawn(bars, (Split("001100", SESSIONS[3], 10, 1),))

    judge = check(Case(size="29", pyramiding=2), drawn, kernels)

    assert [row[2:4] for row in judge.fills] == [("sell", 29), ("buy", 27), ("sell", 1)]
