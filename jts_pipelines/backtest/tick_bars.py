"""Bars from trades, as live trading makes them: recorded ticks of the tiers, or a file of trades.

A trade belongs to the bar of its interval, cut from the open of its session; a print of KRX's
closing auction belongs to the last bar. A bar of an interval without trades does not exist. Best
quotes, where there are any, become the `bid` and `ask` that were known at the end of a bar.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jts_pipelines.backtest.cautions import Caution, Code
from jts_pipelines.backtest.columns import Ints
from jts_trading.domain.calendars import Calendar
from jts_trading.domain.sessions import calendar_for
from jts_trading.engine.slots import Session, session_of, slot_in
from jts_trading.strategy.frames import DAY_SECONDS, interval_seconds
from storage.errors import InputError
from storage.quality.reasons import Doubt

TRADE_COLUMNS = ("symbol", "timestamp", "price", "quantity")
QUOTE_COLUMNS = ("bid", "ask")
_EPOCH = date(1970, 1, 1)
_NS_PER_S = 1_000_000_000
# A session begins and ends inside one UTC quarter of an hour: one question per quarter.
_QUARTER_NS = 15 * 60 * _NS_PER_S
# Sums of binary fractions would depend on their order; those of these units do not.
_UNITS = 10**8
_ORDER = ("feed", "tick")
LINEAGE = (*_ORDER, "session", "cumulative")
"""What recorded trades say of how they came: see `engine.succession`."""
_DAY_NS = 86_400 * _NS_PER_S
_SEOUL_NS = 9 * 3_600 * _NS_PER_S


@dataclass(frozen=True, slots=True)
class BuiltBars:
    """Bars, and what is to be said about the trades that are in none."""

    bars: pl.DataFrame
    cautions: tuple[Caution, ...]


def are_trades(columns: Collection[str]) -> bool:
    """Return whether a table with some columns holds trades and no bars."""
    return "price" in columns and "open" not in columns


def bars_of_trades(
    trades: pl.DataFrame, interval: str, venue: str, quotes: pl.DataFrame | None = None
) -> BuiltBars:
    """Gather trades into bars, ready for `bar_layout.lay_out`.

    Args:
        trades: `symbol`, `timestamp`, `price`, `quantity`; where known `broker`, `received_at`,
            `bid` and `ask`. Trades of one instant keep their order.
        interval: Of the bars.
        venue: Whose sessions count.
        quotes: `symbol`, `timestamp` (or `received_at`), `bid`, `ask`; in the place of those that
            trades carry.

    Raises:
        InputError: A column is missing or of another type, no trade can be used, or two sources
            have trades of one instrument and session.
    """
    frame = checked_trades(trades)
    sound = sound_trades(_with_losses(frame))
    placed = placed_trades(sound, interval_seconds(interval), venue)
    refuse_two_sources(placed)
    bars = _gathered(placed)
    if quotes is not None:
        bars = _with_quotes(bars, _checked_quotes(quotes), "last_at", "last_received")
    left_out = frame.height - placed.height
    if bars.height == 0:
        raise InputError(f"none of {frame.height:,} trades lies in a session of {venue}")
    made = bars.drop("last_at", "last_received", "quoted", strict=False).with_columns(
        interval=pl.lit(interval)
    )
    return BuiltBars(made, trades_left_out(left_out, frame.height))


def trades_left_out(count: int, whole: int) -> tuple[Caution, ...]:
    """Return a warning of trades that are not looked at, if there are any."""
    if count == 0:
        return ()
    text = (
        f"{count:,} of {whole:,} trades are in no bar: outside the session, or without a price "
        "and quantity above zero"
    )
    return (Caution(Code.TRADES_LEFT_OUT, text),)


def sound_trades(trades: pl.DataFrame) -> pl.DataFrame:
    """Return the checked trades with a price and a quantity, by symbol and time."""
    is_sound = (pl.col("price") > 0) & (pl.col("quantity") > 0)
    sound = trades.filter(is_sound.fill_null(value=False))
    return sound.sort("symbol", "at", *(name for name in _ORDER if name in sound.columns))


def checked_trades(trades: pl.DataFrame) -> pl.DataFrame:
    """Return trades with instants in UTC ns and quantities in hundred-millionths.

    Raises:
        InputError: See `bars_of_trades`.
    """
    missing = [name for name in TRADE_COLUMNS if name not in trades.columns]
    if missing:
        needed = ", ".join(TRADE_COLUMNS)
        raise InputError(f"the trades lack {', '.join(missing)}; needed: {needed}")
    for name in ("price", "quantity"):
        if not trades.schema[name].is_numeric():
            raise InputError(f"{name} of the trades is {trades.schema[name]}; accepted: numbers")
    if trades["symbol"].null_count():
        raise InputError("symbol must have a value in every trade")
    kept = [n for n in (*LINEAGE, "broker", *QUOTE_COLUMNS, "quoted") if n in trades.columns]
    frame = trades.select(
        pl.col("symbol").cast(pl.String),
        _instant(trades, "timestamp").alias("at"),
        _instant(trades, "received_at").alias("received"),
        _finite(trades, "price"),
        _whole(trades, "quantity"),
        *kept,
    )
    if frame["at"].null_count():
        raise InputError("timestamp must have a value in every trade")
    return frame


def _instant(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Return a column of instants in UTC ns; null where there is none."""
    if name not in frame.columns:
        return pl.lit(None, pl.Int64)
    kind = frame.schema[name]
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        raise InputError(f"{name} is {kind}; accepted: times with a time zone")
    return pl.col(name).dt.epoch("ns")


def _finite(frame: pl.DataFrame, name: str) -> pl.Expr:
    column = pl.col(name)
    return column.fill_nan(None) if frame.schema[name].is_float() else column


def _whole(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Return quantities in whole units of a hundred-millionth."""
    if frame.schema[name].is_float():
        return (pl.col(name).fill_nan(None) * _UNITS).round().cast(pl.Int64)
    return (pl.col(name).cast(pl.Decimal(38, 8)) * _UNITS).cast(pl.Int64)


def placed_trades(trades: pl.DataFrame, seconds: int, venue: str) -> pl.DataFrame:
    """Return the trades that belong to a bar, with its start (UTC ns) and session."""
    at = trades["at"].to_numpy()
    session, opens, closes, lasts, labels = _sessions(at, venue, seconds)
    known = np.flatnonzero(session >= 0)
    session, at = session[known], at[known]
    inside = (at >= opens[session]) & (at < lasts[session])
    session, at = session[inside], at[inside]
    opened = opens[session]
    width = seconds * _NS_PER_S
    start = opened + (np.minimum(at, closes[session] - 1) - opened) // width * width
    if seconds >= DAY_SECONDS:
        start = labels[session]
    days = _days_of(opens, venue)
    return trades[known[inside]].with_columns(
        start=start, trade_date=pl.Series(days[session], dtype=pl.Int32).cast(pl.Date)
    )


def _sessions(
    at: Ints, venue: str, seconds: int
) -> tuple[NDArray[np.int64], Ints, Ints, Ints, Ints]:
    """Return the number of the session of each instant (-1 for none), and the sessions' times.

    Returns:
        Numbers by instant; then by session its open, close, the end of prints that still belong
        to it, and the label of its bar of a day; all UTC ns.
    """
    calendar = calendar_for(venue)
    quarters, place = np.unique(at // _QUARTER_NS * _QUARTER_NS, return_inverse=True)
    found = [_session_at(calendar, venue, quarter) for quarter in quarters.tolist()]
    distinct = sorted({session for session in found if session is not None})
    number = {session: index for index, session in enumerate(distinct)}
    numbers = [-1 if session is None else number[session] for session in found]
    labels = [slot_in(venue, s, s.open_ns, max(seconds, 1)).start_ns for s in distinct]
    return (
        np.array(numbers, np.int64)[place],
        np.array([s.open_ns for s in distinct], np.int64),
        np.array([s.close_ns for s in distinct], np.int64),
        np.array([s.last_ns for s in distinct], np.int64),
        np.array(labels, np.int64),
    )


def _session_at(calendar: Calendar, venue: str, ts_ns: int) -> Session | None:
    return session_of(venue, calendar.session_date(ts_ns))


def _days_of(opens: Ints, venue: str) -> Ints:
    calendar = calendar_for(venue)
    days = [(calendar.session_date(at) - _EPOCH).days for at in opens.tolist()]
    return np.array(days, np.int64)


def refuse_two_sources(trades: pl.DataFrame) -> None:
    """Refuse trades of one instrument and session from two sources.

    Raises:
        InputError: There are some; the way out is named.
    """
    if "broker" not in trades.columns:
        return
    both = (
        trades.group_by("symbol", "trade_date")
        .agg(pl.col("broker").unique().sort())
        .filter(pl.col("broker").list.len() > 1)
        .sort("symbol", "trade_date")
    )
    if both.height:
        symbol, day, brokers = both.row(0)
        raise InputError(
            f"{symbol} has trades of {' and '.join(map(str, brokers))} on {day}; choose one with "
            "--broker"
        )


def in_arrival(trades: pl.DataFrame) -> pl.DataFrame:
    """Return recorded trades in the order in which the trader took them in.

    They get `known`, when each was known (UTC ns): the numbers of a feed say in which order its
    trades came, see `engine.stored`.
    """
    arrived = pl.col("received").cum_max().over("feed")
    numbered = trades.sort("feed", "tick").with_columns(known=arrived)
    return numbered.sort("known", "feed", "tick")


def _with_losses(trades: pl.DataFrame) -> pl.DataFrame:
    """Mark recorded trades before which others were lost, as `engine.succession` does live."""
    if not set(LINEAGE) <= set(trades.columns):
        return trades
    reached = (pl.col("cumulative").cast(pl.Decimal(38, 8)) * _UNITS).cast(pl.Int64)
    day = (pl.col("at") + _SEOUL_NS) // _DAY_NS
    furthest = pl.col("reached").cum_max().shift(1, fill_value=0).over("symbol", "day")
    before = (pl.col(name).shift(1).over("symbol") for name in ("feed", "session"))
    is_other = pl.any_horizontal(
        pl.col(name) != each for name, each in zip(("feed", "session"), before, strict=True)
    )
    is_beyond = pl.col("reached") - pl.col("quantity") > furthest
    marked = in_arrival(trades).with_columns(reached=reached, day=day)
    told = pl.when(pl.col("reached") > 0).then(is_beyond).otherwise(is_other)
    return marked.with_columns(is_after_loss=told.fill_null(value=False)).drop(
        "reached", "day", "known"
    )


def _gathered(trades: pl.DataFrame) -> pl.DataFrame:
    last = [pl.last(name) for name in ("broker", *QUOTE_COLUMNS) if name in trades.columns]
    if "is_after_loss" in trades.columns:
        doubt = pl.when(pl.col("is_after_loss").any()).then(pl.lit(Doubt.MISSING_TRADES.value))
        last.append(doubt.otherwise(pl.lit(Doubt.OK.value)).alias("quality"))
    return (
        trades.group_by("symbol", "start", maintain_order=True)
        .agg(
            pl.first("trade_date"),
            pl.first("price").alias("open"),
            pl.max("price").alias("high"),
            pl.min("price").alias("low"),
            pl.last("price").alias("close"),
            (pl.sum("quantity") / _UNITS).alias("volume"),
            pl.last("at").alias("last_at"),
            pl.max("received").alias("last_received"),
            *last,
        )
        .with_columns(
            timestamp=pl.from_epoch("start", "ns")
            .dt.cast_time_unit("ms")
            .dt.replace_time_zone("UTC")
        )
        .drop("start")
    )


def _checked_quotes(quotes: pl.DataFrame) -> pl.DataFrame:
    needed = ("symbol", *QUOTE_COLUMNS)
    missing = [name for name in needed if name not in quotes.columns]
    if missing or not {"timestamp", "received_at"} & set(quotes.columns):
        raise InputError(
            f"the quotes lack {', '.join(missing) or 'timestamp'}; needed: {', '.join(needed)}, "
            "and timestamp or received_at"
        )
    for name in QUOTE_COLUMNS:
        if not (quotes.schema[name].is_numeric() or quotes.schema[name] == pl.Null):
            raise InputError(f"{name} of the quotes is {quotes.schema[name]}; accepted: numbers")
    return quotes.with_row_index("quoted").select(
        pl.col("symbol").cast(pl.String),
        _instant(quotes, "timestamp").alias("at"),
        _instant(quotes, "received_at").alias("received"),
        *QUOTE_COLUMNS,
        "quoted",
    )


def quoted_trades(trades: pl.DataFrame, quotes: pl.DataFrame) -> pl.DataFrame:
    """Return checked trades with the quotes that were known at each, and `quoted`, their row.

    Args:
        trades: See `checked_trades`.
        quotes: As for `bars_of_trades`.

    Raises:
        InputError: A column of the quotes is missing or has no value.
    """
    return _with_quotes(trades, _checked_quotes(quotes), "at", "received")


def _with_quotes(
    rows: pl.DataFrame, quotes: pl.DataFrame, dated: str, received: str
) -> pl.DataFrame:
    """Give each row, a trade or a bar of some, the quotes that were known when its last trade was.

    By time of arrival where trades and quotes have one: a venue need not date its quotes.
    """
    by_arrival = not (rows[received].null_count() or quotes["received"].null_count())
    left, right = (received, "received") if by_arrival else (dated, "at")
    if undated := quotes[right].null_count():
        raise InputError(
            f"{undated:,} quotes have no timestamp, and received_at is not in all trades and "
            "quotes; accepted: timestamp in all quotes, or received_at in both files"
        )
    known = quotes.sort(right, maintain_order=True).select(
        "symbol", pl.col(right).alias("quoted_at"), *QUOTE_COLUMNS, "quoted"
    )
    return (
        rows.drop(*(name for name in (*QUOTE_COLUMNS, "quoted") if name in rows.columns))
        .with_row_index("place")
        .sort(left)
        .join_asof(
            known,
            left_on=left,
            right_on="quoted_at",
            by="symbol",
            strategy="backward",
            check_sortedness=False,  # Not possible by symbol; both were sorted above.
        )
        .sort("place")
        .drop("place", "quoted_at")
    )
