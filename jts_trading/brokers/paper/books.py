"""The books of the paper broker in one SQLite file: orders, fills, cash, positions, its place.

One thread of one process writes; anybody may read. Every change is one transaction that is on the
disk when the call returns (`synchronous = FULL`), so that an order that was taken stays taken, and
a fill and the cash that it moves are never apart. Amounts are exact decimals, kept as text.
"""

import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from jts_trading.brokers.paper.matching import PaperOrder
from jts_trading.brokers.paper.settings import IdProfile
from jts_trading.domain.errors import TerminalError
from jts_trading.domain.money import currency_unit
from jts_trading.domain.orders import OrderSide
from jts_trading.execution.fill_costs import FillCosts

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    day TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    instrument_id TEXT NOT NULL,
    venue TEXT NOT NULL,
    side TEXT NOT NULL,
    quantity TEXT NOT NULL,
    price TEXT,
    time_in_force TEXT NOT NULL,
    currency TEXT NOT NULL,
    accepted_ns INTEGER NOT NULL,
    is_resting INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'open',
    ended_ns INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX orders_by_id ON orders (client_order_id);
CREATE INDEX orders_by_day ON orders (day);
CREATE INDEX orders_open ON orders (number) WHERE state = 'open';
CREATE TABLE fills (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    order_number INTEGER NOT NULL UNIQUE REFERENCES orders (number),
    price TEXT NOT NULL,
    gross TEXT NOT NULL,
    fee TEXT NOT NULL,
    fee_quantity TEXT NOT NULL,
    ts_event_ns INTEGER NOT NULL,
    ts_recv_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE cash (currency TEXT PRIMARY KEY, amount TEXT NOT NULL) STRICT;
CREATE TABLE positions (
    instrument_id TEXT PRIMARY KEY, quantity TEXT NOT NULL, cost TEXT NOT NULL
) STRICT;
CREATE TABLE last_prices (instrument_id TEXT PRIMARY KEY, price TEXT NOT NULL) STRICT;
CREATE TABLE places (topic TEXT PRIMARY KEY, entry_id TEXT NOT NULL) STRICT;
CREATE TABLE refused_ids (client_order_id TEXT PRIMARY KEY) STRICT;
"""
_ORDER_COLUMNS = (
    "number, day, client_order_id, instrument_id, venue, side, quantity, price, time_in_force,"
    " currency, accepted_ns, is_resting"
)
_ZERO = Decimal(0)


class PaperFileError(TerminalError):
    """The file is of another account, or of a newer program."""


class PaperBooks:
    """The file, opened for writing.

    Args:
        path: The file; made when it is missing, its directory too.
        account: Whose books.
        currency: Of its cash.
        deposit: Cash of a new file.

    Attributes:
        series: Part of every order and trade number, so that those of another file differ.

    Raises:
        PaperFileError: The file is of another account or version.
    """

    def __init__(self, path: Path, *, account: str, currency: str, deposit: Decimal) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(
            path, timeout=2.0, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self.currency = currency
        with self.transaction():
            self._prepare(path, account, deposit)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything in a block together, or nothing of it."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def is_id_taken(self, client_order_id: str, profile: IdProfile) -> bool:
        """Return whether a venue of this profile would refuse a client order id."""
        if profile is IdProfile.KIS:
            return False
        condition = "AND state = 'open'" if profile is IdProfile.BINANCE else ""
        query = f"SELECT 1 FROM orders WHERE client_order_id = ? {condition} LIMIT 1"  # noqa: S608
        if self._connection.execute(query, (client_order_id,)).fetchone():
            return True
        refused = "SELECT 1 FROM refused_ids WHERE client_order_id = ?"
        return profile is IdProfile.UPBIT and bool(
            self._connection.execute(refused, (client_order_id,)).fetchone()
        )

    def note_refused(self, client_order_id: str) -> None:
        """Remember the id of a refused request."""
        self._connection.execute(
            "INSERT OR IGNORE INTO refused_ids VALUES (?)", (client_order_id,)
        )

    def add(self, order: PaperOrder) -> PaperOrder:
        """Take an order and return it with its number."""
        cursor = self._connection.execute(
            "INSERT INTO orders (day, client_order_id, instrument_id, venue, side, quantity,"
            " price, time_in_force, currency, accepted_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                order.day.isoformat(),
                order.client_order_id,
                order.instrument_id,
                order.venue,
                order.side.value,
                str(order.quantity),
                None if order.price is None else str(order.price),
                order.time_in_force,
                order.currency,
                order.accepted_ns,
            ),
        )
        return replace(order, number=int(cursor.lastrowid or 0))

    def open_orders(self) -> list[PaperOrder]:
        """Return the orders that work, oldest first."""
        query = f"SELECT {_ORDER_COLUMNS} FROM orders WHERE state = 'open' ORDER BY number"  # noqa: S608
        return [_order(row) for row in self._connection.execute(query)]

    def rest(self, order: PaperOrder) -> None:
        """Note that a trade has passed an order."""
        self._connection.execute(
            "UPDATE orders SET is_resting = 1 WHERE number = ?", (order.number,)
        )

    def end(self, number: int, state: str, ended_ns: int) -> bool:
        """End an open order; return False when it was not open."""
        cursor = self._connection.execute(
            "UPDATE orders SET state = ?, ended_ns = ? WHERE number = ? AND state = 'open'",
            (state, ended_ns, number),
        )
        return cursor.rowcount == 1

    def fill(
        self,
        order: PaperOrder,
        price: Decimal,
        costs: FillCosts,
        *,
        ts_event_ns: int,
        ts_recv_ns: int,
    ) -> int:
        """Book the fill of a whole order and return its number; cash and position move with it."""
        gross = gross_of(price, order.quantity, order.currency)
        cursor = self._connection.execute(
            "INSERT INTO fills (order_number, price, gross, fee, fee_quantity, ts_event_ns,"
            " ts_recv_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                order.number,
                str(price),
                str(gross),
                str(costs.fee),
                str(costs.fee_quantity),
                ts_event_ns,
                ts_recv_ns,
            ),
        )
        is_buy = order.side is OrderSide.BUY
        self._move_cash((-gross if is_buy else gross) - costs.fee)
        self._move_position(order, gross, costs.fee_quantity)
        self.end(order.number, "filled", ts_recv_ns)
        return int(cursor.lastrowid or 0)

    @property
    def cash(self) -> Decimal:
        """Cash of the account."""
        query = "SELECT amount FROM cash WHERE currency = ?"
        row = self._connection.execute(query, (self.currency,)).fetchone()
        return Decimal(row[0]) if row else _ZERO

    def held(self, instrument_id: str) -> tuple[Decimal, Decimal]:
        """Return quantity and cost of a position."""
        query = "SELECT quantity, cost FROM positions WHERE instrument_id = ?"
        row = self._connection.execute(query, (instrument_id,)).fetchone()
        return (Decimal(row[0]), Decimal(row[1])) if row else (_ZERO, _ZERO)

    def place(self, topic: str) -> str:
        """Return the last entry of a topic that has been applied; `0-0` before any."""
        query = "SELECT entry_id FROM places WHERE topic = ?"
        row = self._connection.execute(query, (topic,)).fetchone()
        return str(row[0]) if row else "0-0"

    def keep_place(self, topic: str, entry_id: str, prices: Sequence[tuple[str, Decimal]]) -> None:
        """Note how far a topic has been applied, and the newest prices."""
        self._connection.execute(
            "INSERT OR REPLACE INTO places (topic, entry_id) VALUES (?, ?)", (topic, entry_id)
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO last_prices (instrument_id, price) VALUES (?, ?)",
            [(name, str(price)) for name, price in prices],
        )

    @property
    def last_prices(self) -> dict[str, Decimal]:
        """The newest prices that were kept."""
        rows = self._connection.execute("SELECT instrument_id, price FROM last_prices")
        return {name: Decimal(price) for name, price in rows}

    def _prepare(self, path: Path, account: str, deposit: Decimal) -> None:
        query = "SELECT 1 FROM sqlite_master WHERE name = 'settings'"
        if not self._connection.execute(query).fetchone():
            for statement in _SCHEMA.split(";\n"):
                self._connection.execute(statement)
            self._connection.executemany(
                "INSERT INTO settings VALUES (?, ?)",
                [
                    ("version", str(SCHEMA_VERSION)),
                    ("account", account),
                    ("currency", self.currency),
                    ("deposit", str(deposit)),
                    ("series", uuid.uuid4().hex[:8]),
                ],
            )
            self._connection.execute(
                "INSERT INTO cash VALUES (?, ?)", (self.currency, str(deposit))
            )
        found = dict(self._connection.execute("SELECT name, value FROM settings"))
        wanted = {
            "version": str(SCHEMA_VERSION),
            "account": account,
            "currency": self.currency,
        }
        self.series = found.get("series", "")
        for name, value in wanted.items():
            if found.get(name) != value:
                raise PaperFileError(f"{path}: {name} is {found.get(name)!r}; accepted: {value!r}")

    def _move_cash(self, amount: Decimal) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO cash VALUES (?, ?)",
            (self.currency, str(self.cash + amount)),
        )

    def _move_position(self, order: PaperOrder, gross: Decimal, kept: Decimal) -> None:
        quantity, cost = self.held(order.instrument_id)
        if order.side is OrderSide.BUY:
            quantity, cost = quantity + order.quantity - kept, cost + gross
        else:
            cost -= released_cost(cost, order.quantity, quantity, order.currency)
            quantity -= order.quantity
        self._connection.execute(
            "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
            (order.instrument_id, str(quantity), str(cost)),
        )


def gross_of(price: Decimal, quantity: Decimal, currency: str) -> Decimal:
    """Return price times quantity in whole units of the currency."""
    unit = currency_unit(currency)
    return (price * quantity).quantize(unit)


def released_cost(cost: Decimal, sold: Decimal, held: Decimal, currency: str) -> Decimal:
    """Return the share of a position's cost that a sale takes; a sale of all takes all."""
    if sold >= held:
        return cost
    unit = currency_unit(currency)
    return int(Fraction(cost) * Fraction(sold) / Fraction(held) / Fraction(unit)) * unit


def _order(row: Sequence[object]) -> PaperOrder:
    number, day, client, instrument, venue, side, quantity, price, force, currency, at, rests = row
    return PaperOrder(
        number=int(str(number)),
        day=date.fromisoformat(str(day)),
        client_order_id=str(client),
        instrument_id=str(instrument),
        venue=str(venue),
        side=OrderSide(str(side)),
        quantity=Decimal(str(quantity)),
        price=None if price is None else Decimal(str(price)),
        time_in_force=str(force),
        currency=str(currency),
        accepted_ns=int(str(at)),
        is_resting=bool(rests),
    )
