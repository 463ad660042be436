"""The dated rule table: one row is one fact with its validity, looked up by one function.

Backtest, paper, simulator and live risk checks read the same table, so that a rule exists once.
The most specific row wins (a named venue, market or asset beats `*`); a day, market or asset that
no row covers is an error, never the nearest row. Which date selects a row is part of the row: the
trade date (`Basis.TRADE`) or the settlement date (`Basis.SETTLE`, the securities transaction tax),
and a lookup says which one it passes.

The table holds no clock and reads no file; `loading` builds it from text and checks it.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date, timedelta
from enum import StrEnum

from jts_trading.domain.errors import RuleMissingError

ANY = "*"


class Basis(StrEnum):
    """Which date of a trade selects a row."""

    TRADE = "trade"
    SETTLE = "settle"


class Confidence(StrEnum):
    """How well a fact is known; `UNCERTAIN` ones are shown to a person and never decide alone."""

    SOURCED = "S"
    VERIFIED = "V"
    UNCERTAIN = "?"


@dataclass(frozen=True, slots=True)
class Rule:
    """One fact with its validity, both dates inclusive; None is open.

    Attributes:
        value: Exact text: a ladder, a fraction, a clock span, a list; the key says which.
        known_from: The day it was published; None when unknown, then taken as `valid_from`.
        source: Marks of `RULES.md` beside the table.
    """

    rule_id: str
    venue: str
    market: str
    asset: str
    key: str
    valid_from: date | None
    valid_to: date | None
    value: str
    basis: Basis
    known_from: date | None
    confidence: Confidence
    source: str
    note: str

    @property
    def subject(self) -> tuple[str, str, str, str]:
        """What the row is about: key, venue, market, asset."""
        return (self.key, self.venue, self.market, self.asset)

    @property
    def specificity(self) -> int:
        """How many of venue, market and asset are named."""
        return sum(field != ANY for field in (self.venue, self.market, self.asset))

    def covers(self, day: date) -> bool:
        """Return whether the row is in force on a day."""
        return self.starts_by(day) and (self.valid_to is None or day <= self.valid_to)

    def starts_by(self, day: date) -> bool:
        """Return whether the row had begun on a day."""
        return self.valid_from is None or self.valid_from <= day

    def applies_to(self, venue: str, market: str, asset: str) -> bool:
        """Return whether the row speaks of this venue, market and asset."""
        return (
            self.venue in (ANY, venue)
            and self.market in (ANY, market)
            and self.asset in (ANY, asset)
        )

    def is_known_on(self, day: date) -> bool:
        """Return whether the row had been published by a day."""
        published = self.known_from or self.valid_from
        return published is None or published <= day


FOUND_MAX = 65_536
_Question = tuple[str, date, str, str, str]
"""Key, day, venue, market, asset."""


class RuleTable:
    """An immutable set of checked rules; answers are remembered, up to `FOUND_MAX`.

    Args:
        rules: Rows that `loading.check_rules` has passed.
        known_on: Knowledge date: rows published later do not exist, and the row that such a
            row replaces goes on. None knows everything.
    """

    def __init__(self, rules: Iterable[Rule], known_on: date | None = None) -> None:
        self.known_on = known_on
        self.rules = tuple(rules) if known_on is None else _as_known(tuple(rules), known_on)
        self._found: dict[_Question, Rule | None] = {}
        self._by_key: dict[str, list[Rule]] = {}
        for rule in self.rules:
            self._by_key.setdefault(rule.key, []).append(rule)

    def find(
        self,
        key: str,
        day: date,
        *,
        venue: str,
        market: str = ANY,
        asset: str = ANY,
        basis: Basis = Basis.TRADE,
    ) -> Rule | None:
        """Return the most specific row in force, or None.

        A venue may take over rules of another (`inherits`: Nextrade uses the ladder of KRX).

        Raises:
            ValueError: The row is selected by the other kind of date.
        """
        question = (key, day, venue, market, asset)
        try:
            best = self._found[question]
        except KeyError:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            best = self._found[question] = self._best(*question)
        if best is not None and best.basis is not basis:
            raise ValueError(f"{best.rule_id} ({key}) is selected by the {best.basis} date")
        return best

    def _best(self, key: str, day: date, venue: str, market: str, asset: str) -> Rule | None:
        found = [
            rule
            for rule in self._by_key.get(key, ())
            if rule.covers(day) and rule.applies_to(venue, market, asset)
        ]
        if found:
            return max(found, key=lambda rule: rule.specificity)
        parent = self._parent(key, day, venue) if key != "inherits" else None
        return None if parent is None else self._best(key, day, parent, market, asset)

    def require(
        self,
        key: str,
        day: date,
        *,
        venue: str,
        market: str = ANY,
        asset: str = ANY,
        basis: Basis = Basis.TRADE,
    ) -> Rule:
        """Return the most specific row in force.

        Raises:
            RuleMissingError: No row covers the question.
            ValueError: The row is selected by the other kind of date.
        """
        rule = self.find(key, day, venue=venue, market=market, asset=asset, basis=basis)
        if rule is None:
            raise RuleMissingError(
                f"no rule for {key} of {venue} {market} {asset} on {day}"
                f" (the table knows it {self._known(key, venue, market, asset)})"
            )
        return rule

    def _known(self, key: str, venue: str, market: str, asset: str) -> str:
        """Return for when the table has a rule, or for what, where it never has one."""
        rules = self._by_key.get(key, ())
        fitting = [rule for rule in rules if rule.applies_to(venue, market, asset)]
        if not fitting:
            known = ", ".join(sorted({f"{rule.venue}/{rule.market}" for rule in rules}))
            return f"for: {known or 'nothing'}"
        starts = [rule.valid_from for rule in fitting if rule.valid_from is not None]
        ends = [rule.valid_to for rule in fitting if rule.valid_to is not None]
        first = f"from {min(starts)}" if len(starts) == len(fitting) else ""
        last = f"to {max(ends)}" if len(ends) == len(fitting) else ""
        return f"{first} {last}".strip() or "with gaps"

    def in_force(self, prefix: str, day: date, venue: str) -> tuple[Rule, ...]:
        """Return the rows of exactly this venue whose key starts with a prefix, by rule id."""
        return tuple(
            rule
            for key, rules in self._by_key.items()
            if key.startswith(prefix)
            for rule in rules
            if rule.venue == venue and rule.covers(day)
        )

    def all_of(self, key: str) -> tuple[Rule, ...]:
        """Return every row of a key, in file order."""
        return tuple(self._by_key.get(key, ()))

    def uncertain(self) -> tuple[Rule, ...]:
        """Return the rows that conflict or lack a source, for the operator to see."""
        return tuple(r for r in self.rules if r.confidence is Confidence.UNCERTAIN)

    def as_known_on(self, day: date) -> "RuleTable":
        """Return the table as it could be known on a day."""
        return RuleTable(self.rules, day)

    @property
    def digest(self) -> str:
        """SHA-256 over every field of every row: goes into results and certificates."""
        lines = sorted(
            "\x1f".join(_text(rule, f.name) for f in fields(Rule)) for rule in self.rules
        )
        return hashlib.sha256("\x1e".join(lines).encode()).hexdigest()

    def _parent(self, key: str, day: date, venue: str) -> str | None:
        rule = self.find("inherits", day, venue=venue)
        if rule is None:
            return None
        parent, _, keys = rule.value.partition(":")
        return parent if key in keys.split("|") else None


def _text(rule: Rule, name: str) -> str:
    value = getattr(rule, name)
    return "" if value is None else str(value)


def _as_known(rules: tuple[Rule, ...], known_on: date) -> tuple[Rule, ...]:
    """Drop what was not published yet and reopen the rows that it would have ended."""
    known = [rule for rule in rules if rule.is_known_on(known_on)]
    unknown_starts = {
        (rule.subject, rule.valid_from) for rule in rules if not rule.is_known_on(known_on)
    }
    return tuple(
        _reopened(rule)
        if rule.valid_to is not None
        and (rule.subject, rule.valid_to + timedelta(days=1)) in unknown_starts
        else rule
        for rule in known
    )


def _reopened(rule: Rule) -> Rule:
    values = {f.name: getattr(rule, f.name) for f in fields(Rule)}
    return Rule(**{**values, "valid_to": None})
