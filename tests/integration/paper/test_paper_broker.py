"""The paper broker: exact books, each order filled once, whatever dies when."""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.brokers.paper.account import PaperAccount
from jts_trading.brokers.paper.books import PaperBooks, PaperFileError
from jts_trading.brokers.paper.desk import PaperDesk
from jts_trading.brokers.paper.settings import IdProfile, PaperSettings
from jts_trading.brokers.paper.venue import PaperVenue
from jts_trading.bus.memory import MemoryBus
from jts_trading.domain.account_reports import FillNotice, OrderState
from jts_trading.domain.errors import TransientError
from jts_trading.domain.feed_messages import NoticesCollected, TicksCollected
from jts_trading.domain.journal_events import OrderFilled
from jts_trading.domain.ledger_rows import LedgerAccount
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.execution.fill_costs import CostRules
from jts_trading.journal.booking import fill_lines
from jts_trading.portfolio.holding import Holding
from jts_trading.ports.bus import Envelope
from jts_trading.ports.clock import VirtualClock
from jts_trading.ports.sender import Accepted, Refused
from jts_trading.risk.approval import FinalOrder

S = 10**9
START_NS = int(datetime(2024, 8, 8, 13, 0, tzinfo=UTC).timestamp()) * S
DAY = date(2024, 8, 8)
BITCOIN = "BINANCE:BTCUSDT"
D = Decimal
COSTS = CostRules(default_table())
BUY, SELL = OrderSide.BUY, OrderSide.SELL


def _open() -> None:
    """A gate that lets through."""


def order(
    number: int = 1, side: OrderSide = BUY, quantity: str = "0.1", **more: Any
) -> FinalOrder:
    """A market order for a tenth of a bitcoin."""
    plain: dict[str, Any] = {
        "order_id": f"o{number}",
        "client_order_id": f"o{number}-1",
        "attempt": 1,
        "broker": "paper",
        "account": "paper",
        "instance": "btc",
        "instrument_id": BITCOIN,
        "venue": "BINANCE",
        "side": side,
        "quantity": D(quantity),
        "price": None,
        "currency": "USDT",
    }
    return FinalOrder(**(plain | more))


def trade(seconds: float, price: str) -> TradeTick:
    """A trade so many seconds after the start."""
    at_ns = START_NS + int(seconds * S)
    return TradeTick(
        instrument_id=BITCOIN,
        venue="BINANCE",
        broker="binance",
        ts_event_ns=at_ns - 5_000_000,
        ts_recv_ns=at_ns,
        price=D(price),
        quantity=D("0.01"),
        aggressor=Aggressor.BUY,
        cumulative_quantity=D(1),
    )


def desk(path: Path, **changes: Any) -> PaperDesk:
    """The broker over a file."""
    settings = msgspec.structs.replace(PaperSettings(), **changes)
    books = PaperBooks(
        path, account=settings.account, currency=settings.currency, deposit=settings.deposit
    )
    return PaperDesk(books, settings, COSTS)


def account(path: Path, **changes: Any) -> PaperAccount:
    """What the reconciler asks, with a connection of its own."""
    settings = msgspec.structs.replace(PaperSettings(), **changes)
    return PaperAccount(path, settings, clock=VirtualClock(START_NS + 60 * S))


def reports(path: Path, **changes: Any) -> list[Any]:
    """The orders of the day."""
    return list(asyncio.run(account(path, **changes).orders(DAY, DAY)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the books are."""
    return tmp_path / "trading" / "paper.sqlite"


def test_market_order_when_accepted_then_the_first_later_trade_fills_it_exactly(
    path: Path,
) -> None:
    """Trades of before, and the one at the same instant, do not count; costs are the rules'."""
    venue = desk(path)
    venue.apply("1-0", [trade(-1, "60000.00")])
    taken = venue.take(order(), START_NS, _open)
    assert isinstance(taken, Accepted)
    assert venue.apply("2-0", [trade(-2, "1.00"), trade(0, "2.00")]) == []
    (notice,) = venue.apply("3-0", [trade(1, "60100.10"), trade(2, "1.00")])

    assert (notice.price, notice.quantity, notice.fee_quantity) == (
        D("60100.10"),
        D("0.1"),
        D("0.0001"),
    )
    (report,) = reports(path)
    assert report.venue_order_id == taken.venue_order_id == notice.order_no
    assert (report.state, report.filled_amount) == (OrderState.FILLED, D("6010.01"))
    assert report.client_order_id == "o1-1"
    assert report.fills == (notice,)
    balance = asyncio.run(account(path).balance())
    assert balance.cash == D("93989.99")
    (held,) = balance.positions
    assert (held.quantity, held.cost) == (D("0.0999"), D("6010.01"))


def test_sale_when_filled_then_the_commission_is_money_and_nothing_is_left(path: Path) -> None:
    """The last sale takes the whole cost; cash, cost and fees add up to the last unit."""
    venue = desk(path)
    venue.take(order(1), START_NS, _open)
    venue.apply("1-0", [trade(1, "60000.01")])
    short = venue.take(order(2, SELL, "0.1"), START_NS + 2 * S, _open)
    assert isinstance(short, Refused)
    venue.take(order(3, SELL, "0.0999"), START_NS + 2 * S, _open)
    (notice,) = venue.apply("2-0", [trade(3, "61000.33")])
    assert notice.fee == D("6.09393296")
    balance = asyncio.run(account(path).balance())
    assert balance.positions == ()
    assert balance.cash == D(100_000) - D("6000.001") + D("6093.932967") - notice.fee
    assert balance.costs_today == notice.fee


LIMITS = [
    # Side, limit, trades, then the price of the fill.
    (BUY, "60000.00", ["60000.00"], "60000.00"),
    (BUY, "60000.00", ["59990.00"], "59990.00"),
    (BUY, "60000.00", ["60010.00", "60000.00"], None),
    (BUY, "60000.00", ["60010.00", "59999.99"], "60000.00"),
    (SELL, "60000.00", ["60005.00"], "60005.00"),
    (SELL, "60000.00", ["59990.00", "60000.00"], None),
    (SELL, "60000.00", ["59990.00", "60000.01"], "60000.00"),
]


@pytest.mark.parametrize(("side", "limit", "prices", "filled"), LIMITS)
def test_limit_order_when_trades_come_then_it_crosses_or_waits_behind_all(
    path: Path, side: OrderSide, limit: str, prices: list[str], filled: str | None
) -> None:
    """Arriving it takes the market's price; resting it is last in line at its own."""
    venue = desk(path)
    venue.take(order(1), START_NS - 10 * S, _open)
    venue.apply("1-0", [trade(-5, "60000.00")])
    venue.take(order(2, side, "0.05", price=D(limit)), START_NS, _open)
    for at, price in enumerate(prices, 1):
        venue.apply(f"{at + 1}-0", [trade(at, price)])
    report = reports(path)[1]

    assert (report.state is OrderState.FILLED) is (filled is not None)
    if filled is not None:
        assert report.fills[0].price == D(filled)


@pytest.mark.parametrize("force", ["ioc", "fok"])
def test_immediate_order_when_the_first_trade_does_not_fill_it_then_it_is_gone(
    path: Path, force: str
) -> None:
    """It never rests."""
    venue = desk(path)
    wanted = order(1, price=D("59000.00"), time_in_force=force)
    venue.take(wanted, START_NS, _open)
    venue.apply("1-0", [trade(1, "60000.00")])
    venue.apply("2-0", [trade(2, "50000.00")])
    assert [report.state for report in reports(path)] == [OrderState.CANCELLED]


def test_day_order_when_its_day_ends_then_it_is_gone_and_a_lasting_one_stays(path: Path) -> None:
    """A venue that never closes has days all the same: those of UTC."""
    venue = desk(path)
    for number, force in ((1, "day"), (2, "gtc")):
        venue.take(order(number, price=D("50000.00"), time_in_force=force), START_NS, _open)
    venue.apply("1-0", [trade(1, "60000.00")])
    venue.apply("2-0", [trade(11 * 3600, "60000.00")])
    first, second = reports(path)
    assert (first.state, second.state) == (OrderState.CANCELLED, OrderState.OPEN)
    later = asyncio.run(account(path).orders(date(2024, 8, 9), date(2024, 8, 9)))
    assert [report.order_no for report in later] == [first.order_no, second.order_no]


REFUSED = [
    (order(2, quantity="0.000001"), "-1013", "LOT_SIZE"),
    (order(2, quantity="0.00001"), "-1013", "NOTIONAL"),
    (order(2, price=D("60000.001")), "-1013", "PRICE_FILTER"),
    (order(2, quantity="2"), "-2010", "insufficient"),
    (order(2, SELL), "-2010", "insufficient"),
    (order(2, instrument_id="BINANCE:NOSUCHUSDT"), "-1121", "Invalid symbol"),
    (order(2, currency="KRW"), "-1121", "Invalid symbol"),
]


@pytest.mark.parametrize(("wanted", "code", "words"), REFUSED)
def test_order_when_against_the_rules_then_refused_and_nothing_is_left(
    path: Path, wanted: FinalOrder, code: str, words: str
) -> None:
    """The venue's own codes; no row, no cash held."""
    venue = desk(path)
    venue.apply("1-0", [trade(-1, "60000.00")])
    answer = venue.take(wanted, START_NS, _open)
    assert isinstance(answer, Refused)
    assert answer.code == code
    assert words in answer.reason
    assert reports(path) == []


def test_purchases_when_several_wait_then_cash_is_counted_once(path: Path) -> None:
    """Open purchases hold their cash; a cancelled one gives it back."""
    venue = desk(path)
    taken = venue.take(order(1, quantity="1", price=D("60000.00")), START_NS, _open)
    assert isinstance(taken, Accepted)
    second = order(2, quantity="1", price=D("50000.00"))
    assert isinstance(venue.take(second, START_NS, _open), Refused)
    assert isinstance(venue.cancel(taken.venue_order_id, START_NS), Accepted)
    assert isinstance(venue.take(second, START_NS, _open), Accepted)
    assert isinstance(venue.cancel(taken.venue_order_id, START_NS), Refused)
    assert isinstance(venue.cancel("", START_NS), Refused)


def test_purchase_when_the_price_runs_away_then_nothing_is_lent(path: Path) -> None:
    """An unpriced order that cash cannot pay at its fill is gone."""
    venue = desk(path, deposit=D(6_000))
    venue.take(order(1), START_NS, _open)
    venue.apply("1-0", [trade(1, "60000.01")])
    assert [report.state for report in reports(path, deposit=D(6_000))] == [OrderState.CANCELLED]


PROFILES = [
    # After an order of this id was refused, is open, was filled: is the id taken?
    (IdProfile.PAPER, [False, True, True]),
    (IdProfile.UPBIT, [True, True, True]),
    (IdProfile.BINANCE, [False, True, False]),
    (IdProfile.KIS, [False, False, False]),
]


@pytest.mark.parametrize(("profile", "taken"), PROFILES)
def test_ids_when_repeated_then_as_the_real_venue_would_answer(
    path: Path, profile: IdProfile, taken: list[bool]
) -> None:
    """Four rules of uniqueness, so that tests meet each of them."""
    venue = desk(path, profile=profile)
    venue.apply("1-0", [trade(-1, "60000.00")])
    venue.take(order(1, quantity="50"), START_NS, _open)
    answers = [venue.take(order(1, price=D("50000.00")), START_NS, _open)]
    if isinstance(answers[0], Refused):
        venue.take(order(9, price=D("50000.00"), client_order_id="o1-1"), START_NS, _open)
    answers.append(venue.take(order(1, price=D("50000.00")), START_NS, _open))
    venue.apply("2-0", [trade(1, "60000.00"), trade(2, "40000.00")])
    answers.append(venue.take(order(1, price=D("40000.00")), START_NS, _open))
    assert [isinstance(answer, Refused) for answer in answers] == taken
    has_ids = profile is not IdProfile.KIS
    found = reports(path, profile=profile)
    assert all((report.client_order_id is not None) is has_ids for report in found)


def test_gate_when_shut_then_nothing_was_done(path: Path) -> None:
    """What the gate raises comes out; the books are as before."""
    venue = desk(path)

    def shut() -> None:
        raise TransientError("the lease is gone")

    with pytest.raises(TransientError, match="lease"):
        venue.take(order(), START_NS, shut)
    assert reports(path) == []


def test_file_when_of_another_account_then_refused(path: Path) -> None:
    """Books are never mixed."""
    desk(path)
    with pytest.raises(PaperFileError, match="account is 'paper'; accepted: 'other'"):
        desk(path, account="other")


def test_account_when_nobody_has_traded_yet_then_it_holds_its_deposit(path: Path) -> None:
    """Nothing is made by asking; a file that cannot be read is another matter."""
    balance = asyncio.run(account(path).balance())
    assert (balance.cash, balance.positions, reports(path)) == (D(100_000), (), [])
    assert not path.exists()
    path.parent.mkdir()
    path.write_bytes(b"this is no database, whatever else it may be" * 40)
    with pytest.raises(TransientError):
        asyncio.run(account(path).balance())


@given(
    st.lists(
        st.tuples(
            st.sampled_from([BUY, SELL]),
            st.integers(1, 400),
            st.none() | st.integers(-50, 50),
            st.integers(-60, 60),
        ),
        max_size=12,
    )
)
def test_books_when_any_orders_come_then_they_close_to_the_last_unit(
    orders: list[tuple[OrderSide, int, int | None, int]],
) -> None:
    """Cash and positions are what the journal books of the same fills; nothing is ever short."""
    memory = PaperBooks.__new__(PaperBooks)
    memory._connection = sqlite3.connect(":memory:", isolation_level=None)
    memory.currency = "USDT"
    with memory.transaction():
        memory._prepare(Path("memory"), "paper", D(100_000))
    venue = PaperDesk(memory, PaperSettings(), COSTS)
    venue.apply("0-1", [trade(-1, "60000.00")])
    cash, held = D(100_000), Holding()
    for at, (side, lots, limit, move) in enumerate(orders, 1):
        price = None if limit is None else D(60_000 + limit)
        venue.take(order(at, side, str(D(lots) / 1000), price=price), START_NS + at * S, _open)
        moved = trade(at + 0.5, f"{60_000 + move}.00")
        for notice in venue.apply(f"{at}-0", [moved]):
            lines = fill_lines(_as_booked(notice), OrderSide(notice.side.lower()), "USDT", held)
            cash += sum((ln.amount for ln in lines if ln.ledger is LedgerAccount.CASH), D(0))
            moved_lines = [ln for ln in lines if ln.ledger is LedgerAccount.POSITION]
            held = Holding(
                held.quantity + sum((ln.quantity for ln in moved_lines), D(0)),
                held.cost + sum((ln.amount for ln in moved_lines), D(0)),
            )
        assert memory.held(BITCOIN) == (held.quantity, held.cost)
        assert memory.cash == cash
        assert min(held.quantity, cash) >= 0


def _as_booked(notice: FillNotice) -> OrderFilled:
    """A fill as the reconciler books it."""
    return OrderFilled(
        order_id="o",
        trade_id=notice.trade_id or "",
        quantity=notice.quantity,
        price=notice.price,
        fee=notice.fee or D(0),
        fee_quantity=notice.fee_quantity or D(0),
    )


class Market:
    """The bus with ticks of a market, and a venue that matches with it."""

    def __init__(self, path: Path) -> None:
        self.clock = VirtualClock(START_NS)
        self.bus = MemoryBus(lambda: START_NS)
        self.path = path
        self.entries = 0

    def venue(self) -> PaperVenue:
        """Another life of the process."""
        return PaperVenue(self.path, PaperSettings(), COSTS, bus=self.bus, clock=self.clock)

    async def publish(self, *trades: TradeTick) -> None:
        """One entry."""
        message = TicksCollected(
            feed="binance-1",
            session=1,
            first_frame=1,
            first_tick=1,
            ticks=trades,
            frames=(0,) * len(trades),
        )
        kind, version = MESSAGES.identify(message)
        self.entries += 1
        envelope = Envelope(
            type=kind,
            version=version,
            id=f"e{self.entries}",
            correlation_id="",
            causation_id="",
            source="collector",
            ts_event_ns=START_NS,
            ts_recv_ns=START_NS,
            payload=msgspec.msgpack.encode(message),
        )
        await self.bus.publish("market-data.crypto.ticks", envelope)

    async def notices(self) -> list[Any]:
        """What was told on the bus."""
        entries, _ = await self.bus.read({"orders.notices": "0-0"}, count=100, wait_ms=0)
        found = []
        for entry in entries:
            envelope = entry.envelope
            message = MESSAGES.decode(envelope.type, envelope.version, envelope.payload)
            assert isinstance(message, NoticesCollected)
            found += message.notices
        return found


@contextlib.asynccontextmanager
async def matching(venue: PaperVenue) -> Any:
    """A venue at work."""
    task = asyncio.ensure_future(venue.match())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await venue.close()


async def _until_filled(path: Path, count: int) -> list[Any]:
    async with asyncio.timeout(5):
        while True:
            found = await account(path).orders(DAY, DAY)
            if sum(report.state is OrderState.FILLED for report in found) >= count:
                return list(found)
            await asyncio.sleep(0.01)


def test_venue_when_it_dies_and_reads_again_then_each_order_is_filled_once(path: Path) -> None:
    """A place that was not kept makes it read ticks again; nothing is filled twice."""

    async def play() -> None:
        market = Market(path)
        first = market.venue()
        async with matching(first):
            await first.submit(order(1), _open)
            await market.publish(trade(1, "60000.00"))
            await _until_filled(path, 1)
        market.clock.advance(2 * S)
        with contextlib.closing(sqlite3.connect(path)) as books, books:
            books.execute("DELETE FROM places")
        second = market.venue()
        async with matching(second):
            await second.submit(order(2, SELL, "0.05"), _open)
            await market.publish(trade(3, "61000.00"))
            bought, sold = await _until_filled(path, 2)
        assert (bought.fills[0].price, sold.fills[0].price) == (D(60_000), D(61_000))
        told = await market.notices()
        assert [notice.trade_id for notice in told] == [
            bought.fills[0].trade_id,
            sold.fills[0].trade_id,
        ]

    asyncio.run(play())


_WRITER = """
import sys, os
from pathlib import Path
import importlib.util
spec = importlib.util.spec_from_file_location("paper_test", sys.argv[2])
module = importlib.util.module_from_spec(spec)
sys.modules["paper_test"] = module
spec.loader.exec_module(module)
desk = module.desk(Path(sys.argv[1]))
for number in range(1, 10_000):
    side, quantity = (module.BUY, "0.01") if number % 2 else (module.SELL, "0.009")
    desk.take(module.order(number, side, quantity), module.START_NS + number, lambda: None)
    desk.apply(f"{number}-0", [module.trade(1 + number, "60000.00")])
    print(number, flush=True)
"""


def test_f05_books_when_their_process_is_killed_then_what_was_answered_is_there(
    path: Path,
) -> None:
    """SIGKILL in the middle of orders and fills: whole rows, balanced books, nothing lost."""
    for life in range(3):
        popen = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path.with_name(f"p{life}.sqlite")), __file__],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert popen.stdout is not None
        for _ in range(5 + 7 * life):
            popen.stdout.readline()
        popen.kill()
        answered = int((popen.stdout.read().split() or ["0"])[-1] or 0)
        popen.wait()
        popen.stdout.close()
        books = path.with_name(f"p{life}.sqlite")
        found = reports(books)
        assert len(found) >= max(answered, 5 + 7 * life)
        filled = [report for report in found if report.state is OrderState.FILLED]
        assert len(found) - len(filled) <= 1
        cash = D(100_000)
        for report in filled:
            (fill,) = report.fills
            sign = -1 if report.side == "BUY" else 1
            cash += sign * report.filled_amount - fill.fee
        assert asyncio.run(account(books).balance()).cash == cash
