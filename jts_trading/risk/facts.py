"""What a review is told. Everything that may be missing is None when it is, and missing denies.

Facts are gathered by the executor within the time of the review; nothing in here is looked up
again. Quantities and amounts are exact; `*_ns` without another word is instance time (UTC ns),
`real_*_ns` is the boot clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from jts_trading.domain.feed_messages import PriceNote, ReconciledNote
from jts_trading.domain.market.binance import BinanceFilters
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.risk.approval import FinalOrder


@dataclass(frozen=True, slots=True)
class KrxRules:
    """What the dated rules of KRX and NXT ask for an instrument.

    Attributes:
        market: KOSPI, KOSDAQ or KONEX.
        asset: COMMON, ETF, ETN, ...
    """

    market: str
    asset: str = "COMMON"


InstrumentRules = KrxRules | BinanceFilters


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """Another order of the account that has not ended, UNKNOWN ones included.

    Attributes:
        remaining: Quantity that may still be filled.
        price: Limit; None for a market order.
        asset: What is reserved: a currency or an instrument id.
        reserved: How much of it.
        is_unknown: Whether the venue has it is not known.
    """

    order_id: str
    instance: str
    instrument_id: str
    side: OrderSide
    remaining: Decimal
    price: Decimal | None
    asset: str
    reserved: Decimal
    is_unknown: bool = False


@dataclass(frozen=True, slots=True)
class SentOrder:
    """An order that left us a short time ago, of any account."""

    order_id: str
    broker: str
    account: str
    instance: str
    instrument_id: str
    side: OrderSide
    quantity: Decimal
    price: Decimal | None
    sent_ns: int
    real_sent_ns: int

    @classmethod
    def of(cls, order: FinalOrder, *, sent_ns: int, real_sent_ns: int) -> "SentOrder":
        """Return what is remembered of an order that leaves."""
        return cls(
            order_id=order.order_id,
            broker=order.broker,
            account=order.account,
            instance=order.instance,
            instrument_id=order.instrument_id,
            side=order.side,
            quantity=order.quantity,
            price=order.price,
            sent_ns=sent_ns,
            real_sent_ns=real_sent_ns,
        )


@dataclass(frozen=True, slots=True)
class EquityMarks:
    """What the loss of an account is measured from, in its currency.

    Attributes:
        at_start: Equity at the start of the trading day.
        highest: Highest equity so far.
        is_day_stopped: The daily loss was reached today; it stays so for the rest of the day.
    """

    at_start: Decimal
    highest: Decimal
    is_day_stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskFacts:
    """All facts of one review.

    Attributes:
        price: Newest trade of the instrument, from the shared state or remembered.
        is_price_shared: The shared state told it at most a moment ago; else it is remembered.
        rules: Rules of the instrument at its venue.
        strategy: The strategy instance as the trading inputs have it.
        cash: Of the account in the order's currency: everything traded so far, settled or not.
        holdings: Of the account, by instrument; only what is traded in the order's currency.
        own_holding: Of the strategy instance in this instrument.
        marks: Newest known price by instrument, at least of all that is held.
        open_orders: Other orders of the account.
        equity_marks: What losses are measured from.
        fee_rate: Commission on a purchase that is paid in cash, as a fraction.
        sent: Orders of the last minute, real time.
        rejects: Refusals of the venue in the last minute, real time.
        reconciled: Newest successful reconciliation of the account.
        kill_level: 0 when the kill switch is not latched, 1 no entries, 2 nothing.
        loop_lag_ms: How late the executor's event loop was lately.
        clock_speed: Instance seconds per real second.
        real_now_ns: Boot clock.
    """

    price: PriceNote | None = None
    is_price_shared: bool = False
    rules: InstrumentRules | None = None
    strategy: StrategyInput | None = None
    cash: Decimal | None = None
    holdings: Mapping[str, Decimal] | None = None
    own_holding: Decimal | None = None
    marks: Mapping[str, Decimal] | None = None
    open_orders: tuple[OpenOrder, ...] | None = None
    equity_marks: EquityMarks | None = None
    fee_rate: Decimal | None = None
    sent: tuple[SentOrder, ...] | None = None
    rejects: int | None = None
    reconciled: ReconciledNote | None = None
    kill_level: int | None = None
    loop_lag_ms: float | None = None
    clock_speed: Fraction | None = None
    real_now_ns: int | None = None
