"""What a broker says about an account: notices of orders and fills, the day's orders, balances.

Made by codecs only. Amounts are exact decimals of the account's currency. A report is the broker's
view: the journal decides what it means.
"""

from datetime import date
from decimal import Decimal
from enum import StrEnum

import msgspec

from jts_trading.domain.market.costs import Side


class NoticeKind(StrEnum):
    """What an order notice is about."""

    NEW = "new"
    AMEND = "amend"
    CANCEL = "cancel"


class NoticeState(StrEnum):
    """What happened to it; LAPSED is the rest of an order that was not allowed to rest."""

    RECEIVED = "received"
    CONFIRMED = "confirmed"
    LAPSED = "lapsed"
    REJECTED = "rejected"


class OrderNotice(msgspec.Struct, frozen=True, kw_only=True, tag="order_notice"):
    """An order was received, confirmed or refused.

    Attributes:
        order_no: The broker's number of the order, as it spells it.
        original_order_no: The order that is amended or cancelled; None for a new order.
        quantity: Of the order, not of a fill.
        price: Limit; None when the order has none.
    """

    broker: str
    account: str
    order_no: str
    original_order_no: str | None
    branch: str
    instrument_id: str
    venue: str
    side: Side
    kind: NoticeKind
    state: NoticeState
    quantity: Decimal
    price: Decimal | None
    ts_event_ns: int
    ts_recv_ns: int


class FillNotice(msgspec.Struct, frozen=True, kw_only=True, tag="fill_notice"):
    """Part of an order was filled. The broker may give no number to a fill.

    Attributes:
        trade_id: The venue's or broker's own id; None where there is none.
        order_quantity: Of the whole order.
        fee: What the broker took for it, in the currency it was paid in; None where it does not
            say, and the rules have to.
        tax: Likewise.
        fee_quantity: What the broker kept of the instrument itself, likewise.
    """

    broker: str
    account: str
    order_no: str
    branch: str
    instrument_id: str
    venue: str
    side: Side
    quantity: Decimal
    price: Decimal
    order_quantity: Decimal
    ts_event_ns: int
    ts_recv_ns: int
    trade_id: str | None = None
    fee: Decimal | None = None
    tax: Decimal | None = None
    fee_quantity: Decimal | None = None


class OrderState(StrEnum):
    """Where an order of the day stands; CANCELLED may have filled in part before."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class OrderReport(msgspec.Struct, frozen=True, kw_only=True, tag="order_report"):
    """One order as a query answers it; quantities and amounts are cumulative.

    Attributes:
        filled_amount: Sum of price times quantity over its fills.
        is_cancel: The row is the cancel order itself, not the order that was cancelled.
        client_order_id: Ours, where the broker keeps it; None at KIS.
        fills: Single fills, oldest first, where the broker tells them; else empty.
    """

    broker: str
    order_date: date
    branch: str
    order_no: str
    original_order_no: str | None
    instrument_id: str
    venue: str
    side: Side
    state: OrderState
    quantity: Decimal
    price: Decimal | None
    filled_quantity: Decimal
    filled_amount: Decimal
    cancelled_quantity: Decimal
    rejected_quantity: Decimal
    remaining_quantity: Decimal
    ordered_at_ns: int
    is_cancel: bool = False
    client_order_id: str | None = None
    fills: tuple[FillNotice, ...] = ()

    @property
    def venue_order_id(self) -> str:
        """The id that lasts: day, branch and number where numbers begin anew, else the number."""
        if not self.branch:
            return self.order_no
        return f"{self.order_date:%Y%m%d}-{self.branch}-{self.order_no}"


class HeldPosition(msgspec.Struct, frozen=True, kw_only=True):
    """What an account holds of one instrument.

    Attributes:
        quantity: Held, unsettled purchases included.
        sellable: Held and not already offered.
        cost: What was paid for it, without fees.
    """

    instrument_id: str
    quantity: Decimal
    sellable: Decimal
    cost: Decimal
    last: Decimal


class BalanceReport(msgspec.Struct, frozen=True, kw_only=True, tag="balance_report"):
    """Money and positions of an account.

    Attributes:
        settled_cash: Cash of today (D+0).
        next_day_cash: After tomorrow's settlements (D+1).
        cash: After everything traded so far has settled (D+2).
        costs_today: Commissions and taxes of today's trades.
        positions: Ascending by instrument id; rows without quantity are left out.
    """

    broker: str
    account: str
    ts_recv_ns: int
    settled_cash: Decimal
    next_day_cash: Decimal
    cash: Decimal
    costs_today: Decimal
    positions: tuple[HeldPosition, ...]


class BuyableReport(msgspec.Struct, frozen=True, kw_only=True, tag="buyable_report"):
    """What an account may buy of an instrument without borrowing.

    Attributes:
        price: The price that the answer was computed with (the upper limit of a market order).
    """

    broker: str
    cash: Decimal
    amount: Decimal
    quantity: Decimal
    price: Decimal


class OrderAnswer(msgspec.Struct, frozen=True, kw_only=True, tag="order_answer"):
    """The venue took an order, an amendment or a cancel: sent, not filled.

    Attributes:
        order_no: Number of this request; an amendment or cancel has its own.
        ordered_at: Time of the broker's clock, HHMMSS of its zone.
    """

    broker: str
    branch: str
    order_no: str
    ordered_at: str


class OrderRefusal(msgspec.Struct, frozen=True, kw_only=True, tag="order_refusal"):
    """The venue refused: nothing of this request lives there.

    Attributes:
        code: The venue's code.
        reason: Its text, trimmed.
    """

    broker: str
    code: str
    reason: str
