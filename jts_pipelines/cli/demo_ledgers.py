"""Two ledgers of the same day: the journal's and the simulator's own, compared to the won. Pure.

An order's fills are the venue's truth in steps; where a step was booked as one fill of ours, it
must be the exact sum of the simulator's rows in it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from jts_pipelines.reports.amounts import amount
from jts_pipelines.reports.daily_account import DayAccount, fills_of_day
from jts_pipelines.reports.daily_records import DayRecords, Fill

_SHOWN = 5


class SimulatedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One fill in the simulator's ledger; amounts in won."""

    sequence: int
    order_no: str
    symbol: str
    side: str
    quantity: int
    price: int
    gross: int
    commission: int
    tax: int


class SimulatedPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position in the simulator's ledger."""

    quantity: int
    cost: int


class SimulatedLedger(msgspec.Struct, frozen=True, kw_only=True):
    """The simulator's own books.

    Attributes:
        cash: After all trades have settled.
        costs: Commission and tax of all rows.
        realised: Of what was closed, before costs.
    """

    deposit: int
    cash: int
    costs: int
    realised: int
    is_balanced: bool
    rows: tuple[SimulatedRow, ...]
    positions: dict[str, SimulatedPosition]


def compare_ledgers(
    theirs: SimulatedLedger, records: DayRecords, account: DayAccount
) -> list[str]:
    """Return one line for each thing in which the two ledgers differ; empty when they agree."""
    return list(_differences(theirs, records, account))


def _differences(
    theirs: SimulatedLedger, records: DayRecords, account: DayAccount
) -> Iterator[str]:
    if not theirs.is_balanced:
        yield "the simulator says that its own ledger is out of balance"
    books = account.closing
    at_cost = sum(held.cost for held in theirs.positions.values())
    for name, ours, other in (
        ("cash", books.cash, theirs.cash),
        ("costs", books.costs, theirs.costs),
        ("capital", books.capital, theirs.deposit),
        # The journal keeps the cost of each strategy instance, the simulator one average for the
        # account: what one counts as realised the other still carries, so only both together
        # can be equal, and must be.
        ("at cost less realised", books.at_cost - books.realised, at_cost - theirs.realised),
    ):
        if ours != other:
            yield f"{name}: {amount(ours)} in the journal, {other:,} in the simulator"
    held = {name.partition(":")[2]: each.quantity for name, each in books.held().items()}
    simulated = {symbol: each.quantity for symbol, each in theirs.positions.items()}
    for symbol in sorted(held.keys() | simulated.keys()):
        found, wanted = held.get(symbol, Decimal(0)), simulated.get(symbol, 0)
        if found != wanted:
            yield f"{symbol}: {amount(found)} held in the journal, {wanted:,} in the simulator"
    yield from _rows(theirs.rows, records)


def _rows(theirs: Sequence[SimulatedRow], records: DayRecords) -> Iterator[str]:
    """Yield what differs in the fills, order by order."""
    numbers = {
        order.order_id: (order.venue_order_id or "").rpartition("-")[2] for order in records.orders
    }
    ours: dict[str, list[Fill]] = defaultdict(list)
    for fill in fills_of_day(records):
        ours[numbers.get(fill.order_id, fill.order_id)].append(fill)
    rows: dict[str, list[SimulatedRow]] = defaultdict(list)
    for row in theirs:
        rows[row.order_no].append(row)
    for number in sorted(ours.keys() | rows.keys()):
        found = _order(ours[number], rows[number])
        if found:
            yield f"order {number}: {found}"


def _order(ours: Sequence[Fill], rows: Sequence[SimulatedRow]) -> str:
    """Return what differs between the fills of one order and the rows of the simulator."""
    left = list(rows)
    for fill in ours:
        taken: list[SimulatedRow] = []
        while left and sum(row.quantity for row in taken) < fill.quantity:
            taken.append(left.pop(0))
        found = (fill.side.value, fill.quantity, fill.gross, fill.fee, fill.tax)
        wanted = (
            taken[0].side.lower() if taken else "",
            Decimal(sum(row.quantity for row in taken)),
            Decimal(sum(row.gross for row in taken)),
            Decimal(sum(row.commission for row in taken)),
            Decimal(sum(row.tax for row in taken)),
        )
        if found != wanted:
            return f"{fill.trade_id} is {_said(found)}, the simulator has {_said(wanted)}"
    if left:
        return f"{len(left)} fills of the simulator are not in the journal"
    return ""


def _said(values: Sequence[object]) -> str:
    return " ".join(
        amount(value) if isinstance(value, Decimal) else str(value) for value in values
    )
