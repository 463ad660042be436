"""What the journal publishes on the bus: hints to read the journal, not the truth itself."""

from decimal import Decimal

import msgspec

from jts_trading.domain.feed_messages import (
    BarClosed,
    BarsClosed,
    GapSeen,
    NoticesCollected,
    RiskAlert,
    RoleHealth,
    TicksCollected,
)
from jts_trading.domain.journal_events import DecisionRecorded, SignalRecorded
from jts_trading.domain.orders import OrderSide, OrderState
from jts_trading.domain.research_messages import BacktestFinished, BacktestRequested
from jts_trading.domain.schemas import Registry
from jts_trading.domain.trading_inputs import TradingInputs


class OrderPending(msgspec.Struct, frozen=True, kw_only=True, tag="order_pending"):
    """An intent waits for the executor. Topic `orders.pending`."""

    order_id: str
    broker: str
    account: str
    instance: str
    instrument_id: str
    symbol: str
    side: OrderSide
    quantity: Decimal
    price: Decimal | None
    seq: int


class OrderChanged(msgspec.Struct, frozen=True, kw_only=True, tag="order_changed"):
    """An order moved or was filled. Topics `orders.executions` and `orders.failures`.

    Attributes:
        event: Type of the journal event.
        fill_quantity: Of this fill; None when this is none.
        seq: Number of the event in the journal.
    """

    order_id: str
    broker: str
    account: str
    instance: str
    instrument_id: str
    event: str
    state: OrderState
    quantity: Decimal
    filled: Decimal
    seq: int
    reason: str = ""
    trade_id: str = ""
    fill_quantity: Decimal | None = None
    fill_price: Decimal | None = None


class PortfolioChanged(msgspec.Struct, frozen=True, kw_only=True, tag="portfolio_changed"):
    """Cash or a position changed without an order. Topic `portfolio.updates`."""

    broker: str
    account: str
    instance: str
    event: str
    seq: int


class ReleaseChanged(msgspec.Struct, frozen=True, kw_only=True, tag="release_changed"):
    """A release is known or has another status. Topic `strategies.releases`."""

    strategy_id: str
    name: str
    release: str
    status: str
    seq: int


MESSAGES = Registry(
    (1, struct)
    for struct in (
        OrderPending,
        OrderChanged,
        PortfolioChanged,
        ReleaseChanged,
        SignalRecorded,
        DecisionRecorded,
        TicksCollected,
        NoticesCollected,
        GapSeen,
        BarClosed,
        BarsClosed,
        RiskAlert,
        RoleHealth,
        TradingInputs,
        BacktestRequested,
        BacktestFinished,
    )
)
