"""docs/dsl.md says what the language does."""

import re
from pathlib import Path

import pytest

from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.facts import FACTS
from jts_trading.dsl.grammar import (
    CLOCK_COLUMNS,
    FUNCTION_WORDS,
    NODES_MAX,
    QUOTE_COLUMNS,
    SESSION_WORDS,
    Block,
    OrderType,
    RiskKey,
    TimeInForce,
    UniverseKey,
)
from jts_trading.dsl.layout import STATE_SLOTS_MAX

PAGE = (Path(__file__).parents[3] / "docs" / "dsl.md").read_text(encoding="utf-8")
TEXTS = re.findall(r"^```jts\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", TEXTS, ids=lambda t: t.splitlines()[0][10:30])
def test_example_of_the_page_when_compiled_then_accepted(text: str) -> None:
    """Every example of the page is a strategy."""
    assert compile_strategy(text, file="docs/dsl.md").rules


def test_page_when_compared_with_the_grammar_then_complete() -> None:
    """Blocks, risk settings, order types and limits are named, and the page of indicators."""
    names = [*Block, *RiskKey, *OrderType, "indicators.md"]
    names += [f"{STATE_SLOTS_MAX:,}", f"{NODES_MAX:,}"]
    names += [*CLOCK_COLUMNS, *FUNCTION_WORDS, *QUOTE_COLUMNS, *UniverseKey, *TimeInForce]
    names += [f"`session.{word}`" for word in SESSION_WORDS]
    names += [f"`{root}.{word}`" for root, word in FACTS]

    assert [name for name in names if name not in PAGE] == []
    assert len(TEXTS) >= 3
