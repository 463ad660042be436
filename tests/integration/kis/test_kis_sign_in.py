"""Tokens over TCP: one request for many callers, renewal in time, no loop on refusals."""

import asyncio
from pathlib import Path

import pytest

from jts_trading.brokers.kis.access import FileTokens, KisAccess, StoredToken
from jts_trading.brokers.kis.errors import TokenError, VenueBusyError, VenueRefusedError
from jts_trading.brokers.kis.orders import CashOrder
from jts_trading.brokers.kis.settings import KisKeys
from jts_trading.domain.market.costs import Side
from jts_trading.simulation.faults import Fault, FaultKind
from jts_trading.telemetry.secrets import Secret

pytestmark = pytest.mark.integration
HOUR_NS = 3600 * 10**9


def test_token_when_many_ask_at_once_then_one_request(open_venue):
    """Callers share one flight."""

    async def run() -> None:
        async with open_venue(token_every_s=60.0) as venue:
            tokens = await asyncio.gather(*(venue.access.token() for _ in range(10)))
            assert len(set(tokens)) == 1
            assert venue.ready.sign_in.tokens_issued == 1

    asyncio.run(run())


def test_token_when_four_fifths_are_over_then_renewed(open_venue):
    """Renewal comes before the end, and not before its time."""

    async def run() -> None:
        async with open_venue(speed=None) as venue:
            first = await venue.access.token()
            venue.clock.advance(19 * HOUR_NS)
            assert await venue.access.token() == first
            venue.clock.advance(HOUR_NS)
            second = await venue.access.token()
            assert second != first
            assert venue.ready.sign_in.tokens_issued == 2

    asyncio.run(run())


def test_token_when_renewal_is_refused_then_the_old_one_serves_on(open_venue):
    """One token a minute: a refusal is no reason to stop while a token lives."""

    async def run() -> None:
        async with open_venue(speed=None, token_every_s=60.0) as venue:
            first = await venue.access.token()
            venue.clock.advance(20 * HOUR_NS)
            assert await venue.access.token() == first
            assert venue.waits == []

    asyncio.run(run())


def test_token_when_refused_without_an_old_one_then_waits_a_minute_and_gives_up(open_venue):
    """EGW00133 is never answered by a loop: three tries, a minute apart."""

    async def run() -> None:
        async with open_venue(token_every_s=60.0) as venue:
            await venue.access.token()
            with pytest.raises(VenueBusyError, match="EGW00133"):
                await venue.new_access().token()
            assert venue.waits == [61.0, 61.0]

    asyncio.run(run())


def test_token_when_secret_is_wrong_then_refused_without_showing_it(open_venue):
    """A wrong secret is final, and no error text carries it."""

    async def run() -> None:
        async with open_venue() as venue:
            keys = KisKeys(venue.keys.app_key, Secret("not-the-secret"))
            access = KisAccess(venue.settings, keys, venue.http, clock=venue.clock)
            with pytest.raises(VenueRefusedError, match="EGW00105") as caught:
                await access.token()
            assert "not-the-secret" not in str(caught.value)

    asyncio.run(run())


def test_token_when_kept_in_a_file_then_a_restart_asks_for_none(open_venue, tmp_path: Path):
    """Restarts within the day use the same token; the file is private."""

    async def run() -> None:
        async with open_venue(token_every_s=60.0) as venue:
            path = tmp_path / "token"
            first = await venue.new_access(store=FileTokens(path)).token()
            second = await venue.new_access(store=FileTokens(path)).token()
            assert second == first
            assert path.stat().st_mode & 0o077 == 0
            path.write_text("damaged")
            assert FileTokens(path).load() is None

    asyncio.run(run())


def test_query_when_token_expires_then_it_is_replaced_once(open_venue):
    """EGW00123 comes with HTTP 500 and is no fault of the question."""

    async def run() -> None:
        faults = [Fault(kind=FaultKind.TOKEN_EXPIRED, at=2)]
        async with open_venue(faults=faults) as venue:
            await venue.rest.quote("005930")
            quote = await venue.rest.quote("005930")
            assert quote.instrument_id == "KRX:005930"
            assert venue.ready.sign_in.tokens_issued == 2

    asyncio.run(run())


def test_order_when_token_expires_then_nothing_was_done_and_it_is_not_repeated(open_venue):
    """The caller decides whether an order is sent again."""

    async def run() -> None:
        faults = [Fault(kind=FaultKind.TOKEN_EXPIRED, at=1)]
        async with open_venue(faults=faults) as venue:
            with pytest.raises(TokenError):
                await venue.orders.submit(CashOrder("005930", Side.BUY, 1, 70_000))
            assert not venue.ready.desk.rows

    asyncio.run(run())


def test_calls_when_over_the_quota_then_busy_with_the_venues_code(open_venue):
    """The paper host takes two calls a second; the third meets EGW00201."""

    async def run() -> None:
        async with open_venue(calls_per_s=2) as venue:
            await venue.rest.quote("005930")
            await venue.rest.quote("005930")
            with pytest.raises(VenueBusyError, match="EGW00201"):
                await venue.rest.quote("005930")

    asyncio.run(run())


def test_calls_when_nobody_listens_then_busy(open_venue):
    """A host that is down is a reason to try later."""

    async def run() -> None:
        async with open_venue() as venue:
            await venue.access.token()
        async with open_venue() as other:
            lost = KisAccess(
                venue.settings, venue.keys, other.http, clock=venue.clock, sleep=other.sleep
            )
            with pytest.raises(VenueBusyError, match="ConnectError"):
                await lost.token()

    asyncio.run(run())


def test_f31_token_when_many_processes_need_one_then_one_asks(open_venue, tmp_path):
    """The file's lock is the line in which they stand; all get the same token."""

    async def run() -> None:
        async with open_venue(token_every_s=60.0) as venue:
            path = tmp_path / "token.json"
            many = [venue.new_access(store=FileTokens(path)) for _ in range(5)]
            tokens = await asyncio.gather(*(access.token() for access in many))
            assert len({token.reveal() for token in tokens}) == 1
            assert venue.ready.sign_in.tokens_issued == 1
            assert venue.waits == []

    asyncio.run(run())


def test_f31_token_when_refused_to_two_processes_then_one_new_token_serves_both(
    open_venue, tmp_path
):
    """Whoever hears of it second finds the new token, and does not throw it away."""

    async def run() -> None:
        async with open_venue() as venue:
            path = tmp_path / "token.json"
            first, second = (venue.new_access(store=FileTokens(path)) for _ in range(2))
            dead = await first.token()
            assert (await second.token()).reveal() == dead.reveal()
            venue.ready.sign_in.expire()
            first.forget(dead)
            fresh = await first.token()
            second.forget(dead)
            assert (await second.token()).reveal() == fresh.reveal() != dead.reveal()
            assert venue.ready.sign_in.tokens_issued == 2

    asyncio.run(run())


def test_token_file_when_somebody_renews_then_a_dead_one_is_left_to_him(tmp_path):
    """Dropping never removes what another process is about to save, nor another token."""

    async def run() -> None:
        store = FileTokens(tmp_path / "token.json")
        store.save(StoredToken(value="a", issued_ns=0, expires_ns=1))
        store.drop("b")
        assert store.load() is not None
        async with store.exclusive():
            store.drop("a")
            assert store.load() is not None
        store.drop("a")
        assert store.load() is None

    asyncio.run(run())
