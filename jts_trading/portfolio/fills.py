"""What a fill moves: gross amount, cash, quantity and what stays reserved; exact, and checked."""

import math
from decimal import Decimal
from fractions import Fraction

from jts_trading.domain.journal_events import OrderFilled
from jts_trading.domain.money import currency_unit
from jts_trading.domain.orders import InvariantError, OrderSide

# Nothing that is traded has finer units.
_QUANTITY_UNIT = Decimal("0.00000001")


def gross_of(fill: OrderFilled, currency: str) -> Decimal:
    """Return price times quantity in whole units of the currency.

    Raises:
        InvariantError: An amount of the fill is finer than the currency, or below zero.
    """
    for name in ("fee", "tax"):
        require_units(getattr(fill, name), currency, f"{name} of trade {fill.trade_id}")
    given = fill.price if fill.gross is None else fill.gross
    if fill.quantity <= 0 or given < 0 or fill.fee_quantity < 0:
        raise InvariantError(f"trade {fill.trade_id}: quantity, price or gross is below zero")
    if fill.gross is None:
        exact = Fraction(fill.price) * Fraction(fill.quantity)
        unit = currency_unit(currency)
        return round(exact / Fraction(unit)) * unit
    require_units(fill.gross, currency, f"gross of trade {fill.trade_id}")
    return fill.gross


def cash_of(fill: OrderFilled, side: OrderSide, currency: str) -> Decimal:
    """Return what the account gains in cash by a fill, fee and tax paid; below zero for a buy.

    Raises:
        InvariantError: See `gross_of`.
    """
    gross = gross_of(fill, currency)
    return (gross if side is OrderSide.SELL else -gross) - fill.fee - fill.tax


def quantity_of(fill: OrderFilled, side: OrderSide) -> Decimal:
    """Return what a fill adds to the position, what the venue kept as its fee deducted."""
    bought = fill.quantity if side is OrderSide.BUY else -fill.quantity
    return bought - fill.fee_quantity


def still_reserved(asset: str, amount: Decimal, quantity: Decimal, filled: Decimal) -> Decimal:
    """Return what a working order keeps reserved after fills, rounded up to the asset's unit.

    Args:
        asset: A currency, or an instrument id for a sale.
        amount: What was reserved for the whole order.
        quantity: Ordered.
        filled: Of it.
    """
    unit = _QUANTITY_UNIT if ":" in asset else currency_unit(asset)
    if not filled and amount % unit == 0:
        return amount
    share = Fraction(quantity - filled) / Fraction(quantity)
    # Upwards: what is kept for an open order is never too little.
    return math.ceil(Fraction(amount) * share / Fraction(unit)) * unit


def require_units(amount: Decimal, currency: str, what: str) -> None:
    """Refuse an amount that nobody can pay.

    Raises:
        InvariantError: It is not finite or not in whole units.
    """
    unit = currency_unit(currency)
    if not amount.is_finite() or Fraction(amount) % Fraction(unit):
        raise InvariantError(f"{what} is {amount} {currency}; accepted: multiples of {unit}")
