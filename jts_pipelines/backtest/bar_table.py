"""From rows of bars to checked columns: the one entrance of market data into a backtest.

Accepts what `lake.scan` and candle files give: `symbol`, `timestamp`, `open`, `high`, `low`,
`close`, `volume`, and, where present, `status`, `trade_date` (or `session_date`), `venue`,
`interval`, `broker`. Prices come out as whole won, sorted by symbol and time, unique on both.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from jts_pipelines.backtest.columns import Flags, Floats, Ints
from jts_trading.domain.calendars import Calendar, CalendarError
from storage.errors import InputError
from storage.schema.datasets import Status

PRICES = ("open", "high", "low", "close")
REQUIRED = ("symbol", "timestamp", *PRICES, "volume")
_EXACT_MAX = 1 << 53
# Sizes and stops multiply prices by millions inside 64 bits; no share was ever near it.
PRICE_MAX = 100_000_000_000
_EPOCH = date(1970, 1, 1)
_TRADED = (Status.TRADED.value, Status.AUCTION.value)


@dataclass(frozen=True, slots=True)
class BarTable:
    """Bars as columns; one row per bar, sorted by symbol and time.

    Attributes:
        symbols: Ascending; `instrument` indexes it.
        offsets: First row of each symbol, and the number of rows at the end.
        stamp: Start of the bar, UTC ms.
        day: Session of the bar, days since 1970-01-01.
        open, high, low, close: Won; 0 where nothing traded and no price is known.
        volume: Shares.
        is_traded: Something traded in the bar: its status says so, its volume is above zero and
            its four prices are there.
    """

    symbols: tuple[str, ...]
    instrument: Ints
    offsets: Ints
    stamp: Ints
    day: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    is_traded: Flags

    @property
    def digest(self) -> str:
        """SHA-256 over every value that a run reads, little-endian, in column order."""
        found = hashlib.sha256("\x1f".join(self.symbols).encode())
        for column in (self.offsets, self.stamp, self.day, self.open, self.high, self.low):
            found.update(column.astype("<i8", copy=False).tobytes())
        for column in (self.close, self.volume, self.is_traded.astype(np.int64)):
            found.update(column.astype("<i8", copy=False).tobytes())
        return found.hexdigest()

    @property
    def rows(self) -> int:
        """Number of bars."""
        return len(self.stamp)


def read_bars(frame: pl.DataFrame, calendar: Calendar) -> BarTable:
    """Check rows of bars and return them as columns.

    Raises:
        InputError: A column is missing, a value is not a whole number of won or shares, a key
            appears twice, a bar lies on a day without a session, or there are no rows.
    """
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise InputError(f"the bars lack {', '.join(missing)}; needed: {', '.join(REQUIRED)}")
    if frame.height == 0:
        raise InputError("there are no bars in this period; see `jts sql` for what is stored")
    try:
        plain = _plain(frame)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"the bars hold values of a wrong type: {error}") from error
    frame = _with_days(plain, calendar).sort("symbol", "timestamp")
    _refuse_duplicates(frame)
    _refuse_unknown_status(frame)
    _refuse_other_days(frame, calendar)
    symbols = frame["symbol"].unique().sort()
    instrument = frame["symbol"].rle_id().cast(pl.Int64).to_numpy()
    starts = np.flatnonzero(np.diff(instrument, prepend=-1))
    prices = {name: _whole(frame, name) for name in (*PRICES, "volume")}
    has_prices = np.all([prices[name] > 0 for name in PRICES], axis=0)
    status = frame["status"].is_in(_TRADED).to_numpy()
    return BarTable(
        symbols=tuple(symbols),
        instrument=instrument,
        offsets=np.append(starts, frame.height).astype(np.int64),
        stamp=frame["timestamp"].dt.epoch("ms").to_numpy(),
        day=frame["day"].to_numpy(),
        is_traded=status & has_prices & (prices["volume"] > 0),
        **prices,
    )


def as_floats(prices: Ints) -> Floats:
    """Return whole units as the float64 that a strategy step reads; exact below 2^53."""
    return prices.astype(np.float64)


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    kind = frame.schema["timestamp"]
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        raise InputError(f"timestamp is {kind}; accepted: UTC milliseconds with a time zone")
    status = pl.col("status") if "status" in frame.columns else pl.lit(Status.TRADED.value)
    dates = next((c for c in ("trade_date", "session_date") if c in frame.columns), None)
    if frame.select("symbol", "timestamp", "close", "volume").null_count().row(0) != (0, 0, 0, 0):
        raise InputError("symbol, timestamp, close and volume must have a value in every bar")
    return frame.select(
        pl.col("symbol").cast(pl.String),
        pl.col("timestamp").dt.convert_time_zone("UTC").dt.cast_time_unit("ms"),
        *(pl.col(name).cast(pl.Float64).fill_null(0.0) for name in (*PRICES, "volume")),
        status.cast(pl.String).alias("status"),
        (pl.col(dates).cast(pl.Date) if dates else pl.lit(None, pl.Date)).alias("trade_date"),
        (pl.col("broker") if "broker" in frame.columns else pl.lit("")).alias("broker"),
    )


def _with_days(frame: pl.DataFrame, calendar: Calendar) -> pl.DataFrame:
    if frame["trade_date"].null_count() == 0:
        days = pl.col("trade_date")
        return frame.with_columns(days.to_physical().cast(pl.Int64).alias("day"))
    # A session begins and ends inside one UTC quarter of an hour: one question per quarter.
    quarter = frame["timestamp"].dt.truncate("15m")
    known = {at: calendar.session_date(_ns(at)) for at in quarter.dt.epoch("ms").unique()}
    found = quarter.dt.epoch("ms").replace_strict(known, return_dtype=pl.Date)
    return frame.with_columns(found.to_physical().cast(pl.Int64).alias("day"))


def _ns(stamp_ms: int) -> int:
    return stamp_ms * 1_000_000


def _refuse_duplicates(frame: pl.DataFrame) -> None:
    same = (pl.col("symbol") == pl.col("symbol").shift(1)) & (
        pl.col("timestamp") == pl.col("timestamp").shift(1)
    )
    twice = frame.with_columns(pl.col("broker").shift(1).alias("other")).filter(same).head(1)
    if twice.height:
        row = twice.row(0, named=True)
        brokers = row["other"] or "?", row["broker"] or "?"
        is_choice = brokers[0] != brokers[1]
        way_out = f"; choose one of {' and '.join(brokers)} with --broker" if is_choice else ""
        raise InputError(
            f"{row['symbol']} has two bars at {row['timestamp']:%Y-%m-%d %H:%M} UTC{way_out}"
        )


def _refuse_unknown_status(frame: pl.DataFrame) -> None:
    known = [status.value for status in Status]
    wrong = frame.filter(~pl.col("status").is_in(known).fill_null(value=False)).head(1)
    if wrong.height:
        row = wrong.row(0, named=True)
        raise InputError(
            f"status of {row['symbol']} at {row['timestamp']:%Y-%m-%d %H:%M} UTC is "
            f"{row['status']!r}; accepted: {', '.join(known)}"
        )


def _refuse_other_days(frame: pl.DataFrame, calendar: Calendar) -> None:
    for day, symbol in frame.group_by("day").agg(pl.first("symbol")).sort("day").iter_rows():
        found = _EPOCH + timedelta(days=day)
        try:
            is_session = calendar.is_session(found)
        except CalendarError as error:
            raise InputError(f"{symbol} has a bar on {found}: {error}") from error
        if not is_session:
            raise InputError(
                f"{symbol} has a bar on {found}, which is no session of {calendar.venue}"
            )


def _whole(frame: pl.DataFrame, name: str) -> Ints:
    values = frame[name].to_numpy()
    most = _EXACT_MAX if name == "volume" else PRICE_MAX
    is_wrong = ~((values >= 0) & (values < most) & (values == np.floor(values)))
    if is_wrong.any():
        at = int(np.argmax(is_wrong))
        symbol, stamp = frame["symbol"][at], frame["timestamp"][at]
        unit = "shares" if name == "volume" else "won"
        raise InputError(
            f"{name} of {symbol} at {stamp:%Y-%m-%d %H:%M} UTC is {values[at]}; "
            f"accepted: whole {unit} from 0 to below {most:,}"
        )
    return values.astype(np.int64)
