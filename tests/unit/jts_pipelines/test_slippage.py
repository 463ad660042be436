"""How far orders were filled from the price when they were given, and how numbers are shown."""

import polars as pl
import pytest

from jts_pipelines.backtest.slippage import Slippage, slippage_by_kind, slippage_of
from jts_pipelines.reports.slippage import slippage_part
from jts_pipelines.reports.words import counted, grouped


def orders() -> pl.DataFrame:
    """Return two purchases, a sale, and orders that were not filled."""
    rows = [
        ("market", "buy", 100.0, 10, 100.5),
        ("market", "buy", 100.0, 30, 100.1),
        ("stop_limit", "sell", 50.0, 20, 50.1),
        ("market", "sell", 50.0, 0, None),
        ("market", "buy", None, 5, 99.0),
    ]
    return pl.DataFrame(rows, schema=["type", "side", "decided", "filled", "price"], orient="row")


def test_slippage_is_worse_above_zero_for_both_sides() -> None:
    """A purchase above the price when it was given lost, a sale above it gained."""
    found = slippage_by_kind(orders())

    assert list(found) == [("market", "buy"), ("stop_limit", "sell")]
    bought, sold = found.values()
    assert bought == pytest.approx(Slippage(2, 30.0, 20.0, 50.0, 8.0))
    assert sold == pytest.approx(Slippage(1, -20.0, -20.0, -20.0, -2.0))


def test_slippage_of_all_is_weighted_by_value() -> None:
    """Six won of five thousand."""
    assert slippage_of(orders()) == pytest.approx(Slippage(3, 40 / 3, 12.0, 50.0, 6.0))


def test_slippage_when_nothing_was_filled_then_there_is_none() -> None:
    """No order, no part of the page."""
    none = orders().filter(pl.col("filled") == 0)

    assert slippage_of(none) == Slippage(0, None, None, None, 0.0)
    assert slippage_part(none, "KRW") == ""


def test_part_of_the_page_when_orders_were_filled_then_it_names_their_kinds() -> None:
    """One row a kind of order, and one chart."""
    part = slippage_part(orders(), "KRW")

    assert part.count("<svg") == 1
    assert "<td>stop-limit sell</td><td>1</td><td>-20.00</td><td>-20.00</td>" in part
    assert "<td>market buy</td><td>2</td><td>+30.00</td><td>+20.00</td><td>+50.00</td>" in part


def test_chart_when_all_orders_filled_where_they_were_decided_then_it_is_drawn() -> None:
    """No distance at all has a width, too."""
    same = orders().head(1).with_columns(price=pl.lit(100.0))

    assert "mean +0.00" in slippage_part(same, "USDT")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("value 2988000 KRW is above 2000000", "value 2,988,000 KRW is above 2,000,000"),
        (
            "it may cost 61850.12345, 9.5 USDT are free",
            "it may cost 61,850.12345, 9.5 USDT are free",
        ),
        ("the newest trade is 999.5 s old", "the newest trade is 999.5 s old"),
        ("not 2024-06-03, KRX:005930 or 0.123456", "not 2024-06-03, KRX:005930 or 0.123456"),
    ],
)
def test_large_numbers_of_a_sentence_are_grouped(text: str, expected: str) -> None:
    """Amounts only: neither days nor instruments."""
    assert grouped(text) == expected


def test_one_thing_is_not_many() -> None:
    """As people count."""
    assert [counted(1, "order"), counted(2_000, "order")] == ["1 order", "2,000 orders"]
