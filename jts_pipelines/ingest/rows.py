"""From the rows of a file to judged candles in the types of the store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

import polars as pl
import pyarrow as pa

from jts_pipelines.ingest.instants import InstantForm, decide_form
from jts_pipelines.ingest.sources import ROW
from jts_trading.domain.calendars import CalendarError
from jts_trading.domain.instruments import InstrumentError, Venue, normalise_symbol
from storage.errors import InputError
from storage.quality.candles import NUMBERS, CandleRules, validate
from storage.quality.exact import as_decimal
from storage.schema.arrow import file_schema
from storage.schema.datasets import CANDLES, INTERVALS
from storage.schema.partitions import is_monthly

# The Korean calendar keeps one offset; the summer times of 1987 and 1988 are not in it.
_CONSTANT_ZONES = {"Asia/Seoul": "Etc/GMT-9"}
_NS_PER_MS = 1_000_000
# Sessions begin and end on half hours at the finest, so one question answers for all bars inside.
_BUCKET_MS = 1_800_000
# 1677 to 2262: what any of the libraries can turn into a date.
_READABLE_MS = 9_000_000_000_000


class SessionCalendar(Protocol):
    """What a load asks of a venue's calendar."""

    timezone: str

    def is_session(self, day: date) -> bool:
        """Return whether the venue trades on that day."""
        ...

    def session_date(self, ts_ns: int) -> date:
        """Return the date in the venue's zone of an instant (UTC ns)."""
        ...

    def open_close_ns(self, day: date) -> tuple[int, int]:
        """Return start and end (UTC ns) of the regular session."""
        ...


@dataclass(slots=True, kw_only=True)
class RowReader:
    """Reads batches of one file; keeps what it learnt from earlier ones.

    Attributes:
        path: For messages.
        columns: Field -> column of the file.
        venue: Of every row.
        interval: Of every row.
        broker: Source of the rows where the file does not say.
        symbol: Of every row where the file does not say.
        calendar: Of the venue.
        timezone: Zone of naive times.
        ingest_id: Of the load.
        received_at_ms: Instance time of the load, UTC ms.
    """

    path: str
    columns: Mapping[str, str]
    venue: str
    interval: str
    broker: str
    symbol: str | None
    calendar: SessionCalendar
    timezone: str | None
    ingest_id: str
    received_at_ms: int
    _form: InstantForm | None = None
    _days: dict[int, date] = field(default_factory=dict)
    _sessions: dict[date, int | None] = field(default_factory=dict)
    _symbols: dict[str, str | None] = field(default_factory=dict)

    def judge(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a batch as `storage.quality.candles.validate` leaves them.

        Raises:
            InputError: The file as a whole cannot be what it was said to be.
        """
        self._check_kinds(batch)
        self._check_constants(batch)
        rows = batch.select(
            pl.col(ROW).alias("row"),
            self._times(batch),
            *(self._number(name, batch) for name in NUMBERS),
            *self._labels(batch),
            self._day("session_date"),
            self._unreadable(batch),
        )
        rows = rows.with_columns(
            pl.col("unreadable")
            | (pl.col("timestamp").is_null() & batch[self.columns["timestamp"]].is_not_null())
        )
        rules = CandleRules(
            venue=self.venue, interval=self.interval, latest_ms=self.received_at_ms
        )
        return validate(self._with_sessions(self._with_symbols(rows)), rules)

    def typed(self, accepted: pl.DataFrame) -> pa.Table:
        """Return accepted rows as `file_schema` of the venue has them, and their `row` before.

        Args:
            accepted: Rows of `judge` without reasons.
        """
        schema = file_schema(CANDLES, self.venue)
        constants = {
            "venue": self.venue,
            "interval": self.interval,
            "received_at": self.received_at_ms,
            "revision": 1,
            "ingest_id": self.ingest_id,
        }
        columns = {"row": accepted["row"].to_arrow()}
        for kind in schema:
            if kind.name in NUMBERS:
                columns[kind.name] = as_decimal(accepted[f"{kind.name}_units"], kind.type)
            elif kind.name in constants:
                columns[kind.name] = pa.repeat(
                    pa.scalar(constants[kind.name]), accepted.height
                ).cast(kind.type)
            else:
                columns[kind.name] = accepted[kind.name].to_arrow().cast(kind.type)
        return pa.table(columns)

    def _check_kinds(self, batch: pl.DataFrame) -> None:
        """Refuse columns whose values are not single ones; nothing here reads lists."""
        for name, column in self.columns.items():
            kind = batch[column].dtype
            if kind.is_nested() or kind == pl.Object:
                raise InputError(
                    f"{self.path}: column {column!r} for {name} holds {kind}; accepted are single"
                    " values: text, numbers, times"
                )

    def _check_constants(self, batch: pl.DataFrame) -> None:
        """Refuse a file whose own venue or interval is not the one it was given as."""
        for name, wanted in (("interval", self.interval), ("venue", self.venue)):
            if name not in self.columns:
                continue
            other = batch.filter(pl.col(self.columns[name]).cast(pl.String) != wanted)
            if other.height:
                raise InputError(
                    f"{self.path}: row {other[ROW][0]} has {name}"
                    f" {other[self.columns[name]][0]!r}, but it is loaded as {wanted}"
                )

    def _times(self, batch: pl.DataFrame) -> pl.Series:
        column = batch[self.columns["timestamp"]]
        if self._form is None:
            self._form = decide_form(
                self.path,
                column,
                interval=self.interval,
                venue_zone=_CONSTANT_ZONES.get(self.calendar.timezone, self.calendar.timezone),
                timezone=self.timezone,
            )
        return self._form.read(column).alias("timestamp")

    def _number(self, name: str, batch: pl.DataFrame) -> pl.Expr:
        column = self.columns.get(name)
        if column is None:
            return pl.lit(None, dtype=pl.Float64).alias(name)
        return _as_number(column, batch[column].dtype).alias(name)

    def _labels(self, batch: pl.DataFrame) -> list[pl.Expr]:
        given = {"symbol": self.symbol, "broker": self.broker}
        labels = []
        for name, constant in given.items():
            column = self.columns.get(name)
            value = pl.lit(constant) if column is None else pl.col(column).cast(pl.String)
            labels.append(value.alias(name))
        if "symbol" in self.columns and batch[self.columns["symbol"]].dtype.is_numeric():
            raise InputError(
                f"{self.path}: column {self.columns['symbol']!r} holds numbers; symbols are text"
                " (005930 and 5930 differ)"
            )
        return labels

    def _day(self, name: str) -> pl.Expr:
        column = self.columns.get(name)
        if column is None:
            return pl.lit(None, dtype=pl.Date).alias(name)
        text = pl.col(column).cast(pl.String).str.slice(0, 10)
        return text.str.to_date("%Y-%m-%d", strict=False).alias(name)

    def _unreadable(self, batch: pl.DataFrame) -> pl.Expr:
        found = [pl.lit(value=False)]
        for name in NUMBERS:
            column = self.columns.get(name)
            if column is not None and not (kind := batch[column].dtype).is_numeric():
                found.append(_is_filled(column, kind) & _as_number(column, kind).is_null())
        return pl.any_horizontal(found).alias("unreadable")

    def _with_symbols(self, rows: pl.DataFrame) -> pl.DataFrame:
        for spelling in rows["symbol"].drop_nulls().unique().to_list():
            if spelling not in self._symbols:
                self._symbols[spelling] = _spelled(self.venue, spelling)
        known = rows["symbol"].replace_strict(
            self._symbols or {"": None}, default=None, return_dtype=pl.String
        )
        return rows.with_columns(
            symbol=pl.coalesce(known, rows["symbol"]),
            is_spelled=known.is_not_null() | rows["symbol"].is_null(),
        )

    def _with_sessions(self, rows: pl.DataFrame) -> pl.DataFrame:
        is_daily = is_monthly(self.interval)
        stamp = pl.col("timestamp")
        readable = pl.when(stamp.abs() < _READABLE_MS).then(stamp // _BUCKET_MS).alias("bucket")
        buckets = rows.select(readable)["bucket"]
        days = self._dates(buckets)
        begins = (rows["timestamp"] % _BUCKET_MS == 0) & (days != self._dates(buckets - 1))
        closes = self._closes(days)
        step = INTERVALS[self.interval] * 1_000
        return rows.with_columns(
            trade_date=days,
            local_midnight=begins if is_daily else pl.lit(value=False),
            is_session=closes.is_not_null(),
            available_at=closes if is_daily else rows["timestamp"] + step,
        )

    def _dates(self, buckets: pl.Series) -> pl.Series:
        return _looked_up(buckets, self._days, self._session_date, pl.Date)

    def _closes(self, days: pl.Series) -> pl.Series:
        return _looked_up(days, self._sessions, self._close_ms, pl.Int64)

    def _session_date(self, bucket: int) -> date | None:
        try:
            return self.calendar.session_date(bucket * _BUCKET_MS * _NS_PER_MS)
        except (CalendarError, ValueError, OverflowError):
            return None

    def _close_ms(self, day: date) -> int | None:
        try:
            if not self.calendar.is_session(day):
                return None
            return self.calendar.open_close_ns(day)[1] // _NS_PER_MS
        except CalendarError:
            return None


def _looked_up(
    keys: pl.Series, known: dict[Any, Any], answer: Callable[[Any], Any], kind: type[pl.DataType]
) -> pl.Series:
    """Return the answer for each key, asking once for each that is not known yet."""
    for key in keys.drop_nulls().unique().to_list():
        if key not in known:
            known[key] = answer(key)
    if not known:
        return pl.Series(keys.name, [None] * len(keys), dtype=kind)
    return keys.replace_strict(list(known), list(known.values()), default=None, return_dtype=kind)


def _spelled(venue: str, spelling: str) -> str | None:
    try:
        return normalise_symbol(Venue(venue), spelling)
    except InstrumentError:
        return None


def _as_number(column: str, kind: pl.DataType) -> pl.Expr:
    if kind == pl.String:
        plain = pl.col(column).str.strip_chars().str.replace_all(",", "", literal=True)
        return plain.cast(pl.Float64, strict=False)
    if kind.is_numeric():
        return pl.col(column).cast(pl.Float64)
    return pl.lit(None, dtype=pl.Float64)


def _is_filled(column: str, kind: pl.DataType) -> pl.Expr:
    value = pl.col(column)
    if kind == pl.String:
        return value.is_not_null() & (value.str.strip_chars() != "")
    return value.is_not_null()
