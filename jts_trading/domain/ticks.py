"""What a market says, whatever venue or broker said it: trades, order books, quotes and bars.

Made by codecs only. Prices and quantities are exact decimals in the currency and unit of the
instrument; times are UTC ns, `ts_event_ns` as the venue dates it and `ts_recv_ns` as we saw it.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec


class Aggressor(StrEnum):
    """Who crossed the spread; AUCTION where nobody did, UNKNOWN where the venue does not say."""

    BUY = "buy"
    SELL = "sell"
    AUCTION = "auction"
    UNKNOWN = "unknown"


class TradeTick(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="trade"):
    """One trade.

    Attributes:
        instrument_id: Such as `KRX:005930`.
        venue: Where it traded.
        broker: Through whom we heard of it.
        cumulative_quantity: Traded on the day including this trade; a jump larger than `quantity`
            tells of trades that were lost on the way. 0 where the venue does not say.
        bid: Best bid after the trade; None when the venue does not say or the side is empty.
        ask: Best ask, likewise.
        is_halted: The venue flags the instrument as halted.
        trade_id: Number of the trade where the venue counts them one by one: a jump tells of lost
            trades. None where it does not.
    """

    instrument_id: str
    venue: str
    broker: str
    ts_event_ns: int
    ts_recv_ns: int
    price: Decimal
    quantity: Decimal
    aggressor: Aggressor
    cumulative_quantity: Decimal
    bid: Decimal | None = None
    ask: Decimal | None = None
    is_halted: bool = False
    trade_id: int | None = None


class BookLevel(msgspec.Struct, frozen=True, array_like=True):
    """One price of a book and the quantity that rests there."""

    price: Decimal
    quantity: Decimal


class BookTick(msgspec.Struct, frozen=True, kw_only=True, tag="book"):
    """A whole order book as far as the venue shows it; without any level nothing is known of it.

    Attributes:
        asks: Best first, prices ascending; empty levels are left out.
        bids: Best first, prices descending.
        expected_price: Price at which a call auction would match now; None outside auctions.
        expected_quantity: Its quantity, likewise.
    """

    instrument_id: str
    venue: str
    broker: str
    ts_event_ns: int
    ts_recv_ns: int
    asks: tuple[BookLevel, ...]
    bids: tuple[BookLevel, ...]
    expected_price: Decimal | None = None
    expected_quantity: Decimal | None = None


class Quote(msgspec.Struct, frozen=True, kw_only=True, tag="quote"):
    """The state of an instrument as a query answers it.

    Attributes:
        reference: Base price of the day.
        upper: Upper daily limit; None when the answer does not carry it.
        lower: Lower daily limit, likewise.
        tick: Price step at the last price, likewise.
        is_halted: Trading is stopped.
    """

    instrument_id: str
    venue: str
    broker: str
    ts_recv_ns: int
    last: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    reference: Decimal
    quantity: Decimal
    upper: Decimal | None = None
    lower: Decimal | None = None
    tick: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    is_halted: bool = False


class HistoryBar(msgspec.Struct, frozen=True, kw_only=True, tag="history_bar"):
    """One bar of a broker's history, labelled by its start (UTC ns)."""

    instrument_id: str
    venue: str
    broker: str
    start_ns: int
    ts_recv_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
