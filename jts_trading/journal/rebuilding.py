"""Proof that the projections are what the events add up to, byte for byte."""

import hashlib
from dataclasses import dataclass

from jts_trading.journal.books import Books


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The comparison of live rows with rebuilt ones.

    Attributes:
        rows: How many rows the events add up to.
        live_digest: SHA-256 of the live rows.
        rebuilt_digest: SHA-256 of the rebuilt ones.
        difference: The first row that differs, as it is and as it should be; empty if none does.
    """

    rows: int
    live_digest: str
    rebuilt_digest: str
    difference: str = ""

    @property
    def is_identical(self) -> bool:
        """Whether live and rebuilt rows are the same bytes."""
        return self.live_digest == self.rebuilt_digest


def compare(live: Books, rebuilt: Books) -> Rebuilt:
    """Compare two sets of books row by row."""
    found, expected = live.dump(), rebuilt.dump()
    difference = ""
    if found != expected:
        extra = sorted(set(found) - set(expected))
        missing = sorted(set(expected) - set(found))
        is_now = extra[0].decode() if extra else "nothing"
        should = missing[0].decode() if missing else "nothing"
        difference = f"is {is_now}, should be {should}"
    return Rebuilt(len(expected), digest_of(found), digest_of(expected), difference)


def digest_of(rows: list[bytes]) -> str:
    """Return the SHA-256 of dumped rows, each with its length before it."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(len(row).to_bytes(8) + row)
    return digest.hexdigest()
