"""Rights issues as slow portfolios judge them, from `docs/assumptions.md`, in exact fractions.

They also say how rules see prices over splits and rights issues: in the shares of the first bar,
the latest change taken back first, whole won after a rights issue.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Protocol


class Exchange(Protocol):
    """A split: so many old shares became so many new ones."""

    @property
    def old(self) -> int:
        """Before it."""

    @property
    def new(self) -> int:
        """After it."""


@dataclass(frozen=True)
class Lowered:
    """What a rights issue left of a close, and what it took: the worth of the right of a share."""

    close: int
    base: int
    worth: Fraction

    def seen(self, price: Fraction | int) -> int:
        """Return a price without the right as a whole one with it."""
        return math.floor(Fraction(price) * self.close / self.base + Fraction(1, 2))

    def meant(self, price: float) -> float:
        """Return a price with the right as one without it: whole ones meet."""
        low = bisect_right(range(1 << 30), price, key=self.seen) - 1
        first, then = self.seen(low), self.seen(low + 1)
        return low + (price - first) / (then - first)


@dataclass(frozen=True)
class Rights:
    """Who holds a share before a day may buy `ratio` new ones at a price, and sells that right."""

    symbol: str
    day: date
    ratio: str
    price: int

    @property
    def text(self) -> str:
        """As settings spell it."""
        return f"{self.symbol}@{self.day}={self.ratio}:{self.price}"

    def after(self, close: int) -> Lowered | None:
        """Return what it leaves of a close; None where the right is worth nothing."""
        if close <= self.price:
            return None
        ratio = Fraction(self.ratio)
        left = (close + ratio * self.price) / (1 + ratio)
        worth = Fraction(math.floor((close - left) * 10**6), 10**6)
        return Lowered(close, math.ceil(left), worth)


Change = Exchange | Lowered


def in_first_shares(changes: Sequence[Change], close: int) -> tuple[int, Fraction]:
    """Return a close as it was before all rights issues, and the first shares that it is worth."""
    whole, shares = close, Fraction(1)
    for change in reversed(changes):
        if isinstance(change, Lowered):
            # Reading: a right that lowers no base, being worth less than a won, changes no price.
            if change.base == change.close:
                continue
            whole, shares = change.seen(whole * shares), Fraction(1)
        else:
            shares *= Fraction(change.new, change.old)
    return whole, shares


def in_last_shares(changes: Sequence[Change], price: float) -> float:
    """Return a price that a text works out in its first shares, in those of today."""
    for change in changes:
        if isinstance(change, Lowered):
            price = change.meant(price)
        else:
            price = price * change.old / change.new
    return price
