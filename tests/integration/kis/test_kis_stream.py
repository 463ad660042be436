"""The socket over TCP: frames, own fills, limits, and every fault of the stream."""

import asyncio
import contextlib
import itertools
from collections import Counter
from datetime import UTC, date, datetime

import pytest

from jts_trading.brokers.kis import wire
from jts_trading.brokers.kis.errors import DecodeError
from jts_trading.brokers.kis.frames import decode_frame
from jts_trading.brokers.kis.orders import CashOrder, PlacedOrder
from jts_trading.brokers.kis.stream import (
    Connected,
    Disconnected,
    ReceivedFrame,
    Registration,
    RegistrationRefused,
    RegistrationsFullError,
)
from jts_trading.domain.account_reports import FillNotice, NoticeState, OrderNotice
from jts_trading.domain.market.costs import CommissionProfile, Side
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.sessions import calendar_for
from jts_trading.domain.ticks import BookTick, TradeTick
from jts_trading.simulation.account_ledger import AccountLedger
from jts_trading.simulation.faults import Fault, FaultKind
from jts_trading.simulation.krx_market import Listing
from jts_trading.simulation.tape import TapeBar

pytestmark = pytest.mark.integration
DAY = date(2024, 6, 3)
TRADES = Registration(wire.TR_TRADE, "005930")
BOOKS = Registration(wire.TR_BOOK, "005930")
NOTICES = Registration(wire.TR_NOTICE_PAPER, "jtsdemo")


class Reader:
    """Reads a stream until a number of shares or the end of the tape, keeping what it saw."""

    def __init__(self, venue, stream) -> None:
        self.venue = venue
        self.stream = stream
        self.events: list[object] = []
        self.news: list[object] = []
        self.damage: Counter[str] = Counter()
        self.bytes_read = 0
        self.last: TradeTick | None = None

    @property
    def ticks(self) -> list[TradeTick]:
        """Trades so far."""
        return [event for event in self.events if isinstance(event, TradeTick)]

    def of(self, kind: type) -> list:
        """Events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def read(self, until, *, timeout_s: float = 60.0) -> None:
        """Read until a predicate of this reader holds."""
        async with asyncio.timeout(timeout_s), contextlib.aclosing(self.stream.events()) as news:
            async for item in news:
                if isinstance(item, ReceivedFrame):
                    self._decode(item)
                else:
                    self.news.append(item)
                if until(self):
                    return

    def _decode(self, frame: ReceivedFrame) -> None:
        self.bytes_read += len(frame.raw)
        try:
            found = decode_frame(frame.raw, frame.ts_recv_ns, keys=self.stream.keys, day=DAY)
        except DecodeError as error:
            self.damage[error.reason] += 1
            return
        if isinstance(found, tuple):
            self.events += found
            if isinstance(found[-1], TradeTick):
                self.last = found[-1]


async def _reader(venue, *registrations: Registration, **changes) -> Reader:
    stream = venue.stream(**changes)
    for registration in registrations:
        await stream.subscribe(registration)
    return Reader(venue, stream)


def _has_all(volume: int):
    return lambda reader: reader.last is not None and reader.last.cumulative_quantity == volume


def test_replay_when_read_to_the_end_then_volume_is_conserved_exactly(open_venue, bars):
    """Every recorded share comes off the socket once, in the order of time."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        async with open_venue(bars=bars) as venue:
            reader = await _reader(venue, TRADES, BOOKS)
            await reader.read(_has_all(total))
            ticks = reader.ticks
            assert sum(tick.quantity for tick in ticks) == total
            times = [tick.ts_event_ns for tick in ticks]
            assert times == sorted(times)
            for before, after in itertools.pairwise(ticks):
                assert after.cumulative_quantity - before.cumulative_quantity == after.quantity
            books = reader.of(BookTick)
            assert books
            assert all(book.asks[0].price > book.bids[0].price for book in books)
            assert not reader.damage
            by_minute = Counter()
            for tick in ticks:
                by_minute[tick.ts_event_ns // 60_000_000_000] += int(tick.quantity)
            assert sorted(by_minute.values()) == sorted(bar.volume for bar in bars)

    asyncio.run(run())


def test_replay_when_repeated_then_every_byte_of_the_ticks_is_the_same(open_venue, bars):
    """The same bars give the same trades: a failure can be repeated."""

    async def run() -> list[TradeTick]:
        async with open_venue(bars=bars) as venue:
            reader = await _reader(venue, TRADES)
            await reader.read(_has_all(sum(bar.volume for bar in bars)))
            return [(t.ts_event_ns, t.price, t.quantity, t.bid, t.ask) for t in reader.ticks]

    assert asyncio.run(run()) == asyncio.run(run())


def test_fills_when_orders_live_through_the_day_then_books_agree_to_the_won(open_venue, bars):
    """Fills off the socket, booked by the dated rules, equal the broker's own books row by row."""

    async def run() -> None:
        async with open_venue(bars=bars, level_quantity=50) as venue:
            for price in (69_400, 69_300, 69_200):
                await venue.orders.submit(CashOrder("005930", Side.BUY, 200, price))
            await venue.orders.submit(CashOrder("005930", Side.BUY, 60, 70_000))
            await venue.orders.submit(CashOrder("005930", Side.SELL, 30, 69_900))
            reader = await _reader(venue, TRADES, NOTICES)
            await reader.read(_has_all(sum(bar.volume for bar in bars)))
            fills = reader.of(FillNotice)
            rows = venue.ready.desk.ledger.rows
            early = len(rows) - len(fills)
            assert len(fills) > len({fill.order_no for fill in fills}) >= 3
            assert [(f.order_no, f.price, f.quantity) for f in fills] == [
                (row.order_no, row.price, row.quantity) for row in rows[early:]
            ]
            own = AccountLedger(
                100_000_000,
                table=default_table(),
                calendar=calendar_for("KRX"),
                commission=CommissionProfile("kis"),
            )
            samsung = Listing("005930", "삼성전자")
            for row in rows[:early]:
                own.book_fill(
                    *(DAY, row.order_no, samsung, row.side), price=row.price, quantity=row.quantity
                )
            for fill in fills:
                own.book_fill(
                    *(DAY, fill.order_no, samsung, fill.side),
                    price=int(fill.price),
                    quantity=int(fill.quantity),
                )
            assert own.rows == rows
            assert own.is_balanced
            balance = await venue.rest.balance()
            assert balance.cash == own.cash
            assert balance.costs_today == own.costs
            reports = await venue.rest.orders(DAY, DAY)
            assert sum(r.filled_quantity for r in reports) == sum(r.quantity for r in rows)

    asyncio.run(run())


def test_notices_when_amended_and_cancelled_then_told_over_the_socket(open_venue):
    """Own orders are told encrypted: received, confirmed as amended, confirmed as cancelled."""

    async def run() -> None:
        async with open_venue(speed=None) as venue:
            reader = await _reader(venue, NOTICES)

            async def trade() -> None:
                while not reader.stream.registered:  # noqa: ASYNC110 - a state of the socket
                    await asyncio.sleep(0.01)
                answer = await venue.orders.submit(CashOrder("005930", Side.BUY, 5, 60_000))
                moved = await venue.orders.amend(
                    PlacedOrder(answer.order_no, answer.branch), price=60_100
                )
                await venue.orders.cancel(PlacedOrder(moved.order_no, moved.branch))

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(trade())
                await reader.read(lambda r: len(r.of(OrderNotice)) == 3)
            notices = reader.of(OrderNotice)
            assert [(n.kind, n.state) for n in notices] == [
                *(("new", NoticeState.RECEIVED), ("amend", NoticeState.CONFIRMED)),
                ("cancel", NoticeState.CONFIRMED),
            ]
            assert notices[2].original_order_no == notices[1].order_no

    asyncio.run(run())


def test_stream_when_cut_half_way_then_comes_back_and_the_gap_is_visible(open_venue, bars):
    """A drop without a close frame: a new session, and the day's volume tells what was missed."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        faults = [Fault(kind=FaultKind.DISCONNECT, at=100)]
        async with open_venue(bars=bars, faults=faults) as venue:
            reader = await _reader(venue, TRADES)
            await reader.read(_has_all(total))
            assert [type(item) for item in reader.news] == [Connected, Disconnected, Connected]
            assert reader.news[1].reason == "dropped"
            assert venue.waits == [5.0]
            missing = total - sum(tick.quantity for tick in reader.ticks)
            # Time stands without a reader: only what was on the way is gone.
            assert missing < total // 10
            jumps = sum(
                after.cumulative_quantity - before.cumulative_quantity - after.quantity
                for before, after in zip(reader.ticks, reader.ticks[1:], strict=False)
            )
            assert missing == jumps > 0

    asyncio.run(run())


def test_stream_when_frames_are_spoilt_then_each_is_counted_and_it_lives(open_venue, bars):
    """Invalid UTF-8, HTML, an unknown id and a record of another width cost one frame each."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        kinds = (FaultKind.INVALID_UTF8, FaultKind.HTML, FaultKind.UNKNOWN_TR, FaultKind.WIDE)
        faults = [Fault(kind=kind, at=10 + 5 * at) for at, kind in enumerate(kinds)]
        async with open_venue(bars=bars, faults=faults) as venue:
            reader = await _reader(venue, TRADES)
            await reader.read(_has_all(total))
            assert reader.damage == {"utf8": 1, "json": 1, "tr_id": 1, "date": 1}
            assert len(reader.news) == 1
            lost = total - sum(tick.quantity for tick in reader.ticks)
            assert 0 < lost < total // 10

    asyncio.run(run())


def test_stream_when_frames_are_lost_doubled_or_swapped_then_volume_tells(open_venue, bars):
    """Loss leaves a gap in the day's volume; a double and a swap go back in it."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        faults = [
            Fault(kind=FaultKind.LOSS, at=20, count=2),
            Fault(kind=FaultKind.DUPLICATE, at=40),
            Fault(kind=FaultKind.REORDER, at=60),
        ]
        async with open_venue(bars=bars, faults=faults) as venue:
            reader = await _reader(venue, TRADES)
            await reader.read(_has_all(total))
            steps = [
                int(after.cumulative_quantity - before.cumulative_quantity - after.quantity)
                for before, after in zip(reader.ticks, reader.ticks[1:], strict=False)
            ]
            assert sum(step > 0 for step in steps) >= 2
            assert sum(step < 0 for step in steps) >= 2
            assert len({tick.cumulative_quantity for tick in reader.ticks}) < len(reader.ticks)

    asyncio.run(run())


def test_stream_when_silent_then_stale_and_connected_anew(open_venue, bars):
    """A socket that says nothing is given up; the session after it goes on."""

    async def run() -> None:
        faults = [Fault(kind=FaultKind.SILENCE, at=50, seconds=1.0)]
        async with open_venue(bars=bars, faults=faults) as venue:
            reader = await _reader(venue, TRADES, stale_after_s=0.3)
            await reader.read(_has_all(sum(bar.volume for bar in bars)))
            reasons = [item.reason for item in reader.news if isinstance(item, Disconnected)]
            assert "stale" in reasons

    asyncio.run(run())


def test_subscriptions_when_forty_two_then_the_last_is_refused_by_the_adapter(open_venue):
    """One socket carries 41, whatever they are."""

    async def run() -> None:
        async with open_venue() as venue:
            stream = venue.stream()
            for at in range(41):
                await stream.subscribe(Registration(wire.TR_TRADE, f"{at:06d}"))
            await stream.subscribe(Registration(wire.TR_TRADE, "000000"))
            with pytest.raises(RegistrationsFullError, match="number 42"):
                await stream.subscribe(BOOKS)
            await stream.unsubscribe(Registration(wire.TR_TRADE, "000001"))
            await stream.subscribe(BOOKS)
            reader = Reader(venue, stream)
            await reader.read(lambda r: len(stream.registered) == 41)
            assert venue.ready.push.is_subscribed(*BOOKS)

    asyncio.run(run())


def test_subscriptions_when_the_server_takes_fewer_then_its_refusal_counts(open_venue):
    """OPSP0008 lowers the capacity of the socket, for good."""

    async def run() -> None:
        async with open_venue(registrations_max=2, speed=None) as venue:
            stream = venue.stream()
            for at in range(3):
                await stream.subscribe(Registration(wire.TR_TRADE, f"{at:06d}"))
            reader = Reader(venue, stream)
            await reader.read(lambda r: any(isinstance(n, RegistrationRefused) for n in r.news))
            refused = reader.news[-1]
            assert (refused.code, refused.registration.tr_key) == ("OPSP0008", "000002")
            with pytest.raises(RegistrationsFullError):
                await stream.subscribe(BOOKS)

    asyncio.run(run())


def test_socket_when_a_second_uses_the_key_then_it_waits_long(open_venue):
    """OPSP8996: one socket a key; trying again at once would only lengthen the lock."""

    async def run() -> None:
        async with open_venue(speed=None) as venue:
            first, second = await _reader(venue, BOOKS), await _reader(venue, TRADES)
            async with asyncio.TaskGroup() as tasks:
                holding = tasks.create_task(first.read(lambda r: False))
                while not first.stream.registered:  # noqa: ASYNC110 - a state of the socket
                    await asyncio.sleep(0.01)
                await second.read(lambda r: any(isinstance(n, Disconnected) for n in r.news))
                holding.cancel()
            assert second.news[-1].reason == "app key in use"

    asyncio.run(run())


def test_pingpong_when_asked_often_then_echoed_and_the_socket_stays(open_venue, bars):
    """At full speed the server asks after each window; a reader that echoes gets everything."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        async with open_venue(bars=bars, window_frames=3, reader_timeout_s=2.0) as venue:
            reader = await _reader(venue, TRADES)
            await reader.read(_has_all(total))
            assert len(reader.news) == 1
            assert sum(tick.quantity for tick in reader.ticks) == total

    asyncio.run(run())


def test_minutes_when_the_tape_has_played_then_bars_come_back(open_venue, bars):
    """What went out as trades is what the minute chart says, up to 30 bars a call."""

    async def run() -> None:
        async with open_venue(bars=bars) as venue:
            reader = await _reader(venue, TRADES)
            await reader.read(_has_all(sum(bar.volume for bar in bars)))
            got = await venue.rest.minutes_today("005930", "153000")
            assert [(b.start_ns, b.open, b.high, b.low, b.close, b.volume) for b in got] == [
                (b.start_ns, b.open, b.high, b.low, b.close, b.volume) for b in bars
            ]
            assert await venue.rest.minutes_of("005930", DAY, "093100") == got[:2]

    asyncio.run(run())


def test_replay_when_real_minutes_then_volume_of_every_bar_is_conserved(open_venue, test_data):
    """Two real days of Samsung Electronics in January 2018, ticks and limits of that year."""
    import pyarrow.parquet as pq

    path = test_data / "krx" / "krx_1m_creon_005930_2018-01_2018-02.parquet"
    first = datetime(2018, 1, 18, tzinfo=UTC).timestamp() * 10**9
    last = datetime(2018, 1, 20, tzinfo=UTC).timestamp() * 10**9
    columns = ("open", "high", "low", "close", "volume")
    rows = [
        (int(row["timestamp"].timestamp()) * 10**9, *(int(row[name]) for name in columns))
        for row in pq.read_table(path).to_pylist()
    ]
    real = [TapeBar("005930", *row) for row in rows if first <= row[0] < last]
    assert len(real) > 700

    async def run() -> Reader:
        volumes = [bar.volume for bar in real]
        last_day = sum(bar.volume for bar in real if bar.start_ns >= first + 86_400 * 10**9)
        async with open_venue(bars=real) as venue:
            reader = await _reader(venue, TRADES)
            await reader.read(
                lambda r: (
                    r.last is not None
                    and r.last.ts_event_ns >= real[-1].start_ns
                    and r.last.cumulative_quantity == last_day
                )
            )
            assert sum(tick.quantity for tick in reader.ticks) == sum(volumes)
            return reader

    reader = asyncio.run(run())
    minutes: dict[int, list[TradeTick]] = {}
    for tick in reader.ticks:
        minutes.setdefault(tick.ts_event_ns // 60_000_000_000 * 60_000_000_000, []).append(tick)
    for bar in real:
        ticks = minutes[bar.start_ns]
        assert sum(tick.quantity for tick in ticks) == bar.volume
        if bar.volume >= 4:
            assert (ticks[0].price, ticks[-1].price) == (bar.open, bar.close)
            assert max(tick.price for tick in ticks) == bar.high
            assert min(tick.price for tick in ticks) == bar.low
