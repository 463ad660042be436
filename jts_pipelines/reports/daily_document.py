"""The daily report as one document for scripts, from which the page is drawn too. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from jts_pipelines.reports.amounts import trimmed
from jts_pipelines.reports.daily_account import DayAccount, Point, Position, Trip, fills_of_day
from jts_pipelines.reports.daily_checks import Statement, statements
from jts_pipelines.reports.daily_records import DayRecords, Fill, Gap, Note, Order

VERSION = 1
SENT_NOTE = "order_sent"


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """From the frame that led to an order to its bytes on the wire, real milliseconds.

    Attributes:
        n: Orders that a frame led to and that were sent; those that the clock caused do not count.
        p50_ms: Median by nearest rank; None without any.
        p99_ms: Likewise.
        samples_ms: Each of them, ascending.
    """

    n: int
    p50_ms: float | None = None
    p99_ms: float | None = None
    samples_ms: tuple[float, ...] = ()


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """Amounts of the day in the currency of the account.

    Attributes:
        result: Gain of equity less what was put in: after fees and tax.
        realised: Of what was closed, before fees and tax.
        unrealised: Value of the positions at the end less their cost.
        moved: Put in less taken out.
        turnover: Gross value of all fills.
        cash: At the end.
        at_cost: Positions at cost at the end.
    """

    opening_equity: Decimal
    closing_equity: Decimal
    result: Decimal
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    tax: Decimal
    moved: Decimal
    turnover: Decimal
    cash: Decimal
    at_cost: Decimal


class DailyReport(msgspec.Struct, frozen=True, kw_only=True):
    """An account's day.

    Attributes:
        day: In Korea.
        is_balanced: Every statement holds.
        by_status: Orders by status.
        denials: Refused orders by check.
        signals: Rules that fired, by strategy instance.
        decisions: Judged bars of which something came, by outcome.
        win_rate: Share of the round trips that ended with a gain; None without any.
        names: What people call the instruments, by id.
    """

    version: int = VERSION
    broker: str
    account: str
    currency: str
    day: date
    is_balanced: bool
    statements: tuple[Statement, ...]
    money: Money
    by_status: dict[str, int]
    denials: dict[str, int]
    signals: dict[str, int]
    decisions: dict[str, int]
    win_rate: float | None
    latency: Latency
    releases: tuple[str, ...]
    positions: tuple[Position, ...]
    trips: tuple[Trip, ...]
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    gaps: tuple[Gap, ...]
    names: dict[str, str]
    equity: tuple[Point, ...]

    def group(self, name: str) -> tuple[Statement, ...]:
        """Return the statements of one check."""
        return tuple(each for each in self.statements if each.group == name)


def report_of(records: DayRecords, day: DayAccount) -> DailyReport:
    """Return the report of an account's day."""
    said = statements(records, day)
    own = {order.order_id for order in records.orders}
    notes = [note for note in records.notes if note.subject in own]
    concerned = {order.instrument_id for order in records.orders}
    concerned |= {position.instrument_id for position in day.positions}
    return DailyReport(
        broker=records.account.broker,
        account=records.account.account,
        currency=records.account.currency,
        day=records.span.day,
        is_balanced=all(each.holds for each in said),
        statements=said,
        money=_money(day),
        by_status=dict(sorted(Counter(order.status for order in records.orders).items())),
        denials=denials(records.orders, records.denied),
        signals=dict(records.signals),
        decisions=dict(records.decisions),
        win_rate=day.win_rate,
        latency=latency(notes),
        releases=tuple(sorted({order.release for order in records.orders if order.release})),
        positions=day.positions,
        trips=day.trips,
        orders=tuple(records.orders),
        fills=tuple(fills_of_day(records)),
        gaps=tuple(records.gaps),
        names={each: records.names.get(each, "") for each in sorted(concerned)},
        equity=day.curve,
    )


def denials(orders: Iterable[Order], denied: Mapping[str, str]) -> dict[str, int]:
    """Count the orders that risk refused, by the check that did."""
    found = Counter(
        denied.get(order.order_id) or "unnamed" for order in orders if order.status == "denied"
    )
    return dict(sorted(found.items()))


def latency(notes: Iterable[Note]) -> Latency:
    """Return how long orders took from their frame to the wire, from the notes of the sender."""
    return latency_of_samples(
        float(value)
        for note in notes
        if note.topic == SENT_NOTE and (value := _field(note.body, "latency_ms"))
    )


def latency_of_samples(samples_ms: Iterable[float]) -> Latency:
    """Return median and 99 % of some latencies, by nearest rank."""
    taken = sorted(samples_ms)
    if not taken:
        return Latency(n=0)
    return Latency(
        n=len(taken),
        p50_ms=_rank(taken, 0.50),
        p99_ms=_rank(taken, 0.99),
        samples_ms=tuple(round(each, 3) for each in taken),
    )


def _rank(ascending: Sequence[float], share: float) -> float:
    return round(ascending[max(math.ceil(share * len(ascending)), 1) - 1], 3)


def _field(body: str, name: str) -> str:
    """Return a field of a note as text; empty where it has none."""
    found: Mapping[str, object] = msgspec.json.decode(body)
    value = found.get(name) if isinstance(found, dict) else None
    return "" if value is None else str(value)


def _money(day: DayAccount) -> Money:
    amounts = {
        "opening_equity": day.opening_equity,
        "closing_equity": day.closing_equity,
        "result": day.result,
        "realised": day.realised,
        "unrealised": day.unrealised,
        "fees": day.fees,
        "tax": day.tax,
        "moved": day.moved,
        "turnover": day.turnover,
        "cash": day.closing.cash,
        "at_cost": day.closing.at_cost,
    }
    return Money(**{name: trimmed(each) for name, each in amounts.items()})
