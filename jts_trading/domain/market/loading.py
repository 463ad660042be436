"""Builds the rule table from CSV text and refuses one that has two answers or none.

Checks: every field parses; every value has the form its key calls for; ladders ascend from 0 and
each tick divides the next; two equally specific rows never overlap in time; a fact that continues
has no hole after `GAPLESS_FROM` (events such as bans and closures may stand alone).
"""

import csv
import io
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import resources
from itertools import pairwise

from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.market.binance import parse_filters
from jts_trading.domain.market.ladder import parse_ladder
from jts_trading.domain.market.table import ANY, Basis, Confidence, Rule, RuleTable

GAPLESS_FROM = date(2010, 10, 4)
LEVERAGE_MULTIPLE = "max(1,abs(leverage))"
CRYPTO_SCALE = 8
# Things that happen on single days or in separate spells: a hole between two of them is normal.
EVENT_KEYS = frozenset({"short_ban", "closed", "exam_day"})


class RuleTableError(RuleMissingError):
    """The rule table itself is wrong; the message names the row and what would be accepted."""


@cache
def default_table() -> RuleTable:
    """Return the table that ships with JTS (`jts_trading/domain/rules.csv`).

    Raises:
        RuleTableError: The table does not pass its checks.
    """
    text = resources.files("jts_trading.domain").joinpath("rules.csv").read_text(encoding="utf-8")
    return load_table(text)


def load_table(text: str) -> RuleTable:
    """Build a table from CSV text with one header line.

    Raises:
        RuleTableError: A row does not parse or the rows contradict each other.
    """
    rules = tuple(
        _parse(row, line) for line, row in enumerate(csv.DictReader(io.StringIO(text)), 2)
    )
    check_rules(rules)
    return RuleTable(rules)


def check_rules(rules: tuple[Rule, ...]) -> None:
    """Check rows against each other.

    Raises:
        RuleTableError: An id is used twice, two rows overlap, or a fact has a hole.
    """
    ids = [rule.rule_id for rule in rules]
    for rule_id in ids:
        if ids.count(rule_id) > 1:
            raise RuleTableError(f"rule id {rule_id} is used twice")
    by_key: dict[str, list[Rule]] = {}
    for rule in rules:
        by_key.setdefault(rule.key, []).append(rule)
    for key, group in by_key.items():
        _check_overlaps(group)
        if key not in EVENT_KEYS:
            _check_holes(group)


def _check_overlaps(group: list[Rule]) -> None:
    for at, first in enumerate(group):
        for second in group[at + 1 :]:
            if first.specificity == second.specificity and _meet(first, second):
                raise RuleTableError(
                    f"{first.rule_id} and {second.rule_id} ({first.key}) overlap and are equally"
                    " specific; accepted: one row in force for each day"
                )


def _meet(first: Rule, second: Rule) -> bool:
    pairs = (
        (first.venue, second.venue),
        (first.market, second.market),
        (first.asset, second.asset),
    )
    if not all(a == b or ANY in (a, b) for a, b in pairs):
        return False
    start = max(first.valid_from or date.min, second.valid_from or date.min)
    return start <= min(first.valid_to or date.max, second.valid_to or date.max)


def _check_holes(group: list[Rule]) -> None:
    by_subject: dict[tuple[str, str, str, str], list[Rule]] = {}
    for rule in group:
        by_subject.setdefault(rule.subject, []).append(rule)
    for rows in by_subject.values():
        rows.sort(key=lambda rule: rule.valid_from or date.min)
        for before, after in pairwise(rows):
            end, start = before.valid_to or date.max, after.valid_from or date.min
            if start > max(GAPLESS_FROM, end + timedelta(days=1)):
                raise RuleTableError(
                    f"no rule for {before.key} of {before.venue} {before.market} between"
                    f" {before.rule_id} (to {end}) and {after.rule_id} (from {start})"
                )


def _parse(row: dict[str, str], line: int) -> Rule:
    try:
        rule = Rule(
            rule_id=row["rule_id"],
            venue=row["venue"],
            market=row["market"],
            asset=row["asset"],
            key=row["key"],
            valid_from=_day(row["valid_from"]),
            valid_to=_day(row["valid_to"]),
            value=row["value"],
            basis=Basis(row["basis"]),
            known_from=_day(row["known_from"]),
            confidence=Confidence(row["confidence"]),
            source=row["source"],
            note=row["note"],
        )
        _check_order(rule)
        _check_value(rule)
    except KeyError as error:
        raise RuleTableError(f"rule table line {line}: column {error} is missing") from error
    except (ValueError, InvalidOperation) as error:
        raise RuleTableError(f"rule table line {line} ({row.get('rule_id')}): {error}") from error
    return rule


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _check_order(rule: Rule) -> None:
    if rule.valid_from and rule.valid_to and rule.valid_from > rule.valid_to:
        raise ValueError(f"valid_from {rule.valid_from} is after valid_to {rule.valid_to}")


def _check_value(rule: Rule) -> None:
    if rule.key in {"tick", "trade_grid_also"}:
        parse_ladder(rule.value, 0 if rule.venue == "KRX" else CRYPTO_SCALE)
        return
    if "phase." in rule.key:
        parse_span(rule.value)
        return
    check = _VALUE_CHECKS.get(rule.key.partition(".")[0])
    if check is not None:
        check(rule.value)


def _fraction(text: str) -> None:
    if not 0 <= Decimal(text) < 1:
        raise ValueError(f"{text} is not a fraction; accepted: 0 to below 1, such as 0.0015")


def _amount(text: str) -> None:
    if not Decimal(text) > 0:
        raise ValueError(f"{text} is not an amount above 0")


def _bounds(text: str) -> None:
    parse_bounds(text)


def _lots(text: str) -> None:
    parse_lots(text)


def _multiple(text: str) -> None:
    if text != LEVERAGE_MULTIPLE:
        raise ValueError(f"{text} is not a known multiple; accepted: {LEVERAGE_MULTIPLE}")


def _filters(text: str) -> None:
    parse_filters(text)


def _named_rates(text: str) -> None:
    parse_named_rates(text)


def parse_bounds(text: str) -> tuple[Decimal, Decimal]:
    """Read `0.6..4.0` as multiples of a price, lower and upper.

    Raises:
        ValueError: The text is no ascending pair.
    """
    low, dots, high = text.partition("..")
    if not dots or not Decimal(low) < Decimal(high):
        raise ValueError(f"{text} is not an ascending pair such as 0.6..4.0")
    return Decimal(low), Decimal(high)


@cache
def parse_lots(text: str) -> tuple[tuple[int, int], ...]:
    """Read `0:10|50000:1` as (lower bound of the base price in KRW, lot in shares).

    Raises:
        ValueError: Bounds do not ascend from 0 or a lot is below 1.
    """
    pairs = [part.partition(":") for part in text.split("|")]
    lots = tuple((int(low), int(lot)) for low, _, lot in pairs)
    lows = [low for low, _ in lots]
    if lows[0] != 0 or lows != sorted(set(lows)) or min(lot for _, lot in lots) < 1:
        raise ValueError(f"{text} is not a list of lots ascending from 0")
    return lots


def parse_named_rates(text: str) -> dict[str, Decimal]:
    """Read `continuous:0.03|closing:0.02` as fractions by name.

    Raises:
        ValueError: A rate is no fraction.
    """
    rates = {}
    for part in text.split("|"):
        name, _, rate = part.partition(":")
        _fraction(rate)
        rates[name] = Decimal(rate)
    return rates


def parse_span(text: str) -> tuple[int, int, int]:
    """Read `16:00-18:00/10min` as (start, end, auction interval) in seconds of the local day.

    The interval is 0 where the text names none.

    Raises:
        ValueError: The span is empty or not written in this way.
    """
    span, _, every = text.partition("/")
    start, dash, end = span.partition("-")
    first, last = _seconds(start), _seconds(end)
    if not dash or not first < last <= 86_400:
        raise ValueError(f"{text} is not a span such as 09:00-15:20")
    return first, last, int(every.removesuffix("min")) * 60 if every else 0


def _seconds(text: str) -> int:
    parts = [int(part) for part in text.split(":")]
    if len(parts) not in (2, 3):
        raise ValueError(f"{text} is not a time such as 09:00 or 09:00:30")
    hours, minutes, seconds = (*parts, 0)[:3]
    return hours * 3600 + minutes * 60 + seconds


_VALUE_CHECKS: dict[str, Callable[[str], None]] = {
    "limit_rate": _fraction,
    "single_price_limit": _fraction,
    "limit_multiple": _multiple,
    "listing_day_auction": _bounds,
    "listing_day_limit": _bounds,
    "lot": _lots,
    "stt": _fraction,
    "rst": _fraction,
    "fee": _fraction,
    "fee_default": _fraction,
    "fee_bnb_discount": _fraction,
    "commission": _fraction,
    "vi_static": _fraction,
    "vi_dynamic": _named_rates,
    "min_total": _amount,
    "max_total": _amount,
    "settlement_sessions": _amount,
    "filters": _filters,
}
