"""What a daily report is made of: the records of one account's day. Pure.

A day is a day in Korea, whatever the venue: it is the user's, and the session of KRX lies inside
it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from jts_trading.domain.orders import OrderSide

SEOUL = ZoneInfo("Asia/Seoul")
_NS_PER_S = 1_000_000_000


class Account(NamedTuple):
    """Whose day: a currency of an account at a broker."""

    broker: str
    account: str
    currency: str

    @property
    def name(self) -> str:
        """In one word, for files: `kis-50000001-KRW`."""
        return f"{self.broker}-{self.account}-{self.currency}"


class Span(NamedTuple):
    """A day in Korea: from its first nanosecond to the first of the next one (UTC ns)."""

    day: date
    from_ns: int
    before_ns: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the lake has it."""

    order_id: str
    instance: str
    release: str
    instrument_id: str
    venue: str
    side: OrderSide
    quantity: Decimal
    price: Decimal | None
    status: str
    filled: Decimal
    reason: str
    attempt: int
    venue_order_id: str | None
    created_ns: int
    updated_ns: int
    decision_id: str
    correlation_id: str


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """A fill, as the lake or as the ledger has it; equal when both tell the same.

    Attributes:
        ts_ns: When the venue traded, UTC ns.
        seq: Number of its event in the journal.
    """

    trade_id: str
    order_id: str
    instance: str
    instrument_id: str
    venue: str
    side: OrderSide
    quantity: Decimal
    price: Decimal
    gross: Decimal
    fee: Decimal
    tax: Decimal
    fee_quantity: Decimal
    ts_ns: int
    seq: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the ledger, or the sum of all lines before the day.

    Attributes:
        type: Type of the event; empty for a sum.
        amount: Debits less credits.
    """

    ledger: str
    instance: str
    instrument_id: str
    amount: Decimal
    quantity: Decimal
    seq: int = 0
    ts_ns: int = 0
    type: str = ""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Market data that was missing."""

    instrument_id: str
    feed: str
    kind: str
    from_ns: int
    until_ns: int | None
    missing: Decimal
    reason: str


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A note of the journal.

    Attributes:
        body: Canonical JSON text.
    """

    topic: str
    subject: str
    body: str
    ts_ns: int


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """Trades of one instrument on the day, thinned to one point per bucket.

    Attributes:
        before: Last known price before the day; None where none is known.
        ts_ns: End of each bucket, UTC ns.
        last: Last price in each bucket.
    """

    before: Decimal | None
    ts_ns: tuple[int, ...]
    last: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class DayRecords:
    """Everything that is known about an account's day.

    Attributes:
        opening: Sums of the ledger before the day.
        entries: Lines of the day, by number.
        booked: All fills of the ledger until the end of the day, by number.
        fills: Fills of the day as the lake has them, by number.
        signals: How many rules fired, by instance.
        decisions: Outcome of judged bars of which something came: how many, by outcome.
        denied: The check that refused an order, by order.
        imbalances: Transactions of the ledger that do not add up; empty, always.
        names: What people call each instrument, by id.
    """

    account: Account
    span: Span
    opening: Sequence[Entry]
    entries: Sequence[Entry]
    booked: Sequence[Fill]
    orders: Sequence[Order]
    fills: Sequence[Fill]
    signals: Mapping[str, int]
    decisions: Mapping[str, int]
    denied: Mapping[str, str]
    notes: Sequence[Note]
    gaps: Sequence[Gap]
    prices: Mapping[str, Prices]
    imbalances: Sequence[str]
    names: Mapping[str, str]

    @property
    def instances(self) -> tuple[str, ...]:
        """Names of the instances that had orders on the day, ascending."""
        return tuple(sorted({order.instance for order in self.orders}))


def day_span(day: date) -> Span:
    """Return a day in Korea."""
    first = datetime.combine(day, time(), SEOUL)
    return Span(day, _ns(first), _ns(first + timedelta(days=1)))


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * _NS_PER_S
