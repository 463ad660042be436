"""From the rules of a plan to the whole numbers that orders are made with: backtest and live.

Percentages become ppm. An amount of money or shares stays exact until the units of an instrument
are known (`Size.amount_in`).
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from jts_trading.dsl.errors import Place, StrategyError
from jts_trading.dsl.grammar import ENTRY_SIDES, Side, TimeInForce
from jts_trading.dsl.plan import Plan, QuantityKind, Rule
from jts_trading.strategy.sizing import (
    PPM,
    QUANTITY_ALL,
    QUANTITY_KELLY,
    QUANTITY_MONEY,
    QUANTITY_PERCENT,
    QUANTITY_SHARES,
)
from jts_trading.strategy.units import Units

RULES_MAX = 63
# Reasons of the risk block; below them are the numbers of rules.
REASON_STOP_LOSS, REASON_TRAILING_STOP, REASON_TAKE_PROFIT = 100, 101, 102
AMOUNT_MAX = 1 << 53
_SHORT_SIDES = frozenset({Side.ENTRY_SHORT, Side.EXIT_SHORT})
_KINDS = {
    QuantityKind.PERCENT: QUANTITY_PERCENT,
    QuantityKind.SHARES: QUANTITY_SHARES,
    QuantityKind.MONEY: QUANTITY_MONEY,
    QuantityKind.ALL: QUANTITY_ALL,
    QuantityKind.KELLY: QUANTITY_KELLY,
}


@dataclass(frozen=True, slots=True)
class SizeDefaults:
    """Sizes that a text leaves open, in ppm of equity.

    Attributes:
        entry_ppm: An entry that gives no quantity.
        kelly: See `sizing.kelly_entry_share`: trades before the formula, share until then,
            fraction of the full share, largest share.
    """

    entry_ppm: int = 50_000
    kelly: tuple[int, int, int, int] = (20, 10_000, 500_000, 200_000)


@dataclass(frozen=True, slots=True)
class Size:
    """How much a rule orders.

    Attributes:
        kind: One of the `QUANTITY_...` constants of `sizing`.
        amount: ppm for a percentage, a quantity for shares, an amount for money, else 0.
    """

    kind: int
    amount: Decimal = Decimal(0)

    def amount_in(self, units: Units) -> int:
        """Return the amount as the sizing functions take it, rounded down to whole units."""
        if self.kind == QUANTITY_SHARES:
            return units.lots(self.amount)
        if self.kind == QUANTITY_MONEY:
            return units.money(self.amount)
        return math.floor(self.amount)


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """Prices and time in force of the orders of a rule.

    Attributes:
        limit: Place of the limit in the values that the step leaves; None for an order without.
        stop: Place of the stop price, likewise.
    """

    force: TimeInForce = TimeInForce.DAY
    limit: int | None = None
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class OrderRules:
    """Orders and risk block of a strategy.

    Attributes:
        entries: Mask of the rules that enter.
        exits: Mask of the rules that leave.
        sizes: By rule; those that are left out have none.
        terms: Likewise.
        positions_max: 0 for no limit; so are shares of 0.
        cooldown_ms: Since the position was left.
        cooldown_bars: Traded bars of the instrument, likewise.
        pyramiding: How many entries a position may have.
        shorts: Mask of the rules that sell short or cover.
    """

    entries: int
    exits: int
    sizes: dict[int, Size]
    terms: dict[int, OrderTerms]
    max_position_ppm: int
    trailing_stop_ppm: int
    stop_loss_ppm: int
    take_profit_ppm: int
    daily_loss_ppm: int
    positions_max: int
    cooldown_ms: int
    cooldown_bars: int
    kelly: tuple[int, int, int, int]
    pyramiding: int
    shorts: int


def read_rules(
    plan: Plan, defaults: SizeDefaults, currency: str, *, sells_short: bool = False
) -> OrderRules:
    """Translate rules and risk block of a plan.

    Args:
        plan: A compiled strategy.
        defaults: Sizes that the text leaves open.
        currency: That the instance trades in.
        sells_short: Whether rules that sell short or cover count; else they are left out.

    Raises:
        StrategyError: A currency or size that is not traded, with its place.
    """
    entries = exits = shorts = 0
    sizes: dict[int, Size] = {}
    terms: dict[int, OrderTerms] = {}
    for rule in plan.rules:
        is_short = rule.side in _SHORT_SIDES
        if is_short and not sells_short:
            continue  # `short_rules` says so
        shorts |= is_short << rule.bit
        if rule.side in ENTRY_SIDES:
            entries |= 1 << rule.bit
        else:
            exits |= 1 << rule.bit
        sizes[rule.bit] = _size(plan, rule, defaults, currency)
        terms[rule.bit] = OrderTerms(rule.time_in_force, rule.limit, rule.stop)
    if plan.currency not in ("", currency):
        raise StrategyError(
            f"amounts are in {plan.currency}; this instance trades in {currency}",
            Place(plan.file, 1, 1),
        )
    risk = plan.risk
    return OrderRules(
        entries=entries,
        exits=exits,
        sizes=sizes,
        terms=terms,
        max_position_ppm=_ppm(plan, "max_position_size", risk.max_position_size),
        trailing_stop_ppm=_ppm(plan, "trailing_stop", risk.trailing_stop),
        stop_loss_ppm=_ppm(plan, "stop_loss", risk.stop_loss),
        take_profit_ppm=_ppm(plan, "take_profit", risk.take_profit),
        daily_loss_ppm=_ppm(plan, "daily_loss_limit", risk.daily_loss_limit),
        positions_max=risk.max_positions or 0,
        cooldown_ms=(risk.cooldown_seconds or 0) * 1000,
        cooldown_bars=risk.cooldown_bars or 0,
        kelly=defaults.kelly,
        pyramiding=risk.pyramiding or 1,
        shorts=shorts,
    )


def short_rules(plan: Plan) -> int:
    """Return how many rules of a plan sell short or cover."""
    return sum(rule.side in _SHORT_SIDES for rule in plan.rules)


def uses_kelly(plan: Plan) -> bool:
    """Return whether an entry is sized by Kelly."""
    return any(rule.quantity.kind is QuantityKind.KELLY for rule in plan.rules)


def _size(plan: Plan, rule: Rule, defaults: SizeDefaults, currency: str) -> Size:
    quantity = rule.quantity
    place = Place(plan.file, rule.line, rule.column)
    if quantity.kind is QuantityKind.NONE:
        if rule.side not in ENTRY_SIDES:
            return Size(QUANTITY_ALL)
        return Size(QUANTITY_PERCENT, Decimal(defaults.entry_ppm))
    if quantity.kind is QuantityKind.PERCENT:
        return Size(QUANTITY_PERCENT, Decimal(_ppm(plan, "quantity", quantity.amount)))
    if quantity.kind is QuantityKind.MONEY and quantity.currency not in ("", currency):
        raise StrategyError(
            f"quantity is in {quantity.currency}; this instance trades in {currency}", place
        )
    amount = quantity.amount or Decimal(0)
    if not 0 <= amount < AMOUNT_MAX:
        raise StrategyError(f"quantity {amount} is not from 0 to below {AMOUNT_MAX}", place)
    return Size(_KINDS[quantity.kind], amount)


def _ppm(plan: Plan, name: str, share: Decimal | None) -> int:
    if share is None:
        return 0
    value = Fraction(share) * PPM
    if value.denominator != 1:
        raise StrategyError(
            f"{name} of {share * 100} % has more than four decimals", Place(plan.file, 1, 1)
        )
    return int(value)
