"""A buy that passes every check, and ways to change one thing about it."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from jts_trading.domain.feed_messages import PriceNote, ReconciledNote
from jts_trading.domain.market.binance import BinanceFilters
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput
from jts_trading.risk.approval import FinalOrder
from jts_trading.risk.facts import EquityMarks, KrxRules, OpenOrder, RiskFacts, SentOrder
from jts_trading.risk.review import Review, review

S = 10**9
# 10:00 in Korea on a Monday.
NOW_NS = int(datetime(2024, 6, 3, 1, 0, tzinfo=UTC).timestamp()) * S
REAL_NS = 500 * S
SAMSUNG, HYNIX, BITCOIN = "KRX:005930", "KRX:000660", "BINANCE:BTCUSDT"
D = Decimal


def order(**changes: Any) -> FinalOrder:
    """Buy 10 shares of Samsung at 70,000 won."""
    plain = FinalOrder(
        order_id="o1",
        client_order_id="o1-1",
        attempt=1,
        broker="kis",
        account="a1",
        instance="sma",
        instrument_id=SAMSUNG,
        venue="KRX",
        side=OrderSide.BUY,
        quantity=D(10),
        price=D(70_000),
        currency="KRW",
    )
    return msgspec.structs.replace(plain, **changes)


def note(**changes: Any) -> PriceNote:
    """Samsung traded at 70,000 one second ago."""
    plain = PriceNote(
        instrument_id=SAMSUNG,
        venue="KRX",
        price=D(70_000),
        ts_event_ns=NOW_NS - S,
        ts_recv_ns=NOW_NS - S,
        bid=D(69_900),
        ask=D(70_000),
        reference=D(70_000),
        upper=D(91_000),
        lower=D(49_000),
    )
    return msgspec.structs.replace(plain, **changes)


def strategy(**changes: Any) -> StrategyInput:
    """The instance that the order belongs to."""
    plain = StrategyInput(
        instance="sma",
        strategy_id="00000000-0000-0000-0000-000000000001",
        release="sma@1",
        dsl_code="",
        params={},
        broker="kis",
        account="a1",
        venue="KRX",
        interval="1m",
        instrument_ids=(SAMSUNG, HYNIX),
        allocation=D(100_000_000),
        currency="KRW",
    )
    return msgspec.structs.replace(plain, **changes)


def reconciled(**changes: Any) -> ReconciledNote:
    """The account agreed one second ago."""
    plain = ReconciledNote(broker="kis", account="a1", real_ns=REAL_NS - S, unknown_orders=0)
    return msgspec.structs.replace(plain, **changes)


def facts(**changes: Any) -> RiskFacts:
    """Everything is known and well: 100 million won in cash, nothing held, nothing open."""
    known: dict[str, Any] = {
        "price": note(),
        "is_price_shared": True,
        "rules": KrxRules("KOSPI"),
        "strategy": strategy(),
        "cash": D(100_000_000),
        "holdings": {},
        "own_holding": D(0),
        "marks": {SAMSUNG: D(70_000), HYNIX: D(200_000)},
        "open_orders": (),
        "equity_marks": EquityMarks(D(100_000_000), D(100_000_000)),
        "fee_rate": D("0.00014"),
        "sent": (),
        "rejects": 0,
        "reconciled": reconciled(),
        "kill_level": 0,
        "loop_lag_ms": 1.0,
        "clock_speed": Fraction(1),
        "real_now_ns": REAL_NS,
    }
    return RiskFacts(**(known | changes))


def held(quantity: int) -> dict[str, Any]:
    """The changes of the facts when the instance holds shares of Samsung."""
    return {"holdings": {SAMSUNG: D(quantity)}, "own_holding": D(quantity)}


def open_order(**changes: Any) -> OpenOrder:
    """Another open buy of 100 shares of Samsung at 70,000."""
    plain: dict[str, Any] = {
        "order_id": "o9",
        "instance": "other",
        "instrument_id": SAMSUNG,
        "side": OrderSide.BUY,
        "remaining": D(100),
        "price": D(70_000),
        "asset": "KRW",
        "reserved": D(7_001_000),
        "is_unknown": False,
    }
    return OpenOrder(**(plain | changes))


def sent(**changes: Any) -> SentOrder:
    """The same order, sent one second ago."""
    plain: dict[str, Any] = {
        "order_id": "o8",
        "broker": "kis",
        "account": "a1",
        "instance": "sma",
        "instrument_id": SAMSUNG,
        "side": OrderSide.BUY,
        "quantity": D(10),
        "price": D(70_000),
        "sent_ns": NOW_NS - S,
        "real_sent_ns": REAL_NS - S,
    }
    return SentOrder(**(plain | changes))


def bitcoin(**changes: Any) -> tuple[FinalOrder, RiskFacts]:
    """A market buy of 0.1 bitcoin at about 60,000 USDT that passes."""
    wanted = order(
        broker="paper",
        instrument_id=BITCOIN,
        venue="BINANCE",
        quantity=D("0.1"),
        price=None,
        currency="USDT",
    )
    known = facts(
        price=note(
            instrument_id=BITCOIN,
            venue="BINANCE",
            price=D("60000.00"),
            bid=None,
            ask=None,
            reference=None,
            upper=None,
            lower=None,
        ),
        rules=BinanceFilters(D("0.01"), D("0.00001"), D(5)),
        strategy=strategy(
            broker="paper", venue="BINANCE", instrument_ids=(BITCOIN,), currency="USDT"
        ),
        cash=D(100_000),
        marks={BITCOIN: D(60_000)},
        equity_marks=EquityMarks(D(100_000), D(100_000)),
        reconciled=reconciled(broker="paper"),
    )
    return msgspec.structs.replace(wanted, **changes), known


def judge(
    wanted: FinalOrder | None = None,
    known: RiskFacts | None = None,
    limits: RiskLimits | None = None,
    *,
    reduces: bool = False,
    now_ns: int = NOW_NS,
) -> Review:
    """Review with plain limits."""
    return review(
        wanted or order(),
        known or facts(),
        limits or RiskLimits(),
        reduces=reduces,
        now_ns=now_ns,
        limits_version=7,
    )


@pytest.fixture
def c() -> SimpleNamespace:
    """The builders of this file by name."""
    return SimpleNamespace(**globals())
