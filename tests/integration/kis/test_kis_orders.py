"""Orders over TCP: their whole life, the exact books behind them, and answers that get lost."""

import asyncio
import contextlib
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from jts_trading.brokers.kis import wire
from jts_trading.brokers.kis.errors import VenueBusyError
from jts_trading.brokers.kis.orders import CashOrder, OrderDivision, PlacedOrder
from jts_trading.brokers.kis.stream import Registration
from jts_trading.domain.account_reports import OrderAnswer, OrderRefusal, OrderState
from jts_trading.domain.errors import UnknownOutcome
from jts_trading.domain.market.costs import Side
from jts_trading.simulation.faults import Fault, FaultKind
from jts_trading.simulation.tape import TapeBar

pytestmark = pytest.mark.integration
DAY = date(2024, 6, 3)
START_NS = int(datetime(2024, 6, 3, 0, 30, tzinfo=UTC).timestamp()) * 10**9


async def _accepted(venue, order: CashOrder) -> PlacedOrder:
    answer = await venue.orders.submit(order)
    assert isinstance(answer, OrderAnswer), answer
    return PlacedOrder(answer.order_no, answer.branch)


def test_order_when_it_crosses_then_filled_at_the_crowds_prices(open_venue):
    """A marketable order walks the book; the report carries its exact amount."""

    async def run() -> None:
        async with open_venue(level_quantity=100) as venue:
            await _accepted(venue, CashOrder("005930", Side.BUY, 150, None, OrderDivision.MARKET))
            (report,) = await venue.rest.orders(DAY, DAY)
            assert (report.state, report.filled_quantity) == (OrderState.FILLED, 150)
            assert report.filled_amount == 100 * 70_000 - 100 * 500 + 50 * 69_600
            balance = await venue.rest.balance()
            ledger = venue.ready.desk.ledger
            assert balance.cash == ledger.cash
            assert balance.settled_cash == 100_000_000
            assert balance.positions[0].cost == report.filled_amount
            assert ledger.is_balanced

    asyncio.run(run())


def test_order_when_resting_then_amended_and_cancelled_with_new_numbers(open_venue):
    """An amendment and a cancel get numbers of their own and point to what they change."""

    async def run() -> None:
        async with open_venue() as venue:
            first = await _accepted(venue, CashOrder("005930", Side.BUY, 10, 69_000))
            amended = await venue.orders.amend(first, price=68_900)
            second = PlacedOrder(amended.order_no, amended.branch)
            assert isinstance(await venue.orders.cancel(second, quantity=4), OrderAnswer)
            assert isinstance(await venue.orders.cancel(second), OrderAnswer)
            reports = {r.order_no: r for r in await venue.rest.orders(DAY, DAY)}
            assert len(reports) == 4
            assert reports[first.order_no].state is OrderState.CANCELLED
            moved = reports[second.order_no]
            assert (moved.original_order_no, moved.price) == (first.order_no, 68_900)
            assert (moved.state, moved.cancelled_quantity) == (OrderState.CANCELLED, 10)
            assert sum(report.is_cancel for report in reports.values()) == 2
            assert venue.ready.desk.ledger.buyable == 100_000_000

    asyncio.run(run())


def test_cancel_when_already_filled_then_refused(open_venue):
    """The race between a fill and a cancel ends in a refusal, never in doubt."""

    async def run() -> None:
        async with open_venue() as venue:
            placed = await _accepted(venue, CashOrder("005930", Side.BUY, 10, 70_000))
            refused = await venue.orders.cancel(placed)
            assert isinstance(refused, OrderRefusal)
            assert "수량" in refused.reason

    asyncio.run(run())


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (CashOrder("005930", Side.BUY, 1, 70_050), "40030000"),
        (CashOrder("005930", Side.BUY, 1, 170_000), "40030000"),
        (CashOrder("005930", Side.BUY, 100_000, 70_000), "40250000"),
        (CashOrder("005930", Side.SELL, 1, 70_000), "APBK0918"),
        (CashOrder("000000", Side.BUY, 1, 70_000), "APBK0656"),
        (CashOrder("005930", Side.BUY, 1, 70_000, OrderDivision.LIMIT_IOC), "APBK0918"),
    ],
)
def test_order_when_against_the_rules_then_refused_with_a_code(open_venue, order, code: str):
    """Tick, limits, cash, holdings, symbol and type are judged; nothing is left behind."""

    async def run() -> None:
        async with open_venue() as venue:
            refused = await venue.orders.submit(order)
            assert isinstance(refused, OrderRefusal)
            assert refused.code == code
            assert not venue.ready.desk.rows

    asyncio.run(run())


def test_order_when_real_host_then_ioc_lapses_and_its_ids_differ(open_venue):
    """The real host has its own ids and takes IOC; the rest of it lapses."""

    async def run() -> None:
        async with open_venue(environment="real", level_quantity=100) as venue:
            order = CashOrder("005930", Side.BUY, 150, 69_500, OrderDivision.LIMIT_IOC)
            await _accepted(venue, order)
            (report,) = await venue.rest.orders(DAY, DAY)
            assert (report.filled_quantity, report.cancelled_quantity) == (100, 50)
            assert report.state is OrderState.CANCELLED

    asyncio.run(run())


def test_unpriced_purchase_when_cash_is_checked_then_at_the_upper_limit(open_venue):
    """A market purchase holds cash at the upper limit, and frees it after the fill."""

    async def run() -> None:
        async with open_venue(deposit=1_000_000, references={"005930": 70_000}) as venue:
            buyable = await venue.rest.buyable("005930", None)
            assert (buyable.price, buyable.quantity) == (91_000, 10)
            refused = await venue.orders.submit(
                CashOrder("005930", Side.BUY, 11, None, OrderDivision.MARKET)
            )
            assert isinstance(refused, OrderRefusal)
            await _accepted(venue, CashOrder("005930", Side.BUY, 10, None, OrderDivision.MARKET))
            ledger = venue.ready.desk.ledger
            assert ledger.buyable == ledger.cash == 1_000_000 - 700_000 - 98

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "orders"),
    [(FaultKind.TIMEOUT_BEFORE, 0), (FaultKind.TIMEOUT_AFTER, 1), (FaultKind.HTML_AFTER, 1)],
)
def test_order_when_the_answer_is_lost_then_unknown_and_evidence_decides(
    open_venue, kind: FaultKind, orders: int
):
    """The caller cannot know; the day's orders can. It is sent once in either case."""

    async def run() -> None:
        async with open_venue(faults=[Fault(kind=kind, at=1)], timeout_s=0.4) as venue:
            await venue.access.token()
            with pytest.raises(UnknownOutcome):
                await venue.orders.submit(CashOrder("005930", Side.BUY, 3, 69_000))
            reports = await venue.rest.orders(DAY, DAY)
            assert len(reports) == orders
            assert all(report.quantity == 3 for report in reports)

    asyncio.run(run())


def test_order_when_rate_limited_then_nothing_was_done(open_venue):
    """A refusal by the gateway is certain: the order does not exist."""

    async def run() -> None:
        async with open_venue(faults=[Fault(kind=FaultKind.RATE_LIMIT, at=1)]) as venue:
            with pytest.raises(VenueBusyError):
                await venue.orders.submit(CashOrder("005930", Side.BUY, 3, 69_000))
            assert not venue.ready.desk.rows
            await _accepted(venue, CashOrder("005930", Side.BUY, 3, 69_000))

    asyncio.run(run())


def test_orders_when_more_than_a_page_then_all_are_read_in_order(open_venue):
    """The paper host shows 15 orders a page."""

    async def run() -> None:
        async with open_venue() as venue:
            for at in range(33):
                await _accepted(venue, CashOrder("005930", Side.BUY, 1 + at, 60_000))
            reports = await venue.rest.orders(DAY, DAY)
            assert [report.quantity for report in reports] == list(range(1, 34))
            assert len({report.order_no for report in reports}) == 33

    asyncio.run(run())


def test_quotes_when_asked_then_agree_with_each_other(open_venue):
    """Quote, multi-quote and limits come from one market."""

    async def run() -> None:
        async with open_venue(references={"005930": 70_000}) as venue:
            quote = await venue.rest.quote("005930")
            (row,) = await venue.rest.quotes(["005930", "000660"])
            assert (quote.reference, quote.upper, quote.lower) == (70_000, 91_000, 49_000)
            assert (row.last, row.upper, row.lower) == (quote.last, quote.upper, quote.lower)
            assert row.ask - row.bid == quote.tick == Decimal(100)

    asyncio.run(run())


def test_order_when_the_market_is_closed_then_refused(open_venue):
    """Orders outside the hours of the day's calendar do not rest."""

    async def run() -> None:
        night = TapeBar("005930", START_NS + 9 * 3600 * 10**9, *(70_000,) * 4, 10)
        async with open_venue(bars=[night]) as venue:
            refused = await venue.orders.submit(CashOrder("005930", Side.BUY, 1, 70_000))
            assert isinstance(refused, OrderRefusal)
            assert refused.code == "40580000"

    asyncio.run(run())


def test_day_when_it_changes_then_orders_lapse_numbers_begin_anew_and_cash_settles(open_venue):
    """Two sessions with a holiday behind them: day orders, T+2, limits from yesterday's close."""

    async def run() -> None:
        day_ns = 24 * 3600 * 10**9
        flat = [
            TapeBar("005930", START_NS + at * day_ns, *(close,) * 4, 100)
            for at, close in enumerate((70_000, 72_000, 71_000))
        ]
        async with open_venue(bars=flat, prints_max=4) as venue:
            await _accepted(venue, CashOrder("005930", Side.BUY, 10, 70_000))
            await _accepted(venue, CashOrder("005930", Side.BUY, 5, 60_000))
            stream = venue.stream()
            await stream.subscribe(Registration(wire.TR_TRADE, "005930"))
            async with asyncio.timeout(10), contextlib.aclosing(stream.events()) as news:
                async for _ in news:
                    if venue.ready.tape_ended.is_set():
                        break
            desk = venue.ready.desk
            assert desk.day == date(2024, 6, 5)
            first, second = await venue.rest.orders(DAY, DAY)
            assert (first.state, second.state) == (OrderState.FILLED, OrderState.CANCELLED)
            quote = await venue.rest.quote("005930")
            assert quote.reference == 72_000
            placed = await _accepted(venue, CashOrder("005930", Side.BUY, 1, 60_000))
            assert placed.order_no == "0000000001"
            balance = await venue.rest.balance()
            # Monday's purchase settles on Wednesday.
            assert balance.settled_cash == balance.cash == 100_000_000 - 700_000 - 98
            assert desk.ledger.is_balanced

    asyncio.run(run())
