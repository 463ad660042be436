"""From rows of bars to checked columns: the one entrance of market data into a backtest.

Accepts what `lake.scan` and candle files give: `symbol`, `timestamp`, `open`, `high`, `low`,
`close`, `volume`, and, where present, `status`, `trade_date` (or `session_date`), `venue`,
`interval`, `broker`. Prices come out in whole steps of their instrument (won at KRX), sorted by
symbol and time, unique on both.

Nothing is kept by row that can be kept by instant or by instrument: fourteen million bars of 1,800
instruments have eight thousand instants.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jts_pipelines.backtest.columns import Flags, Floats, Ints, Whole
from jts_pipelines.backtest.venues import UnitsOf
from jts_pipelines.backtest.whole_columns import (
    PRICES,
    coins,
    narrow,
    narrow_volume,
    shares,
    stepped_prices,
    won_prices,
)
from jts_trading.domain.calendars import Calendar, CalendarError
from jts_trading.strategy.units import WON, Units
from storage.errors import InputError
from storage.schema.datasets import Status

REQUIRED = ("symbol", "timestamp", *PRICES, "volume")
_EPOCH = date(1970, 1, 1)
_QUARTER_MS = 15 * 60 * 1000
_TRADED = (Status.TRADED.value, Status.AUCTION.value)


@dataclass(frozen=True, slots=True)
class BarTable:
    """Bars as columns; one row per bar, sorted by symbol and time.

    Attributes:
        symbols: Ascending.
        offsets: First row of each symbol, and the number of rows at the end.
        times: Every instant at which a bar starts, UTC ms, ascending.
        days: Session of each instant, days since 1970-01-01.
        moments: Number of the instant of each row; one copy for all where all symbols have the
            same instants (`is_even`).
        prices: Open, high, low and close of each row, side by side, in price steps of the
            instrument; 0 where nothing traded and no price is known.
        volume: Shares as whole numbers, or coins.
        is_traded: Something traded in the bar: its status says so, its volume is above zero and
            its four prices are there.
        units: Of each symbol.
    """

    symbols: tuple[str, ...]
    offsets: Ints
    times: Ints
    days: Ints
    moments: NDArray[np.int32]
    prices: Whole
    volume: Whole | Floats
    is_traded: Flags
    units: tuple[Units, ...]

    @property
    def rows(self) -> int:
        """Number of bars."""
        return len(self.volume)

    @property
    def is_even(self) -> bool:
        """Whether all symbols have bars at the same instants, so that `moments` is kept once."""
        return len(self.moments) != self.rows

    @property
    def shift(self) -> Ints:
        """By symbol: what added to a row gives its place in `moments`."""
        return -self.offsets[:-1] if self.is_even else np.zeros(len(self.symbols), np.int64)

    @property
    def row_moments(self) -> NDArray[np.int32]:
        """Number of the instant of each row."""
        return np.tile(self.moments, len(self.symbols)) if self.is_even else self.moments

    @property
    def instrument(self) -> Ints:
        """Index into the symbols, by row."""
        return np.repeat(np.arange(len(self.symbols)), np.diff(self.offsets))

    @property
    def stamp(self) -> Ints:
        """Start of the bar, UTC ms, by row."""
        return self.times[self.row_moments]

    @property
    def day(self) -> Ints:
        """Session of the bar, days since 1970-01-01, by row."""
        return self.days[self.row_moments]

    @property
    def open(self) -> Whole:
        """First price of each bar."""
        found: Whole = self.prices[:, 0]
        return found

    @property
    def high(self) -> Whole:
        """Highest price of each bar."""
        found: Whole = self.prices[:, 1]
        return found

    @property
    def low(self) -> Whole:
        """Lowest price of each bar."""
        found: Whole = self.prices[:, 2]
        return found

    @property
    def close(self) -> Whole:
        """Last price of each bar."""
        found: Whole = self.prices[:, 3]
        return found

    def moment_of(self, rows: Ints | int, instrument: Ints | int) -> NDArray[np.int32]:
        """Return the number of the instant of some rows."""
        found: NDArray[np.int32] = self.moments[rows + self.shift[instrument]]
        return found

    @property
    def digest(self) -> str:
        """SHA-256 over every value that a run reads, little-endian, column by column."""
        half = self.rows // 2
        columns = (
            *(self.prices[:half], self.prices[half:], self.volume, self.is_traded),
            *(self.offsets, self.times, self.days, self.moments),
        )
        with ThreadPoolExecutor(2) as threads:
            found = [hashlib.sha256("\x1f".join(self.symbols).encode()).digest()]
            found += threads.map(_digest_of, columns)
        return hashlib.sha256(b"".join(found)).hexdigest()


def _digest_of(column: NDArray[np.generic]) -> bytes:
    little = column.astype(column.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(np.ascontiguousarray(little).data).digest()


def read_bars(
    frame: pl.DataFrame, calendar: Calendar, units_of: UnitsOf | None = None
) -> BarTable:
    """Check rows of bars and return them as columns.

    Args:
        frame: See the module.
        calendar: Of the venue.
        units_of: What prices are counted in; won and shares if left out.

    Raises:
        InputError: A column is missing, a price is no whole number of steps, a volume none of
            shares, a key appears twice, a bar lies on a day without a session, or there are no
            rows.
    """
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise InputError(f"the bars lack {', '.join(missing)}; needed: {', '.join(REQUIRED)}")
    if frame.height == 0:
        raise InputError("there are no bars in this period; see `jts sql` for what is stored")
    try:
        frame = _in_order(_plain(frame))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"the bars hold values of a wrong type: {error}") from error
    _refuse_duplicates(frame)
    _refuse_unknown_status(frame)
    symbols, offsets = _runs(frame)
    times, moments = _moments(_stamps(frame), offsets)
    days = _days(frame, times, moments, calendar)
    units = (WON,) * len(symbols)
    if units_of is not None:
        of_row = moments if len(moments) == frame.height else np.tile(moments, len(symbols))
        units = _units(frame, offsets, days[of_row[offsets[:-1]]], units_of)
    table = BarTable(
        symbols=symbols,
        offsets=offsets,
        times=times,
        days=days,
        moments=moments,
        prices=won_prices(frame) if units_of is None else stepped_prices(frame, offsets, units),
        volume=shares(frame) if units_of is None else coins(frame),
        is_traded=np.ones(frame.height, np.bool_),
        units=units,
    )
    _refuse_other_days(table, calendar)
    return replace(table, is_traded=_traded(frame, table))


def traded_rows(bars: BarTable) -> BarTable:
    """Return the bars in which something traded; every symbol stays, and so does every instant."""
    if bars.is_traded.all():
        return bars
    kept = bars.is_traded
    before = np.concatenate(([0], np.cumsum(kept)))
    return BarTable(
        symbols=bars.symbols,
        offsets=before[bars.offsets],
        times=bars.times,
        days=bars.days,
        moments=bars.row_moments[kept],
        prices=bars.prices[kept],
        volume=bars.volume[kept],
        is_traded=kept[kept],
        units=bars.units,
    )


def make_table(  # noqa: PLR0917 - columns in the order of the attributes
    symbols: tuple[str, ...],
    offsets: Ints,
    stamp: Ints,
    day: Ints,
    prices: Ints,
    volume: Ints | Floats,
    units: tuple[Units, ...],
) -> BarTable:
    """Return a table of bars that all traded, from columns by row in the order of a table."""
    times, moments = _moments(stamp, offsets)
    days = np.empty(len(times), np.int64)
    days[np.tile(moments, len(symbols)) if len(moments) < len(day) else moments] = day
    return BarTable(
        symbols=symbols,
        offsets=offsets,
        times=times,
        days=days,
        moments=moments,
        prices=narrow(prices),
        volume=narrow_volume(volume),
        is_traded=np.ones(len(day), np.bool_),
        units=units,
    )


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    kind = frame.schema["timestamp"]
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        raise InputError(f"timestamp is {kind}; accepted: UTC milliseconds with a time zone")
    dates = next((c for c in ("trade_date", "session_date") if c in frame.columns), None)
    if frame.select("symbol", "timestamp", "close", "volume").null_count().row(0) != (0, 0, 0, 0):
        raise InputError("symbol, timestamp, close and volume must have a value in every bar")
    columns = [
        pl.col("symbol").cast(pl.String),
        pl.col("timestamp").dt.convert_time_zone("UTC").dt.cast_time_unit("ms"),
        *(_number(frame, name) for name in (*PRICES, "volume")),
    ]
    if "status" in frame.columns:
        columns.append(pl.col("status").cast(pl.String))
    if dates is not None and frame[dates].null_count() == 0:
        columns.append(pl.col(dates).cast(pl.Date).alias("trade_date"))
    if "broker" in frame.columns:
        columns.append(pl.col("broker"))
    return frame.select(columns)


def _number(frame: pl.DataFrame, name: str) -> pl.Expr:
    column, kind = pl.col(name), frame.schema[name]
    if not (kind.is_integer() and kind != pl.UInt64):
        column = column.cast(pl.Float64)
    return column.fill_null(0) if frame[name].null_count() else column


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows sorted by symbol and time; the same frame where they are already."""
    runs = frame["symbol"].rle().struct.field("value")
    if runs.n_unique() == len(runs) and runs.is_sorted():
        stamp, ends = _stamps(frame), _runs(frame)[1][1:-1]
        is_later = stamp[1:] >= stamp[:-1]
        is_later[ends - 1] = True
        if is_later.all():
            return frame
    return frame.sort("symbol", "timestamp")


def _runs(frame: pl.DataFrame) -> tuple[tuple[str, ...], Ints]:
    runs = frame["symbol"].rle()
    lengths = runs.struct.field("len").cast(pl.Int64).to_numpy()
    return tuple(runs.struct.field("value")), np.concatenate(([0], np.cumsum(lengths)))


def _stamps(frame: pl.DataFrame) -> Ints:
    return frame["timestamp"].to_physical().to_numpy()


def _moments(stamp: Ints, offsets: Ints) -> tuple[Ints, NDArray[np.int32]]:
    """Return the instants, and the number of that of each row (once, where symbols agree)."""
    first = stamp[: offsets[1]]
    count = len(offsets) - 1
    if len(stamp) == count * len(first) and (np.diff(offsets) == len(first)).all():
        grid = stamp.reshape(count, len(first))
        if (grid == first).all():
            return first.copy(), np.arange(len(first), dtype=np.int32)
    times = pl.Series(stamp).unique().sort().to_numpy()
    return times, np.searchsorted(times, stamp).astype(np.int32)


def _days(
    frame: pl.DataFrame, times: Ints, moments: NDArray[np.int32], calendar: Calendar
) -> Ints:
    if "trade_date" not in frame.columns:
        # A session begins and ends inside one UTC quarter of an hour: one question per quarter.
        quarters, place = np.unique(times // _QUARTER_MS * _QUARTER_MS, return_inverse=True)
        found = [calendar.session_date(at * 1_000_000) for at in quarters.tolist()]
        return np.array([(day - _EPOCH).days for day in found], np.int64)[place]
    day = frame["trade_date"].to_physical().cast(pl.Int64).to_numpy()
    of_row = moments if len(moments) == len(day) else np.tile(moments, len(day) // len(moments))
    days = np.empty(len(times), np.int64)
    days[of_row] = day
    is_other = days[of_row] != day
    if is_other.any() or (np.diff(days) < 0).any():
        at = int(np.argmax(is_other))
        raise InputError(
            f"trade_date of {frame['symbol'][at]} at {frame['timestamp'][at]:%Y-%m-%d %H:%M} UTC "
            f"is {frame['trade_date'][at]}; accepted: one session per instant, none before an "
            "earlier one"
        )
    return days


def _units(frame: pl.DataFrame, offsets: Ints, days: Ints, units_of: UnitsOf) -> tuple[Units, ...]:
    """Return the units of each symbol, from its first prices."""
    found = []
    for at, day in enumerate(days.tolist()):
        bars = frame.slice(offsets[at], offsets[at + 1] - offsets[at])
        priced = bars["close"].filter(bars["close"] > 0).cast(pl.Float64)
        first = Decimal(str(priced[0])) if len(priced) else Decimal(1)
        lowest = Decimal(str(bars["low"].filter(bars["low"] > 0).min() or first))
        on = _EPOCH + timedelta(days=day)
        found.append(units_of(bars["symbol"][0], first, lowest, on))
    return tuple(found)


def _traded(frame: pl.DataFrame, table: BarTable) -> Flags:
    if table.volume.min() > 0 and table.prices.min() > 0:
        is_traded = np.ones(frame.height, np.bool_)
    else:
        is_traded = (table.volume > 0) & (table.prices > 0).all(axis=1)
    if "status" in frame.columns:
        is_traded &= frame["status"].is_in(_TRADED).to_numpy()
    return is_traded


def _refuse_duplicates(frame: pl.DataFrame) -> None:
    stamp, (_, offsets) = _stamps(frame), _runs(frame)
    is_same = stamp[1:] == stamp[:-1]
    is_same[offsets[1:-1] - 1] = False
    if not is_same.any():
        return
    row = int(np.argmax(is_same)) + 1
    way_out = ""
    if "broker" in frame.columns:
        brokers = frame["broker"][row - 1] or "?", frame["broker"][row] or "?"
        if brokers[0] != brokers[1]:
            way_out = f"; choose one of {' and '.join(brokers)} with --broker"
    raise InputError(
        f"{frame['symbol'][row]} has two bars at {frame['timestamp'][row]:%Y-%m-%d %H:%M} UTC"
        f"{way_out}"
    )


def _refuse_unknown_status(frame: pl.DataFrame) -> None:
    if "status" not in frame.columns:
        return
    known = [status.value for status in Status]
    wrong = frame.filter(~pl.col("status").is_in(known).fill_null(value=False)).head(1)
    if wrong.height:
        row = wrong.row(0, named=True)
        raise InputError(
            f"status of {row['symbol']} at {row['timestamp']:%Y-%m-%d %H:%M} UTC is "
            f"{row['status']!r}; accepted: {', '.join(known)}"
        )


def _refuse_other_days(table: BarTable, calendar: Calendar) -> None:
    for day in np.unique(table.days).tolist():
        found = _EPOCH + timedelta(days=day)
        try:
            if calendar.is_session(found):
                continue
            reason = f", which is no session of {calendar.venue}"
        except CalendarError as error:
            reason = f": {error}"
        row = int(np.argmax(table.day == day))
        symbol = table.symbols[int(np.searchsorted(table.offsets, row, side="right")) - 1]
        raise InputError(f"{symbol} has a bar on {found}{reason}")
