"""One look at the orders of an account: ask the broker, then the journal, decide, commit."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from jts_trading.domain.account_reports import OrderReport
from jts_trading.domain.instruments import Venue
from jts_trading.domain.journal_events import AttemptStarted
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.sessions import local_date
from jts_trading.execution.findings import Known, Look
from jts_trading.execution.reconciling import Reconciliation
from jts_trading.execution.unknown_orders import LOST, Sent
from jts_trading.journal.chain import open_event
from jts_trading.ports.account import Account
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import AccountBooks, Journal
from jts_trading.services.reconciler.alerts import Alerts
from jts_trading.services.reconciler.recording import Recording

_EVENTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look saw.

    Attributes:
        unknown: Orders of which nobody knows whether they are at the venue.
        is_settled: Nothing was on its way, and everything found is in the journal.
        has_news: Something was found.
        figures: What was filled of each order, to tell whether anything changed.
    """

    unknown: int
    is_settled: bool
    has_news: bool
    figures: tuple[tuple[str, str, str], ...]


class OrderLooks:
    """Looks at the orders of one account.

    Args:
        account: Asks the broker.
        journal: What we know.
        clock: Time of the instance.
        boottime_ns: Real time.
        reconciliation: Decides.
        recording: Commits.
        alerts: For people.
        lookback_days: Days before today that the first look covers.
    """

    def __init__(
        self,
        account: Account,
        journal: Journal,
        *,
        clock: Clock,
        boottime_ns: Callable[[], int],
        reconciliation: Reconciliation,
        recording: Recording,
        alerts: Alerts,
        lookback_days: int,
    ) -> None:
        self._account = account
        self._journal = journal
        self._clock = clock
        self._boottime_ns = boottime_ns
        self._reconciliation = reconciliation
        self._recording = recording
        self._alerts = alerts
        self._lookback_days = lookback_days
        self._first_day: date | None = None
        self._sent: dict[tuple[str, int], Sent] = {}

    async def look(self, currency: str) -> Seen:
        """Look once.

        Raises:
            JtsError: The broker or the journal did not answer; look again.
        """
        look = await self._ask(currency)
        ids = [report.venue_order_id for report in look.reports]
        books = await self._journal.account_books(look.broker, look.account, ids)
        known = Known(books.orders, books.fills, await self._sent_of(books.orders))
        outcome = self._reconciliation.decide(look, known)
        for alert in outcome.alerts:
            self._alerts.tell(alert)
        is_committed = True
        for group in outcome.groups:
            if await self._recording.commit(group.order_id, group.findings):
                self._reconciliation.committed(group)
            else:
                is_committed = False
        self._first_day = _first_day(books, self._today(look.now_ns))
        return Seen(
            unknown=outcome.unknown,
            is_settled=outcome.is_settled and is_committed,
            has_news=bool(outcome.groups),
            figures=tuple(map(_figures, look.reports)),
        )

    async def _ask(self, currency: str) -> Look:
        broker, account = self._account.broker, self._account.account
        asked_ns, now_ns = self._boottime_ns(), self._clock.now_ns()
        today = self._today(now_ns)
        if self._first_day is None:
            books = await self._journal.account_books(broker, account)
            # Before the opening balance the past is in it.
            days = self._lookback_days if books.newest_seq else 0
            self._first_day = _first_day(books, today - timedelta(days=days))
        reports = tuple(await self._account.orders(self._first_day, today))
        return Look(
            broker=broker,
            account=account,
            currency=currency,
            reports=reports,
            first_day=self._first_day,
            now_ns=now_ns,
            real_ns=asked_ns,
            answered_ns=self._boottime_ns(),
        )

    def _today(self, now_ns: int) -> date:
        # The date in Korea is never behind that of the UTC venues.
        return local_date(Venue.KRX, now_ns)

    async def _sent_of(self, orders: tuple[OrderRow, ...]) -> dict[str, Sent]:
        """Return what left us of the orders without an answer."""
        found: dict[str, Sent] = {}
        known, self._sent = self._sent, {}
        for order in orders:
            if order.status not in LOST:
                continue
            key = (order.id, order.attempt)
            sent = known.get(key) or await self._attempt_of(order)
            if sent is not None:
                found[order.id] = self._sent[key] = sent
        return found

    async def _attempt_of(self, order: OrderRow) -> Sent | None:
        for stored in reversed(await self._journal.stream(f"order/{order.id}", _EVENTS_MAX)):
            event = open_event(stored)
            if isinstance(event, AttemptStarted) and event.attempt == order.attempt:
                return None if event.quantity is None else Sent(event.quantity, event.price)
        return None


def _first_day(books: AccountBooks, latest: date) -> date:
    """Return the day of the oldest open order, or a later day that is asked for anyway."""
    days = [local_date(order.venue, order.created_ns) for order in books.orders if _is_open(order)]
    return min([latest, *days])


def _is_open(order: OrderRow) -> bool:
    return order.venue_order_id is not None or order.status in LOST


def _figures(report: OrderReport) -> tuple[str, str, str]:
    return report.venue_order_id, str(report.filled_quantity), str(report.filled_amount)
