"""Times in every form that files use, and the forms that are refused."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from jts_pipelines.ingest.instants import decide_form
from storage.errors import InputError

MS = 1_701_738_000_000  # 2023-12-05 01:00 UTC = 10:00 in Seoul
MIDNIGHT_MS = 1_701_702_000_000  # 2023-12-05 00:00 in Seoul


def read(
    values: list[Any],
    *,
    interval: str = "1m",
    timezone: str | None = None,
    dtype: Any = None,
) -> list[int | None]:
    """Return the UTC ms of some values, as one file would be read."""
    column = pl.Series("time", values, dtype=dtype)
    form = decide_form("f", column, interval=interval, venue_zone="Asia/Seoul", timezone=timezone)
    return form.read(column).to_list()


@pytest.mark.parametrize(
    "value",
    [
        MS // 1_000,
        MS,
        MS * 1_000,
        MS * 1_000_000,
        str(MS),
        datetime.fromtimestamp(MS / 1_000, UTC),
        "2023-12-05T10:00:00+09:00",
        "2023-12-05 01:00:00+00:00",
        "2023-12-05T01:00:00Z",
    ],
)
def test_read_when_instant_is_unambiguous_then_it_is_utc_ms(value: Any) -> None:
    """Integers of any unit, aware timestamps and ISO text with an offset are the same instant."""
    assert read([value]) == [MS]


@pytest.mark.parametrize("value", ["2023-12-05 10:00:00", "2023-12-05T10:00:00", "202312051000"])
def test_read_when_time_is_naive_then_a_zone_is_needed(value: str) -> None:
    """Without a zone the message says how to give one; with it the time is read."""
    with pytest.raises(InputError, match=r"have no zone .*--timezone Asia/Seoul"):
        read([value])

    assert read([value], timezone="Asia/Seoul") == [MS]


def test_read_when_typed_times_are_naive_then_a_zone_is_needed() -> None:
    """A timestamp column without a zone is naive too."""
    with pytest.raises(InputError, match="have no zone"):
        read([datetime(2023, 12, 5, 10)])  # noqa: DTZ001 - naive on purpose

    assert read([datetime(2023, 12, 5, 10)], timezone="Asia/Seoul") == [MS]  # noqa: DTZ001 - naive on purpose


@pytest.mark.parametrize(
    "value",
    [
        date(2023, 12, 5), 20_231_205, "20231205", "2023-12-05", "2023.12.05", "2023/12/05",
        datetime(2023, 12, 5),  # noqa: DTZ001 - a table of days saved as times
    ],
)  # fmt: skip
def test_read_when_daily_bar_has_a_date_then_it_is_the_midnight_of_the_venue(value: Any) -> None:
    """A date is the session's midnight in the venue's zone."""
    assert read([value], interval="1d") == [MIDNIGHT_MS]


def test_read_when_minute_bars_have_dates_then_they_are_refused() -> None:
    """A date is no time of a minute."""
    with pytest.raises(InputError, match="is the interval 1d"):
        read([date(2023, 12, 5)])


def test_read_when_seconds_are_stored_as_milliseconds_then_the_file_is_refused() -> None:
    """All of 1970-01-20 is a unit error, and the message says what to do."""
    column = [datetime.fromtimestamp(MS / 1_000_000, UTC)] * 3

    with pytest.raises(InputError, match=r"early 1970 .*seconds stored as milliseconds"):
        read(column, dtype=pl.Datetime("ms", "UTC"))


def test_read_when_one_value_does_not_fit_then_it_alone_is_null() -> None:
    """The form of the file is decided by its majority; an odd value goes to quarantine."""
    assert read(["2023-12-05T01:00:00Z", "x", "2023-12-05T01:00:00Z"]) == [MS, None, MS]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["soon"], "is no time that can be read"),
        ([5], "is no time since 1970"),
        ([True], "accepted for times are"),
        ([None], "holds no time"),
    ],
)
def test_read_when_values_are_no_times_then_one_line_says_so(
    values: list[Any], message: str
) -> None:
    """What cannot be a time is refused with what is accepted."""
    with pytest.raises(InputError, match=message):
        read(values)


def test_read_when_seconds_are_narrow_integers_then_they_are_read() -> None:
    """Seconds until 2038 fit in 32 bits, the bounds of the other units do not."""
    assert read([MS // 1_000], dtype=pl.Int32) == [MS]


@pytest.mark.parametrize(
    ("value", "dtype"), [(-5, pl.Int32), (7, pl.UInt8), (2**64 - 1, pl.UInt64)]
)
def test_read_when_integers_are_no_times_then_one_line_says_so(value: int, dtype: Any) -> None:
    """Whatever their width."""
    with pytest.raises(InputError, match="is no time since 1970"):
        read([value], dtype=dtype)


def test_read_when_zone_is_unknown_then_it_is_named() -> None:
    """A typing error in the zone is no stack trace."""
    with pytest.raises(InputError, match="unknown time zone 'Asia/Soul'"):
        read([MS], timezone="Asia/Soul")
