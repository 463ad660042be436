"""Each account once a second: prices of what it holds, its equity, its reconciliation."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from jts_trading.domain.feed_messages import ReconciledNote
from jts_trading.domain.sessions import local_date
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput
from jts_trading.guards.kill_switch import KillLevel, KillSwitch
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Journal, JournalUnavailableError
from jts_trading.ports.sender import Sender
from jts_trading.services.executor.alerts import Alerts
from jts_trading.services.executor.equity import Books, EquityBook, TrackNote
from jts_trading.services.executor.inputs import InputsWatch
from jts_trading.services.executor.prices import SharedNotes
from jts_trading.telemetry.metrics import Counters

_EVERY_S = 1.0
_NS_PER_S = 1_000_000_000
_log = structlog.get_logger(__name__)


class AccountWatch:
    """Watches the accounts of all senders.

    Args:
        senders: Whose accounts.
        journal: Their books.
        notes: Prices and reconciliations.
        inputs: Limits and strategy instances.
        equity: Tracks that losses are measured from.
        kill_switch: Latched when the drawdown limit is reached.
        alerts: Tells people.
        clock: Instance time.
        boottime_ns: Reads the boot clock.
        counters: Metrics of the role.
    """

    def __init__(
        self,
        senders: Sequence[Sender],
        *,
        journal: Journal,
        notes: SharedNotes,
        inputs: InputsWatch,
        equity: EquityBook,
        kill_switch: KillSwitch,
        alerts: Alerts,
        clock: Clock,
        boottime_ns: Callable[[], int],
        counters: Counters,
    ) -> None:
        self._senders = senders
        self._journal = journal
        self._notes = notes
        self._inputs = inputs
        self._equity = equity
        self._kill_switch = kill_switch
        self._alerts = alerts
        self._clock = clock
        self._boottime_ns = boottime_ns
        self._counters = counters
        self._reconciled: dict[tuple[str, str], ReconciledNote] = {}
        self._cleared: set[tuple[str, str]] = set()

    def is_cleared(self, broker: str, account: str) -> bool:
        """Return whether the account has been reconciled since this process began to watch.

        Nothing but exits leaves before: what an earlier life did has to be known first.
        """
        return (broker, account) in self._cleared

    def troubles(self) -> tuple[str, ...]:
        """Return which accounts are not reconciled, or not lately."""
        found = []
        for sender in self._senders:
            name = (sender.broker, sender.account)
            if not self._inputs.of_account(*name):
                # Nobody trades in it, so nobody reconciles it either.
                continue
            if name not in self._cleared:
                found.append(f"{'/'.join(name)} is not reconciled yet")
            elif not self._is_fresh(self._reconciled.get(name)):
                found.append(f"{'/'.join(name)} was not reconciled lately")
        return tuple(found)

    async def watch(self) -> None:
        """Watch until cancelled."""
        while True:
            for sender in self._senders:
                try:
                    await self.look(sender.broker, sender.account)
                except JournalUnavailableError as error:
                    _log.info("account_not_seen", broker=sender.broker, error=str(error))
            await asyncio.sleep(_EVERY_S)

    async def look(self, broker: str, account: str) -> None:
        """Look at one account.

        Raises:
            JournalUnavailableError: The journal did not answer.
        """
        note = await self._notes.reconciled(broker, account)
        if note is not None:
            self._reconciled[broker, account] = note
            if self._is_fresh(note):
                self._cleared.add((broker, account))
        books = await self._journal.account_books(broker, account)
        strategies = self._inputs.of_account(broker, account)
        currencies = {row.currency for row in books.balances if row.currency}
        wanted = [name for each in strategies for name in each.instrument_ids]
        wanted += [row.instrument_id for row in books.balances if row.instrument_id]
        await self._notes.look(dict.fromkeys(wanted))
        limits = self._inputs.limits
        venue = _venue_of(strategies)
        if limits is None or venue is None:
            return
        for currency in sorted(currencies):
            self._follow(
                f"{broker}/{account}/{currency}", Books(books.balances, currency), limits, venue
            )

    def _follow(self, subject: str, books: Books, limits: RiskLimits, venue: str) -> None:
        now_ns = self._clock.now_ns()
        found = self._equity.follow(
            subject,
            books,
            self._notes.marks(),
            limits,
            day=local_date(venue, now_ns),
            now_ns=now_ns,
        )
        if found is None:
            return
        self._counters.put("equity", float(found.track.equity), account=subject)
        self._counters.put("day_start_equity", float(found.track.day_start), account=subject)
        if found.is_day_stopped:
            text = f"lost {found.track.day_start - found.track.equity} today: entries stop"
            self._alerts.say("critical", "R06", subject, text)
        self._watch_drawdown(subject, found, limits)

    def _watch_drawdown(self, subject: str, found: TrackNote, limits: RiskLimits) -> None:
        track = found.track
        limit = limits.drawdown_max * track.peak
        if not track.peak > 0 or track.peak - track.equity < limit:
            return
        why = f"R07: {subject} is {track.peak - track.equity} below its peak of {track.peak}"
        self._alerts.say("critical", "R07", subject, why)
        if self._kill_switch.level() is KillLevel.NONE:
            self._kill_switch.latch(KillLevel.ENTRIES, who="executor", why=why)

    def _is_fresh(self, note: ReconciledNote | None) -> bool:
        limits = self._inputs.limits or RiskLimits()
        if note is None:
            return False
        age_ns = abs(self._boottime_ns() - note.real_ns)
        return age_ns <= limits.reconciled_age_s_max * _NS_PER_S


def _venue_of(strategies: Sequence[StrategyInput]) -> str | None:
    """Return whose trading days an account follows: those of what trades in it."""
    return strategies[0].venue if strategies else None
