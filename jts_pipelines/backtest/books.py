"""The books of a finished run: orders that were given, positions at the end of each session."""

import numpy as np
import polars as pl

from jts_pipelines.backtest import places
from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Ints
from jts_pipelines.backtest.instruments import Instruments
from jts_pipelines.backtest.result import (
    NO_ORDERS,
    day_series,
    reason_texts,
    stamp_series,
)
from jts_trading.dsl.plan import Plan

_POSITIONS = {
    "session": pl.Date,
    "instrument": pl.String,
    "name": pl.String,
    "quantity": pl.Int64,
    "close": pl.Int64,
    "value": pl.Int64,
}


def order_table(
    fills: pl.DataFrame, book: Ints, bars: BarTable, plan: Plan, instruments: Instruments
) -> pl.DataFrame:
    """Return every order that was given, see `BacktestResult.orders`.

    Decisions that cash, the risk block or Kelly's formula refused gave no order; `Facts` counts
    them.

    Args:
        fills: Table of fills.
        book: Of the desk after the run.
        bars: Those that traded.
        plan: Of the strategy.
        instruments: The listing.
    """
    filled = fills.filter(~pl.col("reason").is_in(NO_ORDERS)).select(
        "decided_at",
        "instrument",
        "name",
        "side",
        "reason",
        status=pl.lit("filled"),
        filled_at=pl.col("time"),
        quantity=pl.col("quantity"),
        price=pl.col("price"),
        trade=pl.col("trade"),
    )
    waits = np.flatnonzero(book[:, places.SIDE])
    if len(waits) == 0:
        return filled.sort("decided_at", "instrument", maintain_order=True)
    reasons = reason_texts(plan)
    symbols = [bars.symbols[at] for at in waits.tolist()]
    moments = bars.moment_of(book[waits, places.DECIDED], waits)
    waiting = pl.DataFrame(
        {
            "decided_at": stamp_series(bars.times[moments]),
            "instrument": list(map(instruments.id_of, symbols)),
            "name": [instruments.name_of(symbol) for symbol in symbols],
            "side": np.where(book[waits, places.SIDE] == places.BUY, "buy", "sell"),
            "reason": [reasons[code] for code in book[waits, places.REASON].tolist()],
            "status": "waiting",
            "quantity": book[waits, places.WANTED],
        }
    )
    both = pl.concat([filled, waiting], how="diagonal")
    return both.sort("decided_at", "instrument", maintain_order=True)


def position_table(
    fills: Ints, book: Ints, bars: BarTable, days: Ints, instruments: Instruments
) -> pl.DataFrame:
    """Return what was held at the end of each session, see `BacktestResult.positions`.

    Args:
        fills: See `places`, in the order of time.
        book: Of the desk after the run.
        bars: Those that traded.
        days: Sessions of the run.
        instruments: The listing.
    """
    by_instrument = fills[np.argsort(fills[:, places.FILL_INSTRUMENT], kind="stable")]
    present, first = np.unique(by_instrument[:, places.FILL_INSTRUMENT], return_index=True)
    found = [
        _held(at, own, bars, days)
        for at, own in zip(present.tolist(), np.split(by_instrument, first[1:]), strict=False)
    ]
    held = np.concatenate([np.empty((0, 4), np.int64), *found])
    names = [instruments.name_of(symbol) for symbol in bars.symbols]
    return (
        pl.DataFrame(
            {
                "session": day_series(days[held[:, 1]]),
                "instrument": pl.Series(
                    list(map(instruments.id_of, bars.symbols)), dtype=pl.String
                ).gather(held[:, 0]),
                "name": pl.Series(names, dtype=pl.String).gather(held[:, 0]),
                "quantity": held[:, 2],
                "close": held[:, 3],
                "value": held[:, 2] * held[:, 3] * book[held[:, 0], places.UNIT],
            },
            schema=_POSITIONS,
        )
    ).sort("session", "instrument")


def _held(instrument: int, own: Ints, bars: BarTable, days: Ints) -> Ints:
    """Return (instrument, session, quantity, close) of the sessions that ended with a position."""
    moment = bars.instant_of(own[:, places.FILL_ROW], instrument)
    changes = np.zeros(len(days), np.int64)
    signed = own[:, places.FILL_SIDE] * own[:, places.FILL_QUANTITY]
    np.add.at(changes, np.searchsorted(days, bars.days[moment]), signed)
    quantity = changes.cumsum()
    at = np.flatnonzero(quantity)
    first, end = int(bars.offsets[instrument]), int(bars.offsets[instrument + 1])
    moments = bars.moment_of(np.arange(first, end), instrument)
    last = np.searchsorted(bars.days, days[at], side="right") - 1
    rows = first + np.searchsorted(moments, last, side="right") - 1
    closes = bars.close[rows].astype(np.int64)
    return np.stack((np.full(len(at), instrument), at, quantity[at], closes), axis=1)
