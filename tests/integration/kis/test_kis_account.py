"""The account and history ports over a simulated KIS on TCP, and the simulator's own books."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from jts_trading.brokers.kis.account import CountedPermits, KisAccount
from jts_trading.brokers.kis.history import KisHistory
from jts_trading.brokers.kis.limits import QuotaName
from jts_trading.brokers.kis.orders import CashOrder, OrderDivision
from jts_trading.brokers.kis.settings import Environment, KisSettings
from jts_trading.domain.account_reports import OrderAnswer
from jts_trading.domain.instruments import InstrumentError
from jts_trading.domain.market.costs import Side
from jts_trading.simulation.tape import TapeBar

pytestmark = pytest.mark.integration
DAY = date(2024, 6, 3)
START_NS = int(datetime(2024, 6, 3, 0, 0, tzinfo=UTC).timestamp()) * 10**9  # 09:00 in Korea
MINUTE_NS = 60 * 10**9


def _minutes(start_ns: int, count: int) -> list[TapeBar]:
    return [
        TapeBar("005930", start_ns + at * MINUTE_NS, *(70_000 + 100 * (at % 5),) * 4, 100 + at)
        for at in range(count)
    ]


def test_account_when_asked_then_names_orders_for_ever_and_tells_the_balance(open_venue):
    """The lasting id is day, branch and number; cash is that of D+2."""

    async def run() -> None:
        async with open_venue() as venue:
            account = KisAccount(venue.rest, venue.settings)
            order = CashOrder("005930", Side.BUY, 7, None, OrderDivision.MARKET)
            answer = await venue.orders.submit(order)
            assert isinstance(answer, OrderAnswer)
            (report,) = await account.orders(DAY, DAY)
            balance = await account.balance()
            profile = await account.profile()
            assert report.venue_order_id == f"20240603-{answer.branch}-{answer.order_no}"
            assert balance.cash == venue.ready.desk.ledger.cash
            assert (account.broker, account.account) == ("kis", "5000000101")
            assert (profile.environment, profile.currency) == ("simulated", "KRW")
            assert await account.rate_limits() == ()

    asyncio.run(run())


def test_permits_when_calls_were_made_then_tell_what_is_left():
    """Only calls within the window count; what others of the key took is not known."""

    async def run() -> None:
        now = [0]
        permits = CountedPermits(environment=Environment.PAPER, monotonic_ns=lambda: now[0])
        await permits((QuotaName.REST, QuotaName.LEDGER))
        await permits((QuotaName.REST,))
        left = {status.quota: status.left for status in permits.status()}
        now[0] += 10**9
        later = {status.quota: (status.left, status.window_ms) for status in permits.status()}
        assert left == {"kis/rest": 0, "kis/ledger": 0, "kis/token": 1}
        assert later == {"kis/rest": (2, 1000), "kis/ledger": (1, 1000), "kis/token": (1, 60_000)}

    asyncio.run(run())


def test_account_when_host_is_published_then_environment_is_told():
    """An account is simulated when its host is this machine, else what the key is for."""

    async def run() -> None:
        for environment in ("paper", "real"):
            settings = KisSettings(environment=Environment(environment), account="12345678")
            profile = await KisAccount(None, settings).profile()
            assert (profile.environment, profile.account) == (environment, "1234567801")

    asyncio.run(run())


def test_candles_when_a_day_has_many_pages_then_all_closed_minutes_come_once(open_venue):
    """A past day comes in pages of 120, today in pages of 30; the running minute is left out."""

    async def run() -> None:
        friday = _minutes(START_NS - 3 * 24 * 60 * MINUTE_NS, 380)
        today = _minutes(START_NS, 200)
        async with open_venue(history=[*friday, *today]) as venue:
            history = KisHistory(venue.rest, venue.clock)
            venue.clock.advance(START_NS + 180 * MINUTE_NS - venue.clock.now_ns())
            start_ns = friday[100].start_ns
            bars = await history.candles("KRX:005930", "1m", start_ns, START_NS + 10**15)
            found = [(bar.start_ns, bar.volume) for bar in bars]
            wanted = [(bar.start_ns, bar.volume) for bar in (*friday[100:], *today[:180])]
            assert found == wanted
            part = await history.candles(
                "KRX:005930", "1m", today[40].start_ns, today[42].start_ns
            )
            assert [bar.start_ns for bar in part] == [bar.start_ns for bar in today[40:42]]
            later = venue.clock.now_ns() + MINUTE_NS
            assert await history.candles("KRX:005930", "1m", later, later + MINUTE_NS) == ()

    asyncio.run(run())


def test_history_when_asked_for_what_kis_lacks_then_says_what_it_has(open_venue):
    """Another interval and another market are errors with what would be accepted."""

    async def run() -> None:
        async with open_venue() as venue:
            history = KisHistory(venue.rest, venue.clock)
            with pytest.raises(InstrumentError, match="bars of 1m"):
                await history.candles("KRX:005930", "1d", 0, 1)
            with pytest.raises(InstrumentError, match="not listed on KRX"):
                await history.quote("BINANCE:BTCUSDT")
            assert (await history.quote("KRX:005930")).instrument_id == "KRX:005930"

    asyncio.run(run())


def test_book_when_asked_then_equals_the_simulated_book(open_venue):
    """Ten levels a side with their sizes; no expected price outside auctions."""

    async def run() -> None:
        async with open_venue() as venue:
            book = await KisHistory(venue.rest, venue.clock).book("KRX:005930")
            market = venue.ready.desk.markets["005930"]
            for side, levels in ((Side.SELL, book.asks), (Side.BUY, book.bids)):
                found = [(int(level.price), int(level.quantity)) for level in levels]
                assert found == list(market.book.depth(side, 10))
            assert (book.expected_price, book.expected_quantity) == (None, None)

    asyncio.run(run())


def test_simulator_ledger_when_asked_from_outside_then_tells_rows_cash_and_positions(open_venue):
    """Without sign-in and quota, and under a path that no venue has."""

    async def run() -> None:
        async with open_venue() as venue:
            await venue.orders.submit(CashOrder("005930", Side.BUY, 9, None, OrderDivision.MARKET))
            await venue.orders.submit(
                CashOrder("005930", Side.SELL, 4, None, OrderDivision.MARKET)
            )
            answer = await venue.http.get(venue.ready.rest_url + "/_simulator/ledger")
            told = answer.json()
            ledger = venue.ready.desk.ledger
            assert told["rows"] == msgspec.to_builtins(ledger.rows)
            assert len(told["rows"]) == 2
            assert (told["cash"], told["deposit"]) == (ledger.cash, ledger.deposit)
            assert told["positions"] == {
                "005930": {"quantity": 5, "cost": ledger.positions["005930"].cost}
            }
            assert told["is_balanced"] is True
            assert told["cash"] == told["deposit"] + sum(row["net"] for row in told["rows"])
            assert Decimal(told["costs"]) == ledger.costs
            assert told["day"] == str(DAY)
            assert told["rows"][0]["settle_date"] == str(DAY + timedelta(days=2))

    asyncio.run(run())
