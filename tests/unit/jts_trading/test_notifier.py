"""People are told once, in order of need, and not more than they can read."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import structlog

from jts_trading.bus.memory import MemoryBus
from jts_trading.domain.feed_messages import RiskAlert, RoleHealth
from jts_trading.domain.messages import MESSAGES, OrderChanged
from jts_trading.domain.orders import OrderState
from jts_trading.notify.log_lines import LogNotifier
from jts_trading.notify.memory import MemoryNotifier
from jts_trading.ports.bus import Envelope
from jts_trading.ports.clock import VirtualClock
from jts_trading.services.notifier.role import TOPICS, NotifierRole
from jts_trading.services.notifier.settings import NotifierSettings
from jts_trading.services.notifier.telling import Told, alert_of

MINUTE_NS = 60 * 10**9


def alert(text: str = "lost money", severity: Any = "warning") -> RiskAlert:
    """Something to hear of."""
    return RiskAlert(severity=severity, check="R06", subject="sma", text=text, ts_ns=5)


def denied() -> OrderChanged:
    """An order that risk refused."""
    return OrderChanged(
        order_id="o1",
        broker="kis",
        account="1",
        instance="sma",
        instrument_id="KRX:005930",
        event="order_denied",
        state=OrderState.DENIED,
        quantity=Decimal(7),
        filled=Decimal(0),
        seq=9,
        reason="R03: the price is 8 s old",
    )


class Bench:
    """A running notifier over a bus in memory."""

    def __init__(self, **settings: Any) -> None:
        self.bus = MemoryBus(time.time_ns)
        self.notifier = MemoryNotifier()
        self.role = NotifierRole(
            notifier=self.notifier,
            bus=self.bus,
            clock=VirtualClock(0),
            boottime_ns=time.monotonic_ns,
            settings=NotifierSettings(**({"retry_s": 0.01} | settings)),
        )
        self.count = 0

    async def say(self, message: Any, topic: str = "risk.alerts", payload: bytes = b"") -> None:
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
            ts_event_ns=7,
            ts_recv_ns=7,
            payload=payload or msgspec.msgpack.encode(message),
        )
        await self.bus.publish(topic, envelope)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run it for the time of a block."""
        task = asyncio.ensure_future(self.role.run())
        try:
            yield
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def until_told(self, count: int) -> list[RiskAlert]:
        """Wait until so many were told."""
        async with asyncio.timeout(5):
            while len(self.notifier.told) < count:  # noqa: ASYNC110 - a deque is no event
                await asyncio.sleep(0.005)
        return list(self.notifier.told)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario."""
    asyncio.run(scenario())  # type: ignore[arg-type]


def test_topics_when_messages_come_then_people_are_told_of_each() -> None:
    """Alerts as they are; failed orders and roles that do not work in words."""

    async def scenario() -> None:
        bench = Bench()
        health = RoleHealth(
            role="trader",
            pid=1,
            is_ready=False,
            reasons=("no ticks",),
            metrics={},
            ts_ns=3,
            real_ns=3,
        )
        async with bench.running():
            await bench.say(alert())
            await bench.say(denied(), "orders.failures")
            await bench.say(health, "system.errors")
            told = await bench.until_told(3)
            texts = {each.check: each.text for each in told}
            assert texts["R06"] == "lost money"
            assert "order denied: 7 KRX:005930 of sma at kis: R03" in texts["order_denied"]
            assert texts["role"] == "no ticks"
            assert bench.role.readiness() == ()

    run(scenario)


def test_alert_when_repeated_then_is_told_once() -> None:
    """The same words again within the time say nothing new."""

    async def scenario() -> None:
        bench = Bench()
        async with bench.running():
            for _ in range(5):
                await bench.say(alert())
            await bench.say(alert("something else"))
            assert len(await bench.until_told(2)) == 2
            assert bench.role.metrics()["repeated_alerts"] == 4

    run(scenario)


def test_channel_when_it_fails_then_the_alert_is_told_later_and_once() -> None:
    """Nothing is acknowledged before it was told; the reason shows until then."""

    async def scenario() -> None:
        bench = Bench()
        bench.notifier.failures = 2
        async with bench.running():
            await bench.say(alert())
            (told,) = await bench.until_told(1)
            assert told == alert()
            for topic in TOPICS:
                left = await bench.bus.claim(topic, "notifier", "x", idle_ms=0, count=9)
                assert not left

    run(scenario)


def test_entry_when_unreadable_then_is_passed_over() -> None:
    """IN38: an entry that is not from us stops nothing."""

    async def scenario() -> None:
        bench = Bench()
        async with bench.running():
            await bench.say(alert(), payload=b"\xc1")
            await bench.say(alert("after"))
            (told,) = await bench.until_told(1)
            assert told.text == "after"
            label = '{topic="risk.alerts"}'
            assert bench.role.metrics()[f"unreadable_entries_total{label}"] == 1

    run(scenario)


def test_told_when_too_many_then_only_critical_ones_pass_and_the_rest_is_summed_up() -> None:
    """A flood costs detail, never the important ones; afterwards people learn how many."""
    told = Told(again_s=60, per_minute_max=3)
    passed = 0
    for number in range(10):
        each = alert(str(number))
        if told.is_due(each, 0):
            told.note(each, 0)
            passed += 1
    assert passed == 3
    assert told.is_due(alert("fire", "critical"), 0)
    assert told.summary(0, 0) is None
    later = told.summary(MINUTE_NS, 8)
    assert later is not None
    assert later.text.startswith("7 more alerts")
    assert told.summary(MINUTE_NS, 8) is None


def test_told_when_long_ago_then_is_told_again() -> None:
    """What lasts is worth repeating, slowly."""
    told = Told(again_s=60, per_minute_max=3)
    told.note(alert(), 0)
    assert not told.is_due(alert(), MINUTE_NS - 1)
    assert told.is_due(alert(), MINUTE_NS)


def test_message_when_not_for_people_then_says_nothing() -> None:
    """A healthy role is no news."""
    healthy = RoleHealth(
        role="trader", pid=1, is_ready=True, reasons=(), metrics={}, ts_ns=3, real_ns=3
    )
    assert alert_of(healthy, 0) is None


@pytest.mark.parametrize(
    ("severity", "level"), [("critical", "error"), ("warning", "warning"), ("info", "info")]
)
def test_log_when_told_then_is_one_structured_line(severity: str, level: str) -> None:
    """The level follows the severity; the text is a field, never the event."""
    with structlog.testing.capture_logs() as lines:
        asyncio.run(LogNotifier().notify(alert("<b>x</b>\nnew line", severity)))
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("people_told", level)
    assert line["text"] == "<b>x</b>\nnew line"
