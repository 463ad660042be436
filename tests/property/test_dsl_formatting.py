"""The formatter: a formatted text stays as it is, and means and says what it did before."""

from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.formatting import WIDTH_MAX, format_text
from jts_trading.dsl.lexer import pieces, read_text

ROOT = Path(__file__).parents[2]
LISTINGS = [p.read_text(encoding="utf-8") for p in sorted(ROOT.glob("examples/strategies/*.jts"))]
PAGE = (ROOT / "docs" / "dsl.md").read_text(encoding="utf-8")
EXAMPLES = [part.partition("```")[0] for part in PAGE.split("```jts\n")[1:]]
GAPS = st.sampled_from(
    [" ", "  ", "\n", "\n\n", "\n\n\n", "\t", " // why\n", "\n# so\n", "\n \n//\n"]
)


def written(text: str) -> list[str]:
    """Return tokens and comments of a text, in their order."""
    return [piece for _, piece in pieces(read_text(text, "t"))]


def meaning(text: str) -> tuple[str, str, str]:
    """Return what does not depend on layout."""
    plan = compile_strategy(text)
    return plan.digest, plan.source, plan.guard


@st.composite
def messy(draw: st.DrawFn) -> str:
    """Return a strategy whose tokens stand apart in any way, with comments between."""
    text = draw(st.sampled_from(LISTINGS + EXAMPLES))
    parts = [piece for piece in written(text) if not piece.startswith(("//", "#"))]
    chosen = draw(st.lists(GAPS, min_size=len(parts) + 1, max_size=len(parts) + 1))
    glued = draw(st.integers(0, 5))
    found = [chosen[0]]
    for place, (part, gap) in enumerate(zip(parts, chosen[1:], strict=True)):
        # Words and numbers need a gap; signs may stand close.
        is_sign = not (part[-1].isalnum() or part[-1] in '_%"')
        found += [part, "" if is_sign and place % 6 < glued else gap]
    return "".join(found)


@settings(max_examples=120, deadline=None)
@given(messy())
def test_text_when_formatted_then_same_meaning_and_stable(text: str) -> None:
    """fmt(fmt(x)) == fmt(x), plan(fmt(x)) == plan(x), and no comment is lost or moved."""
    once = format_text(text)

    assert format_text(once) == once
    assert written(once) == written(text)
    assert meaning(once) == meaning(text)
    assert not any(line != line.rstrip() for line in once.splitlines())
    assert "\n\n\n" not in once


def test_listings_when_laid_out_well_then_unchanged() -> None:
    """What the users wrote is close to the one layout; the template and the page are in it."""
    from jts_trading.dsl.template import template

    assert format_text(template("x")) == template("x")
    assert [e for e in EXAMPLES if format_text(e) != e] == []
    assert [text for text in LISTINGS if "sources" not in text and format_text(text) != text] == []


def test_block_when_it_fits_a_line_then_stays_there() -> None:
    """A block in one line stays so up to the width of a line."""
    short = 'strategy("T") {\n  entry.long { when (close > open) { buy("5%") } }\n}\n'
    long = short.replace("close > open", " and ".join(["close > open"] * 5))

    assert format_text(short) == short
    assert max(map(len, format_text(long).splitlines())) <= WIDTH_MAX
    assert "entry.long {\n    when (" in format_text(long)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_when_formatted_then_refused_like_by_the_parser(text: str) -> None:
    """Noise never raises anything but the one error."""
    with suppress(StrategyError):
        format_text(text)
