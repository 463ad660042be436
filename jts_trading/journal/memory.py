"""The journal in memory: the same commits as in PostgreSQL, for simulation and tests."""

import asyncio
from collections.abc import Callable, Sequence

from jts_trading.domain.journal_events import (
    AttemptStarted,
    DecisionRecorded,
    IntentRecorded,
    OrderAdopted,
    SignalRecorded,
)
from jts_trading.domain.ledger_rows import BalanceRow, FillRow, LedgerRow, OrderRow
from jts_trading.domain.orders import TERMINAL
from jts_trading.journal.books import Books, fold
from jts_trading.journal.chain import Head, Verdict, head_of, open_event, verify_rows
from jts_trading.journal.rebuilding import Rebuilt, compare
from jts_trading.journal.writing import Desk, write_all
from jts_trading.ports.journal import (
    AccountBooks,
    AccountDesk,
    Consumed,
    Fact,
    FencedError,
    Lease,
    OutboxMessage,
    Publish,
    Recorded,
    StoredEvent,
    require_kind,
)


class MemoryStore:
    """What several writers of one process share, as they would a database.

    Args:
        boottime_ns: Real time that leases are measured with.
    """

    def __init__(self, boottime_ns: Callable[[], int]) -> None:
        self.boottime_ns = boottime_ns
        self.books = Books()
        self.events: list[StoredEvent] = []
        self.known: dict[str, int] = {}
        self.heads: dict[str, Head] = {}
        self.newest_seq = 0
        self.major_ms = 0
        self.outbox: dict[int, tuple[OutboxMessage, bool]] = {}
        self.leases: dict[str, tuple[Lease, int]] = {}
        self.is_publishing = asyncio.Lock()
        self.news = asyncio.Event()


class MemoryJournal:
    """One writer's journal in memory.

    Args:
        store: What it writes to.
        writer: Name of its chain.
    """

    def __init__(self, store: MemoryStore, writer: str) -> None:
        self._store = store
        self._writer = writer

    async def record_intent(
        self, facts: Sequence[Fact], consumed: Consumed | None = None
    ) -> list[Recorded]:
        """Commit intents and what led to them; see `ports.journal.Journal`."""
        require_kind(facts, IntentRecorded, DecisionRecorded, SignalRecorded)
        return self._commit(facts, consumed)

    async def record_attempt(self, fact: Fact, notes: Sequence[Fact] = ()) -> Recorded:
        """Commit an attempt; see `ports.journal.Journal`."""
        require_kind([fact], AttemptStarted)
        return self._commit([*notes, fact], None)[-1]

    async def record_event(
        self, facts: Sequence[Fact], consumed: Consumed | None = None
    ) -> list[Recorded]:
        """Commit facts; see `ports.journal.Journal`."""
        return self._commit(facts, consumed)

    async def load_open(self) -> list[OrderRow]:
        """Return every order that has not ended; see `ports.journal.Journal`."""
        found = [row for row in self._store.books.rows(OrderRow) if row.status not in TERMINAL]
        return sorted(found, key=lambda row: row.intent_seq)

    async def find_order(
        self,
        *,
        order_id: str | None = None,
        client_order_id: str | None = None,
        venue_order_id: tuple[str, str, str] | None = None,
    ) -> OrderRow | None:
        """Return an order by one of its ids; see `ports.journal.Journal`."""
        found = [
            row
            for row in self._store.books.rows(OrderRow)
            if row.id == order_id
            or (client_order_id is not None and row.client_order_id == client_order_id)
            or (row.broker, row.account, row.venue_order_id) == venue_order_id
        ]
        return max(found, key=lambda row: row.intent_seq, default=None)

    async def ledger(self) -> list[BalanceRow]:
        """Return all balances; see `ports.journal.Journal`."""
        return self._store.books.rows(BalanceRow)

    async def account_books(
        self, broker: str, account: str, venue_order_ids: Sequence[str] = ()
    ) -> AccountBooks:
        """Return what is known of an account; see `ports.journal.Journal`."""
        books, owner = self._store.books, (broker, account)
        orders = [
            row
            for row in books.rows(OrderRow)
            if (row.broker, row.account) == owner
            and (row.status not in TERMINAL or row.venue_order_id in venue_order_ids)
        ]
        named = {row.id for row in orders}
        lines = [row for row in books.rows(LedgerRow) if (row.broker, row.account) == owner]
        return AccountBooks(
            orders=tuple(sorted(orders, key=lambda row: row.intent_seq)),
            fills=tuple(
                sorted(
                    (row for row in books.rows(FillRow) if row.order_id in named),
                    key=lambda row: row.seq,
                )
            ),
            balances=tuple(
                row for row in books.rows(BalanceRow) if (row.broker, row.account) == owner
            ),
            newest_seq=max((row.seq for row in lines), default=0),
        )

    async def account_desk(self, broker: str, account: str) -> AccountDesk:
        """Return what the sender needs; see `ports.journal.Journal`."""
        found = await self.account_books(broker, account)
        wishes = {}
        for row in found.orders:
            first = open_event(self._store.events[row.intent_seq - 1])
            if isinstance(first, IntentRecorded | OrderAdopted):
                wishes[row.id] = first
        return AccountDesk(orders=found.orders, wishes=wishes, balances=found.balances)

    async def events(self, after_seq: int, limit: int) -> list[StoredEvent]:
        """Return events in order; see `ports.journal.Journal`."""
        return self._store.events[after_seq : after_seq + limit]

    async def stream(self, name: str, newest: int = 1_000) -> list[StoredEvent]:
        """Return the newest events about one thing; see `ports.journal.Journal`."""
        return [row for row in self._store.events if row.stream == name][-newest:]

    async def verify(self) -> Verdict:
        """Check every chain from its first row."""
        return verify_rows(self._store.events, self._store.heads, self._store.newest_seq)

    async def rebuild(self, *, replace_rows: bool = False) -> Rebuilt:
        """Fold all events again and compare with the live rows, or put them in their place."""
        books = fold(self._store.events)
        outcome = compare(self._store.books, books)
        if replace_rows:
            self._store.books = books
        return outcome

    def _commit(self, facts: Sequence[Fact], consumed: Consumed | None) -> list[Recorded]:
        # No await in here: the commit is as undivided as one in a database.
        store = self._store
        desk = Desk(
            writer=self._writer,
            seq=len(store.events),
            major_ms=store.major_ms,
            head=store.heads.get(self._writer, Head()),
            books=store.books,
            known=store.known,
        )
        try:
            answers, written = write_all(desk, facts, consumed)
            for fact, answer in zip(facts, answers, strict=True):
                if answer.is_new and isinstance(fact.event, AttemptStarted):
                    self._require_lease(fact.event)
        except Exception:
            store.books.roll_back()
            raise
        for row in written:
            store.events.append(row.stored)
            store.newest_seq = row.stored.seq
            store.known[row.stored.event_id] = row.stored.seq
            store.heads[self._writer] = head_of(row.stored)
            if row.message is not None:
                store.outbox[row.stored.seq] = (row.message, False)
            store.news.set()
        store.books.keep()
        store.major_ms = desk.major_ms
        return answers

    def _require_lease(self, event: AttemptStarted) -> None:
        held = self._store.leases.get(event.lease)
        now_ns = self._store.boottime_ns()
        if held is None or held[0].token != event.token or held[1] <= now_ns:
            raise FencedError(f"lease {event.lease} is not held under token {event.token}")


class MemoryOutbox:
    """The outbox in memory.

    Args:
        store: Where it is.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def publish_pending(self, publish: Publish, limit: int) -> int:
        """Publish what is committed; see `ports.journal.Outbox`."""
        if self._store.is_publishing.locked():
            return 0
        async with self._store.is_publishing:
            waiting = [
                seq for seq, (_, is_out) in sorted(self._store.outbox.items()) if not is_out
            ]
            for seq in waiting[:limit]:
                message, _ = self._store.outbox[seq]
                await publish(message)
                self._store.outbox[seq] = (message, True)
            return len(waiting[:limit])

    async def wait(self, seconds: float) -> bool:
        """Wait for a commit; see `ports.journal.Outbox`."""
        try:
            async with asyncio.timeout(seconds):
                await self._store.news.wait()
        except TimeoutError:
            return False
        self._store.news.clear()
        return True

    async def newest_published(self) -> dict[str, OutboxMessage]:
        """Return the newest published message of each topic."""
        rows = sorted(self._store.outbox.items())
        return {message.topic: message for _, (message, is_out) in rows if is_out}

    async def reopen(self, topic: str, after_seq: int) -> int:
        """Mark messages unpublished; see `ports.journal.Outbox`."""
        lost = [
            seq
            for seq, (message, is_out) in self._store.outbox.items()
            if is_out and message.topic == topic and seq > after_seq
        ]
        for seq in lost:
            self._store.outbox[seq] = (self._store.outbox[seq][0], False)
        return len(lost)

    async def prune(self, before_ms: int) -> int:
        """Forget what was published long ago; see `ports.journal.Outbox`."""
        outbox = self._store.outbox
        old = [seq for seq, (row, is_out) in outbox.items() if is_out and row.major_ms < before_ms]
        for seq in old:
            del outbox[seq]
        return len(old)


class MemoryLeases:
    """Leases in memory.

    Args:
        store: Where they are noted.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def acquire_lease(
        self, name: str, holder: str, seconds: float, *, is_successor: bool = False
    ) -> Lease | None:
        """Take a lease; see `ports.journal.Leases`."""
        now_ns = self._store.boottime_ns()
        held = self._store.leases.get(name)
        is_inherited = held is not None and is_successor and held[0].holder == holder
        if held is not None and held[1] > now_ns and not is_inherited:
            return None
        token = held[0].token + 1 if held else 1
        lease = Lease(name, holder, token, seconds)
        self._store.leases[name] = (lease, now_ns + int(seconds * 1e9))
        return lease

    async def renew_lease(self, lease: Lease) -> bool:
        """Prolong a lease; see `ports.journal.Leases`."""
        now_ns = self._store.boottime_ns()
        held = self._store.leases.get(lease.name)
        if held is None or held[0].token != lease.token or held[1] <= now_ns:
            return False
        self._store.leases[lease.name] = (lease, now_ns + int(lease.seconds * 1e9))
        return True

    async def release_lease(self, lease: Lease) -> None:
        """Give a lease back; see `ports.journal.Leases`."""
        held = self._store.leases.get(lease.name)
        if held is not None and held[0].token == lease.token:
            self._store.leases[lease.name] = (held[0], 0)
