"""The keeper of the right to send stops before a successor can begin."""

import asyncio

from jts_trading.journal.lease import LEASE_S, STOP_S, LeaseKeeper
from jts_trading.journal.memory import MemoryLeases, MemoryStore
from jts_trading.ports.journal import JournalUnavailableError, Lease

S = 10**9


class Boot:
    """A boot clock that the test moves."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        """Read it."""
        return self.now_ns


class DeafLeases(MemoryLeases):
    """Leases that stop answering."""

    is_deaf = False

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.was_acquired = asyncio.Event()

    async def acquire_lease(
        self, name: str, holder: str, seconds: float, *, is_successor: bool = False
    ) -> Lease | None:
        """Tell that somebody took it."""
        self.was_acquired.set()
        return await super().acquire_lease(name, holder, seconds, is_successor=is_successor)

    async def renew_lease(self, lease: Lease) -> bool:
        """Renew, or not answer."""
        if self.is_deaf:
            raise JournalUnavailableError("journal: gone")
        return await super().renew_lease(lease)


def test_f07_keepers_when_two_start_then_one_holds_and_the_other_waits() -> None:
    """The second gets the lease as soon as the first gives it back, under a higher token."""

    async def play() -> None:
        boot = Boot()
        leases = MemoryLeases(MemoryStore(boot))
        first = LeaseKeeper(leases, "acc", "one", boot)
        second = LeaseKeeper(leases, "acc", "two", boot)

        assert await first.renew()
        assert not await second.renew()
        assert second.token is None
        old = first.token
        await first.give_back()
        assert first.token is None
        assert await second.renew()
        assert old is not None
        assert second.token is not None
        assert second.token > old

    asyncio.run(play())


def test_f06_keeper_when_it_was_asleep_then_it_has_stopped_before_the_next_begins() -> None:
    """At no instant may two send; the paused one stops first and finds the lease gone."""

    async def play() -> None:
        boot = Boot()
        leases = MemoryLeases(MemoryStore(boot))
        sleeper = LeaseKeeper(leases, "acc", "one", boot)
        heir = LeaseKeeper(leases, "acc", "two", boot)
        await sleeper.renew()
        stopped_ns = began_ns = None
        for tenth in range(1, 200):
            boot.now_ns = tenth * S // 10
            if stopped_ns is None and sleeper.token is None:
                stopped_ns = boot.now_ns
            if began_ns is None and await heir.renew():
                began_ns = boot.now_ns
            assert sleeper.token is None or heir.token is None

        assert stopped_ns == STOP_S * S
        assert began_ns == LEASE_S * S
        assert not await sleeper.renew()

    asyncio.run(play())


def test_f08_keeper_when_the_journal_is_deaf_then_it_stops_after_six_seconds() -> None:
    """Without an answer the last renewal counts, and no more; afterwards it comes back."""

    async def play() -> None:
        boot = Boot()
        leases = DeafLeases(MemoryStore(boot))
        keeper = LeaseKeeper(leases, "acc", "one", boot)
        await keeper.renew()
        leases.is_deaf = True
        boot.now_ns = int(STOP_S * S) - 1
        assert await keeper.renew()
        assert keeper.left_ns() == 1
        boot.now_ns += 1
        assert not await keeper.renew()
        leases.is_deaf = False
        assert await keeper.renew()

    asyncio.run(play())


def test_keeper_when_cancelled_then_the_lease_is_free_at_once() -> None:
    """A clean stop leaves nothing to wait for."""

    async def play() -> None:
        boot = Boot()
        leases = DeafLeases(MemoryStore(boot))
        keeper = LeaseKeeper(leases, "acc", "one", boot)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(keeper.keep())
            await leases.was_acquired.wait()
            task.cancel()

        assert await LeaseKeeper(leases, "acc", "two", boot).renew()

    asyncio.run(play())
