"""What the simulated broker remembers of orders: one mutable row per order number, and notices."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from jts_trading.domain.market.costs import Side

BRANCH = "00950"


class RowKind(StrEnum):
    """Why a number was given; the value is the venue's code (RCTF_CLS)."""

    NEW = "0"
    AMEND = "1"
    CANCEL = "2"


class NoticeStep(StrEnum):
    """What is pushed about an order."""

    RECEIVED = "received"
    CONFIRMED = "confirmed"
    FILL = "fill"
    LAPSED = "lapsed"


@dataclass(slots=True)
class OrderRow:
    """One order number of one day; won and shares, time UTC ns.

    Attributes:
        price: Limit; 0 for an order without one.
        hold_price: Price at which a purchase holds cash.
    """

    number: str
    original: str
    day: date
    ordered_ns: int
    symbol: str
    side: Side
    division: str
    kind: RowKind
    quantity: int
    price: int
    hold_price: int
    filled: int = 0
    amount: int = 0
    cancelled: int = 0

    @property
    def remaining(self) -> int:
        """Shares that can still be executed."""
        return self.quantity - self.filled - self.cancelled

    @property
    def book_id(self) -> str:
        """Name in the order book: numbers begin anew every day."""
        return f"{self.day}/{self.number}"


class PushedNotice(NamedTuple):
    """What the socket will tell the owner of the account."""

    row: OrderRow
    step: NoticeStep
    quantity: int
    price: int
    ts_ns: int


class Refusal(NamedTuple):
    """Why a request was not accepted: code and words of the venue."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class OrderStyle:
    """What an order type code means to the book."""

    has_price: bool = True
    stays: bool = True
    all_or_none: bool = False
    # Limit orders whose price is a side's best when they arrive.
    pegs_to_own_side: bool | None = None
    is_real_only: bool = False


STYLES = {
    "00": OrderStyle(),
    "01": OrderStyle(has_price=False),
    "03": OrderStyle(has_price=False, pegs_to_own_side=False),
    "04": OrderStyle(has_price=False, pegs_to_own_side=True),
    "11": OrderStyle(stays=False, is_real_only=True),
    "12": OrderStyle(stays=False, all_or_none=True, is_real_only=True),
    "13": OrderStyle(has_price=False, stays=False, is_real_only=True),
    "14": OrderStyle(has_price=False, stays=False, all_or_none=True, is_real_only=True),
}
