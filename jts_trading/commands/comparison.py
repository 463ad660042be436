"""Comparing an account with the journal without changing either: what a reconciler would find."""

from dataclasses import dataclass
from datetime import date, timedelta

import msgspec

from jts_trading.domain.instruments import Venue
from jts_trading.domain.sessions import local_date
from jts_trading.execution.differences import Difference, compare
from jts_trading.execution.fill_costs import CostRules
from jts_trading.execution.findings import Finding, Known, Look
from jts_trading.execution.reconciling import Reconciliation, ReconcilingRules
from jts_trading.execution.unknown_orders import NS_PER_S, Window
from jts_trading.ports.account import Account
from jts_trading.ports.clock import Clock, boottime_ns
from jts_trading.ports.journal import Journal

_LOOKBACK_DAYS = 4
_WINDOW_NS = 60 * NS_PER_S


class ShownFinding(msgspec.Struct, frozen=True, kw_only=True):
    """What a reconciler would record.

    Attributes:
        event: Such as order_filled.
        text: Its content, without the order.
    """

    order_id: str
    event: str
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One account against the journal.

    Attributes:
        difference: What the broker has more than our books.
    """

    difference: Difference
    unknown_orders: int
    findings: tuple[ShownFinding, ...]


async def compare_account(
    account: Account, journal: Journal, clock: Clock, costs: CostRules
) -> Comparison:
    """Ask the broker once and say what differs.

    Raises:
        JtsError: The broker or the journal did not answer.
    """
    currency = (await account.profile()).currency
    now_ns, real_ns = clock.now_ns(), boottime_ns()
    today = local_date(Venue.KRX, now_ns)
    first = today - timedelta(days=_LOOKBACK_DAYS)
    reports = tuple(await account.orders(first, today))
    balance = await account.balance()
    ids = [report.venue_order_id for report in reports]
    books = await journal.account_books(account.broker, account.account, ids)
    look = Look(
        broker=account.broker,
        account=account.account,
        currency=currency,
        reports=reports,
        first_day=first,
        now_ns=now_ns,
        real_ns=real_ns,
        answered_ns=boottime_ns(),
    )
    # Patient with nothing: this one look has to say all there is.
    rules = ReconcilingRules(
        costs=costs,
        closes_ns=_never,
        window=Window(_WINDOW_NS, _WINDOW_NS),
        hint_wait_s=0.0,
        sending_grace_s=0.0,
    )
    outcome = Reconciliation(rules).decide(look, Known(books.orders, books.fills))
    found = [
        _shown(group.order_id, finding) for group in outcome.groups for finding in group.findings
    ]
    return Comparison(
        difference=compare(books.balances, balance, currency),
        unknown_orders=outcome.unknown,
        findings=tuple(found),
    )


def _never(venue: str, day: date) -> None:
    """An order that is shown as open is open: this command ends nothing."""
    del venue, day


def _shown(order_id: str, finding: Finding) -> ShownFinding:
    fields = msgspec.to_builtins(finding.event)
    kind = fields.pop("type", type(finding.event).__name__)
    parts = fields.pop("intent", {}) | fields
    shown = {name: value for name, value in parts.items() if value not in {None, "", "0", 0}}
    shown.pop("order_id", None)
    text = ", ".join(f"{name} {value}" for name, value in shown.items())
    return ShownFinding(order_id=order_id, event=str(kind), text=text)
