"""Times as files write them, read as UTC milliseconds.

The form is decided once per file, on its first batch: an aware time, a naive one (accepted only
with a zone), a date (daily bars only: midnight in the venue's zone), or an integer whose unit its
magnitude gives away. A later value that does not fit the form is left to the quarantine; a file
whose values all fit no form is refused as a whole.
"""

from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from storage.errors import InputError

_DATE_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d")
_TIME_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y%m%d%H%M")
_ZONED_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S%.f%:z")
_ZULU = "Z$"

# Magnitudes of an instant between 1973 and 2286 in each unit: they do not overlap.
_UNIT_BOUNDS = {
    "s": (10**8, 10**10),
    "ms": (10**11, 10**13),
    "us": (10**14, 10**16),
    "ns": (10**17, 2**63 - 1),
}
_MS_PER = {"s": (1_000, 1), "ms": (1, 1), "us": (1, 1_000), "ns": (1, 1_000_000)}
_COMPACT_DATES = (19_000_101, 21_001_231)
_DAY_MS = 86_400_000


class Form(StrEnum):
    """How a file writes its times."""

    AWARE = "aware"
    NAIVE = "naive"
    DATE = "date"
    INTEGER = "integer"


@dataclass(frozen=True, slots=True)
class InstantForm:
    """The form of one column of times.

    Attributes:
        form: Which.
        unit: Of integers: s, ms, us or ns.
        pattern: Of texts: how they are written; empty for typed columns.
        zone: IANA zone of naive times and of dates.
    """

    form: Form
    unit: str = ""
    pattern: str = ""
    zone: str = "UTC"

    def read(self, column: pl.Series) -> pl.Series:
        """Return Int64 UTC ms; null where the value is absent or does not fit the form."""
        name = column.name
        frame = column.to_frame()
        return frame.select(self._milliseconds(pl.col(name), column.dtype).alias(name))[name]

    def _milliseconds(self, value: pl.Expr, kind: pl.DataType) -> pl.Expr:
        if self.form is Form.INTEGER:
            times, by = _MS_PER[self.unit]
            return value.cast(pl.Int64, strict=False) * times // by
        if self.form is Form.AWARE:
            if kind == pl.String:
                text = value.str.strip_chars().str.replace(_ZULU, "+00:00")
                value = text.str.to_datetime(self.pattern, time_zone="UTC", strict=False)
            return value.dt.epoch("ms")
        if kind == pl.String or kind.is_integer():
            text = value.cast(pl.String).str.strip_chars()
            read = text.str.to_date if self.form is Form.DATE else text.str.to_datetime
            value = read(self.pattern, strict=False)
        local = value.cast(pl.Datetime("ms")).dt.replace_time_zone(
            self.zone, ambiguous="null", non_existent="null"
        )
        return local.dt.epoch("ms")


def decide_form(
    path: str, column: pl.Series, *, interval: str, venue_zone: str, timezone: str | None
) -> InstantForm:
    """Return the form of a column of times, from its first batch.

    Args:
        path: For messages.
        column: The first batch.
        interval: Of the bars; dates are accepted for daily ones.
        venue_zone: Zone in which a date is a midnight.
        timezone: Zone of naive times, if the user gave one.

    Raises:
        InputError: The values fit no form, are naive without a zone, or stand in another unit.
    """
    _check_zone(timezone)
    values = column.drop_nulls()
    if values.is_empty():
        raise InputError(f"{path}: column {column.name!r} holds no time in its first rows")
    kind = values.dtype
    if kind == pl.String:
        return _form_of_texts(path, values, interval, venue_zone, timezone)
    if kind.is_integer():
        return _form_of_integers(path, values, interval, venue_zone)
    if kind == pl.Date:
        return _date_form(path, values, interval, venue_zone, "")
    if isinstance(kind, pl.Datetime):
        if kind.time_zone is not None:
            _check_unit(path, values)
            return InstantForm(Form.AWARE)
        return _naive_form(path, values, interval, venue_zone, timezone)
    raise InputError(
        f"{path}: column {column.name!r} is {kind}; accepted for times are timestamps, dates,"
        " integers and ISO 8601 text"
    )


def _form_of_texts(
    path: str, values: pl.Series, interval: str, venue_zone: str, timezone: str | None
) -> InstantForm:
    texts = values.str.strip_chars()
    if _mostly(texts.str.contains(r"^\d{9,19}$")) and not _mostly(
        texts.str.to_datetime("%Y%m%d%H%M", strict=False).is_not_null()
    ):
        return _form_of_integers(path, texts.cast(pl.Int64, strict=False), interval, venue_zone)
    offset_texts = texts.str.replace(_ZULU, "+00:00")
    for pattern in _ZONED_FORMATS:
        zoned = offset_texts.str.to_datetime(pattern, time_zone="UTC", strict=False)
        if _mostly(zoned.is_not_null()):
            return InstantForm(Form.AWARE, pattern=pattern)
    for pattern in _DATE_FORMATS:
        if _mostly(texts.str.to_date(pattern, strict=False).is_not_null()):
            return _date_form(path, values, interval, venue_zone, pattern)
    for pattern in _TIME_FORMATS:
        naive = texts.str.to_datetime(pattern, strict=False)
        if _mostly(naive.is_not_null()):
            return _naive_form(path, naive, interval, venue_zone, timezone, pattern=pattern)
    raise InputError(
        f"{path}: {values[0]!r} in column {values.name!r} is no time that can be read; accepted:"
        " 2024-01-31, 20240131, 2024-01-31T09:00:00+09:00, or an integer since 1970"
    )


def _form_of_integers(path: str, values: pl.Series, interval: str, venue_zone: str) -> InstantForm:
    # The bounds of the units fit no narrower integer; what does not fit this one is no time.
    values = values.cast(pl.Int64, strict=False)
    low, high = _COMPACT_DATES
    if _mostly(values.is_between(low, high)) and _mostly(
        values.cast(pl.String).str.to_date("%Y%m%d", strict=False).is_not_null()
    ):
        return _date_form(path, values, interval, venue_zone, "%Y%m%d")
    for unit, (least, most) in _UNIT_BOUNDS.items():
        if _mostly(values.is_between(least, most)):
            return InstantForm(Form.INTEGER, unit=unit)
    raise InputError(
        f"{path}: {values[0]} in column {values.name!r} is no time since 1970 in s, ms, us or ns"
    )


def _naive_form(
    path: str,
    values: pl.Series,
    interval: str,
    venue_zone: str,
    timezone: str | None,
    *,
    pattern: str = "",
) -> InstantForm:
    """Naive midnights of daily bars are dates: that is how a table of days is often saved."""
    is_midnight = (values.dt.epoch("ms") % _DAY_MS == 0).all()
    if interval == "1d" and is_midnight and timezone is None:
        return InstantForm(Form.NAIVE, pattern=pattern, zone=venue_zone)
    if timezone is None:
        raise InputError(
            f"{path}: times in column {values.name!r} have no zone ({values[0]}); give the zone"
            " in which they were written, such as --timezone Asia/Seoul"
        )
    return InstantForm(Form.NAIVE, pattern=pattern, zone=timezone)


def _date_form(
    path: str, values: pl.Series, interval: str, venue_zone: str, pattern: str
) -> InstantForm:
    if interval != "1d":
        raise InputError(
            f"{path}: column {values.name!r} holds dates ({values[0]}), but {interval} bars need"
            " times; is the interval 1d?"
        )
    return InstantForm(Form.DATE, pattern=pattern, zone=venue_zone)


def _check_unit(path: str, values: pl.Series) -> None:
    """Refuse a typed column that holds seconds where milliseconds belong: all of it is in 1970."""
    stamps = values.dt.epoch("ms")
    least, most = _UNIT_BOUNDS["s"]
    if _mostly(stamps.is_between(least, most)):
        raise InputError(
            f"{path}: times in column {values.name!r} lie in early 1970 ({values[0]}): they look"
            " like seconds stored as milliseconds; multiply them by 1000"
        )


def _check_zone(name: str | None) -> None:
    if name is None:
        return
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(f"unknown time zone {name!r}; accepted: such as Asia/Seoul") from error


def _mostly(found: pl.Series) -> bool:
    return found.sum() * 2 > len(found)
