"""Errors of strategy texts.

    JtsError
    └── TerminalError
        └── StrategyError     the text is refused; where, why, what would be accepted
            └── NeedsError    the plan is sound, but these bars lack a column that it reads

`str(error)` is one line, `error.render()` adds the source line with a caret.
"""

import difflib
import heapq
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from jts_trading.domain.errors import TerminalError

EXCERPT_MAX = 100
COMPARED_MAX = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a text: file as the user named it, line and column from 1, the line itself."""

    file: str
    line: int
    column: int
    excerpt: str = ""


class StrategyError(TerminalError):
    """A strategy text that is refused."""

    def __init__(self, message: str, place: Place, *, hint: str = "") -> None:
        self.message = message
        self.place = place
        self.hint = hint
        where = f"{place.file}:{place.line}:{place.column}"
        super().__init__(f"{where}: {message}" + (f"; {hint}" if hint else ""))

    @property
    def line(self) -> int:
        """The line, from 1."""
        return self.place.line

    @property
    def column(self) -> int:
        """The column in characters, from 1."""
        return self.place.column

    def render(self) -> str:
        """Return the one line, then the source line with a caret under the place."""
        start = max(0, self.place.column - 1 - EXCERPT_MAX // 2)
        shown = visible(self.place.excerpt[start : start + EXCERPT_MAX])
        before = visible(self.place.excerpt[start : self.place.column - 1])
        return f"{self}\n  {shown}\n  {' ' * display_width(before)}^"


class NeedsError(StrategyError):
    """The strategy reads a column that these bars do not have."""


def nearest(name: str, known: Collection[str]) -> str:
    """Return a hint with the nearest known name and the list of all, shortened to twelve."""
    wanted = name.lower()[:64]
    folded = {k.lower(): k for k in known}
    # Comparing long names takes a quarter of a millisecond each: only the likeliest are.
    likely = heapq.nsmallest(
        COMPARED_MAX, folded, key=lambda k: (k[:1] != wanted[:1], abs(len(k) - len(wanted)))
    )
    match = difflib.get_close_matches(wanted, likely, n=1, cutoff=0.6)
    names = sorted(known)
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    near = f"did you mean {folded[match[0]]}? " if match else ""
    return f"{near}(known: {listed})" if names else near.strip()


def visible(text: str) -> str:
    """Return the text with invisible and direction-changing characters spelled out."""
    return "".join(
        c if c.isprintable() and unicodedata.category(c) != "Cf" else _spelled(c) for c in text
    )


def _spelled(character: str) -> str:
    return " " if character == "\t" else f"<U+{ord(character):04X}>"


def display_width(text: str) -> int:
    """Return how many terminal cells a text takes: Korean letters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
