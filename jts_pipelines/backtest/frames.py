"""Time frames as columns: bars of the interval that a strategy decides on, and coarser ones.

The arithmetic of periods is `jts_trading.strategy.frames`, which live uses too.
"""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import polars as pl

from jts_pipelines.backtest.bar_table import GROUP_ROWS, BarTable, make_table
from jts_pipelines.backtest.columns import Bits, Ints
from jts_pipelines.backtest.whole_columns import PRICES, summable
from jts_trading.dsl.plan import Timeframe
from jts_trading.strategy.frames import (
    DAY_SECONDS,
    WEEK_SECONDS,
    bucket_number,
    interval_seconds,
    period_number,
)
from storage.errors import InputError

_EPOCH = date(1970, 1, 1)

SessionOpen = Callable[[date], int]
"""Return the instant (UTC ms) at which a session's continuous trading opens."""


def at_interval(bars: BarTable, given: str, wanted: str, session_open: SessionOpen) -> BarTable:
    """Return the bars of the wanted interval, gathered from finer ones where necessary.

    Bars in which nothing traded do not contribute; an interval without trades has no bar.

    Raises:
        InputError: The given bars are coarser than the wanted ones, or do not divide them.
    """
    if given == wanted:
        return bars
    fine, coarse = interval_seconds(given), interval_seconds(wanted)
    if coarse > DAY_SECONDS:
        raise InputError(
            "the strategy looks at bars of weeks alone, and decisions are made on days or "
            'shorter bars; let it look at a day, too: timeframes { day = "1d" } and day.close'
        )
    if coarse < fine or coarse % fine:
        raise InputError(f"the strategy decides on {wanted} bars; bars of {given} were given")
    bucket = bucket_number(bars.times, _opens(bars.days, session_open), coarse)
    gathered = pl.concat(
        [_gathered(bars, first, end, bucket) for first, end in _groups(bars.offsets)]
    )
    if gathered.height == 0:
        raise InputError("nothing traded in these bars")
    day, volume = gathered["day"].to_numpy(), gathered["volume"].to_numpy()
    present = np.unique(gathered["instrument"].to_numpy(), return_index=True)
    return make_table(
        symbols=tuple(bars.symbols[at] for at in present[0]),
        offsets=np.append(present[1], gathered.height),
        stamp=_starts(day, gathered["bucket"].to_numpy(), coarse, session_open),
        day=day,
        prices=np.stack([gathered[name].to_numpy() for name in PRICES], axis=1).astype(np.int64),
        volume=volume,
        units=tuple(bars.units[at] for at in present[0]),
    )


def _groups(offsets: Ints) -> list[tuple[int, int]]:
    """Return instruments in groups of some rows: first one, and the one after the last."""
    ends = np.searchsorted(offsets, np.arange(GROUP_ROWS, offsets[-1], GROUP_ROWS), side="right")
    cuts = sorted({0, *ends.tolist(), len(offsets) - 1})
    return list(pairwise(cuts))


def _gathered(bars: BarTable, first: int, end: int, bucket: Ints) -> pl.DataFrame:
    """Return the coarser bars of some instruments.

    Args:
        bars: The finer ones.
        first: The first instrument.
        end: The one after the last.
        bucket: Number of the interval of each instant inside its session.
    """
    span = slice(int(bars.offsets[first]), int(bars.offsets[end]))
    rows = np.flatnonzero(bars.is_traded[span]) + span.start
    lengths = np.diff(bars.offsets[first : end + 1])
    owner = np.repeat(np.arange(first, end), lengths)[rows - span.start]
    moments, prices = bars.moment_of(rows, owner), bars.prices[rows]
    return (
        pl.DataFrame(
            {
                "instrument": owner,
                "day": bars.days[moments],
                "bucket": bucket[moments],
                **{name: prices[:, place] for place, name in enumerate(PRICES)},
                "volume": summable(bars.volume[rows]),
            }
        )
        .group_by("instrument", "day", "bucket", maintain_order=True)
        .agg(pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume"))
    )


def frames_closed(bars: BarTable, frames: Sequence[Timeframe], session_open: SessionOpen) -> Bits:
    """Return for each bar the bits of the frames whose pending bar closed before it.

    Args:
        bars: Bars that traded.
        frames: Those above the base one.
        session_open: Of the venue.
    """
    rows = bars.rows if frames else 0
    closed: Bits = np.zeros(rows, np.uint8) if len(frames) <= 8 else np.zeros(rows, np.int64)
    opens = _opens(bars.days, session_open) if frames else bars.days
    for bit, frame in enumerate(frames):
        if frame.seconds > DAY_SECONDS and frame.seconds != WEEK_SECONDS:
            raise InputError(
                f"time frame {frame.interval} is not known; accepted: up to 1d, and 1w"
            )
        period = period_number(bars.days, bars.times, opens, frame.seconds)[bars.row_moments]
        changed = np.zeros(bars.rows, np.bool_)
        changed[1:] = period[1:] != period[:-1]
        # The first bar of an instrument is after none; one without bars begins where another does.
        changed[bars.offsets[:-1][np.diff(bars.offsets) > 0]] = False
        closed[changed] |= 1 << bit
    return closed


def day_runs(days: Ints) -> tuple[Ints, Ints]:
    """Return each of the days, which ascend, and how often it stands there."""
    starts = np.flatnonzero(np.diff(days, prepend=days[:1] - 1))
    return days[starts], np.diff(np.append(starts, len(days)))


def day_of(number: int) -> date:
    """Return the date of a day number."""
    return _EPOCH + timedelta(days=int(number))


def _opens(days: Ints, session_open: SessionOpen) -> Ints:
    unique, index = np.unique(days, return_inverse=True)
    return np.array([session_open(day_of(day)) for day in unique], np.int64)[index]


def _starts(days: Ints, bucket: Ints, seconds: int, session_open: SessionOpen) -> Ints:
    opens = _opens(days, session_open)
    return opens if seconds >= DAY_SECONDS else opens + bucket * seconds * 1000
