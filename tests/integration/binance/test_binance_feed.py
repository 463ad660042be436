"""Streams of the simulated Binance over TCP: books, losses, subscriptions, renewal, faults."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from jts_trading.brokers.binance.errors import VenueBusyError, VenueRefusedError
from jts_trading.brokers.binance.simulator.capture import (
    Line,
    capture_files,
    moved_lines,
    read_lines,
    survey,
)
from jts_trading.brokers.binance.simulator.server import World
from jts_trading.brokers.binance.stream import StreamsFullError
from jts_trading.domain.ticks import BookTick, TradeTick
from jts_trading.ports.feed import (
    BookLost,
    FeedClosed,
    FeedOpened,
    FeedRefused,
    Frame,
    FrameError,
)
from jts_trading.simulation.faults import Fault, FaultKind

pytestmark = pytest.mark.integration
BTC = "BINANCE:BTCUSDT"


class Reader:
    """Reads a feed, keeping what it saw."""

    def __init__(self, venue: Any) -> None:
        self.venue = venue
        self.frames: list[Frame] = []
        self.items: list[Any] = []
        self.news: list[Any] = []
        self.damage: Counter[str] = Counter()

    @property
    def trades(self) -> list[TradeTick]:
        """Trades so far."""
        return [item for item in self.items if isinstance(item, TradeTick)]

    @property
    def books(self) -> list[BookTick]:
        """Books so far."""
        return [item for item in self.items if isinstance(item, BookTick)]

    async def read(self, until: Callable[["Reader"], object], *, timeout_s: float = 30.0) -> None:
        """Read until a predicate of this reader holds."""
        async with asyncio.timeout(timeout_s), contextlib.aclosing(self.venue.feed.news()) as news:
            async for item in news:
                if isinstance(item, Frame):
                    self.frames.append(item)
                    try:
                        self.items += self.venue.feed.decode(item)
                    except FrameError as error:
                        self.damage[str(error).partition(":")[0]] += 1
                else:
                    self.news.append(item)
                if until(self):
                    return


def ids(lines: list[Line]) -> list[int]:
    """Trade numbers of a tape."""
    trades = [line.raw for line in lines if line.stream.endswith("@trade")]
    return [int(raw.split(b'"t":')[1].split(b",")[0]) for raw in trades]


def last_trade(trade_id: int) -> Callable[[Reader], bool]:
    """Whether the reader has reached a trade."""
    return lambda reader: bool(reader.trades) and reader.trades[-1].trade_id == trade_id


def test_feed_when_read_to_the_end_then_trades_and_books_are_the_venue_s(
    open_binance: Any, make_world: Any, now_ns: int
) -> None:
    """Every trade once and in order; the book at the end is the simulator's own."""

    async def run() -> None:
        lines = list(make_world(3000, now_ns).lines)
        async with open_binance(World(iter(lines), ("BTCUSDT",))) as venue:
            await venue.feed.subscribe([BTC])
            reader = Reader(venue)
            await reader.read(lambda r: len(r.frames) == len(lines))
            assert [tick.trade_id for tick in reader.trades] == ids(lines)
            assert not reader.damage
            asks, bids = venue.ready.markets["BTCUSDT"].book.best(10)
            newest = reader.books[-1]
            assert [(level.price, level.quantity) for level in newest.asks] == asks
            assert [(level.price, level.quantity) for level in newest.bids] == bids
            assert all(b.bids[0].price < b.asks[0].price for b in reader.books)
            snapshots = [f for f in reader.frames if b"@depthSnapshot" in f.raw[:64]]
            assert len(snapshots) == 1

    asyncio.run(run())


def test_f28_book_when_a_change_is_lost_then_unsynced_until_the_next_snapshot(
    open_binance: Any, make_world: Any, now_ns: int
) -> None:
    """A lost change empties the book at once; it is the venue's again after a snapshot."""

    async def run() -> None:
        lines = list(make_world(3000, now_ns).lines)
        faults = [Fault(kind=FaultKind.LOSS, at=at, count=25) for at in (900, 1800)]
        world = World(iter(lines), ("BTCUSDT",))
        # Not as fast as may be: an answer has to find its place among the changes.
        async with open_binance(world, faults=faults, speed=50.0) as venue:
            await venue.feed.subscribe([BTC])
            reader = Reader(venue)
            await reader.read(last_trade(ids(lines)[-1]))
            lost = [item for item in reader.items if isinstance(item, BookLost)]
            assert len(lost) == 2
            assert all(item.missing > 0 for item in lost)
            for item in lost:
                unknown = reader.items[reader.items.index(item) + 1]
                assert (unknown.asks, unknown.bids) == ((), ())
            snapshots = [f for f in reader.frames if b"@depthSnapshot" in f.raw[:64]]
            assert len(snapshots) == 3
            jumps = [b.trade_id - a.trade_id - 1 for a, b in itertools.pairwise(reader.trades)]
            assert sum(jumps) == len(ids(lines)) - len(reader.trades) > 0

    asyncio.run(run())


def test_feed_when_frames_are_spoilt_then_each_costs_itself_only(
    open_binance: Any, make_world: Any, now_ns: int
) -> None:
    """Invalid UTF-8, HTML, an unknown stream and missing fields are counted by name."""

    async def run() -> None:
        kinds = (FaultKind.INVALID_UTF8, FaultKind.HTML, FaultKind.UNKNOWN_TR, FaultKind.WIDE)
        faults = [Fault(kind=kind, at=200 + 50 * n) for n, kind in enumerate(kinds)]
        lines = list(make_world(1500, now_ns).lines)
        async with open_binance(World(iter(lines), ("BTCUSDT",)), faults=faults) as venue:
            await venue.feed.subscribe([BTC])
            reader = Reader(venue)
            await reader.read(last_trade(ids(lines)[-1]))
            assert reader.damage == {"json": 2, "stream": 1, "shape": 1}
            assert not [item for item in reader.news if isinstance(item, FeedClosed)]

    asyncio.run(run())


def test_socket_when_dropped_then_it_comes_back_with_a_book_of_its_own(
    open_binance: Any, make_world: Any, now_ns: int
) -> None:
    """A drop is told; the next session asks for a snapshot and builds another book."""

    async def run() -> None:
        lines = list(make_world(2000, now_ns).lines)
        faults = [Fault(kind=FaultKind.DISCONNECT, at=500)]
        async with open_binance(World(iter(lines), ("BTCUSDT",)), faults=faults) as venue:
            await venue.feed.subscribe([BTC])
            reader = Reader(venue)
            await reader.read(lambda r: r.frames[-1:] and r.frames[-1].raw == lines[-1].raw)
            assert [type(item) for item in reader.news] == [FeedOpened, FeedClosed, FeedOpened]
            assert reader.news[1].reason == "dropped"
            snapshots = [f for f in reader.frames if b"@depthSnapshot" in f.raw[:64]]
            assert {frame.session for frame in snapshots} == {1, 2}
            asks, _ = venue.ready.markets["BTCUSDT"].book.best(10)
            assert [(x.price, x.quantity) for x in reader.books[-1].asks] == asks

    asyncio.run(run())


def test_socket_when_its_life_ends_then_another_takes_over_and_nothing_is_missed(
    open_binance: Any, make_world: Any, now_ns: int
) -> None:
    """Before the venue's 24 hours are over a second socket is read beside the first."""

    async def run() -> None:
        lines = list(make_world(1500, now_ns).lines)
        world = World(iter(lines), ("BTCUSDT",))
        client = {"life_s": 0.5, "overlap_s": 0.2}
        async with open_binance(world, speed=20.0, client=client) as venue:
            await venue.feed.subscribe([BTC])
            reader = Reader(venue)
            await reader.read(last_trade(ids(lines)[-1]))
            assert {type(item) for item in reader.news} == {FeedOpened}
            assert len(reader.news) >= 3
            assert sorted({tick.trade_id for tick in reader.trades}) == ids(lines)
            # What both sockets delivered is there twice, under one number.
            assert len(reader.trades) > len(ids(lines))

    asyncio.run(run())


def test_subscription_when_made_on_a_live_socket_then_its_frames_come(
    open_binance: Any, make_world: Any, now_ns: int
) -> None:
    """SUBSCRIBE on the way, without another connection; a refusal names the instrument."""

    async def run() -> None:
        world = make_world(4000, now_ns, pairs=("BTCUSDT", "ETHUSDT"))
        async with open_binance(world, speed=10.0, streams_max=6) as venue:
            await venue.feed.subscribe([BTC])
            reader = Reader(venue)

            async def ask() -> None:
                while not reader.trades:  # noqa: ASYNC110 - a state of another task
                    await asyncio.sleep(0.01)
                await venue.feed.subscribe(["BINANCE:ETHUSDT"])
                await venue.feed.subscribe(["BINANCE:BNBUSDT"])

            def is_done(r: Reader) -> bool:
                names = {tick.instrument_id for tick in r.books}
                refused = [item for item in r.news if isinstance(item, FeedRefused)]
                return len(names) == 2 and bool(refused)

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(ask())
                await reader.read(is_done)
            assert len([item for item in reader.news if isinstance(item, FeedOpened)]) == 1
            refused = [item for item in reader.news if isinstance(item, FeedRefused)]
            assert {item.instrument_id for item in refused} == {"BINANCE:BNBUSDT"}

    asyncio.run(run())


def test_stream_when_full_then_refused_before_anything_is_asked(open_binance: Any) -> None:
    """1024 streams on one socket."""

    async def run() -> None:
        async with open_binance() as venue:
            await venue.stream.subscribe(f"x{n}@trade" for n in range(1024))
            with pytest.raises(StreamsFullError, match="accepted: 1024"):
                await venue.stream.subscribe(["y@trade"])

    asyncio.run(run())


def test_socket_when_silent_then_it_is_given_up(open_binance: Any, make_world: Any) -> None:
    """No close, no data: another socket is opened."""

    async def run() -> None:
        clock_now = 1_723_161_254_000_000_000
        faults = [Fault(kind=FaultKind.SILENCE, at=50, seconds=2.0)]
        world = make_world(400, clock_now)
        client = {"stale_after_s": 0.4}
        async with open_binance(world, faults=faults, client=client) as venue:
            await venue.feed.subscribe([BTC])
            reader = Reader(venue)
            await reader.read(lambda r: sum(isinstance(n, FeedOpened) for n in r.news) == 2)
            assert reader.news[1].reason == "stale"

    asyncio.run(run())


def test_protocol_when_spoken_by_hand_then_the_simulator_answers_as_the_venue(
    open_binance: Any, make_world: Any, now_ns: int
) -> None:
    """Raw and combined streams, LIST_SUBSCRIPTIONS, properties, errors, five messages a second."""

    async def run() -> None:
        async with open_binance(make_world(5000, now_ns), speed=20.0) as venue:
            url = venue.ready.stream_url
            async with connect(f"{url}/ws/btcusdt@trade") as socket:
                assert (await socket.recv()).startswith('{"e":"trade","E":')
                await socket.send('{"method":"SET_PROPERTY","params":["combined",true],"id":5}')
                while not (await socket.recv()).startswith('{"stream":"btcusdt@trade","data":'):
                    pass
                await socket.send('{"method":"LIST_SUBSCRIPTIONS","id":6}')
                answers = []
                while not answers:
                    text = await socket.recv()
                    answers += [text] if '"id":6' in text else []
                assert answers == ['{"result":["btcusdt@trade"],"id":6}']
            async with connect(f"{url}/ws") as socket:
                await socket.send("not json")
                assert (await socket.recv()).startswith('{"code":3,"msg":"Invalid JSON')
                await socket.send('{"method":"DANCE","params":[],"id":1}')
                assert '"code":2' in await socket.recv()

                async def ask_too_often() -> None:
                    for number in range(9):
                        await socket.send(f'{{"method":"LIST_SUBSCRIPTIONS","id":{number}}}')
                        await socket.recv()

                with pytest.raises(ConnectionClosed) as error:
                    await ask_too_often()
                assert error.value.rcvd is not None
                assert error.value.rcvd.code == 1008

    asyncio.run(run())


def test_rest_when_asked_then_it_agrees_with_the_stream(
    open_binance: Any, make_world: Any, now_ns: int
) -> None:
    """Bars sum up the trades that were sent; book and figures are those of the tape."""

    async def run() -> None:
        # Bars that still run are left out: all of these lie behind us.
        start_ns = now_ns - 10**12
        lines = list(make_world(1000, start_ns).lines)
        async with open_binance(World(iter(lines), ("BTCUSDT",))) as venue:
            await venue.feed.subscribe([BTC])
            reader = Reader(venue)
            await reader.read(lambda r: len(r.frames) == len(lines))
            await asyncio.wait_for(venue.ready.tape_ended.wait(), 10)
            bars = await venue.rest.candles(BTC, "1s", start_ns - 10**9, now_ns)
            done = bars[-1].start_ns + 10**9
            trades = [tick for tick in reader.trades if tick.ts_event_ns < done]
            assert sum(bar.volume for bar in bars) == sum(tick.quantity for tick in trades)
            assert bars[0].open == trades[0].price
            assert [b.start_ns - a.start_ns for a, b in itertools.pairwise(bars)] == [10**9] * (
                len(bars) - 1
            )
            quote = await venue.rest.quote(BTC)
            assert quote.last == reader.trades[-1].price
            assert quote.quantity == sum(tick.quantity for tick in reader.trades)
            book = await venue.rest.book(BTC)
            assert book.bids[0] == reader.books[-1].bids[0]
            rules = await venue.rest.exchange(["BTCUSDT"])
            assert (rules.symbols[0].base_asset, rules.symbols[0].quote_asset) == ("BTC", "USDT")
            assert venue.rest.used_weight > 0
            with pytest.raises(VenueRefusedError, match="-1121"):
                await venue.rest.quote("BINANCE:NOPE")

    asyncio.run(run())


def test_f20_rest_when_its_weight_is_used_up_then_busy_with_when_to_come_back(
    open_binance: Any,
) -> None:
    """429 with Retry-After: the caller learns for how long to be quiet."""

    async def run() -> None:
        async with open_binance(weight_per_min=60) as venue:
            await venue.rest.snapshot("BTCUSDT")
            with pytest.raises(VenueBusyError) as error:
                await venue.rest.snapshot("BTCUSDT")
            assert 0 < error.value.retry_after_s <= 60

    asyncio.run(run())


def test_capture_when_replayed_then_every_byte_is_the_venue_s(
    open_binance: Any, test_data: Path
) -> None:
    """Real frames come off the socket as they were captured, and build the real book."""

    async def run() -> None:
        lines = list(itertools.islice(read_lines(capture_files(test_data)), 6_000))
        sent = [line.raw for line in lines if not line.stream.endswith("Snapshot")]
        async with open_binance(World(iter(lines), ("BTCUSDT",))) as venue:
            await venue.feed.subscribe([BTC])
            reader = Reader(venue)
            await reader.read(lambda r: len(r.frames) == len(sent) + 1)
            got = [frame.raw for frame in reader.frames if b"Snapshot" not in frame.raw[:64]]
            assert got == sent
            assert not reader.damage
            numbers = [tick.trade_id for tick in reader.trades]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            ahead = [tick.ts_event_ns for tick in reader.trades]
            assert ahead == sorted(ahead)
            asks, bids = venue.ready.markets["BTCUSDT"].book.best(10)
            assert reader.books[-1].asks[0].price >= bids[0][0]
            assert len(reader.books[-1].asks) == len(asks) == 10

    asyncio.run(run())


def test_capture_when_moved_then_numbers_grow_and_times_lie_before_their_sending(
    test_data: Path,
) -> None:
    """Round after round: no number comes twice, and where it begins does not matter."""
    files = capture_files(test_data)
    span = survey(files)
    assert (span.symbol, span.trades[1] - span.trades[0]) == ("BTCUSDT", 19_903)
    assert 1.27e9 < span.skew_ns < 1.28e9
    start = 1_795_000_000_000_000_000
    lines = moved_lines(files, span, start)
    trades: list[int] = []
    for line in itertools.islice(lines, 120_000):
        if line.stream.endswith("@trade"):
            trades += ids([line])
            event_ms = int(line.raw.split(b'"E":')[1].split(b",")[0])
            assert 0 <= line.due_ns - event_ms * 10**6 < 300 * 10**6
    assert trades == list(range(trades[0], trades[0] + len(trades)))
    again = moved_lines(files, span, start + 60 * 10**9)
    assert list(itertools.islice(again, 50)) == list(
        itertools.islice(moved_lines(files, span, start), 50)
    )


def test_made_up_ticks_when_the_seed_is_the_same_then_every_byte_is(make_world: Any) -> None:
    """A seed and a start decide the tape."""
    one, two, other = (list(make_world(500, 10**18, seed=seed).lines) for seed in (4, 4, 5))
    assert one == two
    assert one != other
    assert [line.due_ns for line in one] == sorted(line.due_ns for line in one)
