"""KIS in our terms: order types, ids, permits that are paid before they are used."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from jts_trading.brokers.kis.limits import QuotaName
from jts_trading.brokers.kis.orders import OrderDivision
from jts_trading.brokers.kis.permits import KisPermits, quotas_of
from jts_trading.brokers.kis.sender import cash_order, placed_order
from jts_trading.brokers.kis.settings import KisKeys, KisSettings
from jts_trading.bus.memory_state import MemoryState
from jts_trading.domain.market.costs import Side
from jts_trading.domain.orders import OrderSide
from jts_trading.execution.priority import Priority
from jts_trading.ports.state import Limit
from jts_trading.risk.approval import FinalOrder
from jts_trading.telemetry.secrets import Secret

S = 10**9


def _order(**changes: Any) -> FinalOrder:
    plain: dict[str, Any] = {
        "order_id": "o",
        "client_order_id": "o-1",
        "attempt": 1,
        "broker": "kis",
        "account": "5000000101",
        "instance": "i",
        "instrument_id": "KRX:005930",
        "venue": "KRX",
        "side": OrderSide.BUY,
        "quantity": Decimal(3),
        "price": Decimal(70_000),
        "currency": "KRW",
    }
    return FinalOrder(**(plain | changes))


DIVISIONS = [
    ("day", Decimal(70_000), OrderDivision.LIMIT),
    ("day", None, OrderDivision.MARKET),
    ("ioc", Decimal(70_000), OrderDivision.LIMIT_IOC),
    ("ioc", None, OrderDivision.MARKET_IOC),
    ("fok", Decimal(70_000), OrderDivision.LIMIT_FOK),
    ("fok", None, OrderDivision.MARKET_FOK),
]


@pytest.mark.parametrize(("force", "price", "division"), DIVISIONS)
def test_order_when_translated_then_its_type_is_the_venues(
    force: str, price: Decimal | None, division: OrderDivision
) -> None:
    """Market or limit, staying, at once or all at once."""
    wanted = cash_order(_order(time_in_force=force, price=price, side=OrderSide.SELL))
    assert (wanted.division, wanted.symbol, wanted.quantity) == (division, "005930", 3)
    assert wanted.side is Side.SELL
    assert wanted.price == (None if price is None else 70_000)


@pytest.mark.parametrize(
    "change",
    [{"time_in_force": "gtc"}, {"quantity": Decimal("0.5")}, {"price": Decimal("70000.5")}],
)
def test_order_when_kis_has_no_such_order_then_it_cannot_be_translated(
    change: dict[str, Any],
) -> None:
    """It is refused before anything is sent."""
    with pytest.raises((KeyError, ValueError)):
        cash_order(_order(**change))


def test_venue_order_id_when_read_then_branch_and_number() -> None:
    """Day, branch and number; what is no such id names nothing."""
    placed = placed_order("20180226-06010-0000000012")
    assert placed is not None
    assert (placed.branch, placed.order_no) == ("06010", "0000000012")
    for text in ("", "nonsense", "20180226-06010", "20180226--0000000012", "x0180226-06010-12"):
        assert placed_order(text) is None


class Time:
    """Real time that a test moves."""

    now_ns = 100 * S

    def __call__(self) -> int:
        """Read it."""
        return self.now_ns


class Counted(MemoryState):
    """A state that remembers what was taken."""

    def __init__(self, time: Time) -> None:
        super().__init__(time)
        self.taken: list[str] = []

    async def take(self, limit: Limit, cost: int = 1) -> int:
        """Take and remember."""
        self.taken.append(limit.name)
        return await super().take(limit, cost)


def test_permits_when_paid_before_then_an_order_waits_for_nothing() -> None:
    """One payment serves one call, for a short while; the app key is in no name."""

    async def play() -> None:
        time = Time()
        state = Counted(time)
        keys = KisKeys(Secret("APPKEY-123"), Secret("s"))
        permits = KisPermits(KisSettings(), keys, state, monotonic_ns=time).prepaid()
        time.now_ns += 2 * S
        await permits.pay(Priority.CANCEL)
        asked = len(state.taken)
        await permits.acquire((QuotaName.REST, QuotaName.LEDGER))
        assert len(state.taken) == asked
        time.now_ns += 5 * S
        await permits.pay(Priority.REDUCE)
        asked = len(state.taken)
        time.now_ns += 5 * S
        await permits.acquire((QuotaName.REST,))
        assert len(state.taken) > asked
        assert not any("APPKEY" in name for name in state.taken)
        await permits.acquire((QuotaName.TOKEN,))

    asyncio.run(play())


def test_quotas_when_the_settings_name_others_then_those_count() -> None:
    """The published ones are the default."""
    plain = quotas_of(KisSettings())
    assert (plain[QuotaName.REST].calls, plain[QuotaName.LEDGER].calls) == (2, 1)
    wide = quotas_of(KisSettings(calls_per_s=50, ledger_calls_per_s=30))
    assert (wide[QuotaName.REST].calls, wide[QuotaName.LEDGER].calls) == (50, 30)
    assert wide[QuotaName.TOKEN] == plain[QuotaName.TOKEN]
