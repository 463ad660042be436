"""Facts of the account: one row, filled from whole numbers."""

import math

import numpy as np

from jts_trading.dsl.facts import FACTS, FACTS_SIZE, SCALE_FACT
from jts_trading.strategy import facts


def read(row: np.ndarray) -> dict[str, float]:
    """Return the facts by word."""
    return {f"{root}.{name}": float(row[word.place]) for (root, name), word in FACTS.items()}


def test_row_when_filled_then_every_word_has_its_value() -> None:
    """The table of the language and what fills it agree on places and meaning."""
    row = np.full(FACTS_SIZE, math.nan)
    row[SCALE_FACT] = 1.0

    facts.fill_position(row, 3, 3_000, 1_100, (1_200, 4, 240, 2), 1.0)
    facts.fill_portfolio(row, (10_000, 3_300, 6_000, 8_000), 2, 1.0)

    assert read(row) == {
        "position.quantity": 3.0,
        "position.value": 3_300.0,
        "position.entry_price": 1_000.0,
        "position.profit": 0.1,
        "position.highest": 1_200.0,
        "position.bars": 4.0,
        "position.age": 240.0,
        "position.entries": 2.0,
        "portfolio.equity": 10_000.0,
        "portfolio.cash": 6_000.0,
        "portfolio.positions": 2.0,
        "portfolio.exposure": 0.33,
        "portfolio.day_profit": 0.25,
    }


def test_row_when_flat_then_facts_of_a_position_are_null() -> None:
    """Quantity, value and entries are zero, the rest is null; so are shares without equity."""
    row = np.zeros(FACTS_SIZE)

    facts.fill_position(row, 0, 0, 1_100, (0, 0, 0, 0), 1.0)
    facts.fill_portfolio(row, (0, 0, 0, 0), 0, 1.0)

    told = read(row)
    words = ("quantity", "value", "entries")
    assert [told[f"position.{word}"] for word in words] == [0.0, 0.0, 0.0]
    needed = [f"{r}.{n}" for (r, n), word in FACTS.items() if word.needs_position]
    assert all(math.isnan(told[name]) for name in [*needed, "portfolio.exposure"])
    assert math.isnan(told["portfolio.day_profit"])
