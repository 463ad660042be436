"""The reconciler over memory: what wakes it, what it says, and what it never does on one read."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from jts_trading.brokers.kis.errors import DecodeError, VenueBusyError
from jts_trading.bus.memory import MemoryBus
from jts_trading.bus.memory_state import MemoryState
from jts_trading.domain.account_reports import BalanceReport, HeldPosition, OrderReport
from jts_trading.domain.feed_messages import GapSeen, NoticesCollected, ReconciledNote, RiskAlert
from jts_trading.domain.ledger_rows import LedgerAccount
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.messages import MESSAGES, OrderChanged
from jts_trading.domain.orders import OrderState
from jts_trading.domain.trading_inputs import StrategyInput, TradingInputs
from jts_trading.execution.fill_costs import CostRules
from jts_trading.journal.memory import MemoryJournal, MemoryStore
from jts_trading.ports.account import AccountProfile, RateLimitStatus
from jts_trading.ports.bus import Envelope
from jts_trading.ports.clock import VirtualClock
from jts_trading.ports.state import Kind
from jts_trading.services.reconciler.closing import day_close_ns
from jts_trading.services.reconciler.role import Reconciler
from jts_trading.services.reconciler.settings import ReconcilerSettings

START_NS = int(datetime(2024, 6, 3, 0, 30, tzinfo=UTC).timestamp()) * 10**9
LABEL = '{account="a1",broker="kis"}'
# Nothing happens by the clock within a test: what happens was asked for.
PATIENT = ReconcilerSettings(
    orders_every_s=60,
    balance_every_s=60,
    gap_s=0.0,
    recheck_s=0.01,
    retry_s=0.01,
    retry_s_max=0.02,
    alert_again_s=60,
)


class FakeAccount:
    """A broker that says what it is told to say."""

    broker = "kis"

    def __init__(self, account: str = "a1", cash: int = 1_000) -> None:
        self.account = account
        self.cash = cash
        self.held: dict[str, int] = {}
        self.wrong: list[dict[str, int]] = []
        self.reports: tuple[OrderReport, ...] = ()
        self.failures: list[Exception] = []
        self.spans: list[tuple[date, date]] = []
        self.balances = 0

    async def orders(self, first: date, last: date) -> tuple[OrderReport, ...]:
        """Every order; or the next failure."""
        if self.failures:
            raise self.failures.pop(0)
        self.spans.append((first, last))
        return self.reports

    async def balance(self) -> BalanceReport:
        """Money and positions; wrong ones first, once each."""
        self.balances += 1
        held = self.wrong.pop(0) if self.wrong else self.held
        money = Decimal(self.cash)
        return BalanceReport(
            broker=self.broker,
            account=self.account,
            ts_recv_ns=0,
            settled_cash=money,
            next_day_cash=money,
            cash=money,
            costs_today=Decimal(0),
            positions=tuple(
                HeldPosition(
                    instrument_id=name,
                    quantity=Decimal(quantity),
                    sellable=Decimal(quantity),
                    cost=Decimal(100 * quantity),
                    last=Decimal(100),
                )
                for name, quantity in sorted(held.items())
            ),
        )

    async def profile(self) -> AccountProfile:
        """A paper account in won."""
        return AccountProfile(
            broker=self.broker, account=self.account, environment="paper", currency="KRW"
        )

    async def rate_limits(self) -> tuple[RateLimitStatus, ...]:
        """None."""
        return ()


class Bench:
    """A reconciler over memory."""

    def __init__(self, *accounts: FakeAccount, **changes: Any) -> None:
        self.accounts = accounts or (FakeAccount(),)
        self.store = MemoryStore(time.monotonic_ns)
        self.bus = MemoryBus(time.time_ns)
        self.state = MemoryState(time.monotonic_ns)
        self.journal = MemoryJournal(self.store, "test")
        self.clock = VirtualClock(START_NS)
        self.changes = changes
        self.role = self.new_role()
        self.count = 0

    def new_role(self) -> Reconciler:
        """Another process of the role."""
        given: dict[str, Any] = {
            "accounts": self.accounts,
            "journal": MemoryJournal(self.store, "reconciler"),
            "bus": self.bus,
            "state": self.state,
            "clock": self.clock,
            "boottime_ns": time.monotonic_ns,
            "costs": CostRules(default_table()),
            "settings": PATIENT,
        }
        return Reconciler(**(given | self.changes))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the role for the time of a block."""
        task = asyncio.ensure_future(self.role.run())
        try:
            yield
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def say(self, topic: str, message: Any) -> None:
        """Publish a message."""
        self.count += 1
        kind, version = MESSAGES.identify(message)
        name = f"m{self.count}"
        envelope = Envelope(
            type=kind,
            version=version,
            id=name,
            correlation_id=name,
            causation_id=name,
            source="test",
            ts_event_ns=START_NS,
            ts_recv_ns=START_NS,
            payload=msgspec.msgpack.encode(message),
        )
        await self.bus.publish(topic, envelope)

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(5):
            while not predicate():  # noqa: ASYNC110 - the world under test has no event
                await asyncio.sleep(0.002)

    def metric(self, name: str) -> float:
        """A metric of the first account."""
        return self.role.metrics().get(name + LABEL, 0.0)

    async def note(self, name: str = "kis/a1") -> ReconciledNote:
        """What others see of an account."""
        content = await self.state.get(Kind.RECONCILED, name)
        assert content is not None
        return msgspec.msgpack.decode(content, type=ReconciledNote)

    async def alerts(self) -> list[RiskAlert]:
        """What people were told."""
        entries, _ = await self.bus.read({"risk.alerts": "0-0"}, count=100, wait_ms=0)
        return [MESSAGES.decode("risk_alert", 1, entry.envelope.payload) for entry in entries]  # type: ignore[misc]

    async def is_told(self, text: str) -> bool:
        """Wait until people were told something."""
        async with asyncio.timeout(5):
            while not any(text in each.text for each in await self.alerts()):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        return True


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario."""
    asyncio.run(scenario())  # type: ignore[arg-type]


def test_positions_when_wrong_once_then_nothing_is_booked() -> None:
    """F37: the broker shows an empty account for one read; nobody acts on it."""

    async def scenario() -> None:
        account = FakeAccount()
        account.held = {"KRX:005930": 7}
        bench = Bench(account)
        async with bench.running():
            await bench.until(lambda: bench.role.readiness() == ())
            events = len(bench.store.events)
            account.wrong = [{}]
            asked = account.balances
            await bench.say("orders.notices", _ask())
            await bench.until(lambda: account.balances >= asked + 2)
            await bench.until(lambda: bench.metric("halted_instruments") == 0)
            assert len(bench.store.events) == events
            assert bench.metric("reconcile_mismatch") == 0
            assert (await bench.note()).halted == ()

    run(scenario)


def test_difference_when_first_seen_then_the_instrument_is_halted_for_others() -> None:
    """I11: until it is explained or adopted, whoever reads the note refuses entries there."""

    async def scenario() -> None:
        account = FakeAccount()
        bench = Bench(account, settings=msgspec.structs.replace(PATIENT, recheck_s=0.3))
        async with bench.running():
            await bench.until(lambda: bench.role.readiness() == ())
            account.held = {"KRX:005930": 7}
            await bench.say("orders.notices", _ask())
            await bench.until(lambda: bench.metric("halted_instruments") == 1)
            await bench.until(lambda: bench.metric("comparisons_different_total") == 1)
            assert (await bench.note()).halted == ("KRX:005930",)
            await bench.until(lambda: bench.metric("reconcile_mismatch") == 1)
            await bench.until(lambda: bench.metric("halted_instruments") == 0)
            held = [
                (row.instance, row.quantity)
                for row in await bench.journal.ledger()
                if row.ledger is LedgerAccount.POSITION
            ]
            assert held == [("external", 7)]
            assert (await bench.alerts())[-1].severity == "critical"

    run(scenario)


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("orders.notices", NoticesCollected(broker="kis", account="a1", notices=())),
        (
            "market-data.gaps",
            GapSeen(feed="kis-1", instrument_id="", kind="disconnected", start_ns=1, end_ns=2),
        ),
        (
            "orders.executions",
            OrderChanged(
                order_id="o",
                broker="kis",
                account="a1",
                instance="i",
                instrument_id="KRX:005930",
                event="order_lost",
                state=OrderState.UNKNOWN,
                quantity=Decimal(1),
                filled=Decimal(0),
                seq=1,
            ),
        ),
    ],
)
def test_news_when_it_concerns_an_account_then_wakes_its_watch(topic: str, message: Any) -> None:
    """P06: a notice, a reconnected feed and a lost answer are looked into at once."""

    async def scenario() -> None:
        account = FakeAccount()
        bench = Bench(account)
        async with bench.running():
            await bench.until(lambda: bench.role.readiness() == ())
            looks = len(account.spans)
            await bench.say(topic, message)
            await bench.until(lambda: len(account.spans) > looks)

    run(scenario)


def test_news_when_about_others_then_nobody_is_asked() -> None:
    """Another account's notices, another broker's gap, an open gap and a fill wake nobody."""

    async def scenario() -> None:
        account = FakeAccount()
        bench = Bench(account)
        async with bench.running():
            await bench.until(lambda: bench.role.readiness() == ())
            looks = len(account.spans)
            gap = GapSeen(
                feed="binance-1", instrument_id="", kind="disconnected", start_ns=1, end_ns=2
            )
            await bench.say(
                "orders.notices", NoticesCollected(broker="kis", account="b", notices=())
            )
            await bench.say("market-data.gaps", gap)
            await bench.say(
                "market-data.gaps", msgspec.structs.replace(gap, feed="kis-1", end_ns=0)
            )
            await asyncio.sleep(0.05)
            assert len(account.spans) == looks

    run(scenario)


def test_notices_when_a_look_has_begun_later_and_ended_then_are_acknowledged() -> None:
    """A successor hears again what no look has taken into account."""

    async def scenario() -> None:
        account = FakeAccount()
        bench = Bench(account)
        async with bench.running():
            await bench.until(lambda: bench.role.readiness() == ())
            account.failures = [VenueBusyError("busy")] * 5
            await bench.say("orders.notices", _ask())
            await bench.until(lambda: bench.metric("reconcile_failures_total") >= 1)
            await bench.until(lambda: not account.failures)

            def pending() -> int:
                return len(bench.bus._group("orders.notices", "reconciler").pending)

            await bench.until(lambda: pending() == 0)

    run(scenario)


@pytest.mark.parametrize("error", [VenueBusyError("busy"), DecodeError("json", "<html>")])
def test_broker_when_it_fails_then_the_reason_shows_and_others_go_on(error: Exception) -> None:
    """One broker's trouble is neither the role's end nor the other account's."""

    async def scenario() -> None:
        broken, well = FakeAccount("a1"), FakeAccount("a2")
        broken.failures = [error] * 1_000
        bench = Bench(broken, well)
        async with bench.running():
            await bench.until(lambda: len(bench.role.readiness()) == 1)
            await bench.until(lambda: bench.role.readiness()[0] == f"kis/a1: {error}")
            await bench.note("kis/a2")
            broken.failures.clear()
            await bench.until(lambda: bench.role.readiness() == ())

    run(scenario)


def test_inputs_when_they_name_other_accounts_then_those_are_told_of_and_ours_rest() -> None:
    """An account that nobody trades in is not asked about before the inputs name it."""

    async def scenario() -> None:
        bench = Bench(inputs=_inputs("elsewhere"))
        async with bench.running():
            await bench.until(lambda: bench.role.readiness() == ())
            assert await bench.is_told("does not watch")
            assert bench.accounts[0].spans == []
            later = msgspec.structs.replace(_inputs("a1"), version=2)
            await bench.say("trading.inputs", later)
            await bench.until(lambda: len(bench.accounts[0].spans) > 0)
            await bench.until(lambda: bench.role.readiness() == ())
            await bench.note()

    run(scenario)


def test_allocation_when_the_account_is_short_then_says_so_until_cash_comes() -> None:
    """Nothing moves in part; a deposit later is dealt without a restart."""

    async def scenario() -> None:
        account = FakeAccount(cash=1_000)
        bench = Bench(account, inputs=_inputs("a1", 5_000))
        async with bench.running():
            await bench.until(lambda: bench.role.readiness() == ())
            assert await bench.is_told("external has 1000")
            account.cash = 6_000
            await bench.say("orders.notices", _ask())
            await bench.until(lambda: bench.metric("allocations_total") == 1)
            cash = {
                row.instance: int(row.amount)
                for row in await bench.journal.ledger()
                if row.ledger is LedgerAccount.CASH
            }
            assert cash == {"external": 1_000, "sma": 5_000}

    run(scenario)


def test_start_when_books_are_there_then_looks_some_days_back() -> None:
    """What happened while nobody looked is found; before the opening nothing was ours."""

    async def scenario() -> None:
        account = FakeAccount()
        bench = Bench(account)
        async with bench.running():
            await bench.until(lambda: bench.role.readiness() == ())
        assert account.spans[0] == (date(2024, 6, 3), date(2024, 6, 3))
        account.spans.clear()
        bench.role = bench.new_role()
        async with bench.running():
            await bench.until(lambda: bench.role.readiness() == ())
        assert account.spans[0] == (date(2024, 5, 30), date(2024, 6, 3))

    run(scenario)


def test_age_when_too_old_then_the_role_is_not_ready() -> None:
    """R17 looks at the age; so does whoever asks the role."""

    async def scenario() -> None:
        bench = Bench(settings=msgspec.structs.replace(PATIENT, stale_after_s=0.0))
        async with bench.running():
            await bench.until(lambda: bench.metric("looks_total") >= 1)
            await bench.until(lambda: "s ago" in bench.role.readiness()[0])
            assert bench.metric("reconcile_success_age_seconds") > 0

    run(scenario)


def test_close_when_asked_then_is_that_of_the_venue() -> None:
    """Regular orders of KRX end at half past three, those of Nextrade in the evening."""
    midnight = int(datetime(2025, 6, 2, tzinfo=UTC).timestamp()) * 10**9
    hour = 3600 * 10**9
    session = date(2025, 6, 2)

    assert day_close_ns("KRX", session, 0) == midnight + int(6.5 * hour)
    assert day_close_ns("NXT", session, 7) == midnight + 11 * hour + 7
    assert day_close_ns("BINANCE", session, 0) is None
    sunday = date(2025, 6, 1)
    assert day_close_ns("KRX", sunday, 0) == midnight - 9 * hour


def _ask() -> NoticesCollected:
    return NoticesCollected(broker="kis", account="a1", notices=())


def _inputs(account: str, allocation: int = 1) -> TradingInputs:
    only = StrategyInput(
        instance="sma",
        strategy_id="",
        release="",
        dsl_code="",
        broker="kis",
        account=account,
        venue="KRX",
        interval="1m",
        instrument_ids=(),
        allocation=Decimal(allocation),
        currency="KRW",
    )
    return TradingInputs(version=1, created_ns=0, source="test", instances=(only,))
