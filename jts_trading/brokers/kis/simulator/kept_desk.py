"""A desk whose account and orders survive a restart of the simulator, as a broker's do.

What matters to a client is in one file, replaced at once after each change and before the answer
leaves: fills, order rows, the last number. The market itself is played anew from the tape. Orders
of an earlier day have lapsed; those of today rest again behind whoever stands at their price now.
"""

import os
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import msgspec

from jts_trading.brokers.kis.simulator.desk import Desk
from jts_trading.brokers.kis.simulator.orders_of_day import OrderRow, Refusal
from jts_trading.brokers.kis.wire import CashOrderRequest, ChangeRequest
from jts_trading.domain.errors import TerminalError
from jts_trading.domain.market.costs import Side
from jts_trading.simulation.account_ledger import LedgerRow
from jts_trading.simulation.krx_market import Print
from jts_trading.simulation.matching import Resting


class BooksError(TerminalError):
    """The file is not one of these books; the message names it."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    account: str
    deposit: int
    day: date
    last_number: int
    orders: list[OrderRow]
    fills: list[LedgerRow]


class KeptDesk(Desk):
    """A desk that keeps its books in a file from `restore` on."""

    _file: Path | None = None

    def restore(self, file: Path) -> None:
        """Take over what an earlier process left; call when the tape has caught up.

        Args:
            file: The books; its directory is made when missing.

        Raises:
            BooksError: The file is not readable, or of another account.
        """
        self._file = file
        if not file.exists():
            return
        try:
            kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
        except (msgspec.DecodeError, ValueError) as error:
            raise BooksError(f"{file}: no books of a simulator ({error})") from error
        if (kept.account, kept.deposit) != (self.account, self.ledger.deposit):
            raise BooksError(
                f"{file}: books of account {kept.account} with {kept.deposit:,} won; "
                f"this simulator has {self.account} with {self.ledger.deposit:,}; remove the file"
            )
        self.ledger.restore(kept.fills)
        if kept.day == self.day:
            self._last_number = kept.last_number
        for row in kept.orders:
            self.rows[row.day, row.number] = row
            self._by_book_id[row.book_id] = row
            if row.remaining:
                self._rest_again(row)

    def place(self, request: CashOrderRequest, side: Side, now_ns: int) -> OrderRow | Refusal:
        """Take a cash order and keep it before it is answered."""
        answer = super().place(request, side, now_ns)
        return self._kept(answer)

    def change(self, request: ChangeRequest, now_ns: int) -> OrderRow | Refusal:
        """Amend or cancel an order, likewise."""
        answer = super().change(request, now_ns)
        return self._kept(answer)

    def play(self, trade: Print) -> None:
        """Play one trade of the tape; what it filled of ours is kept."""
        fills = len(self.ledger.rows)
        super().play(trade)
        if len(self.ledger.rows) != fills:
            self._keep()

    def open_day(self, day: date, references: Mapping[str, int] | None = None) -> None:
        """Begin a day; what lapsed is kept."""
        super().open_day(day, references)
        self._keep()

    def _rest_again(self, row: OrderRow) -> None:
        if row.day != self.day:
            row.cancelled += row.remaining
            return
        market = self.markets[row.symbol]
        price = row.price or market.last
        market.book.rest(Resting(row.book_id, row.side, price, row.remaining))
        self._hold(row, market)

    def _kept(self, answer: OrderRow | Refusal) -> OrderRow | Refusal:
        if isinstance(answer, OrderRow):
            self._keep()
        return answer

    def _keep(self) -> None:
        if self._file is None:
            return
        kept = _Kept(
            account=self.account,
            deposit=self.ledger.deposit,
            day=self.day,
            last_number=self._last_number,
            orders=list(self.rows.values()),
            fills=self.ledger.rows,
        )
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{self._file.name}.", dir=self._file.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(kept))
            Path(name).replace(self._file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
