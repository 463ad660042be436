"""Which rows are refused and why, and what becomes of halted and carried bars."""

from datetime import date
from typing import Any

import duckdb
import polars as pl
import pytest

from storage.quality.candles import CandleRules, validate
from storage.quality.exact import as_decimal, units
from storage.quality.reasons import DOUBT_MEANING, MEANING, TAINTED, Doubt, Reason
from storage.quality.scales import mixed_scale_sql
from storage.schema.arrow import file_schema
from storage.schema.datasets import CANDLES

RULES = CandleRules(venue="KRX", interval="1d", latest_ms=1_800_000_000_000)
GOOD: dict[str, Any] = {
    "row": 1,
    "timestamp": 1_701_702_000_000,
    "symbol": "005930",
    "is_spelled": True,
    "broker": "krx",
    "open": 100.0,
    "high": 120.0,
    "low": 90.0,
    "close": 110.0,
    "volume": 5.0,
    "bid": None,
    "ask": None,
    "unreadable": False,
    "local_midnight": True,
    "trade_date": date(2023, 12, 5),
    "session_date": None,
    "is_session": True,
    "available_at": 1_701_757_800_000,
}
SCHEMA = {
    "symbol": pl.String,
    "bid": pl.Float64,
    "ask": pl.Float64,
    "session_date": pl.Date,
    **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
}


def judged(rules: CandleRules = RULES, **changes: Any) -> dict[str, Any]:
    """Return the verdict on a good row with some values changed."""
    frame = pl.DataFrame([{**GOOD, **changes}], schema_overrides=SCHEMA)
    return validate(frame, rules).to_dicts()[0]


def test_validate_when_row_is_good_then_it_is_traded_and_exact() -> None:
    """A plain bar passes without a doubt and keeps its numbers."""
    row = judged()

    assert (row["reasons"], row["status"], row["quality"]) == ([], "traded", "ok")
    assert (row["close_units"], row["volume_units"]) == (110, 5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unreadable": True, "close": None}, Reason.WRONG_TYPE),
        ({"close": None}, Reason.NULL_VALUE),
        ({"symbol": None}, Reason.NULL_VALUE),
        ({"open": None}, Reason.NULL_VALUE),
        ({"high": float("inf")}, Reason.NOT_FINITE),
        ({"close": float("nan")}, Reason.NOT_FINITE),
        ({"is_spelled": False}, Reason.BAD_SYMBOL),
        ({"symbol": "../etc"}, Reason.BAD_SYMBOL),
        ({"symbol": "A..B"}, Reason.BAD_SYMBOL),
        ({"timestamp": 1_701_702_000}, Reason.TIMESTAMP_UNIT),
        ({"timestamp": 1_701_702_000_000_000}, Reason.TIMESTAMP_UNIT),
        ({"timestamp": 0}, Reason.TIMESTAMP_RANGE),
        ({"timestamp": 1_900_000_000_000}, Reason.TIMESTAMP_RANGE),
        ({"available_at": 1_800_000_000_001}, Reason.NOT_CLOSED),
        ({"local_midnight": False}, Reason.OFF_INTERVAL),
        ({"session_date": date(2023, 12, 6)}, Reason.TRADE_DATE_DIFFERS),
        ({"is_session": False}, Reason.OFF_SESSION),
        ({"volume": -1.0}, Reason.NEGATIVE_VOLUME),
        ({"close": 0.0}, Reason.NONPOSITIVE_PRICE),
        ({"low": -90.0}, Reason.NONPOSITIVE_PRICE),
        ({"bid": 0.0}, Reason.NONPOSITIVE_PRICE),
        ({"high": 105.0}, Reason.OHLC_ORDER),
        ({"low": 101.0}, Reason.OHLC_ORDER),
        ({"high": 80.0}, Reason.OHLC_ORDER),
        ({"close": 11_000.0}, Reason.MIXED_SCALE),
        ({"close": 1.0}, Reason.MIXED_SCALE),
        ({"close": 110.5}, Reason.OFF_SCALE),
        ({"volume": 0.25}, Reason.OFF_SCALE),
        ({"open": 2e10, "high": 2e10, "low": 2e10, "close": 2e10}, Reason.OUT_OF_RANGE),
    ],
)
def test_validate_when_one_thing_is_wrong_then_its_reason_leads(
    changes: dict[str, Any], reason: Reason
) -> None:
    """Each defect is named by its own reason."""
    assert judged(**changes)["reasons"][0] == reason.value


def test_validate_when_several_things_are_wrong_then_all_are_listed_in_order() -> None:
    """A person sees every reason; the first of the closed list leads."""
    reasons = judged(volume=-1.0, close=110.5, is_session=False)["reasons"]

    assert reasons == ["off_session", "negative_volume", "off_scale"]


def test_validate_when_bar_of_minutes_is_off_the_minute_then_it_is_refused() -> None:
    """The start of a bar lies on its interval."""
    rules = CandleRules(venue="KRX", interval="1m", latest_ms=RULES.latest_ms)

    assert judged(rules, timestamp=GOOD["timestamp"] + 1)["reasons"] == ["off_interval"]
    assert judged(rules, local_midnight=False)["reasons"] == []


@pytest.mark.parametrize("absent", [0.0, None])
def test_validate_when_session_is_halted_then_it_is_kept_with_null_prices(
    absent: float | None,
) -> None:
    """Zeros (or nothing) for open, high and low, no volume and a carried close: a halt."""
    row = judged(open=absent, high=absent, low=absent, volume=0.0)

    assert (row["reasons"], row["status"]) == ([], "halted")
    assert [row[f"{name}_units"] for name in ("open", "high", "low", "close")] == [
        None,
        None,
        None,
        110,
    ]


def test_validate_when_zero_prices_have_volume_then_they_are_no_halt() -> None:
    """A halt trades nothing; zeros with a volume are a bad row."""
    assert judged(open=0.0, high=0.0, low=0.0)["reasons"] == ["nonpositive_price"]


def test_validate_when_nobody_traded_then_bar_is_synthetic() -> None:
    """A carried bar is kept and marked: it was never a trade."""
    row = judged(open=110.0, high=110.0, low=110.0, volume=0.0)

    assert (row["reasons"], row["status"]) == ([], "synthetic")


def test_validate_when_prices_moved_without_volume_then_it_is_doubted() -> None:
    """A range without a trade is kept, with a doubt."""
    row = judged(volume=0.0)

    assert (row["reasons"], row["status"], row["quality"]) == ([], "traded", "zero_volume")


def test_meanings_when_listed_then_every_reason_and_doubt_has_one_line() -> None:
    """The closed lists are complete."""
    assert set(MEANING) == set(Reason)
    assert set(DOUBT_MEANING) == set(Doubt)
    assert set(TAINTED) < set(Doubt)
    assert not [text for text in (*MEANING.values(), *DOUBT_MEANING.values()) if "\n" in text]


@pytest.mark.parametrize(
    ("value", "scale", "expected"),
    [
        (9_350.0, 0, 9_350),
        (97.31, 4, 973_100),
        (0.00162008, 8, 162_008),
        (150_700_000.1, 8, 15_070_000_010_000_000),
        (0.1 + 0.2, 8, 30_000_000),
        (1e13, 8, 10**21),
        (49.9, 0, None),
        (0.123456789, 8, None),
    ],
)
def test_units_when_value_fits_the_scale_then_they_are_exact(
    value: float, scale: int, expected: int | None
) -> None:
    """A float becomes the decimal that it is the nearest double of, or nothing."""
    frame = pl.DataFrame({"value": [value]})

    assert frame.select(units(pl.col("value"), scale))["value"].to_list() == [expected]


def test_as_decimal_when_units_are_wide_then_no_digit_is_lost() -> None:
    """Units become decimals of the file's type unchanged, nulls included."""
    kind = file_schema(CANDLES, "UPBIT").field("volume").type
    series = pl.Series([123_456_789_012_345_678_901, None, 1], dtype=pl.Int128)

    decimals = as_decimal(series, kind).to_pylist()

    assert [str(value) for value in decimals] == ["1234567890123.45678901", "None", "1E-8"]


def mixed(closes: list[float]) -> list[int]:
    """Return the rows of one symbol that stand on another scale."""
    frame = pl.DataFrame(
        {
            "row": range(1, len(closes) + 1),
            "symbol": "005930",
            "broker": "krx",
            "timestamp": range(len(closes)),
            "close": closes,
        }
    )
    with duckdb.connect() as engine:
        engine.register("bars", frame.to_arrow())
        return sorted(row for (row,) in engine.execute(mixed_scale_sql("bars")).fetchall())


def test_mixed_scale_when_few_rows_leap_and_return_then_they_are_refused() -> None:
    """Rows x100 between rows x1 are on another scale; the majority stays."""
    assert mixed([100, 101, 99, 10_000, 10_100, 100, 101, 99, 100]) == [4, 5]


def test_mixed_scale_when_halves_disagree_then_all_rows_are_refused() -> None:
    """Where nothing says which scale is right, none is believed."""
    assert mixed([100, 10_000, 101, 10_100]) == [1, 2, 3, 4]


def test_mixed_scale_when_series_splits_once_then_it_stays() -> None:
    """One step of a power of ten is a split, a fact of the market."""
    assert mixed([100_000, 101_000, 10_100, 10_000, 10_200]) == []


def test_mixed_scale_when_price_multiplies_otherwise_then_it_stays() -> None:
    """A resumption at x7 and a fall to a third are no powers of ten."""
    assert mixed([100, 700, 230, 240]) == []
