"""Facts of one step into the journal: stored first, committed once, whatever happens between."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import structlog

from jts_trading.domain.journal_events import DecisionRecorded, IntentRecorded, NoteRecorded
from jts_trading.engine.events import IntentRefused
from jts_trading.engine.halves import account_half, market_half
from jts_trading.engine.outcomes import Outcome
from jts_trading.engine.state import EngineState
from jts_trading.engine.step import step
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import (
    Consumed,
    Fact,
    Journal,
    JournalUnavailableError,
    UncoveredError,
)
from jts_trading.services.trader.calling_back import CallBacks
from jts_trading.services.trader.patience import Patience
from jts_trading.services.trader.settings import TraderSettings
from jts_trading.services.trader.snapshots import (
    AccountFile,
    MarketFile,
    PendingFact,
    Places,
    Snapshots,
)
from jts_trading.telemetry.metrics import Counters, Latency

_log = structlog.get_logger(__name__)


class Keeper:
    """Stores states and commits facts.

    Args:
        snapshots: The files.
        journal: Where facts go.
        clock: Of the instance.
        monotonic_ns: Real time.
        settings: Of the role.
        patience: How long a journal that is away is waited for.
        counters: Of the role.

    Attributes:
        call_backs: Asks for cancels in the same journal.
        past: Number of the newest tick of each feed that was decided on before the start.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        journal: Journal,
        *,
        clock: Clock,
        monotonic_ns: Callable[[], int],
        settings: TraderSettings,
        patience: Patience,
        counters: Counters,
    ) -> None:
        self._snapshots = snapshots
        self._journal = journal
        self._clock = clock
        self._monotonic_ns = monotonic_ns
        self._settings = settings
        self._patience = patience
        self._counters = counters
        self._stored_ns = 0
        self._market_places: Places | None = None
        self.past: Mapping[str, int] = {}
        self.commits = Latency()
        self.call_backs = CallBacks(
            journal, clock=clock, monotonic_ns=monotonic_ns, counters=counters
        )

    async def commit(
        self,
        state: EngineState,
        places: Places,
        facts: Sequence[PendingFact],
        consumed: Consumed | None,
    ) -> None:
        """Commit facts that a state has been changed by; returns when the journal has them.

        An intent that the account does not cover is taken back: its decision says so.
        """
        pending = list(facts)
        while pending:
            await self.store(state, places, pending, consumed)
            began_ns = self._monotonic_ns()
            try:
                await self._record(pending, consumed)
            except UncoveredError as error:
                _log.warning("intent_uncovered", order_id=error.order_id, reason=str(error))
                pending = self._take_back(state, pending, error.order_id)
            except JournalUnavailableError as error:
                await self._patience.wait(str(error))
            else:
                self._patience.answered()
                self.commits.add((self._monotonic_ns() - began_ns) / 1e6)
                return

    async def store(
        self,
        state: EngineState,
        places: Places,
        pending: Sequence[PendingFact] = (),
        consumed: Consumed | None = None,
        *,
        is_whole: bool = False,
    ) -> None:
        """Store the account half, and the market half with it if asked to.

        The files are written in a thread; the state must not change meanwhile.
        """
        accounts = AccountFile(
            ts_ns=self._clock.now_ns(),
            places=dict(places),
            ticks=self._decided(state),
            half=account_half(state),
            pending=list(pending),
            consumed=consumed,
        )
        content = None
        if is_whole:
            market = MarketFile(places=dict(places), half=market_half(state))
            content = msgspec.msgpack.encode(market)
            self._counters.put("snapshot_bytes", len(content))
            self._market_places = dict(places)
            self._stored_ns = self._monotonic_ns()
        await asyncio.to_thread(self._write, content, accounts)
        self._counters.add("snapshots_total")

    async def finish(self, state: EngineState, accounts: AccountFile) -> None:
        """Commit what an earlier process stored and may not have committed.

        Args:
            state: With the account half of that file; its market half is older.
            accounts: The file.
        """
        self.past = accounts.ticks
        pending = list(accounts.pending)
        while pending:
            try:
                await self._record(pending, accounts.consumed)
            except UncoveredError as error:
                pending = self._take_back(state, pending, error.order_id)
                accounts.pending, accounts.half = pending, account_half(state)
                await asyncio.to_thread(self._write, None, accounts)
            except JournalUnavailableError as error:
                await self._patience.wait(str(error))
            else:
                self._patience.answered()
                return

    async def note_begin(self, state: EngineState, names: Iterable[str]) -> None:
        """Record from when on instances decide, for whoever computes their signals again."""
        facts = []
        for name in names:
            instance = state.instances[name]
            body = {
                "release": instance.spec.release,
                "decides_from_ns": instance.decides_from_ns,
                "bars": {symbol: row.bars for symbol, row in instance.symbols.items()},
            }
            note = NoteRecorded(
                topic="trader_began", subject=name, body=msgspec.json.encode(body).decode()
            )
            event_id = f"trader_began/{name}/{instance.decides_from_ns}"
            facts.append(Fact(note, ts_ns=self._clock.now_ns(), event_id=event_id))
        while facts:
            try:
                await self._journal.record_event(facts)
            except JournalUnavailableError as error:
                await self._patience.wait(str(error))
            else:
                self._patience.answered()
                return

    async def store_if_due(self, state: EngineState, places: Places) -> None:
        """Store both halves when their time has come and something has changed.

        Everything that follows from the state must have been published: what does not is worked
        out again from behind the place of the market half only.
        """
        if self._is_due() and places != self._market_places:
            await self.store(state, places, is_whole=True)

    def _decided(self, state: EngineState) -> dict[str, int]:
        """Return up to which tick of each feed the account half knows the consequences."""
        read = {feed: place.last_tick for feed, place in state.feeds.items()}
        known = {**self.past, **read}
        return {feed: max(last, self.past.get(feed, -1)) for feed, last in known.items()}

    def _is_due(self) -> bool:
        return self._monotonic_ns() - self._stored_ns >= self._settings.snapshot_s * 1e9

    def _write(self, market: bytes | None, accounts: AccountFile) -> None:
        # Accounts first: were the market file ahead of them, what was decided between their
        # places would be lost.
        self._snapshots.write_accounts(accounts)
        if market is not None:
            self._snapshots.write_market(market)
        self._snapshots.settle()

    async def _record(self, pending: Sequence[PendingFact], consumed: Consumed | None) -> None:
        now_ns = self._clock.now_ns()
        facts = [
            Fact(
                each.event,
                ts_ns=now_ns,
                correlation_id=each.correlation_id,
                causation_id=each.causation_id,
                event_id=each.event_id,
            )
            for each in pending
        ]
        recorded = await self._journal.record_intent(facts, consumed)
        if any(answer.seq == 0 for answer in recorded):
            # The place was passed before under another numbering of the topic; ids still tell.
            await self._journal.record_intent(facts, None)

    def _take_back(
        self, state: EngineState, pending: Sequence[PendingFact], order_id: str
    ) -> list[PendingFact]:
        kept = []
        refused = next(
            each.event.intent
            for each in pending
            if isinstance(each.event, IntentRecorded) and each.event.intent.order_id == order_id
        )
        step(state, IntentRefused(refused.instance, order_id), self._clock.now_ns())
        self._counters.add("uncovered_intents_total")
        for each in pending:
            event = each.event
            if isinstance(event, IntentRecorded) and event.intent.order_id == order_id:
                continue
            if isinstance(event, DecisionRecorded) and event.decision_id == refused.decision_id:
                changed = msgspec.structs.replace(event, outcome=Outcome.UNCOVERED)
                each = msgspec.structs.replace(each, event=changed)  # noqa: PLW2901
            kept.append(each)
        return kept
