"""The recorder over stores in memory: what it makes of what it reads, and what it survives."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from jts_trading.bus.memory import MemoryBus
from jts_trading.domain.feed_messages import GapSeen, RiskAlert, TicksCollected
from jts_trading.domain.journal_events import (
    AttemptStarted,
    DecisionRecorded,
    IntentRecorded,
    OrderAcknowledged,
    OrderFilled,
    SignalRecorded,
)
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.orders import OrderIntent, OrderSide, Reservation
from jts_trading.domain.ticks import Aggressor, BookTick, TradeTick
from jts_trading.journal.memory import MemoryJournal, MemoryLeases, MemoryStore
from jts_trading.market_store.memory import MemoryMarket
from jts_trading.ports.bus import Envelope
from jts_trading.ports.clock import VirtualClock
from jts_trading.ports.journal import Fact
from jts_trading.services.recorder.role import Recorder
from jts_trading.services.recorder.rows import trading_day
from jts_trading.services.recorder.settings import RecorderSettings
from jts_trading.services.recorder.streams import Followers
from jts_trading.services.recorder.tail import READER

OPEN_NS = 1_748_822_400_000_000_000
DAY = date(2025, 6, 2)
KRX_TICKS = "market-data.krx.ticks"
CRYPTO_TICKS = "market-data.crypto.ticks"
GAPS = "market-data.gaps"
QUICK = RecorderSettings(batch_s=0.02, poll_s=0.01, retry_s=0.01, retry_s_max=0.02, look_s=0.02)


class World:
    """All that a recorder stands between."""

    def __init__(self) -> None:
        self.bus = MemoryBus(time.monotonic_ns)
        self.store = MemoryStore(time.monotonic_ns)
        self.journal = MemoryJournal(self.store, "trader")
        self.market = MemoryMarket()
        self.clock = VirtualClock(OPEN_NS + 5_000_000_000)

    def recorder(self, settings: RecorderSettings = QUICK, **ports: Any) -> Recorder:
        """A recorder that starts now."""
        return Recorder(
            bus=ports.get("bus", self.bus),
            journal=self.journal,
            market=ports.get("market", self.market),
            clock=self.clock,
            monotonic_ns=time.monotonic_ns,
            settings=settings,
        )

    async def say(self, topic: str, message: msgspec.Struct) -> None:
        """Publish a message."""
        kind, version = MESSAGES.identify(message)
        name = uuid.uuid4().hex
        await self.bus.publish(
            topic,
            Envelope(
                type=kind,
                version=version,
                id=name,
                correlation_id=name,
                causation_id=name,
                source="collector",
                ts_event_ns=OPEN_NS,
                ts_recv_ns=OPEN_NS + 2_000_000_000,
                payload=msgspec.msgpack.encode(message),
            ),
        )

    def held(self, dataset: str, column: str) -> list[Any]:
        """The values of a column in the store."""
        return [row[column] for row in self.market.rows(dataset)]


@asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[Recorder]:
    """Run a recorder for the time of a block, then cut it off wherever it is."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(recorder.run())
        yield recorder
        task.cancel()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 - what is waited for sends no event
            await asyncio.sleep(0.002)


def trade(instrument: str = "KRX:005930", **values: Any) -> TradeTick:
    """One trade."""
    venue = instrument.partition(":")[0]
    made: dict[str, Any] = {
        "instrument_id": instrument,
        "venue": venue,
        "broker": "kis",
        "ts_event_ns": OPEN_NS,
        "ts_recv_ns": OPEN_NS + 3,
        "price": Decimal(71_500),
        "quantity": Decimal(10),
        "aggressor": Aggressor.BUY,
        "cumulative_quantity": Decimal(1000),
    }
    return TradeTick(**{**made, **values})


def book() -> BookTick:
    """An empty order book."""
    return BookTick(
        instrument_id="KRX:005930",
        venue="KRX",
        broker="kis",
        ts_event_ns=OPEN_NS,
        ts_recv_ns=OPEN_NS,
        asks=(),
        bids=(),
    )


def collected(first: int, *ticks: TradeTick | BookTick, feed: str = "kis-1") -> TicksCollected:
    """Ticks of one entry, each in a frame of its own."""
    return TicksCollected(
        feed=feed,
        session=4,
        first_frame=100 + first,
        first_tick=first,
        ticks=ticks,
        frames=tuple(range(len(ticks))),
    )


def intent(order_id: str, side: OrderSide = OrderSide.SELL) -> IntentRecorded:
    """An order that reserves nothing."""
    return IntentRecorded(
        intent=OrderIntent(
            order_id=order_id,
            broker="kis",
            account="50000001",
            instance="sma",
            instrument_id="KRX:005930",
            venue="KRX",
            side=side,
            quantity=Decimal(10),
            price=Decimal(71_500),
            currency="KRW",
            release="sma@1",
            decision_id="d1",
        ),
        reservation=Reservation(
            asset="KRW" if side is OrderSide.BUY else "KRX:005930", amount=Decimal(0)
        ),
    )


def decision(equity: str = "50000000.4") -> DecisionRecorded:
    """A judged bar."""
    return DecisionRecorded(
        decision_id="d1",
        instance="sma",
        release="sma@1",
        instrument_id="KRX:005930",
        venue="KRX",
        interval="1m",
        bar_start_ns=OPEN_NS,
        decided_ns=OPEN_NS + 60_000_000_000,
        price=Decimal(71_500),
        fired=1,
        outcome="ordered",
        values='[{"text":"SMA(5) > SMA(20)","value":true}]',
        bar='{"close":"71500"}',
        equity=Decimal(equity),
    )


def signal() -> SignalRecorded:
    """A rule that fired."""
    return SignalRecorded(
        signal_id="s1",
        decision_id="d1",
        instance="sma",
        release="sma@1",
        instrument_id="KRX:005930",
        venue="KRX",
        interval="1m",
        bar_start_ns=OPEN_NS,
        decided_ns=OPEN_NS + 60_000_000_000,
        rule=0,
        kind="entry",
        side=OrderSide.BUY,
        price=Decimal(71_500),
        condition="SMA(5) > SMA(20)",
    )


async def traded(world: World) -> None:
    """Journal a decision, its order and two fills."""
    leases = MemoryLeases(world.store)
    lease = await leases.acquire_lease("kis", "me", 60)
    assert lease is not None
    at = OPEN_NS + 61_000_000_000
    await world.journal.record_intent([Fact(intent("o1"), at, "kis-1:4711")])
    await world.journal.record_event(
        [Fact(decision(), at, "kis-1:4711"), Fact(signal(), at, "kis-1:4711")]
    )
    attempt = AttemptStarted(
        order_id="o1", client_order_id="o1-1", attempt=1, payload_hash="h", lease="kis",
        token=lease.token,
    )  # fmt: skip
    await world.journal.record_attempt(Fact(attempt, at + 1))
    await world.journal.record_event(
        [
            Fact(OrderAcknowledged(order_id="o1", attempt=1, venue_order_id="20250602-1-7"), at),
            Fact(
                OrderFilled(
                    order_id="o1", trade_id="t4", quantity=Decimal(4), price=Decimal(71_500),
                    fee=Decimal(42), tax=Decimal(429), ts_event_ns=at + 2,
                ),
                at + 3,
            ),
            Fact(
                OrderFilled(
                    order_id="o1", trade_id="t10", quantity=Decimal(6), price=Decimal(71_600)
                ),
                at + 4,
            ),
        ]
    )  # fmt: skip


def test_recorder_when_ticks_come_then_each_trade_is_a_row_that_leads_to_its_frame() -> None:
    """Numbers, frame, session, both times and the trading day; books are counted only."""

    async def scenario() -> None:
        world = World()
        late = OPEN_NS + 15 * 3_600_000_000_000
        await world.say(
            KRX_TICKS,
            collected(7, trade(), book(), trade(bid=Decimal(71_400), ts_event_ns=late)),
        )
        coin = trade("BINANCE:BTCUSDT", price=Decimal("65000.12345678"), broker="binance")
        await world.say(CRYPTO_TICKS, collected(0, coin, feed="binance-1"))
        async with running(world.recorder()) as recorder:
            await until(lambda: len(world.market.rows("ticks")) == 3)
            await until(lambda: recorder.readiness() == ())
        first, last, foreign = world.market.rows("ticks")
        assert (first["tick"], first["frame"], first["session"]) == (7, 107, 4)
        assert (last["tick"], last["frame"]) == (9, 109)
        assert (first["trade_date"], last["trade_date"]) == (DAY, date(2025, 6, 3))
        assert (first["received_at"], first["timestamp"]) == (OPEN_NS + 3, OPEN_NS)
        assert foreign["price"] == Decimal("65000.12345678")
        assert recorder.metrics()["books_total"] == 1
        assert recorder.metrics()['rows_total{dataset="ticks"}'] == 3
        # Two days of one venue and one of another: three batches, each visible whole.
        assert recorder.metrics()['batches_total{dataset="ticks"}'] == 3

    asyncio.run(scenario())


def test_recorder_when_killed_before_its_place_moved_then_nothing_is_lost_or_doubled() -> None:
    """What was read comes again; what had been stored stays one row."""

    class Forgetful(MemoryMarket):
        async def keep_places(self, places: Any) -> None:
            await asyncio.Event().wait()

    async def scenario() -> None:
        world = World()
        world.market = Forgetful()
        for number in range(20):
            await world.say(KRX_TICKS, collected(number, trade()))
        async with running(world.recorder()):
            await until(lambda: len(world.market.rows("ticks")) > 0)
        world.market.__class__ = MemoryMarket
        await world.say(KRX_TICKS, collected(20, trade()))
        async with running(world.recorder()) as again:
            await until(lambda: len(world.market.rows("ticks")) == 21)
        assert world.held("ticks", "tick") == list(range(21))
        assert again.metrics()['rows_total{dataset="ticks"}'] == 21

    asyncio.run(scenario())


def test_recorder_when_started_again_then_it_reads_only_what_is_new() -> None:
    """The place stands in the store, beside the rows."""

    async def scenario() -> None:
        world = World()
        await world.say(KRX_TICKS, collected(0, trade(), trade()))
        async with running(world.recorder()):
            await until(lambda: "recorder/market-data.krx.ticks" in world.market._places)
        await world.say(KRX_TICKS, collected(2, trade()))
        async with running(world.recorder()) as again:
            await until(lambda: len(world.market.rows("ticks")) == 3)
        assert again.metrics()['rows_total{dataset="ticks"}'] == 1

    asyncio.run(scenario())


def test_recorder_when_the_bus_was_wiped_then_it_records_what_is_said_again() -> None:
    """A topic that ends before our place is another one: nothing of it may be passed over."""

    async def scenario() -> None:
        world = World()
        world.clock = VirtualClock(OPEN_NS)
        world.bus = MemoryBus(world.clock.now_ns)
        await world.say(KRX_TICKS, collected(0, trade()))
        async with running(world.recorder()):
            await until(lambda: len(world.market.rows("ticks")) == 1)
            world.bus.streams.clear()
            world.clock._now_ns -= 3_600_000_000_000
            await world.say(KRX_TICKS, collected(0, trade(), trade()))
            await until(lambda: len(world.market.rows("ticks")) == 2)

    asyncio.run(scenario())


def test_recorder_when_tick_numbers_jump_then_the_gap_is_a_row() -> None:
    """What the bus shed or refused is named: how many, between which arrivals."""

    async def scenario() -> None:
        world = World()
        await world.say(KRX_TICKS, collected(0, trade(), book()))
        await world.say(KRX_TICKS, collected(5, trade()))
        async with running(world.recorder()) as recorder:
            await until(lambda: len(world.market.rows("gaps")) == 1)
        (row,) = world.market.rows("gaps")
        assert (row["kind"], row["missing"], row["venue"]) == ("missed", Decimal(3), "KRX")
        assert row["reason"] == "ticks 2 to 4 were not on the bus"
        assert recorder.metrics()['missing_ticks_total{feed="kis-1"}'] == 3

    asyncio.run(scenario())


def test_follow_when_entries_come_again_then_no_gap_is_seen() -> None:
    """Going back is no jump; each feed counts for itself."""
    followers = Followers()

    assert followers.follow(collected(10, trade(), trade()), 1) is None
    assert followers.follow(collected(10, trade(), trade()), 2) is None
    assert followers.follow(collected(12, trade()), 3) is None
    assert followers.follow(collected(700, trade(), feed="kis-2"), 4) is None
    gap = followers.follow(collected(14, trade()), 5)
    assert gap is not None
    assert (gap.missing, gap.start_ns, gap.end_ns) == (1, 3, 5)


def test_recorder_when_the_store_is_away_then_it_says_so_and_holds_one_batch() -> None:
    """The bus keeps the rest; when the store is back, everything is there once."""

    async def scenario() -> None:
        world = World()
        world.market.is_down = True
        settings = msgspec.structs.replace(QUICK, entries=2, batch_rows=2)
        for number in range(10):
            await world.say(KRX_TICKS, collected(number, trade()))
        async with running(world.recorder(settings)) as recorder:
            await until(lambda: recorder.metrics().get('retries_total{part="streams"}', 0) > 3)
            reasons = recorder.readiness()
            assert world.market.rows("ticks") == []
            world.market.is_down = False
            await until(lambda: len(world.market.rows("ticks")) == 10)
            await until(lambda: recorder.readiness() == ())
        assert reasons == (
            "streams: market store in memory: is down",
            "journal: market store in memory: is down",
        )

    asyncio.run(scenario())


def test_recorder_when_an_entry_cannot_be_stored_then_the_others_are() -> None:
    """A price finer than the venue's unit, a stranger's message: counted and passed over."""

    async def scenario() -> None:
        world = World()
        await world.say(KRX_TICKS, collected(0, trade()))
        await world.say(KRX_TICKS, collected(1, trade(price=Decimal("71500.5"))))
        alert = RiskAlert(severity="info", check="R06", subject="x", text="y", ts_ns=1)
        await world.say(KRX_TICKS, alert)
        await world.say(KRX_TICKS, msgspec.structs.replace(collected(2, trade()), frames=(0, 1)))
        await world.say(GAPS, gap(feed="toss-1"))
        await world.say(KRX_TICKS, collected(2, trade()))
        async with running(world.recorder()) as recorder:
            await until(lambda: sorted(world.held("ticks", "tick")) == [0, 2])
            await until(lambda: recorder.readiness() == ())
        assert recorder.metrics()['refused_total{part="streams"}'] == 4
        assert world.market.rows("gaps") == []

    asyncio.run(scenario())


def gap(feed: str = "kis-1", instrument: str = "", **values: Any) -> GapSeen:
    """A feed that fell silent."""
    made: dict[str, Any] = {"kind": "silent", "start_ns": OPEN_NS, "end_ns": 0, **values}
    return GapSeen(feed=feed, instrument_id=instrument, **made)


def test_recorder_when_a_gap_ends_then_its_row_is_replaced() -> None:
    """One row per gap; a whole feed trades where its broker is at home."""

    async def scenario() -> None:
        world = World()
        await world.say(GAPS, gap())
        await world.say(GAPS, gap("binance-2", "BINANCE:BTCUSDT", missing=Decimal("0.5")))
        await world.say(GAPS, gap(end_ns=OPEN_NS + 9, reason="reconnected"))
        async with running(world.recorder()):
            await until(lambda: world.held("gaps", "ended_at") == [OPEN_NS + 9, None])
        whole, one = world.market.rows("gaps")
        assert (whole["venue"], whole["symbol"], whole["reason"]) == ("KRX", "", "reconnected")
        assert (one["venue"], one["symbol"]) == ("BINANCE", "BTCUSDT")

    asyncio.run(scenario())


def test_recorder_when_the_journal_tells_of_a_trade_then_four_datasets_have_it() -> None:
    """Decision, signal, order and fills: one identity each, the frame that began it, exact won."""

    async def scenario() -> None:
        world = World()
        await traded(world)
        async with running(world.recorder()):
            await until(lambda: len(world.market.rows("fills")) == 2)
        (order,) = world.market.rows("orders")
        (judged,) = world.market.rows("decisions")
        (fired,) = world.market.rows("signals")
        first, second = world.market.rows("fills")
        assert (order["status"], order["filled"], order["seq"]) == ("filled", Decimal(10), 7)
        assert (order["revision"], order["venue_order_id"]) == (7, "20250602-1-7")
        assert judged["equity"] == Decimal(50_000_000)
        assert judged["conditions"].startswith('[{"text"')
        assert (judged["decision_id"], fired["decision_id"]) == ("d1", "d1")
        assert {judged["correlation_id"], first["correlation_id"]} == {"kis-1:4711"}
        assert (first["gross"], first["fee"], first["tax"]) == (286_000, 42, 429)
        assert second["gross"] == Decimal(429_600)
        assert first["timestamp"] == OPEN_NS + 61_000_000_002
        assert second["timestamp"] == second["recorded_at"]
        assert (await world.market.places())[READER] == "7"

    asyncio.run(scenario())


def test_recorder_when_started_again_then_it_goes_on_behind_its_place() -> None:
    """Only what is new is read; a store that was wiped gets everything again."""

    async def scenario() -> None:
        world = World()
        await traded(world)
        async with running(world.recorder()):
            await until(lambda: len(world.market.rows("fills")) == 2)
        await world.journal.record_intent([Fact(intent("o2", OrderSide.BUY), OPEN_NS)])
        async with running(world.recorder()) as again:
            await until(lambda: len(world.market.rows("orders")) == 2)
        assert again.metrics()['rows_total{dataset="orders"}'] == 1
        world.market = MemoryMarket()
        async with running(world.recorder()):
            await until(lambda: len(world.market.rows("orders")) == 2)
            await until(lambda: len(world.market.rows("signals")) == 1)

    asyncio.run(scenario())


def test_recorder_when_the_journal_was_replaced_then_it_begins_anew() -> None:
    """A place behind the end of the journal belongs to another journal."""

    async def scenario() -> None:
        world = World()
        await world.market.keep_places({READER: "900"})
        await traded(world)
        async with running(world.recorder()):
            await until(lambda: len(world.market.rows("fills")) == 2)
        assert (await world.market.places())[READER] == "7"

    asyncio.run(scenario())


def test_recorder_when_caught_up_then_its_lag_is_zero() -> None:
    """Lag is what was waited for, in instance time; nobody waits when there is nothing."""
    seen: list[float] = []

    class Watched(MemoryBus):
        async def read(self, *args: Any, **named: Any) -> Any:
            seen.append(recorder.metrics().get('lag_seconds{part="streams"}', -1))
            return await super().read(*args, **named)

    world = World()
    world.bus = Watched(time.monotonic_ns)
    recorder = world.recorder()

    async def scenario() -> None:
        await world.say(KRX_TICKS, collected(0, trade()))
        async with running(recorder):
            await until(lambda: seen[-1:] == [0])
        assert max(seen) == 3

    asyncio.run(scenario())


def test_trading_day_when_korea_is_ahead_of_utc_then_it_is_korea_s() -> None:
    """The pre-market of Monday is still Sunday in UTC."""
    before = datetime(2025, 6, 1, 23, 30, tzinfo=UTC)

    assert trading_day("KRX", int(before.timestamp()) * 10**9) == DAY
    assert trading_day("BINANCE", int(before.timestamp()) * 10**9) == date(2025, 6, 1)
