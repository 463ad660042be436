"""Levels of order books in a table of quotes: which are taken, which are left out and named."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from jts_pipelines.backtest.cautions import Code
from jts_pipelines.backtest.quote_levels import Book, books_of, depth_of, level_names
from jts_trading.domain.ticks import BookLevel
from storage.errors import InputError

GOOD = {
    "bid": 99.5,
    "bid_size": 3.0,
    "ask": 100.0,
    "ask_size": 0.25,
    "bid_2": 99.0,
    "bid_size_2": 1.0,
    "ask_2": 101.0,
    "ask_size_2": 7.0,
    "bid_3": 98.0,
    "bid_size_3": 2.0,
    "ask_3": 102.0,
    "ask_size_3": 9.0,
}


def book_of(row: dict[str, Any]) -> tuple[Book, tuple[str, ...]]:
    """Return the book of one row of quotes, and its warnings."""
    books, cautions = books_of(pl.DataFrame([row]))
    assert books is not None
    return books.at(0), tuple(map(str, cautions))


def levels(*pairs: tuple[str, str]) -> tuple[BookLevel, ...]:
    """Return levels of texts."""
    return tuple(BookLevel(Decimal(price), Decimal(quantity)) for price, quantity in pairs)


def test_levels_are_exact_and_best_first() -> None:
    """Numbers as they were written."""
    book, warnings = book_of(GOOD)

    assert book.asks == levels(("100", "0.25"), ("101", "7"), ("102", "9"))
    assert book.bids == levels(("99.5", "3"), ("99", "1"), ("98", "2"))
    assert warnings == ()


def test_ten_levels_are_read() -> None:
    """As many as KIS tells."""
    row = {}
    for level in range(1, 11):
        row |= dict(zip(level_names("bid", level), (1_000 - level, level), strict=True))
        row |= dict(zip(level_names("ask", level), (1_000 + level, level), strict=True))

    book, _ = book_of(row)

    assert [level.price for level in book.asks] == [Decimal(1_000 + n) for n in range(1, 11)]
    assert [level.quantity for level in book.bids] == [Decimal(n) for n in range(1, 11)]


@pytest.mark.parametrize(
    "changes",
    [
        {"ask_2": None},
        {"ask_2": 0.0},
        {"ask_size_2": 0.0},
        {"ask_size_2": None},
        {"ask_size_2": float("nan")},
    ],
)
def test_empty_level_is_left_out_without_a_word(changes: dict[str, Any]) -> None:
    """Venues fill up their levels with zeros."""
    book, warnings = book_of(GOOD | changes)

    assert book.asks == levels(("100", "0.25"), ("102", "9"))
    assert warnings == ()


@pytest.mark.parametrize(
    ("changes", "kept", "why"),
    [
        ({"ask_2": 100.0}, 1, "ask_2 is not beyond the level before it"),
        ({"ask_2": 99.9}, 1, "ask_2 is not beyond the level before it"),
        ({"ask_3": 100.5}, 2, "ask_3 is not beyond the level before it"),
        ({"ask_2": -101.0}, 1, "ask_2 is no price"),
        ({"ask_3": float("inf")}, 2, "ask_3 is no price"),
        ({"ask_size_2": -7.0}, 1, "ask_size_2 is no quantity"),
        ({"ask_size": float("inf")}, 0, "ask_size is no quantity"),
    ],
)
def test_level_that_cannot_be_there_ends_its_side(
    changes: dict[str, Any], kept: int, why: str
) -> None:
    """The other side stands; the row and the column are named."""
    book, warnings = book_of(GOOD | changes)

    assert book.asks == levels(("100", "0.25"), ("101", "7"), ("102", "9"))[:kept]
    assert len(book.bids) == 3
    assert len(warnings) == 1
    assert warnings[0].endswith(f"the first in row 1: {why}")


def test_bids_must_fall() -> None:
    """As asks must rise."""
    book, warnings = book_of(GOOD | {"bid_2": 99.5})

    assert book.bids == levels(("99.5", "3"))
    assert "bid_2 is not beyond the level before it" in warnings[0]


def test_crossed_book_has_no_levels_and_a_locked_one_has() -> None:
    """A call auction crosses; the first row that does is named, all are counted."""
    rows = pl.DataFrame(
        [GOOD, GOOD | {"bid": 100.0}, GOOD | {"bid": 100.5}, GOOD | {"bid": 101.0}]
    )

    books, cautions = books_of(rows)

    assert books is not None
    assert [len(books.at(row).asks) for row in range(4)] == [3, 3, 0, 0]
    assert [len(books.at(row).bids) for row in range(4)] == [3, 3, 0, 0]
    assert [caution.code for caution in cautions] == [Code.LEVELS_LEFT_OUT]
    assert str(cautions[0]).startswith("2 of 4 quotes")
    assert str(cautions[0]).endswith("row 3: bid is above ask")


def test_best_prices_without_quantities_are_no_books() -> None:
    """As most quotes are."""
    books, cautions = books_of(pl.DataFrame({"bid": [1.0], "ask": [2.0]}))

    assert (books, cautions) == (None, ())


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ("ask_size", "the quotes have bid_size but lack ask_size"),
        ("bid_2", "the quotes have bid_size_2 but lack bid_2"),
        ("bid_size_3", "the quotes have bid_3 but lack bid_size_3"),
    ],
)
def test_half_a_level_is_refused(without: str, message: str) -> None:
    """The column that is missing is named."""
    columns = [name for name in GOOD if name != without]

    with pytest.raises(InputError, match=message):
        depth_of(columns)


def test_level_after_a_missing_one_is_refused() -> None:
    """A hole is a mistake of whoever wrote the file."""
    columns = [name for name in GOOD if not name.endswith("_2")]

    with pytest.raises(InputError, match="the quotes have bid_3 but lack bid_size_2"):
        depth_of(columns)


def test_level_of_texts_is_refused() -> None:
    """Numbers are accepted."""
    with pytest.raises(InputError, match="ask_size of the quotes is String; accepted: numbers"):
        books_of(pl.DataFrame([GOOD]).with_columns(ask_size=pl.lit("7")))
