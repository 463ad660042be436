"""The rows of the projections: what the journal's events add up to.

Every field is a column of the same name, so that memory, tables and dumps agree. Rows are never
edited: a change is a new row under the same key.
"""

from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

import msgspec

from jts_trading.domain.orders import OrderSide, OrderState


class LedgerAccount(StrEnum):
    """What a ledger line is booked on; a balance is debits less credits."""

    CASH = "cash"
    POSITION = "position"
    FEES = "fees"
    TAX = "tax"
    REALISED = "realised"
    CAPITAL = "capital"


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One order. Table `orders`.

    Attributes:
        id: UUID of the order.
        symbol: The venue's spelling, without its market.
        status: Where it is in its life.
        filled: Sum of its fills, at most the quantity.
        attempt: How often it was sent; 0 before the first time.
        client_order_id: Of the newest attempt.
        created_ns: Instance time of its first event, UTC ns.
        intent_seq: Journal number of its first event.
        last_seq: Journal number of its newest event.
    """

    TABLE: ClassVar[str] = "orders"
    KEY: ClassVar[tuple[str, ...]] = ("id",)

    id: str
    strategy_id: str | None
    symbol: str
    side: OrderSide
    quantity: Decimal
    price: Decimal | None
    status: OrderState
    broker: str
    account: str
    instance: str
    instrument_id: str
    venue: str
    currency: str
    time_in_force: str
    release: str
    decision_id: str
    correlation_id: str
    valid_until_ns: int
    created_ns: int
    updated_ns: int
    intent_seq: int
    last_seq: int
    filled: Decimal = Decimal(0)
    attempt: int = 0
    client_order_id: str | None = None
    venue_order_id: str | None = None
    reason: str = ""


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """One sending of an order. Table `attempts`.

    Attributes:
        status: State of the order as long as this is its newest attempt.
    """

    TABLE: ClassVar[str] = "attempts"
    KEY: ClassVar[tuple[str, ...]] = ("client_order_id",)

    client_order_id: str
    order_id: str
    attempt: int
    payload_hash: str
    lease: str
    token: int
    status: OrderState
    seq: int


class ReservationRow(msgspec.Struct, frozen=True, kw_only=True):
    """What an order keeps from others. Table `reservations`."""

    TABLE: ClassVar[str] = "reservations"
    KEY: ClassVar[tuple[str, ...]] = ("order_id",)

    order_id: str
    broker: str
    account: str
    asset: str
    amount: Decimal
    remaining: Decimal


class FillRow(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of the venue. Table `fills`."""

    TABLE: ClassVar[str] = "fills"
    KEY: ClassVar[tuple[str, ...]] = ("venue", "account", "instrument_id", "trade_id")

    venue: str
    account: str
    instrument_id: str
    trade_id: str
    broker: str
    instance: str
    order_id: str
    side: OrderSide
    quantity: Decimal
    price: Decimal
    gross: Decimal
    fee: Decimal
    tax: Decimal
    fee_quantity: Decimal
    currency: str
    ts_event_ns: int
    seq: int


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a ledger transaction. Table `ledger_entries`.

    Attributes:
        seq: The event that is booked: the lines of one event balance.
        quantity: Change of the position in the instrument; 0 on other accounts.
    """

    TABLE: ClassVar[str] = "ledger_entries"
    KEY: ClassVar[tuple[str, ...]] = ("seq", "line")

    seq: int
    line: int
    broker: str
    account: str
    instance: str
    ledger: LedgerAccount
    instrument_id: str
    currency: str
    debit: Decimal
    credit: Decimal
    quantity: Decimal


class BalanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """Sum of the lines of one account. Table `balances`.

    Attributes:
        amount: Debits less credits: cash held, positions at cost, fees paid; capital and gains
            are negative.
        quantity: Held of the instrument.
    """

    TABLE: ClassVar[str] = "balances"
    KEY: ClassVar[tuple[str, ...]] = (
        "broker",
        "account",
        "instance",
        "ledger",
        "instrument_id",
        "currency",
    )

    broker: str
    account: str
    instance: str
    ledger: LedgerAccount
    instrument_id: str
    currency: str
    amount: Decimal = Decimal(0)
    quantity: Decimal = Decimal(0)


class StrategyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy release. Table `strategies`."""

    TABLE: ClassVar[str] = "strategies"
    KEY: ClassVar[tuple[str, ...]] = ("id",)

    id: str
    name: str
    dsl_code: str
    status: str
    release: str
    created_ns: int
    updated_ns: int
    last_seq: int


class OffsetRow(msgspec.Struct, frozen=True, kw_only=True):
    """How far a consumer has committed the effects of a source. Table `consumed`."""

    TABLE: ClassVar[str] = "consumed"
    KEY: ClassVar[tuple[str, ...]] = ("consumer", "source")

    consumer: str
    source: str
    major: int
    minor: int


Row = (
    StrategyRow
    | OrderRow
    | AttemptRow
    | ReservationRow
    | FillRow
    | LedgerRow
    | BalanceRow
    | OffsetRow
)
# In the order in which they can be written: what is referred to comes first.
ROWS: tuple[type[Row], ...] = Row.__args__


def row_key(row: Row) -> tuple[object, ...]:
    """Return the key of a row within its table."""
    return tuple(getattr(row, name) for name in row.KEY)
