"""Buying and holding what a run could trade: the yardstick that every run has.

The money is split evenly over all instruments. Each is bought at its first open and held to the
end, without costs and dividends; until an instrument has a bar its part stays in cash. Splits and
delistings that the run assumes are those of the yardstick, too.
"""

from collections.abc import Iterable
from datetime import date, timedelta

import numpy as np
import polars as pl

from jts_pipelines.backtest.columns import Floats, Ints
from jts_pipelines.backtest.delistings import read_delisting
from jts_pipelines.backtest.event_trades import TradeStream
from jts_pipelines.backtest.history import History
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.splits import read_split
from jts_trading.domain.sessions import calendar_for, local_date

_EPOCH = date(1970, 1, 1)
Daily = tuple[Ints, Floats]
"""Days since 1970-01-01, ascending, and what an instrument had grown to at the close of each."""


def bars_of_holding(history: History, settings: BacktestSettings) -> pl.DataFrame:
    """Return what all instruments of a run grew to, as bars of a benchmark: date and close.

    Args:
        history: The bars that the run may see.
        settings: Its splits and delistings.
    """
    table = history.table
    ends = {each.symbol: each for each in map(read_delisting, settings.delistings)}
    splits = list(map(read_split, settings.splits))
    found = []
    for at, symbol in enumerate(table.symbols):
        first, end = int(table.offsets[at]), int(table.offsets[at + 1])
        rows = first + np.flatnonzero(table.is_traded[first:end])
        days = table.days[table.moment_of(rows, np.full(len(rows), at))]
        last = np.flatnonzero(np.diff(days, append=days[-1:] + 1))
        days, closes = days[last], table.close[rows[last]].astype(np.float64)
        paid = float(table.open[rows[0]]) if len(rows) else 1.0
        for split in splits:
            if split.symbol == symbol:
                closes[days >= _number(split.day)] *= split.new / split.old
        if symbol in ends and len(days):
            steps = float(ends[symbol].price / table.units[at].price_step)
            days, closes = _ended((days, closes), _number(ends[symbol].day), steps)
        found.append((days, closes / paid))
    return _grown(settings.venue, np.unique(table.days), found)


def trades_of_holding(stream: TradeStream) -> pl.DataFrame:
    """Return the same for a run by events, from the last trade of each day."""
    values = np.array([float(price) for price in stream.prices[0]])
    # A day begins at one instant for all, so few of the times have to be looked at.
    hours, place = np.unique(stream.at // 3_600_000_000_000, return_inverse=True)
    named = [_number(local_date(stream.venue, int(at) * 3_600_000_000_000)) for at in hours]
    columns = {
        "which": stream.which,
        "day": np.array(named, np.int64)[place],
        "close": values[stream.prices[1]],
    }
    daily = (
        pl.DataFrame(columns)
        .with_columns((pl.col("close") / pl.col("close").first().over("which")).alias("grown"))
        .group_by("which", "day", maintain_order=True)
        .last()
    )
    by_instrument = daily.sort("which", "day").partition_by("which")
    found = [(part["day"].to_numpy(), part["grown"].to_numpy()) for part in by_instrument]
    return _grown(stream.venue, np.unique(columns["day"]), found)


def _ended(daily: Daily, day: int, paid: float) -> Daily:
    """Return the closes before a delisting, and what was paid then."""
    days, closes = daily
    kept = days < day
    return np.append(days[kept], day), np.append(closes[kept], paid)


def _grown(venue: str, days: Ints, each: Iterable[Daily]) -> pl.DataFrame:
    """Return the mean growth of instruments by day, and 1 for the session before the first."""
    total, count = np.zeros(len(days)), 0
    for own, growth in each:
        place = np.searchsorted(own, days, side="right") - 1
        is_begun = place >= 0
        if is_begun.any():
            total += np.where(is_begun, growth[np.maximum(place, 0)], 1.0)
            count += 1
    before = calendar_for(venue).previous_session(_EPOCH + timedelta(days=int(days[0])))
    dates = pl.Series(np.append(_number(before), days).astype(np.int32)).cast(pl.Date)
    return pl.DataFrame({"date": dates, "close": np.append(1.0, total / max(count, 1))})


def _number(day: date) -> int:
    return (day - _EPOCH).days
