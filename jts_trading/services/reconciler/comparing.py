"""Money and positions: the broker's against ours, the opening, and what instances are given."""

from collections.abc import Awaitable, Callable
from enum import StrEnum

from jts_trading.domain.account_reports import BalanceReport
from jts_trading.domain.feed_messages import RiskAlert
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.orders import TERMINAL
from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.execution.allocating import allocate, foreign_currencies
from jts_trading.execution.differences import (
    ADOPTED,
    OPENING,
    Books,
    Difference,
    DifferenceWatch,
    adopt,
    compare,
)
from jts_trading.execution.reconciling import CHECK, Severity
from jts_trading.ports.account import Account
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import AccountBooks, Journal
from jts_trading.services.reconciler.alerts import Alerts
from jts_trading.services.reconciler.looking import Seen
from jts_trading.services.reconciler.recording import Recording
from jts_trading.services.reconciler.tally import Tally


class Verdict(StrEnum):
    """What a comparison says."""

    EQUAL = "equal"
    # A fill was on its way: nothing can be said now.
    MOVING = "moving"
    DIFFERENT = "different"
    ADOPTED = "adopted"


class Comparison:
    """Compares one account.

    Args:
        account: Asks the broker.
        journal: What we know.
        clock: Dates alerts.
        recording: Commits.
        alerts: For people.
        tally: Of the account.

    Attributes:
        difference: What the broker had more than our books when they were compared last.
    """

    def __init__(
        self,
        account: Account,
        journal: Journal,
        *,
        clock: Clock,
        recording: Recording,
        alerts: Alerts,
        tally: Tally,
    ) -> None:
        self.difference: Difference | None = None
        self._account = account
        self._journal = journal
        self._clock = clock
        self._recording = recording
        self._alerts = alerts
        self._tally = tally
        self._watch = DifferenceWatch()

    @property
    def halted(self) -> tuple[str, ...]:
        """Instruments in which the broker and our books disagree."""
        found = self.difference
        return () if found is None else tuple(name for name, _ in found.positions)

    async def compare(
        self, currency: str, before: Seen, look: Callable[[], Awaitable[Seen]]
    ) -> Verdict:
        """Compare once.

        Args:
            currency: Of the account.
            before: The look at the orders that precedes it.
            look: Looks at the orders again.

        Raises:
            JtsError: The broker or the journal did not answer; compare again.
        """
        report = await self._account.balance()
        books = await self._books(currency)
        difference = compare(books.balances, report, currency)
        if not difference:
            self.difference = difference
            self._watch.note(difference, books.newest_seq)
            return Verdict.EQUAL
        again = await look()
        is_quiet = before.is_settled and again.is_settled and not again.has_news
        if not is_quiet or before.figures != again.figures:
            return Verdict.MOVING
        if not books.newest_seq:
            return await self._open(books, report, difference)
        self.difference = difference
        if not self._watch.note(difference, books.newest_seq):
            return Verdict.DIFFERENT
        return await self._adopt(books, report, difference)

    async def allocate(self, currency: str, inputs: TradingInputs) -> None:
        """Move cash between `external` and the instances as the inputs want it.

        Raises:
            JournalUnavailableError: The journal did not answer; ask again.
        """
        known = await self._known()
        books = self._as_books(known, currency)
        busy = frozenset(order.instance for order in known.orders if _is_open(order))
        allocation = allocate(books, inputs, busy)
        findings = [finding for move in allocation.moves for finding in move]
        if findings and await self._recording.commit(self._name(), findings):
            self._tally.count("allocations_total", len(allocation.moves))
        for text in (*allocation.short, *foreign_currencies(books, inputs)):
            self._tell("warning", text)

    async def _open(self, books: Books, report: BalanceReport, found: Difference) -> Verdict:
        findings = adopt(books, report, OPENING)
        if not await self._recording.commit(self._name(), findings):
            return Verdict.MOVING
        self._tell("info", f"the account begins with {found}")
        return Verdict.ADOPTED

    async def _adopt(self, books: Books, report: BalanceReport, found: Difference) -> Verdict:
        self._tally.count("reconcile_mismatch")
        severity: Severity = "critical" if found.positions else "warning"
        self._tell(
            severity,
            f"the broker differs from our books twice in a row: {found}; adopted as external",
        )
        if await self._recording.commit(self._name(), adopt(books, report, ADOPTED)):
            return Verdict.ADOPTED
        return Verdict.DIFFERENT

    async def _known(self) -> AccountBooks:
        return await self._journal.account_books(self._account.broker, self._account.account)

    async def _books(self, currency: str) -> Books:
        return self._as_books(await self._known(), currency)

    def _as_books(self, known: AccountBooks, currency: str) -> Books:
        return Books(
            broker=self._account.broker,
            account=self._account.account,
            currency=currency,
            balances=known.balances,
            newest_seq=known.newest_seq,
        )

    def _tell(self, severity: Severity, text: str) -> None:
        self._alerts.tell(
            RiskAlert(
                severity=severity,
                check=CHECK,
                subject=self._name(),
                text=text,
                ts_ns=self._clock.now_ns(),
            )
        )

    def _name(self) -> str:
        return f"{self._account.broker}/{self._account.account}"


def _is_open(order: OrderRow) -> bool:
    return order.status not in TERMINAL
