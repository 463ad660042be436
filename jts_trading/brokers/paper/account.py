"""The account port over the paper broker's file, from any process; changes nothing."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from jts_trading.brokers.paper.matching import BROKER
from jts_trading.brokers.paper.notices import SIDES, order_name, trade_name
from jts_trading.brokers.paper.settings import IdProfile, PaperSettings
from jts_trading.domain.account_reports import (
    BalanceReport,
    FillNotice,
    HeldPosition,
    OrderReport,
    OrderState,
)
from jts_trading.domain.errors import TransientError
from jts_trading.domain.orders import OrderSide
from jts_trading.ports.account import AccountProfile, RateLimitStatus
from jts_trading.ports.clock import Clock

_ZERO = Decimal(0)
_ORDERS = """
SELECT o.*, f.number AS trade, f.price AS fill_price, f.gross, f.fee, f.fee_quantity,
    f.ts_event_ns, f.ts_recv_ns
FROM orders AS o LEFT JOIN fills AS f ON f.order_number = o.number
WHERE o.day <= :last AND (o.day >= :first OR o.state = 'open' OR o.ended_ns >= :since)
ORDER BY o.number
"""
_OFFERED = """
SELECT instrument_id, quantity FROM orders WHERE state = 'open' AND side = 'sell'
"""
_Answer = TypeVar("_Answer")


class PaperAccount:
    """Asks about the paper account; see `ports.account.Account`.

    Args:
        path: The file of its books; as long as it is not there, nobody has traded, and the account
            holds its deposit.
        settings: The account.
        clock: Instance time.
    """

    def __init__(self, path: Path, settings: PaperSettings, *, clock: Clock) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock

    @property
    def broker(self) -> str:
        """Name of the broker."""
        return BROKER

    @property
    def account(self) -> str:
        """Name of the account."""
        return self._settings.account

    async def orders(self, first: date, last: date) -> Sequence[OrderReport]:
        """Return every order of a span of days, and older ones that worked in it.

        Raises:
            TransientError: The file cannot be read now.
        """
        start = datetime(first.year, first.month, first.day, tzinfo=UTC)
        values = {
            "first": first.isoformat(),
            "last": last.isoformat(),
            "since": int(start.timestamp()) * 1_000_000_000,
        }

        def read(connection: sqlite3.Connection) -> list[OrderReport]:
            series = _series(connection)
            rows = connection.execute(_ORDERS, values).fetchall()
            return [self._report(row, series) for row in rows]

        return await self._read(read) if self._path.exists() else []

    async def balance(self) -> BalanceReport:
        """Return money and positions.

        Raises:
            TransientError: The file cannot be read now.
        """
        if not self._path.exists():
            return self._report_balance(self._settings.deposit, _ZERO, ())
        return await self._read(self._balance)

    async def profile(self) -> AccountProfile:
        """Return which account this is."""
        return AccountProfile(
            broker=BROKER,
            account=self.account,
            environment="paper",
            currency=self._settings.currency,
        )

    async def rate_limits(self) -> Sequence[RateLimitStatus]:
        """There are none."""
        return ()

    def _balance(self, connection: sqlite3.Connection) -> BalanceReport:
        cash = connection.execute(
            "SELECT amount FROM cash WHERE currency = ?", (self._settings.currency,)
        ).fetchone()
        last = dict(connection.execute("SELECT instrument_id, price FROM last_prices").fetchall())
        offered: dict[str, Decimal] = {}
        for row in connection.execute(_OFFERED):
            name = row["instrument_id"]
            offered[name] = offered.get(name, _ZERO) + Decimal(row["quantity"])
        positions = []
        for row in connection.execute("SELECT * FROM positions ORDER BY instrument_id"):
            name, quantity = row["instrument_id"], Decimal(row["quantity"])
            if quantity:
                positions.append(
                    HeldPosition(
                        instrument_id=name,
                        quantity=quantity,
                        sellable=quantity - offered.get(name, _ZERO),
                        cost=Decimal(row["cost"]),
                        last=Decimal(last.get(name, "0")),
                    )
                )
        amount = Decimal(cash["amount"]) if cash else _ZERO
        return self._report_balance(amount, self._costs_today(connection), tuple(positions))

    def _report_balance(
        self, cash: Decimal, costs_today: Decimal, positions: tuple[HeldPosition, ...]
    ) -> BalanceReport:
        return BalanceReport(
            broker=BROKER,
            account=self.account,
            ts_recv_ns=self._clock.now_ns(),
            settled_cash=cash,
            next_day_cash=cash,
            cash=cash,
            costs_today=costs_today,
            positions=positions,
        )

    def _costs_today(self, connection: sqlite3.Connection) -> Decimal:
        today = self._clock.now_ns() // 86_400_000_000_000 * 86_400_000_000_000
        rows = connection.execute("SELECT fee FROM fills WHERE ts_event_ns >= ?", (today,))
        return sum((Decimal(row["fee"]) for row in rows), _ZERO)

    def _report(self, row: sqlite3.Row, series: str) -> OrderReport:
        quantity = Decimal(row["quantity"])
        is_filled = row["trade"] is not None
        filled = quantity if is_filled else _ZERO
        cancelled = quantity if row["state"] == "cancelled" else _ZERO
        has_ids = self._settings.profile is not IdProfile.KIS
        return OrderReport(
            broker=BROKER,
            order_date=date.fromisoformat(row["day"]),
            branch="",
            order_no=order_name(series, row["number"]),
            original_order_no=None,
            instrument_id=row["instrument_id"],
            venue=row["venue"],
            side=SIDES[OrderSide(row["side"])],
            state=OrderState(row["state"]),
            quantity=quantity,
            price=None if row["price"] is None else Decimal(row["price"]),
            filled_quantity=filled,
            filled_amount=Decimal(row["gross"]) if is_filled else _ZERO,
            cancelled_quantity=cancelled,
            rejected_quantity=_ZERO,
            remaining_quantity=quantity - filled - cancelled,
            ordered_at_ns=row["accepted_ns"],
            client_order_id=row["client_order_id"] if has_ids else None,
            fills=(self._fill(row, series),) if is_filled else (),
        )

    def _fill(self, row: sqlite3.Row, series: str) -> FillNotice:
        return FillNotice(
            broker=BROKER,
            account=self.account,
            order_no=order_name(series, row["number"]),
            branch="",
            instrument_id=row["instrument_id"],
            venue=row["venue"],
            side=SIDES[OrderSide(row["side"])],
            quantity=Decimal(row["quantity"]),
            price=Decimal(row["fill_price"]),
            order_quantity=Decimal(row["quantity"]),
            ts_event_ns=row["ts_event_ns"],
            ts_recv_ns=row["ts_recv_ns"],
            trade_id=trade_name(series, row["trade"]),
            fee=Decimal(row["fee"]),
            tax=_ZERO,
            fee_quantity=Decimal(row["fee_quantity"]),
        )

    async def _read(self, work: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        return await asyncio.to_thread(self._read_now, work)

    def _read_now(self, work: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        """Read in one transaction of a connection that cannot write."""
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0
            )
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            return work(connection)
        except sqlite3.Error as error:
            raise TransientError(f"paper books: {error}") from error
        finally:
            if connection is not None:
                connection.close()


def _series(connection: sqlite3.Connection) -> str:
    row: Any = connection.execute("SELECT value FROM settings WHERE name = 'series'").fetchone()
    return str(row["value"]) if row else ""
