"""Whether a Korean venue would accept an order, as far as dated rules decide it.

A refusal is a returned value, not an exception. Facts that the caller does not know are left None
and their check is skipped, except where ignorance must refuse: a short sale with an unknown index
membership counts as no member.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from jts_trading.domain.market.costs import Side
from jts_trading.domain.market.phases import has_sessions
from jts_trading.domain.market.prices import daily_limits, lot_size, order_ladder
from jts_trading.domain.market.table import RuleTable


class Admission(StrEnum):
    """The verdict of a venue's rules on an order."""

    ACCEPT = "accept"
    NO_SESSION = "reject_no_session"
    NOT_ELIGIBLE = "reject_not_eligible"
    SESSION = "reject_session"
    ORDER_TYPE = "reject_order_type"
    SHORT_BAN = "reject_short_ban"
    LOT = "reject_lot"
    TICK = "reject_tick"
    LIMIT = "reject_limit"


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What is known of an order before it goes to KRX or NXT.

    Attributes:
        price: Won; None for an order without a price.
        reference: Base price of the day in won.
        index: `KOSPI200` or `KOSDAQ150` when a member.
        phase: The phase in which it would arrive; None leaves the phase unchecked.
        is_nxt_eligible: Whether the issue is on Nextrade's list of the day.
    """

    day: date
    venue: str
    market: str
    asset: str
    side: Side
    quantity: int | None = None
    price: int | None = None
    reference: int | None = None
    order_type: str | None = None
    phase: str | None = None
    index: str | None = None
    is_nxt_eligible: bool | None = None


def admit(table: RuleTable, order: OrderFacts) -> Admission:
    """Return the first refusal in the order of a venue's own checks, or ACCEPT.

    Raises:
        RuleMissingError: A needed rule does not cover the day.
    """
    for verdict, passes in _CHECKS:
        if not passes(table, order):
            return verdict
    return Admission.ACCEPT


def _has_sessions(table: RuleTable, order: OrderFacts) -> bool:
    return has_sessions(table, order.venue, order.day)


def _is_eligible(table: RuleTable, order: OrderFacts) -> bool:
    rule = table.find("eligible_assets", order.day, venue=order.venue)
    if rule is None:
        return True
    return order.asset in rule.value.split("|") and order.is_nxt_eligible is not False


def _is_open_to_issue(table: RuleTable, order: OrderFacts) -> bool:
    if order.phase != "off_hours_single_price" or not order.is_nxt_eligible:
        return True
    key = "single_price_excludes_nxt_eligible"
    return table.find(key, order.day, venue=order.venue) is None


def _has_allowed_type(table: RuleTable, order: OrderFacts) -> bool:
    if order.order_type is None:
        return True
    rule = None
    if order.phase is not None:
        rule = table.find(f"order_types.{order.phase}", order.day, venue=order.venue)
    rule = rule or table.find("order_types", order.day, venue=order.venue)
    return rule is None or order.order_type in rule.value.split("|")


def _is_free_of_bans(table: RuleTable, order: OrderFacts) -> bool:
    if order.side is not Side.SHORT:
        return True
    return may_sell_short(table, order.day, venue=order.venue, index=order.index)


def may_sell_short(table: RuleTable, day: date, *, venue: str, index: str | None = None) -> bool:
    """Return whether no ban stands against short sales of a day; no index counts as in none."""
    ban = table.find("short_ban", day, venue=venue)
    if ban is None:
        return True
    _, _, exempt = ban.value.partition("all except ")
    return index is not None and index in exempt.split()


def _is_whole_lots(table: RuleTable, order: OrderFacts) -> bool:
    reference = order.reference if order.reference is not None else order.price
    if order.quantity is None or reference is None:
        return True
    lot = lot_size(
        table,
        order.day,
        reference,
        market=order.market,
        asset=order.asset,
        venue=order.venue,
    )
    return order.quantity > 0 and order.quantity % lot == 0


def _is_on_grid(table: RuleTable, order: OrderFacts) -> bool:
    if order.price is None:
        return True
    ladder = order_ladder(
        table, order.day, market=order.market, asset=order.asset, venue=order.venue
    )
    return ladder.is_on_grid(order.price)


def _is_inside_limits(table: RuleTable, order: OrderFacts) -> bool:
    if order.price is None or order.reference is None:
        return True
    limits = daily_limits(
        table,
        order.day,
        order.reference,
        market=order.market,
        asset=order.asset,
        venue=order.venue,
    )
    return order.price in limits


_CHECKS: tuple[tuple[Admission, Callable[[RuleTable, OrderFacts], bool]], ...] = (
    (Admission.NO_SESSION, _has_sessions),
    (Admission.NOT_ELIGIBLE, _is_eligible),
    (Admission.SESSION, _is_open_to_issue),
    (Admission.ORDER_TYPE, _has_allowed_type),
    (Admission.SHORT_BAN, _is_free_of_bans),
    (Admission.LOT, _is_whole_lots),
    (Admission.TICK, _is_on_grid),
    (Admission.LIMIT, _is_inside_limits),
)
