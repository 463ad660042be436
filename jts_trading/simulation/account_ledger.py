"""The exact books of a simulated broker account: cash by settlement day, positions, costs. KRW.

Every fill is one row whose money is worked out by the dated rules, as at the real broker: the
commission of the account, taxes of the day on which the sale settles. Rows are never edited.
Invariant after each row, to the won:

    cash + positions at cost + costs = deposits + realised result
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from jts_trading.domain.calendars import Calendar
from jts_trading.domain.market.costs import CommissionProfile, Side, cash_flow
from jts_trading.domain.market.table import RuleTable
from jts_trading.simulation.krx_market import Listing


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One fill in money.

    Attributes:
        net: What the account gains when the fill settles (a buy is negative).
        cost_change: Change of the position's cost; without commission.
        realised: Proceeds above the average cost of what was sold, before costs.
    """

    sequence: int
    trade_date: date
    settle_date: date
    order_no: str
    symbol: str
    side: Side
    quantity: int
    price: int
    gross: int
    commission: int
    tax: int
    net: int
    cost_change: int
    realised: int


@dataclass(slots=True)
class Position:
    """Shares held and what was paid for them."""

    quantity: int = 0
    cost: int = 0


class AccountLedger:
    """One account.

    Args:
        deposit: Settled cash at the start.
        table: The dated rules.
        calendar: Settlement days.
        commission: What the account pays.
    """

    def __init__(
        self,
        deposit: int,
        *,
        table: RuleTable,
        calendar: Calendar,
        commission: CommissionProfile,
    ) -> None:
        self.deposit = deposit
        self.rows: list[LedgerRow] = []
        self.positions: dict[str, Position] = {}
        self._table = table
        self._calendar = calendar
        self._commission = commission
        self._reserved: dict[str, int] = {}

    @property
    def cash(self) -> int:
        """Cash when everything traded so far has settled (D+2)."""
        return self.deposit + sum(row.net for row in self.rows)

    @property
    def costs(self) -> int:
        """Commissions and taxes paid so far."""
        return sum(row.commission + row.tax for row in self.rows)

    @property
    def realised(self) -> int:
        """Result of sales so far, before costs."""
        return sum(row.realised for row in self.rows)

    @property
    def buyable(self) -> int:
        """Cash that no open order holds; proceeds of today's sales count."""
        return self.cash - sum(self._reserved.values())

    @property
    def is_balanced(self) -> bool:
        """Whether the books close to the won."""
        at_cost = sum(position.cost for position in self.positions.values())
        return self.cash + at_cost + self.costs == self.deposit + self.realised

    def settled_cash(self, day: date) -> int:
        """Return the deposit that has settled by a day."""
        return self.deposit + sum(row.net for row in self.rows if row.settle_date <= day)

    def rows_of(self, day: date) -> Iterable[LedgerRow]:
        """Yield the fills of a trade date."""
        return (row for row in self.rows if row.trade_date == day)

    def quantity(self, symbol: str) -> int:
        """Return the shares held, unsettled purchases included."""
        return self.positions.get(symbol, Position()).quantity

    def cash_needed(self, day: date, listing: Listing, price: int, quantity: int) -> int:
        """Return what buying costs with commission."""
        rate = self._commission.rate(self._table, day, venue="KRX", asset=listing.asset)
        flow = cash_flow(
            self._table,
            day,
            side=Side.BUY,
            price=price,
            quantity=quantity,
            commission_rate=rate,
            market=listing.market,
            asset=listing.asset,
            commission_unit_krw=self._commission.unit_krw,
        )
        return -flow.net

    def restore(self, rows: Iterable[LedgerRow]) -> None:
        """Take over the fills of earlier books, in their order, into empty ones."""
        for row in rows:
            position = self.positions.setdefault(row.symbol, Position())
            position.quantity += row.quantity if row.side is Side.BUY else -row.quantity
            position.cost += row.cost_change
            self.rows.append(row)

    def reserve(self, order_no: str, amount: int) -> None:
        """Hold cash for an open order, in place of what it held before; 0 holds nothing."""
        if amount:
            self._reserved[order_no] = amount
        else:
            self._reserved.pop(order_no, None)

    def book_fill(
        self, day: date, order_no: str, listing: Listing, side: Side, *, price: int, quantity: int
    ) -> LedgerRow:
        """Write one fill.

        Raises:
            ValueError: More is sold than held.
        """
        settles = self._calendar.settlement_day(day)
        rate = self._commission.rate(self._table, day, venue="KRX", asset=listing.asset)
        flow = cash_flow(
            self._table,
            settles,
            side=side,
            price=price,
            quantity=quantity,
            commission_rate=rate,
            market=listing.market,
            asset=listing.asset,
            commission_unit_krw=self._commission.unit_krw,
        )
        position = self.positions.setdefault(listing.symbol, Position())
        change = _cost_change(position, side, flow.gross, quantity)
        row = LedgerRow(
            sequence=len(self.rows) + 1,
            trade_date=day,
            settle_date=settles,
            order_no=order_no,
            symbol=listing.symbol,
            side=side,
            quantity=quantity,
            price=price,
            gross=flow.gross,
            commission=flow.commission,
            tax=flow.tax.total,
            net=flow.net,
            cost_change=change,
            realised=0 if side is Side.BUY else flow.gross + change,
        )
        position.quantity += quantity if side is Side.BUY else -quantity
        position.cost += change
        self.rows.append(row)
        return row


def _cost_change(position: Position, side: Side, gross: int, quantity: int) -> int:
    if side is Side.BUY:
        return gross
    if quantity > position.quantity:
        raise ValueError(f"{quantity} shares are sold, {position.quantity} are held")
    # The last share takes what is left, so that an empty position costs nothing.
    return -(position.cost * quantity // position.quantity)
