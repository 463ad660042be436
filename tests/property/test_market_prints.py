"""The rule table against what the markets printed: every close on its ladder, none beyond."""

from datetime import date
from pathlib import Path

import polars as pl

from jts_trading.domain.market.ladder import Ladder
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.prices import daily_limits, is_on_trade_grid, order_ladder
from jts_trading.domain.market.upbit import upbit_ladder

RULES = default_table()
REFORM = date(2023, 1, 25)


def _off(ladder: Ladder, prices: pl.Series) -> int:
    counts = prices.cast(pl.Int64).value_counts()
    return sum(
        count for price, count in counts.iter_rows() if price > 0 and not ladder.is_on_grid(price)
    )


def test_closes_when_the_whole_market_is_read_then_lie_on_the_ladder_of_their_day(
    test_data: Path,
):
    """267,708 closes of 2020 to 2023, no exception; the other ladder fails on thousands."""
    frame = pl.read_parquet(test_data / "krx" / "krx_market_snapshots_2020_2023.parquet")
    frame = frame.with_columns(pl.col("market").replace("KOSDAQ GLOBAL", "KOSDAQ"))
    assert len(frame) == 267_708
    wrong = {}
    for market in ("KOSPI", "KOSDAQ", "KONEX"):
        own = frame.filter(pl.col("market") == market)
        old = own.filter(pl.col("session_date") < REFORM)["close"]
        new = own.filter(pl.col("session_date") >= REFORM)["close"]
        before, after = (
            order_ladder(RULES, day, market=market, asset="COMMON")
            for day in (date(2023, 1, 24), REFORM)
        )

        assert (_off(before, old), _off(after, new)) == (0, 0)
        wrong[market] = _off(before, new) + _off(after, old)
    # The test can tell the ladders apart.
    assert wrong["KOSPI"] > 5_000
    assert wrong["KOSDAQ"] > 5_000


def test_quotes_of_may_2026_when_read_then_lie_on_the_trade_grid(test_data: Path):
    """10,750 figures of one listing day fit the ladder and its half ticks."""
    frame = pl.read_parquet(test_data / "krx" / "krx_listing_2026-05.parquet")
    day = date(2026, 5, 4)
    off = []
    half = 0
    for market, *prices in frame.select("Market", "Open", "High", "Low", "Close").iter_rows():
        name = "KOSDAQ" if market.startswith("KOSDAQ") else market
        ladder = order_ladder(RULES, day, market=name, asset="COMMON")
        for price in prices:
            if price > 0:
                half += not ladder.is_on_grid(price)
                if not is_on_trade_grid(RULES, day, price, market=name):
                    off.append((market, price))

    assert off == []
    assert half == 54


def test_highs_and_lows_when_read_then_stay_inside_the_limits(test_data: Path):
    """Of 0.4 M unadjusted rows only a few, with a changed base or in liquidation, are beyond."""
    frame = pl.read_parquet(test_data / "krx" / "krx_1d_2023-12_2025-06.parquet")
    ladder = order_ladder(RULES, date(2024, 3, 4), market="KOSPI", asset="COMMON")
    closes = frame["close"].unique().to_list()
    adjusted = [price for price in closes if price > 0 and not ladder.is_on_grid(int(price))]
    is_raw = (~pl.col("close").is_in(adjusted)).all().over("symbol")
    frame = (
        frame.filter(is_raw)
        .sort("symbol", "session_date")
        .with_columns(pl.col("close").shift(1).over("symbol").alias("before"))
        .filter((pl.col("volume") > 0) & (pl.col("before") > 0) & (pl.col("low") > 0))
        .filter(
            (pl.col("high") > pl.col("before") * 1.29) | (pl.col("low") < pl.col("before") * 0.71)
        )
    )
    touched, beyond = 0, []
    rows = frame.select("symbol", "session_date", "before", "high", "low").iter_rows()
    for symbol, day, before, high, low in rows:
        # Since 2023 both markets share ladder and rate.
        limits = daily_limits(RULES, day, int(before), market="KOSPI", asset="COMMON")
        touched += int(high) == limits.upper or int(low) == limits.lower
        if int(high) > limits.upper or int(low) < limits.lower:
            beyond.append(symbol)

    assert touched > 1_400
    # 072520 is sold off before its delisting, on seven days without limits; the base of the
    # others changed, or a back-adjusted price is off by one won.
    assert len(beyond) == 16
    assert beyond.count("072520") == 7


def test_upbit_bars_when_read_then_lie_on_the_ladder_of_their_day(test_data: Path):
    """Hourly bars of three coins on three ladders; no print is off its grid."""
    frame = pl.read_parquet(test_data / "crypto" / "upbit_1h_2022_2025-09.parquet")
    kst = pl.col("timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Seoul")
    frame = frame.with_columns(kst.dt.date().alias("day"))
    # The ladders changed within these two Korean days, not at their first minute.
    frame = frame.filter(~pl.col("day").is_in([date(2024, 1, 29), date(2025, 7, 31)]))
    off = 0
    for (symbol, day), rows in frame.group_by("symbol", "day"):
        ladder = upbit_ladder(RULES, day, str(symbol))
        for name in ("open", "high", "low", "close"):
            for price in rows[name].to_list():
                units = round(price * 10**ladder.scale)
                off += not ladder.is_on_grid(units)

    assert off == 0
