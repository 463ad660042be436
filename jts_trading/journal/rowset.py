"""Rows of all projections by key, with what changed and a way back.

The free amounts (holdings less reservations) are kept in step with every row that is put, so that
a reservation is judged without a sum over all rows.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from jts_trading.domain.ledger_rows import (
    ROWS,
    BalanceRow,
    LedgerAccount,
    ReservationRow,
    Row,
    row_key,
)
from jts_trading.journal.chain import canonical

_ZERO = Decimal(0)
_Row = TypeVar("_Row", bound=Row)


class RowSet:
    """Rows of all projections by key, and which of them changed.

    Args:
        rows: What is on the shelf already.
        free: What accounts hold beyond reservations, by (broker, account, asset); worked out from
            the rows when None, which is right only if all rows are there.
    """

    def __init__(
        self, rows: Iterable[Row] = (), free: dict[tuple[str, str, str], Decimal] | None = None
    ) -> None:
        self._tables: dict[Any, dict[Any, Any]] = {kind: {} for kind in ROWS}
        self._free: dict[tuple[str, str, str], Decimal] = dict(free or {})
        for row in rows:
            self._tables[type(row)][row_key(row)] = row
            if free is None:
                self._count(None, row)
        self._undo: list[tuple[type[Row], tuple[object, ...], Row | None]] = []
        self._taken = 0

    def find(self, kind: type[_Row], *key: object) -> _Row | None:
        """Return the row of a key, or None."""
        row: _Row | None = self._tables[kind].get(key)
        return row

    def rows(self, kind: type[_Row]) -> list[_Row]:
        """Return all rows of a table, sorted by key."""
        table = self._tables[kind]
        return [table[key] for key in sorted(table)]

    def free(self, broker: str, account: str, asset: str) -> Decimal:
        """Return what an account holds of an asset beyond its reservations."""
        return self._free.get((broker, account, asset), _ZERO)

    def dump(self) -> list[bytes]:
        """Return every row as canonical bytes, sorted by table and key: the state, comparable."""
        return [
            kind.TABLE.encode() + b" " + canonical(plain(row))
            for kind in ROWS
            for row in self.rows(kind)
        ]

    def take_changes(self) -> list[Row]:
        """Return the rows that changed since the last call."""
        keys = dict.fromkeys((kind, key) for kind, key, _ in self._undo[self._taken :])
        self._taken = len(self._undo)
        return [self._tables[kind][key] for kind, key in keys]

    def keep(self) -> None:
        """Make all changes final."""
        self._undo.clear()
        self._taken = 0

    def roll_back(self) -> None:
        """Take back every change since the last `keep`."""
        while self._undo:
            kind, key, before = self._undo.pop()
            self._count(self._tables[kind][key], before)
            if before is None:
                del self._tables[kind][key]
            else:
                self._tables[kind][key] = before
        self._taken = 0

    def put(self, row: Row) -> None:
        """Add a row, or replace the one of the same key."""
        kind, key = type(row), row_key(row)
        before = self._tables[kind].get(key)
        self._undo.append((kind, key, before))
        self._count(before, row)
        self._tables[kind][key] = row

    def _count(self, before: Row | None, row: Row | None) -> None:
        """Keep the free amounts in step with balances and reservations."""
        for version, sign in ((before, -1), (row, 1)):
            match version:
                case BalanceRow(ledger=LedgerAccount.CASH):
                    asset, amount = version.currency, version.amount
                case BalanceRow(ledger=LedgerAccount.POSITION):
                    asset, amount = version.instrument_id, version.quantity
                case ReservationRow():
                    asset, amount = version.asset, -version.remaining
                case _:
                    continue
            where = (version.broker, version.account, asset)
            self._free[where] = self._free.get(where, _ZERO) + sign * amount


def plain(row: Row) -> Row:
    """Return the row with every decimal in its shortest spelling, so that equal is identical."""
    changes = {
        name: _shortest(value)
        for name in row.__struct_fields__
        if isinstance(value := getattr(row, name), Decimal)
    }
    return msgspec.structs.replace(row, **changes)


def _shortest(value: Decimal) -> Decimal:
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return Decimal("0" if text in {"", "-0"} else text)
