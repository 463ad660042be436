"""The executor's promises over memory stores: each order leaves at most once, or not at all."""

import asyncio
import os
import signal
import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from jts_trading.domain.errors import TransientError, UnknownOutcome
from jts_trading.domain.journal_events import OrderAcknowledged
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.orders import OrderState
from jts_trading.domain.trading_inputs import RiskLimits
from jts_trading.execution.cancels import ask
from jts_trading.guards.kill_switch import KillLevel, KillSwitch
from jts_trading.journal.memory import MemoryJournal
from jts_trading.ports.bus import Envelope
from jts_trading.ports.journal import Fact, JournalUnavailableError, Lease
from jts_trading.ports.sender import Refused
from jts_trading.ports.state import StateUnavailableError

S = 10**9


def play(world: Any, scenario: Any) -> None:
    """Run a scenario with an open account."""

    async def run() -> None:
        await world.open_account()
        await scenario()

    asyncio.run(run())


def test_intent_when_all_is_well_then_it_is_sent_once_with_verdict_and_latency(
    world: Any,
) -> None:
    """INTENT to OPEN; the verdict stands before the attempt, the note beside the answer."""

    async def scenario() -> None:
        async with world.running() as executor:
            order_id = await world.want()
            row = await world.until(order_id, OrderState.OPEN)
            await world.eventually(lambda: executor.readiness() == ())
        (final,) = world.sender.orders
        assert (final.order_id, final.quantity, final.attempt) == (order_id, 10, 1)
        assert row.client_order_id == final.client_order_id
        events = await world.journal.events(0, 100)
        kinds = [event.type for event in events if order_id in event.payload.decode()]
        assert kinds == [
            "intent_recorded",
            "note_recorded",
            "attempt_started",
            "order_acknowledged",
            "note_recorded",
        ]
        assert {event.correlation_id for event in events if "order/" in event.stream} == {
            "kis-1:1"
        }
        (verdict,) = await world.notes("risk_verdict")
        assert (verdict["is_allowed"], verdict["payload_hash"]) == (True, final.payload_hash)
        (sent,) = await world.notes("order_sent")
        assert sent["outcome"] == "acknowledged"
        assert 0 < sent["latency_ms"] < 5_000
        metrics = executor.metrics()
        assert metrics["order_latency_count"] == metrics["journal_commit_count"] == 1
        assert metrics['orders_sent_total{outcome="acknowledged"}'] == 1

    play(world, scenario)


def test_intent_when_risk_denies_then_nothing_leaves_and_the_verdict_says_why(
    world: Any,
) -> None:
    """DENIED with the check; every figure is journalled."""

    async def scenario() -> None:
        world.set_inputs(order_value_max={"KRW": Decimal(1)})
        async with world.running() as executor:
            row = await world.until(await world.want(), OrderState.DENIED)
        assert row.reason.startswith("R01: value 700000 KRW is above 1")
        assert world.sender.orders == []
        (verdict,) = await world.notes("risk_verdict")
        assert (verdict["is_allowed"], verdict["check"]) == (False, "R01")
        assert executor.metrics()['risk_denied_total{check="R01"}'] == 1

    play(world, scenario)


def test_inputs_when_changed_then_taken_over_without_a_restart(world: Any) -> None:
    """The newest limits judge the next order."""

    async def scenario() -> None:
        async with world.running() as executor:
            await world.until(await world.want(1), OrderState.OPEN)
            world.set_inputs(order_value_max={"KRW": Decimal(1)})
            await world.eventually(
                lambda: executor.metrics()["trading_inputs_version"] == world.version
            )
            await world.until(await world.want(2), OrderState.DENIED)

    play(world, scenario)


def test_inputs_when_there_are_none_then_everything_is_denied(world: Any) -> None:
    """No limits, no orders."""

    async def scenario() -> None:
        (world.home / "trading" / "inputs.json").unlink()
        await world.hold(10)
        async with world.running() as executor:
            row = await world.until(await world.leave(), OrderState.DENIED)
            assert row.reason.startswith("limits")
            assert "no trading inputs yet" in executor.readiness()

    play(world, scenario)


def test_i03_answer_when_lost_then_unknown_and_never_sent_again(world: Any) -> None:
    """The executor does not touch an UNKNOWN order; the reservation stays."""

    async def scenario() -> None:
        world.sender.answers = [UnknownOutcome("no answer")]
        async with world.running() as executor:
            order_id = await world.want()
            await world.until(order_id, OrderState.UNKNOWN)
            await asyncio.sleep(0.1)
            assert len(world.sender.orders) == 1
            await world.eventually(lambda: executor.metrics()["unknown_orders"] == 1)
        async with world.running():
            await asyncio.sleep(0.1)
        assert len(world.sender.orders) == 1
        assert (await world.row(order_id)).status is OrderState.UNKNOWN

    play(world, scenario)


def test_answer_when_the_sender_breaks_then_the_order_is_in_doubt(world: Any) -> None:
    """An error that nobody planned for may have come after the bytes."""

    async def scenario() -> None:
        world.sender.answers = [ValueError("bug")]
        async with world.running():
            row = await world.until(await world.want(), OrderState.UNKNOWN)
        assert "ValueError: bug" in row.reason

    play(world, scenario)


def test_answer_when_nothing_was_done_then_a_new_attempt_with_a_new_id(world: Any) -> None:
    """A proven refusal to take it allows another attempt, a bounded number of times."""

    async def scenario() -> None:
        world.sender.answers = [TransientError("busy")]
        async with world.running():
            order_id = await world.want()
            row = await world.until(order_id, OrderState.OPEN)
            assert row.attempt == 2
            names = {order.client_order_id for order in world.sender.orders}
            assert len(names) == 2
            world.sender.answers = [TransientError("busy") for _ in range(9)]
            row = await world.until(await world.want(2), OrderState.EXPIRED)
        assert "did not take it in 5 attempts" in row.reason

    play(world, scenario)


def test_answer_when_refused_then_rejected_with_the_venues_words(world: Any) -> None:
    """A documented code ends the order, and counts for R10."""

    async def scenario() -> None:
        world.set_inputs(rejects_per_minute=2)
        world.sender.answers = [Refused(code="40250000", reason="no cash")] * 2
        async with world.running():
            for number in (1, 2):
                row = await world.until(await world.want(number), OrderState.REJECTED)
                assert row.reason == "40250000: no cash"
            row = await world.until(await world.want(3), OrderState.DENIED)
        assert row.reason.startswith("R10")
        async with world.running():
            row = await world.until(await world.want(4), OrderState.DENIED)
        assert row.reason.startswith("R10")

    play(world, scenario)


def test_f02_intent_when_it_is_too_old_then_expired_not_sent(world: Any) -> None:
    """What waited too long is not sent late."""

    async def scenario() -> None:
        order_id = await world.want(valid_until_ns=world.clock.now_ns() - 1)
        async with world.running():
            row = await world.until(order_id, OrderState.EXPIRED)
        assert "its time to be sent ended" in row.reason
        assert world.sender.orders == []

    play(world, scenario)


def test_p06_entry_when_the_account_was_never_reconciled_then_it_waits(world: Any) -> None:
    """An exit need not wait; the entry leaves after the first reconciliation."""

    async def scenario() -> None:
        await world.hold(10)
        await world.set_reconciled(real_ns=-(10**15))
        async with world.running() as executor:
            entry, exit_ = await world.want(1), await world.leave(2)
            await world.until(exit_, OrderState.OPEN)
            assert (await world.row(entry)).status is OrderState.INTENT
            assert any("not reconciled yet" in why for why in executor.readiness())
            await world.set_reconciled()
            await world.until(entry, OrderState.OPEN)

    play(world, scenario)


def test_f41_entry_when_the_state_is_lost_then_denied_and_an_exit_still_leaves(
    world: Any,
) -> None:
    """Without Redis prices are unknown; the remembered one is enough to get out."""

    class Deaf:
        is_deaf = False

        async def get(self, kind: Any, name: str) -> bytes | None:
            if self.is_deaf:
                raise StateUnavailableError("gone")
            return await world.state.get(kind, name)

    async def scenario() -> None:
        await world.hold(10)
        state = Deaf()
        async with world.running(state=state) as executor:
            await world.eventually(lambda: executor.readiness() == ())
            state.is_deaf = True
            # One slow answer would be no loss; after two seconds the price is not told any more.
            world.executor_time_ns += 3 * S
            row = await world.until(await world.want(1), OrderState.DENIED)
            assert row.reason.startswith("R03: the shared state does not tell prices")
            await world.until(await world.leave(2), OrderState.OPEN)

    play(world, scenario)


def test_b16_review_when_facts_stall_for_150_ms_then_denied(world: Any) -> None:
    """The budget of 100 ms covers facts and review; what is late denies."""

    class Slow(MemoryJournal):
        stall_s = 0.0

        async def account_desk(self, *names: Any) -> Any:
            await asyncio.sleep(self.stall_s)
            return await super().account_desk(*names)

    async def scenario() -> None:
        journal = Slow(world.store, "executor")
        settings = msgspec.structs.replace(world.settings, review_ms_max=100.0)
        async with world.running(journal=journal, settings=settings):
            journal.stall_s = 0.15
            row = await world.until(await world.want(2), OrderState.DENIED)
        assert row.reason.startswith("deadline: facts were not known within")
        assert world.sender.orders == []

    play(world, scenario)


def test_b16_review_when_the_process_stalls_then_denied(world: Any) -> None:
    """A stall that no time-out can interrupt is seen afterwards."""

    async def scenario() -> None:
        world.rules = lambda _: time.sleep(0.15)
        settings = msgspec.structs.replace(world.settings, review_ms_max=100.0)
        async with world.running(settings=settings):
            row = await world.until(await world.want(), OrderState.DENIED)
        assert row.reason.startswith("deadline")

    play(world, scenario)


@pytest.mark.parametrize("cause", ["kill", "lease", "late", "expired"])
def test_p05_gate_when_something_changed_after_the_attempt_was_noted_then_no_byte_leaves(
    world: Any, cause: str
) -> None:
    """The last statement before the write looks again; what it stops is proven unsent."""

    async def scenario() -> None:
        async with world.running() as executor:

            async def change() -> None:
                world.sender.before_gate = None
                match cause:
                    case "kill":
                        KillSwitch(world.home / "run").latch(
                            KillLevel.ENTRIES, who="kim", why="stop"
                        )
                    case "lease":
                        old, until_ns = world.store.leases["executor"]
                        new = Lease(old.name, "you", old.token + 1, old.seconds)
                        world.store.leases["executor"] = (new, until_ns + 10**10)
                        await executor._keeper.renew()
                    case "late":
                        world.executor_time_ns += 3 * S // 2
                    case "expired":
                        world.clock.ahead_ns += 61 * S

            world.sender.before_gate = change
            changes = {}
            if cause == "expired":
                changes["valid_until_ns"] = world.clock.now_ns() + 60 * S
            order_id = await world.want(**changes)
            await world.eventually(lambda: world.sender.stopped)
            row = await world.until(
                order_id, OrderState.ABSENT, OrderState.OPEN, OrderState.DENIED, OrderState.EXPIRED
            )
            if cause == "kill":
                row = await world.until(order_id, OrderState.DENIED)
                assert "kill switch" in row.reason
            if cause == "late":
                await world.until(order_id, OrderState.OPEN)
        expected = {
            "kill": "kill switch",
            "lease": "lease",
            "late": "was noted",
            "expired": "time to be sent is over",
        }
        assert expected[cause] in world.sender.stopped[0]
        assert len(world.sender.orders) == (1 if cause == "late" else 0)

    play(world, scenario)


def test_f03_order_when_sending_at_a_restart_then_unknown_and_not_sent_again(world: Any) -> None:
    """Nobody knows whether bytes left: evidence decides, not the executor."""

    async def scenario() -> None:
        hang = asyncio.Event()
        world.sender.answers = [hang.wait]
        async with world.running():
            order_id = await world.want()
            await world.eventually(lambda: world.sender.orders)
        assert (await world.row(order_id)).status is OrderState.SENDING
        async with world.running():
            row = await world.until(order_id, OrderState.UNKNOWN)
            await asyncio.sleep(0.1)
        assert "did not live to see" in row.reason
        assert len(world.sender.orders) == 1

    play(world, scenario)


def test_f07_executors_when_two_run_in_one_home_then_one_stands_by(world: Any) -> None:
    """The file lock lets one work; the other takes over at once when it ends."""

    async def scenario() -> None:
        async with world.running() as first:
            await world.eventually(lambda: first.readiness() == ())
            async with world.running() as second:
                await world.until(await world.want(1), OrderState.OPEN)
                assert "standby: another executor runs in this home" in second.readiness()
                assert second.metrics()["lease_state"] == 0
        assert len(world.sender.orders) == 1
        async with world.running() as third:
            await world.until(await world.want(2), OrderState.OPEN)
            assert third.metrics()["lease_state"] == 1

    play(world, scenario)


def test_i19_executors_when_on_two_machines_then_the_lease_decides(
    world: Any, tmp_path: Any
) -> None:
    """Another home has another file lock; the lease has one holder."""

    async def scenario() -> None:
        other_home = tmp_path / "other"
        other_home.mkdir()
        async with world.running() as first:
            await world.eventually(lambda: first.readiness() == ())
            async with world.running(home=other_home) as second:
                for number in range(5):
                    await world.until(await world.want(number), OrderState.OPEN)
                assert "standby: the lease is held by another executor" in second.readiness()
        assert len({order.order_id for order in world.sender.orders}) == 5
        assert len(world.sender.orders) == 5

    play(world, scenario)


def test_i15_kill_when_latched_then_entries_stop_exits_leave_and_it_lasts(world: Any) -> None:
    """K1 over a restart; released, entries leave again."""

    async def scenario() -> None:
        await world.hold(20)
        switch = KillSwitch(world.home / "run")
        async with world.running() as executor:
            await world.eventually(lambda: executor.readiness() == ())
            switch.latch(KillLevel.ENTRIES, who="kim", why="odd")
            row = await world.until(await world.want(1), OrderState.DENIED)
            assert row.reason.startswith("KILL")
            await world.until(await world.leave(2), OrderState.OPEN)
            await world.eventually(
                lambda: "the kill switch is latched at level ENTRIES" in executor.readiness()
            )
        async with world.running():
            await world.until(await world.want(3), OrderState.DENIED)
            switch.release(switch.release_code(), who="kim", why="fine")
            await world.until(await world.want(4), OrderState.OPEN)
            await world.eventually(
                lambda: sum(row.stream == "note/kill_switch" for row in world.store.events) == 3
            )
        rows = await world.journal.stream("note/kill_switch")
        assert [msgspec.json.decode(row.payload)["subject"] for row in rows] == [
            "ENTRIES",
            "ENTRIES",
            "NONE",
        ]

    play(world, scenario)


def test_i15_kill_when_all_is_dead_then_working_orders_are_still_cancelled(world: Any) -> None:
    """Level ALL: no journal, no bus and no state are needed for the cancels."""

    async def scenario() -> None:
        journal = Mortal(world.writer("executor"))
        async with world.running(journal=journal) as executor:
            orders = [await world.want(number) for number in range(3)]
            for order_id in orders:
                await world.until(order_id, OrderState.OPEN)
            await world.eventually(lambda: executor.metrics().get("open_orders") == 3)
            await asyncio.sleep(0.05)
            journal.is_dead = True
            KillSwitch(world.home / "run").latch(KillLevel.ALL, who="kim", why="stop")
            async with asyncio.timeout(1):
                await world.eventually(lambda: len(world.sender.cancels) == 3)
        assert sorted(world.sender.cancels) == sorted(orders)
        text = (world.home / "run" / "kill-audit.jsonl").read_text()
        assert all(order_id in text for order_id in orders)

    play(world, scenario)


class Mortal:
    """A journal that can stop answering, without a word."""

    def __init__(self, journal: Any) -> None:
        self.is_dead = False
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)

        async def call(*values: Any, **named: Any) -> Any:
            if self.is_dead:
                await asyncio.get_running_loop().create_future()
            return await method(*values, **named)

        return call


def test_i15_kill_when_the_signal_comes_then_it_is_latched_at_level_all(world: Any) -> None:
    """SIGUSR1 stops this process at once and writes the file."""

    async def scenario() -> None:
        before = signal.getsignal(signal.SIGUSR1)
        try:
            async with world.running() as executor:
                await world.eventually(lambda: executor.readiness() == ())
                os.kill(os.getpid(), signal.SIGUSR1)
                assert executor._switch.level() is KillLevel.ALL
                await world.eventually((world.home / "run" / "KILL").exists)
                row = await world.until(await world.want(), OrderState.DENIED)
                assert row.reason.startswith("KILL")
        finally:
            signal.signal(signal.SIGUSR1, before)

    play(world, scenario)


def test_cancel_when_asked_for_in_the_journal_then_it_is_sent_also_under_a_kill(
    world: Any,
) -> None:
    """Anybody may ask by an event; a refusal brings the order back to work."""

    async def scenario() -> None:
        world.sender.cancel_answers = [Refused(code="APBK0918", reason="nothing left")]
        async with world.running():
            order_id = await world.want()
            row = await world.until(order_id, OrderState.OPEN)
            KillSwitch(world.home / "run").latch(KillLevel.ENTRIES, who="kim", why="odd")
            wanted = ask(row, 1, "by hand")
            await world.journal.record_event(
                [Fact(wanted.event, world.clock.now_ns(), event_id=wanted.event_id)]
            )
            await world.eventually(lambda: world.sender.cancels == [order_id])
            await world.until(order_id, OrderState.OPEN)
        events = await world.journal.stream(f"order/{order_id}")
        assert events[-1].type == "cancel_refused"

    play(world, scenario)


def test_journal_when_it_dies_after_the_send_then_the_answer_is_recorded_later(
    world: Any,
) -> None:
    """An answer is not lost, and the order is not touched meanwhile."""

    class Faint(MemoryJournal):
        failures = 0

        async def record_event(self, facts: Any, consumed: Any = None) -> Any:
            kinds = {type(fact.event).__name__ for fact in facts}
            if "OrderAcknowledged" in kinds and self.failures < 3:
                self.failures += 1
                raise JournalUnavailableError("gone")
            return await super().record_event(facts, consumed)

    async def scenario() -> None:
        journal = Faint(world.store, "executor")
        async with world.running(journal=journal):
            await world.until(await world.want(), OrderState.OPEN)
        assert journal.failures == 3
        assert len(world.sender.orders) == 1

    play(world, scenario)


@pytest.mark.parametrize("is_committed", [False, True])
def test_f44_attempt_when_its_commit_is_not_known_then_nothing_is_sent_under_it(
    world: Any, is_committed: bool
) -> None:
    """The id of a doubtful commit is proven unsent; another attempt follows."""

    class Faint(MemoryJournal):
        has_failed = False

        async def record_attempt(self, fact: Any, notes: Any = ()) -> Any:
            if self.has_failed:
                return await super().record_attempt(fact, notes)
            self.has_failed = True
            if is_committed:
                await super().record_attempt(fact, notes)
            raise JournalUnavailableError("gone")

    async def scenario() -> None:
        journal = Faint(world.store, "executor")
        async with world.running(journal=journal):
            row = await world.until(await world.want(), OrderState.OPEN)
        (sent,) = world.sender.orders
        assert sent.attempt == row.attempt == (2 if is_committed else 1)

    play(world, scenario)


def test_r06_day_when_the_daily_loss_was_reached_then_entries_stop_for_the_day(
    world: Any,
) -> None:
    """Also after the price came back, and after a restart."""

    async def scenario() -> None:
        world.set_inputs(position_share_max=Decimal(1), drawdown_max=Decimal("0.5"))
        await world.hold(1000)
        async with world.running() as executor:
            await world.eventually(lambda: executor.readiness() == ())
            await world.eventually(
                lambda: any("day_start_equity" in name for name in executor.metrics())
            )
            await world.set_price(60_000)
            await world.eventually(
                lambda: executor.metrics()['equity{account="kis/5000000101/KRW"}'] == 160_000_000
            )
            await world.set_price(70_000)
            await world.eventually(
                lambda: executor.metrics()['equity{account="kis/5000000101/KRW"}'] == 170_000_000
            )
            row = await world.until(await world.want(1), OrderState.DENIED)
            assert "R06" in row.reason
            await world.until(await world.leave(2), OrderState.OPEN)
        async with world.running():
            await world.set_price()
            await world.set_reconciled()
            row = await world.until(await world.want(3), OrderState.DENIED)
        assert "R06" in row.reason

    play(world, scenario)


def test_latency_when_many_orders_are_sent_then_each_is_noted(world: Any) -> None:
    """The report can compute percentiles from the journal alone."""

    async def scenario() -> None:
        async with world.running() as executor:
            orders = [
                await world.want(n, quantity=Decimal(n + 1), price=Decimal(70_000))
                for n in range(10)
            ]
            for order_id in orders:
                await world.until(order_id, OrderState.OPEN)
        notes = await world.notes("order_sent")
        assert len(notes) == executor.metrics()["order_latency_count"] == 10
        assert all(note["write_ms"] < 250 for note in notes)

    play(world, scenario)


def test_order_when_nobody_understands_it_then_the_others_are_sent(world: Any) -> None:
    """A venue that does not exist ends no role and blocks no line."""

    async def scenario() -> None:
        async with world.running() as executor:
            strange = await world.want(1, venue="NOWHERE")
            await world.until(await world.want(2), OrderState.OPEN)
            await world.eventually(lambda: executor.readiness() == ())
        assert (await world.row(strange)).status is OrderState.INTENT

    play(world, scenario)


def test_breaker_when_the_journal_fails_a_trial_then_the_next_order_is_the_trial(
    world: Any,
) -> None:
    """Five failures hold entries back, exits pass; a trial that was not made is not used up."""

    class Faint(MemoryJournal):
        is_away = False

        async def account_desk(self, *names: Any) -> Any:
            if self.is_away:
                raise JournalUnavailableError("gone")
            return await super().account_desk(*names)

    async def scenario() -> None:
        await world.hold(10)
        world.sender.answers = [TransientError("busy")] * 5
        journal = Faint(world.store, "executor")
        async with world.running(journal=journal) as executor:
            await world.until(await world.want(1), OrderState.EXPIRED)
            assert "kis does not answer: its breaker is open" in executor.readiness()
            waiting = await world.want(2)
            await world.until(await world.leave(3), OrderState.OPEN)
            breaker = executor._dispatchers["kis", "5000000101"].breaker
            breaker._opened_ns = 0
            journal.is_away = True
            await asyncio.sleep(0.1)
            assert (await world.row(waiting)).status is OrderState.INTENT
            journal.is_away = False
            await world.until(waiting, OrderState.OPEN)

    play(world, scenario)


def test_order_when_one_in_doubt_looks_the_same_then_it_waits_for_the_evidence(
    world: Any,
) -> None:
    """A venue that keeps no id of ours could not tell the two apart."""

    async def scenario() -> None:
        world.sender.answers = [UnknownOutcome("no answer")]
        async with world.running():
            doubt = await world.want(1)
            await world.until(doubt, OrderState.UNKNOWN)
            twin, other = await world.want(2), await world.want(3, quantity=Decimal(11))
            await world.until(other, OrderState.OPEN)
            assert (await world.row(twin)).status is OrderState.INTENT
            found = OrderAcknowledged(order_id=doubt, attempt=1, venue_order_id="v1")
            await world.journal.record_event([Fact(found, world.clock.now_ns())])
            await world.until(twin, OrderState.OPEN)

    play(world, scenario)


def test_inputs_when_published_then_taken_over_from_the_bus(world: Any, c: Any) -> None:
    """What Dagster publishes is in force before anybody has touched the file."""

    async def scenario() -> None:
        async with world.running() as executor:
            await world.until(await world.want(1), OrderState.OPEN)
            newer = c.inputs(7, RiskLimits(order_value_max={"KRW": Decimal(1)}))
            kind, version = MESSAGES.identify(newer)
            envelope = Envelope(
                type=kind,
                version=version,
                id="i7",
                correlation_id="",
                causation_id="",
                source="dagster",
                ts_event_ns=0,
                ts_recv_ns=0,
                payload=msgspec.msgpack.encode(newer),
            )
            await world.bus.publish("trading.inputs", envelope)
            await world.eventually(lambda: executor.metrics()["trading_inputs_version"] == 7)
            await world.until(await world.want(2), OrderState.DENIED)

    play(world, scenario)
