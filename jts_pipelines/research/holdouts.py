"""Hold-outs: slices of data that nobody looks at until somebody opens them, by name.

Theory of operation. A hold-out is a venue and a period. While it is locked, no backtest, sweep or
walk-forward runs over a session of it. Who opens it gives a name and a reason, once; it stays
open and can never be locked again, because what was seen cannot be unseen. Both are entries of the
chain `<home>/research/holdouts.jsonl`; each trial that reaches into an opened one says so in the
ledger of trials.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import msgspec

from jts_pipelines.research.chain import ChainFile
from storage.errors import InputError, StorageError

FILE = Path("research/holdouts.jsonl")
"""Where an instance keeps its hold-outs, below its root."""


class HoldoutLockedError(InputError):
    """A run would see a locked hold-out."""


class Locked(msgspec.Struct, frozen=True, kw_only=True):
    """A slice was set aside."""

    name: str
    venue: str
    from_day: date
    to_day: date
    by: str
    reason: str


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody opened a hold-out."""

    name: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Holdout:
    """A hold-out as it stands.

    Attributes:
        locked_at_ns: UTC ns.
        opened: Who opened it and why; None while it is locked.
        opened_at_ns: UTC ns; 0 while it is locked.
    """

    slice: Locked
    locked_at_ns: int
    opened: Opened | None = None
    opened_at_ns: int = 0

    @property
    def name(self) -> str:
        """Its name."""
        return self.slice.name

    def reaches(self, venue: str, from_day: date, to_day: date) -> bool:
        """Return whether a period of a venue has a day of it."""
        own = self.slice
        return own.venue == venue and own.from_day <= to_day and from_day <= own.to_day


class Holdouts:
    """The hold-outs of an instance.

    Args:
        path: The file, usually `<home>/research/holdouts.jsonl`.
    """

    def __init__(self, path: Path) -> None:
        self._chain = ChainFile(path)

    def all(self) -> list[Holdout]:
        """Return every hold-out, in the order in which they were locked.

        Raises:
            StorageError: The chain is broken.
        """
        found: dict[str, Holdout] = {}
        for entry in self._chain.entries():
            try:
                if entry.kind == "locked":
                    made = msgspec.json.decode(entry.payload, type=Locked)
                    found[made.name] = Holdout(made, entry.at_ns)
                else:
                    opened = msgspec.json.decode(entry.payload, type=Opened)
                    before = found[opened.name]
                    found[opened.name] = Holdout(
                        before.slice, before.locked_at_ns, opened, entry.at_ns
                    )
            except (msgspec.MsgspecError, KeyError) as error:
                raise StorageError(f"entry {entry.seq} is no hold-out: {error}") from error
        return list(found.values())

    def lock(self, asked: Locked, at_ns: int) -> Holdout:
        """Set a slice aside.

        Raises:
            InputError: The name is taken, the period is empty, or nobody or no reason is named.
            StorageError: The file is damaged or cannot be written.
        """
        if asked.to_day < asked.from_day:
            raise InputError(f"the hold-out ends on {asked.to_day}, before {asked.from_day}")
        _require_words(asked.name, asked.by, asked.reason)
        if any(known.name == asked.name for known in self.all()):
            raise InputError(f"there is a hold-out {asked.name!r} already; choose another name")
        self._chain.append([("locked", asked)], at_ns)
        return Holdout(asked, at_ns)

    def open(self, name: str, *, by: str, reason: str, at_ns: int) -> Holdout:
        """Open a hold-out for good.

        Raises:
            InputError: There is none of this name, it is open, or nobody or no reason is named.
            StorageError: The file is damaged or cannot be written.
        """
        known = {holdout.name: holdout for holdout in self.all()}
        if name not in known:
            accepted = ", ".join(known) or "none is locked"
            raise InputError(f"no hold-out {name!r}; known: {accepted}")
        found = known[name]
        if found.opened is not None:
            raise InputError(f"hold-out {name!r} was opened by {found.opened.by} already")
        _require_words(name, by, reason)
        opened = Opened(name=name, by=by, reason=reason)
        self._chain.append([("opened", opened)], at_ns)
        return Holdout(found.slice, found.locked_at_ns, opened, at_ns)

    def require_open(self, venue: str, from_day: date, to_day: date) -> tuple[str, ...]:
        """Refuse a run that would see a locked hold-out; return the opened ones that it sees.

        Raises:
            HoldoutLockedError: Names the hold-out, the days that are free, and how to open it.
            StorageError: The chain is broken.
        """
        reached = [h for h in self.all() if h.reaches(venue, from_day, to_day)]
        for holdout in reached:
            if holdout.opened is None:
                raise HoldoutLockedError(_refusal(holdout, from_day))
        return tuple(holdout.name for holdout in reached)


def _refusal(holdout: Holdout, from_day: date) -> str:
    own = holdout.slice
    last_free = own.from_day - timedelta(days=1)
    way = f"end the run with --to {last_free}" if last_free >= from_day else "choose other days"
    return (
        f"{own.venue} {own.from_day} to {own.to_day} is held out as {own.name!r} by {own.by} "
        f"({own.reason}); {way}, or open it for good: "
        f"jts holdout open {own.name} --by WHO --reason WHY"
    )


def _require_words(name: str, by: str, reason: str) -> None:
    for label, text in (("name", name), ("by", by), ("reason", reason)):
        if not text.strip() or "\n" in text or len(text) > 200:
            raise InputError(f"{label} is {text[:40]!r}; accepted: one line of 1 to 200 letters")
