"""Any text is either compiled or refused with a place: nothing else ever leaves the compiler."""

import ast
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.errors import StrategyError

EXAMPLES = Path(__file__).parents[2] / "examples" / "strategies"
LISTINGS = [path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.jts"))]
PIECES = st.sampled_from(
    [
        *"(){}[],.:=+-*/<>%\"'\n#_",
        *(" when ", " not ", " and ", " or ", " crosses ", " above ", " between ", " on ", ".."),
        *("strategy(", "entry.long", "indicators", "close", "SMA(", "MACD(", "period: ", "daily."),
        *(
            "5%",
            "5m",
            "20",
            "1.5",
            '"all"',
            "buy(",
            "a = ",
            "0",
            "1_0",
            "//",
            "가",
            "\u200b",
            "\0",
        ),
    ]
)


def require_place(error: StrategyError, text: str | bytes) -> None:
    """Check that an error points into its text and is one line."""
    lines = text.count("\n" if isinstance(text, str) else b"\n") + 1
    returns = text.count("\r" if isinstance(text, str) else b"\r")
    assert 1 <= error.line <= lines + returns
    assert error.column >= 1
    assert "\n" not in str(error)
    assert error.render()


def accepted(text: str | bytes) -> bool:
    """Compile a text; True when it was accepted."""
    try:
        plan = compile_strategy(text, file="f")
    except StrategyError as error:
        require_place(error, text)
        return False
    ast.parse(plan.source)
    return True


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=300), st.binary(max_size=300)))
@example("")
@example("\ufeff")
@example("\x00")
def test_any_text_when_compiled_then_refused_with_a_place(text: str | bytes) -> None:
    """Noise never raises anything but the one error."""
    assert not accepted(text)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=60))
def test_soup_of_words_when_in_a_rule_then_compiled_or_refused(pieces: list[str]) -> None:
    """Sequences of real words reach every corner of the parser."""
    inside = "".join(pieces)
    accepted(inside)
    accepted(f'strategy("T") {{ entry.long {{ when ({inside}) {{ buy("5%") }} }} }}')
    accepted(f'strategy("T") {{ {inside} entry.long {{ when (true) {{ buy({inside}) }} }} }}')


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(LISTINGS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), PIECES), min_size=1, max_size=4),
)
def test_listing_when_damaged_then_compiled_or_refused(
    listing: str, damages: list[tuple[float, int, str]]
) -> None:
    """The user's listings with words cut out and put in."""
    for share, length, piece in damages:
        at = int(share * len(listing))
        listing = listing[:at] + piece + listing[at + length :]
    accepted(listing)
