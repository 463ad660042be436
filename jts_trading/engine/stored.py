"""Rows of the datasets `ticks` and `candles` as what the engine takes in. A codec, without I/O."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.instruments import instrument_id, parse_venue
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.engine.columns import Floats
from jts_trading.engine.slots import NS_PER_MS, day_number, session_of
from jts_trading.engine.warmup import BarColumns
from jts_trading.strategy.units import Units

ENTRY_TICKS_MAX = 256
_TICK_COLUMNS = (
    "venue",
    "symbol",
    "broker",
    "price",
    "quantity",
    "aggressor",
    "cumulative",
    "bid",
    "ask",
    "feed",
    "session",
    "frame",
    "tick",
)
_TRADED = ("traded", "auction")
DOUBTFUL = ("price_jump", "disputed", "missing_trades")
"""Names of the doubts for which a strategy that requires quality waits."""
_PRICES = ("open", "high", "low", "close")

Row = dict[str, Any]


def entries_of(rows: pl.DataFrame) -> Iterator[TicksCollected]:
    """Yield rows of `ticks` as entries, in the order of arrival; numbers of a feed never fall.

    An entry holds trades of one feed with numbers that follow each other; order books, which are
    not recorded, leave holes between entries.

    Args:
        rows: Any rows of the dataset; a number that stands twice in a feed counts once.
    """
    if rows.height == 0:
        return
    ordered = (
        rows.select(
            pl.col("timestamp", "received_at").dt.epoch("ns"),
            *_TICK_COLUMNS,
        )
        .unique(("feed", "tick"), keep="first", maintain_order=True)
        .sort("feed", "tick")
        .with_columns(pl.col("received_at").cum_max().over("feed").alias("at"))
        .sort("at", "feed", "tick")
    )
    batch: list[Row] = []
    for row in ordered.iter_rows(named=True):
        if batch and not _follows(batch, row):
            yield _entry(batch)
            batch = []
        batch.append(row)
    yield _entry(batch)


def _follows(batch: Sequence[Row], row: Row) -> bool:
    last = batch[-1]
    return (
        (row["feed"], row["session"]) == (last["feed"], last["session"])
        and row["tick"] == last["tick"] + 1
        and len(batch) < ENTRY_TICKS_MAX
    )


def _entry(batch: Sequence[Row]) -> TicksCollected:
    first = batch[0]
    return TicksCollected(
        feed=first["feed"],
        session=first["session"],
        first_frame=first["frame"],
        first_tick=first["tick"],
        ticks=tuple(_tick(row) for row in batch),
        frames=tuple(row["frame"] - first["frame"] for row in batch),
    )


def _tick(row: Row) -> TradeTick:
    venue = parse_venue(row["venue"])
    return TradeTick(
        instrument_id=str(instrument_id(venue, row["symbol"])),
        venue=venue.value,
        broker=row["broker"],
        ts_event_ns=row["timestamp"],
        ts_recv_ns=row["received_at"],
        price=row["price"],
        quantity=row["quantity"],
        aggressor=Aggressor(row["aggressor"]),
        cumulative_quantity=row["cumulative"],
        bid=row["bid"],
        ask=row["ask"],
    )


def bar_columns(rows: pl.DataFrame, venue: str, units: Units) -> BarColumns:
    """Return the traded bars among rows of `candles` of one symbol and interval.

    Where several sources have bars, those of the one with the most rows are taken. Bars on days
    without a session and prices between two ticks (adjusted ones) are left out.
    """
    traded = rows.filter(
        pl.col("status").is_in(_TRADED)
        & (pl.col("volume") > 0)
        & pl.all_horizontal(pl.col(*_PRICES) > 0)
    )
    if traded.height == 0:
        return empty_columns()
    sources = traded.group_by("broker").len().sort("len", "broker", descending=[True, False])
    chosen = traded.filter(pl.col("broker") == sources["broker"][0]).sort("timestamp")
    days: list[date] = chosen["trade_date"].to_list()
    sessions = {day: session_of(venue, day) for day in set(days)}
    opens = np.array(
        [s.open_ns // NS_PER_MS if (s := sessions[day]) is not None else -1 for day in days],
        np.int64,
    )
    step = float(units.price_step)
    ticks = np.column_stack([chosen[name].cast(pl.Float64).to_numpy() for name in _PRICES]) / step
    whole = np.round(ticks)
    is_good = (opens >= 0) & (np.abs(ticks - whole) < 1e-6).all(axis=1)
    volume = chosen["volume"].cast(pl.Float64).to_numpy()
    return BarColumns(
        np.array([day_number(day) for day in days], np.int64)[is_good],
        chosen["timestamp"].dt.epoch("ms").to_numpy().astype(np.int64)[is_good],
        opens[is_good],
        np.column_stack((whole, volume))[is_good],
        _doubts(chosen)[is_good],
    )


def _doubts(rows: pl.DataFrame) -> Floats:
    if "quality" not in rows.columns:
        return np.zeros(rows.height)
    return rows["quality"].is_in(DOUBTFUL).cast(pl.Float64).fill_null(0.0).to_numpy()


def empty_columns() -> BarColumns:
    """Return no bars."""
    line = np.zeros(0, np.int64)
    return BarColumns(line, line, line, np.zeros((0, 5)), np.zeros(0))
