"""Columns are found by known names, or named by the user; what fails says what was there."""

import pytest

from jts_pipelines.ingest.mapping import parse_mapping, resolve_columns
from storage.errors import InputError

PRICES = ["open", "high", "low", "close", "volume"]


def test_parse_mapping_when_pairs_are_given_then_fields_name_columns() -> None:
    """Field first, column second, spaces ignored."""
    assert parse_mapping("timestamp=date, close=Close") == {"timestamp": "date", "close": "Close"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("close", "accepted is field=column"),
        ("close=", "accepted is field=column"),
        ("price=Close", "unknown field 'price'; known: timestamp"),
        ("close=a,close=b", "names the field 'close' twice"),
        ("close=a,open=a", "uses the column 'a' twice"),
    ],
)
def test_parse_mapping_when_it_is_wrong_then_one_line_says_how(text: str, message: str) -> None:
    """Unknown fields, missing halves and repetitions are refused."""
    with pytest.raises(InputError, match=message):
        parse_mapping(text)


def test_resolve_when_names_are_korean_then_they_are_known() -> None:
    """The columns of pykrx need no mapping."""
    columns = ["날짜", "시가", "고가", "저가", "종가", "거래량", "등락률"]

    found = resolve_columns("f.csv", columns, {}, {"symbol"})

    assert found == {
        "timestamp": "날짜", "open": "시가", "high": "고가", "low": "저가", "close": "종가",
        "volume": "거래량",
    }  # fmt: skip


def test_resolve_when_names_are_capitalised_then_they_are_known() -> None:
    """Yahoo's `Date,Open,...,Adj Close` is read; the adjusted close is not the close."""
    columns = ["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume", "Ticker"]

    found = resolve_columns("f.csv", columns, {}, set())

    assert (found["close"], found["symbol"], found["timestamp"]) == ("Close", "Ticker", "Date")


def test_resolve_when_columns_are_missing_then_message_lists_what_was_found() -> None:
    """A person can see at once which name to map."""
    with pytest.raises(InputError, match=r"no column for close, volume; found: timestamp, symbol"):
        resolve_columns("f.csv", ["timestamp", "symbol", "open", "high", "low"], {}, set())


def test_resolve_when_only_the_symbol_is_missing_then_the_option_is_named() -> None:
    """A file of one symbol has a way in."""
    with pytest.raises(InputError, match="takes --symbol"):
        resolve_columns("f.csv", ["timestamp", *PRICES], {}, set())


def test_resolve_when_mapped_column_is_missing_then_message_lists_columns() -> None:
    """A typing error in the mapping is found before anything is read."""
    with pytest.raises(InputError, match=r"mapping close=Closs: no such column; found: timestamp"):
        resolve_columns("f.csv", ["timestamp", "symbol", *PRICES], {"close": "Closs"}, set())


def test_resolve_when_two_columns_mean_the_same_then_mapping_is_asked_for() -> None:
    """`close` and `Close` in one file: only the user knows."""
    with pytest.raises(InputError, match="close, Close all mean close"):
        resolve_columns("f.csv", ["timestamp", "symbol", *PRICES, "Close"], {}, set())


def test_resolve_when_column_is_mapped_then_it_is_not_used_again() -> None:
    """A column mapped to one field is not found for another by its name."""
    columns = ["timestamp", "symbol", *PRICES, "raw"]

    found = resolve_columns("f.csv", columns, {"open": "close", "close": "raw"}, set())

    assert (found["open"], found["close"]) == ("close", "raw")
