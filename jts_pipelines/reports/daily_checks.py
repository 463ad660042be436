"""Whether an account's day adds up to the unit of its currency, statement by statement. Pure."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from jts_pipelines.reports.amounts import amount
from jts_pipelines.reports.daily_account import DayAccount, fills_of_day
from jts_pipelines.reports.daily_records import DayRecords, Fill, Order

_ZERO = Decimal(0)
_EXTERNAL = "external"
_SHOWN = 3


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must hold, and what was found.

    Attributes:
        group: Which check of the asset it belongs to.
    """

    name: str
    group: str
    holds: bool
    found: str


LEDGER, UNKNOWN, NAMED = "ledger_balances", "no_unknown_left", "orders_named"


def statements(records: DayRecords, day: DayAccount) -> tuple[Statement, ...]:
    """Return every statement about a day, in the order in which a person reads them."""
    return tuple(_statements(records, day))


def _statements(records: DayRecords, day: DayAccount) -> Iterator[Statement]:
    currency = records.account.currency
    yield _says(
        "every transaction balances",
        not records.imbalances,
        "; ".join(records.imbalances) or "debits equal credits in every transaction",
    )
    books = day.closing
    yield _says(
        "cash + positions at cost + costs = capital + realised",
        books.difference == 0,
        f"{amount(books.cash)} + {amount(books.at_cost)} + {amount(books.costs)} = "
        f"{amount(books.capital)} + {amount(books.realised)} {currency}"
        + (f", off by {amount(books.difference)}" if books.difference else ""),
    )
    yield _says(
        "realised result equals that of the fills",
        day.realised == day.recomputed,
        f"{amount(day.realised)} in the ledger, {amount(day.recomputed)} from the fills",
    )
    todays = fills_of_day(records)
    fees = sum((fill.fee for fill in todays), _ZERO)
    tax = sum((fill.tax for fill in todays), _ZERO)
    yield _says(
        "costs equal those of the fills",
        (day.fees, day.tax) == (fees, tax),
        f"fees {amount(day.fees)} and tax {amount(day.tax)} in the ledger, "
        f"{amount(fees)} and {amount(tax)} in fills",
    )
    yield _fills_equal(records.fills, todays)
    yield _none_unknown(records)
    yield _all_named(records)


def _fills_equal(recorded: Sequence[Fill], booked: Sequence[Fill]) -> Statement:
    """Compare the fills of the lake with those of the ledger row by row, every field of them."""
    ours = {fill.seq: fill for fill in recorded}
    theirs = {fill.seq: fill for fill in booked}
    both = ours.keys() | theirs.keys()
    differing = sorted(seq for seq in both if ours.get(seq) != theirs.get(seq))
    shown = ", ".join(map(str, differing[:_SHOWN]))
    return _says(
        "recorded fills equal the booked ones",
        not differing,
        f"{len(ours)} recorded, {len(theirs)} booked"
        + (f"; journal rows that differ: {shown}" if differing else ", equal row by row"),
    )


def _none_unknown(records: DayRecords) -> Statement:
    unknown = [order for order in records.orders if order.status == "unknown"]
    return _about_orders("no order is in doubt", unknown, records, "are unknown", UNKNOWN)


def _all_named(records: DayRecords) -> Statement:
    nameless = [
        order
        for order in records.orders
        if order.instance != _EXTERNAL and not (order.decision_id and order.release)
    ]
    said = "do not say where they come from"
    return _about_orders(
        "every order names its decision and release", nameless, records, said, NAMED
    )


def _about_orders(
    name: str, offending: Sequence[Order], records: DayRecords, said: str, group: str
) -> Statement:
    shown = ", ".join(order.order_id for order in offending[:_SHOWN])
    counted = f"{len(offending)} of {len(records.orders)} orders {said}"
    return _says(name, not offending, f"{counted}: {shown}" if shown else counted, group)


def _says(name: str, holds: bool, found: str, group: str = LEDGER) -> Statement:
    return Statement(name=name, group=group, holds=holds, found=found)
