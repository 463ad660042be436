"""What reconciliation reads and what it finds: values that pass between its rooms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from jts_trading.domain.account_reports import OrderReport
from jts_trading.domain.feed_messages import RiskAlert
from jts_trading.domain.journal_events import JournalEvent
from jts_trading.domain.ledger_rows import FillRow, OrderRow
from jts_trading.execution.fill_hints import Part
from jts_trading.execution.unknown_orders import Sent

EXTERNAL = "external"
"""The instance that owns what no strategy of ours ordered."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact for the journal.

    Attributes:
        event_id: Made from what is found, so that finding it again is recognised; empty where the
            event itself says it, as an acknowledgement does.
    """

    event: JournalEvent
    event_id: str
    correlation_id: str
    causation_id: str


@dataclass(frozen=True, slots=True)
class Look:
    """One complete answer of a broker about the orders of an account.

    Attributes:
        currency: Of the account.
        first_day: Orders from this day on are in it.
        now_ns: Instance time at which it was asked for, UTC ns.
        real_ns: The same by the boot clock.
        answered_ns: When the answer had come, by the boot clock.
    """

    broker: str
    account: str
    currency: str
    reports: tuple[OrderReport, ...]
    first_day: date
    now_ns: int
    real_ns: int
    answered_ns: int


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal knows, read after the answer of the broker.

    Attributes:
        orders: Open ones of the account and those that the answer names.
        fills: Of these orders.
        sent: What left us under the newest attempt, by order id; for orders without an answer.
    """

    orders: tuple[OrderRow, ...]
    fills: tuple[FillRow, ...] = ()
    sent: Mapping[str, Sent] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Findings about one order, to be committed together.

    Attributes:
        report: Where they come from; None when an order is missing in the answer.
        parts: Fills among them.
    """

    order_id: str
    findings: tuple[Finding, ...]
    report: OrderReport | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one look led to.

    Attributes:
        unknown: Orders of which nobody knows whether they are at the venue.
        is_settled: Nothing is on its way: what the broker holds can be compared with our books.
    """

    groups: tuple[Group, ...]
    alerts: tuple[RiskAlert, ...]
    unknown: int
    is_settled: bool
