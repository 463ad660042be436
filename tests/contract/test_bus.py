"""What every bus promises, over Redis Streams and in memory."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis as sync_redis

from jts_trading.bus.entries import DELIVERIES_MAX, ENTRY_BYTES_MAX, Reason
from jts_trading.bus.memory import MemoryBus
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.bus.topics import TOPICS
from jts_trading.ports.bus import BusRefusedError, BusUnavailableError, Envelope

pytestmark = pytest.mark.integration
DAY_NS = 86_400 * 10**9
Scenario = Callable[[Any], Awaitable[None]]


class MemoryTrial:
    """A bus in memory and a way to disturb it."""

    def __init__(self) -> None:
        self.bus = MemoryBus(time.time_ns)

    async def inject(self, topic: str, entry_id: str, body: bytes | None) -> None:
        """Append bytes that are not ours."""
        first, _, second = entry_id.partition("-")
        await self.bus._append(topic, (int(first), int(second)), body or b"")

    async def wipe(self) -> None:
        """Lose everything."""
        self.bus.streams.clear()


class RedisTrial:
    """A bus on a real Redis and a way to disturb it."""

    def __init__(self, url: str) -> None:
        self.bus = RedisBus(url)
        self._url = url

    async def inject(self, topic: str, entry_id: str, body: bytes | None) -> None:
        """Append bytes that are not ours."""
        with sync_redis.Redis.from_url(self._url) as client:
            client.xadd(topic, {"x": "y"} if body is None else {"e": body}, id=entry_id)

    async def wipe(self) -> None:
        """Lose everything."""
        with sync_redis.Redis.from_url(self._url) as client:
            client.flushall()


@pytest.fixture(params=["memory", "redis"])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Run a scenario with a bus of its own."""

    def go(scenario: Scenario) -> None:
        async def play() -> None:
            is_redis = request.param == "redis"
            trial = RedisTrial(request.getfixturevalue("redis_url")) if is_redis else MemoryTrial()
            try:
                await scenario(trial)
            finally:
                await trial.bus.close()

        if request.param == "redis":
            request.getfixturevalue("redis_url")
        asyncio.run(play())

    return go


def envelope(number: int, payload: bytes = b"\x80") -> Envelope:
    """A message numbered so that it can be told from others."""
    return Envelope(
        type="note",
        version=1,
        id=f"m{number}",
        correlation_id="c",
        causation_id="c",
        source="test",
        ts_event_ns=number,
        ts_recv_ns=number,
        payload=payload,
    )


async def read_all(bus: Any, group: str, topic: str = "orders.pending") -> list[str]:
    """Consume and acknowledge what there is."""
    found = await bus.consume([topic], group, "one", count=1000, wait_ms=0)
    await bus.acknowledge(group, found)
    return [entry.envelope.id for entry in found]


def test_entry_when_published_then_it_comes_back_unchanged(run: Any) -> None:
    """Every field of the envelope survives, and the entry knows where it was."""

    async def scenario(trial: Any) -> None:
        sent = envelope(7, b"\x81\xa1a\x01")
        assert await trial.bus.publish("orders.pending", sent)
        (entry,) = await trial.bus.consume(["orders.pending"], "g", "c", count=9, wait_ms=0)

        assert sent == entry.envelope
        assert (entry.topic, entry.deliveries) == ("orders.pending", 1)

    run(scenario)


def test_reader_with_a_place_when_it_reads_again_then_it_gets_the_same(run: Any) -> None:
    """A reader that keeps its own place may go back; foreign bytes are passed over."""

    async def scenario(trial: Any) -> None:
        topics = {"orders.pending": "0-0", "trading.inputs": "0-0"}
        assert await trial.bus.read(topics, count=9, wait_ms=0) == ([], topics)
        for number in range(3):
            await trial.bus.publish("orders.pending", envelope(number), f"{number + 1}-0")
        await trial.inject("orders.pending", "4-0", b"not ours")

        first, places = await trial.bus.read(topics, count=2, wait_ms=0)
        rest, places = await trial.bus.read(places, count=9, wait_ms=0)
        again, _ = await trial.bus.read(topics, count=9, wait_ms=0)

        assert [entry.envelope.id for entry in first + rest] == ["m0", "m1", "m2"]
        assert places == {"orders.pending": "4-0", "trading.inputs": "0-0"}
        assert again == first + rest

    run(scenario)


def test_writer_when_the_bus_is_wiped_then_it_learns_of_it(run: Any) -> None:
    """An entry lands only behind the one that its writer knows as the newest."""

    async def scenario(trial: Any) -> None:
        bus, topic = trial.bus, "market-data.krx.ticks"

        async def extend(number: int, after: int) -> bool:
            entries = [((number, 0), envelope(number))]
            return bool(await bus.extend(topic, entries, after=(after, 0)))

        assert await extend(5, after=0)
        assert await extend(6, after=5)
        assert not await extend(6, after=5)
        assert not await extend(8, after=7)
        await bus.trim(topic, 10 * DAY_NS)
        assert await extend(7, after=6)
        await trial.wipe()
        await bus.consume([topic], "makes the stream anew", "c", count=1, wait_ms=0)
        assert not await extend(8, after=7)
        assert await extend(7, after=0)
        assert await bus.newest(topic) == (7, 0)
        more = [((7, number), envelope(number)) for number in range(1, 4)]
        assert await bus.extend(topic, more, after=(7, 0))
        found, _ = await bus.read({topic: "7-0"}, count=9, wait_ms=0)
        assert [entry.entry_id for entry in found] == ["7-1", "7-2", "7-3"]
        large = [((8, 0), envelope(8)), ((9, 0), envelope(9, b"x" * (ENTRY_BYTES_MAX + 1)))]
        with pytest.raises(BusRefusedError):
            await bus.extend(topic, large, after=(7, 3))
        assert await bus.newest(topic) == (7, 3)

    run(scenario)


def test_groups_when_one_does_not_read_then_others_see_each_event_once(run: Any) -> None:
    """Three groups see every event once; a slow one blocks neither them nor the publisher."""

    async def scenario(trial: Any) -> None:
        await trial.bus.consume(["orders.pending"], "slow", "c", count=1, wait_ms=0)
        for number in range(100):
            await trial.bus.publish("orders.pending", envelope(number))
        expected = [f"m{number}" for number in range(100)]

        for group in ("fast", "faster"):
            assert expected == await read_all(trial.bus, group)
            assert await read_all(trial.bus, group) == []
        assert expected == await read_all(trial.bus, "slow")

    run(scenario)


def test_group_when_two_consumers_read_then_each_entry_goes_to_one(run: Any) -> None:
    """Within a group the work is shared, not repeated."""

    async def scenario(trial: Any) -> None:
        for number in range(10):
            await trial.bus.publish("orders.pending", envelope(number))
        first = await trial.bus.consume(["orders.pending"], "g", "a", count=4, wait_ms=0)
        second = await trial.bus.consume(["orders.pending"], "g", "b", count=99, wait_ms=0)

        assert [entry.envelope.id for entry in (*first, *second)] == [f"m{n}" for n in range(10)]
        assert len(first) == 4

    run(scenario)


def test_entry_id_when_published_again_then_it_is_refused(run: Any) -> None:
    """A repeated publication with a growing id of its own lands once and says so."""

    async def scenario(trial: Any) -> None:
        results = [
            await trial.bus.publish("orders.pending", envelope(1), "1000-1"),
            await trial.bus.publish("orders.pending", envelope(1), "1000-1"),
            await trial.bus.publish("orders.pending", envelope(2), "1000-2"),
            await trial.bus.publish("orders.pending", envelope(1), "1000-1"),
        ]

        assert results == [True, False, True, False]
        assert await read_all(trial.bus, "g") == ["m1", "m2"]

    run(scenario)


def test_claim_when_a_consumer_died_then_another_gets_its_entries(run: Any) -> None:
    """Unacknowledged entries move on with a count; acknowledged and young ones do not."""

    async def scenario(trial: Any) -> None:
        for number in range(3):
            await trial.bus.publish("orders.pending", envelope(number))
        lost = await trial.bus.consume(["orders.pending"], "g", "dead", count=9, wait_ms=0)
        await trial.bus.acknowledge("g", lost[:1])

        young = await trial.bus.claim("orders.pending", "g", "b", idle_ms=60_000, count=9)
        found = await trial.bus.claim("orders.pending", "g", "b", idle_ms=0, count=9)
        await trial.bus.acknowledge("g", found)
        rest = await trial.bus.claim("orders.pending", "g", "c", idle_ms=0, count=9)

        assert young == rest == []
        assert [(entry.envelope.id, entry.deliveries) for entry in found] == [("m1", 2), ("m2", 2)]

    run(scenario)


def test_poison_when_delivered_too_often_then_it_is_a_dead_letter(run: Any) -> None:
    """An entry that kills each of its consumers stops coming back and the group moves on."""

    async def scenario(trial: Any) -> None:
        await trial.bus.publish("orders.pending", envelope(1))
        await trial.bus.publish("orders.pending", envelope(2))
        seen = await trial.bus.consume(["orders.pending"], "g", "c", count=1, wait_ms=0)
        for _ in range(DELIVERIES_MAX - 1):
            seen += await trial.bus.claim("orders.pending", "g", "c", idle_ms=0, count=9)
        last = await trial.bus.claim("orders.pending", "g", "c", idle_ms=0, count=9)
        (letter,) = await trial.bus.dead_letters("orders.pending")

        assert [entry.deliveries for entry in seen] == list(range(1, DELIVERIES_MAX + 1))
        assert last == []
        assert (letter.reason, letter.group) == (Reason.POISON, "g")
        assert await trial.bus.claim("orders.pending", "g", "c", idle_ms=0, count=9) == []
        assert await read_all(trial.bus, "g") == ["m2"]

    run(scenario)


def test_in38_stranger_when_it_cannot_be_read_then_the_group_moves_on(run: Any) -> None:
    """Null payload, 5 MB, garbage and another envelope version are dead letters by name."""
    import msgspec

    foreign = msgspec.msgpack.encode(msgspec.structs.replace(envelope(1), envelope=99))
    bodies = {
        Reason.EMPTY: None,
        Reason.TOO_LARGE: b"\xc1" * 5_000_000,
        Reason.UNREADABLE: b"\xff\x00 not ours",
        Reason.WRONG_VERSION: foreign,
    }

    async def scenario(trial: Any) -> None:
        for number, body in enumerate(bodies.values(), 1):
            await trial.inject("orders.executions", f"{number}-0", body)
        await trial.bus.publish("orders.executions", envelope(5))

        read = await read_all(trial.bus, "g", "orders.executions")
        letters = await trial.bus.dead_letters("orders.executions")

        assert read == ["m5"]
        assert [letter.reason for letter in letters] == list(bodies)
        assert max(len(letter.body) for letter in letters) <= 64 << 10
        assert await trial.bus.claim("orders.executions", "g", "c", idle_ms=0, count=9) == []

    run(scenario)


def test_bury_when_a_consumer_gives_up_then_the_entry_is_kept_and_forgotten(run: Any) -> None:
    """A consumer may call an entry poison itself."""

    async def scenario(trial: Any) -> None:
        await trial.bus.publish("orders.failures", envelope(1))
        (entry,) = await trial.bus.consume(["orders.failures"], "g", "c", count=9, wait_ms=0)
        await trial.bus.bury("g", entry)
        (letter,) = await trial.bus.dead_letters("orders.failures")

        assert letter.reason is Reason.POISON
        assert b"m1" in letter.body
        assert await trial.bus.claim("orders.failures", "g", "c", idle_ms=0, count=9) == []

    run(scenario)


def test_publish_when_topic_or_size_is_wrong_then_it_is_refused(run: Any) -> None:
    """Nobody can write to a topic that is not in the table, or what no consumer would read."""

    async def scenario(trial: Any) -> None:
        with pytest.raises(BusRefusedError, match="pendign"):
            await trial.bus.publish("orders.pendign", envelope(1))
        with pytest.raises(BusRefusedError, match="accepted"):
            await trial.bus.publish("orders.pending", envelope(1, b"x" * ENTRY_BYTES_MAX))
        with pytest.raises(BusRefusedError, match="milliseconds-number"):
            await trial.bus.publish("orders.pending", envelope(1), "soon")

    run(scenario)


@pytest.mark.parametrize("name", sorted(TOPICS))
def test_trim_when_retention_has_passed_then_only_the_old_goes(run: Any, name: str) -> None:
    """Each topic keeps exactly its retention once its groups have acknowledged."""
    now_ns = 100 * DAY_NS
    edge_ms = (now_ns - TOPICS[name].retention_s * 10**9) // 10**6

    async def scenario(trial: Any) -> None:
        for number, at_ms in enumerate((edge_ms - 5, edge_ms - 1, edge_ms, edge_ms + 1)):
            await trial.bus.publish(name, envelope(number), f"{at_ms}-1")
        await read_all(trial.bus, "g", name)

        assert await trial.bus.trim(name, now_ns) == 2
        assert await trial.bus.length(name) == 2
        assert await trial.bus.trim(name, now_ns) == 0

    run(scenario)


def test_trim_when_a_group_is_slow_then_money_waits_and_market_does_not(run: Any) -> None:
    """Old orders stay until the slowest group acknowledged them; old ticks go."""
    now_ns = 100 * DAY_NS

    async def scenario(trial: Any) -> None:
        for topic in ("orders.executions", "market-data.krx.ticks"):
            for number in range(1, 5):
                await trial.bus.publish(topic, envelope(number), f"{number}-0")
            await read_all(trial.bus, "quick", topic)
            held = await trial.bus.consume([topic], "slow", "c", count=3, wait_ms=0)
            await trial.bus.acknowledge("slow", held[:1])

        assert await trial.bus.trim("market-data.krx.ticks", now_ns) == 4
        assert await trial.bus.trim("orders.executions", now_ns) == 1
        await trial.bus.acknowledge("slow", held[1:])
        again = await trial.bus.claim("orders.executions", "slow", "c", idle_ms=0, count=9)
        assert [entry.envelope.id for entry in again] == ["m2", "m3"]
        await trial.bus.acknowledge("slow", again)
        assert await trial.bus.trim("orders.executions", now_ns) == 2
        assert await read_all(trial.bus, "slow", "orders.executions") == ["m4"]

    run(scenario)


def test_claim_when_the_entry_was_trimmed_then_it_is_a_dead_letter(run: Any) -> None:
    """A pending entry whose bytes are gone is counted, not handed out as nothing."""

    async def scenario(trial: Any) -> None:
        await trial.bus.publish("market-data.krx.ticks", envelope(1), "1-0")
        await trial.bus.consume(["market-data.krx.ticks"], "g", "c", count=9, wait_ms=0)
        await trial.bus.trim("market-data.krx.ticks", 100 * DAY_NS)

        found = await trial.bus.claim("market-data.krx.ticks", "g", "c", idle_ms=0, count=9)
        (letter,) = await trial.bus.dead_letters("market-data.krx.ticks")

        assert found == []
        assert letter.reason is Reason.EMPTY

    run(scenario)


def test_f42_wipe_when_everything_is_lost_then_groups_come_back(run: Any) -> None:
    """After Redis was wiped, consumers go on: they see what is published again."""

    async def scenario(trial: Any) -> None:
        await trial.bus.publish("orders.pending", envelope(1), "1-1")
        assert await read_all(trial.bus, "g") == ["m1"]
        await trial.wipe()

        assert await trial.bus.claim("orders.pending", "g", "c", idle_ms=0, count=9) == []
        assert await trial.bus.publish("orders.pending", envelope(1), "1-1")
        assert await trial.bus.publish("orders.pending", envelope(2), "1-2")
        assert await read_all(trial.bus, "g") == ["m1", "m2"]

    run(scenario)


def test_consume_when_nothing_is_there_then_it_waits_for_the_next(run: Any) -> None:
    """A waiting consumer gets the entry that arrives; without one it gets nothing in time."""

    async def scenario(trial: Any) -> None:
        assert await trial.bus.consume(["orders.pending"], "g", "c", count=9, wait_ms=20) == []
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(
                trial.bus.consume(["orders.pending"], "g", "c", count=9, wait_ms=1900)
            )
            await trial.bus.publish("orders.pending", envelope(1))

        assert [entry.envelope.id for entry in waiting.result()] == ["m1"]

    run(scenario)


def test_market_topic_when_over_its_share_of_memory_then_the_oldest_go(redis_url: str) -> None:
    """Ticks are shed at the limit of memory, oldest first; orders never are."""

    async def play() -> None:
        bus = RedisBus(redis_url, memory_max=400_000)
        for number in range(1, 301):
            for topic in ("market-data.krx.ticks", "orders.pending"):
                await bus.publish(topic, envelope(number, b"x" * 1000), f"{number}-0")

        assert await bus.trim("market-data.krx.ticks", 0) > 150
        assert await bus.trim("orders.pending", 0) == 0
        assert await bus.length("orders.pending") == 300
        assert (await read_all(bus, "g", "market-data.krx.ticks"))[-1] == "m300"
        await bus.close()

    asyncio.run(play())


def test_publish_when_redis_is_not_there_then_it_fails_once_and_by_name(tmp_path: Any) -> None:
    """The client repeats nothing by itself: the caller decides."""

    async def play() -> None:
        bus = RedisBus(f"unix://{tmp_path}/nobody")
        with pytest.raises(BusUnavailableError, match="bus"):
            await bus.publish("orders.pending", envelope(1))
        await bus.close()

    asyncio.run(play())
