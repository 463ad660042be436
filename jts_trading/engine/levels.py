"""Levels of the risk block as closes in ticks: where a position is left, in whole numbers.

A level is the highest close (for a target the lowest) for which the condition of `strategy.stops`
holds, so live decides as a backtest does; an average cost between two ticks is compared exactly.
"""

from decimal import Decimal
from fractions import Fraction

from jts_trading.engine.columns import NO_LOSS, NO_PROFIT
from jts_trading.portfolio.holding import Holding
from jts_trading.strategy.rules import OrderRules
from jts_trading.strategy.sizing import PPM, share_of


def levels_of(held: Holding, price_step: Decimal, rules: OrderRules) -> tuple[int, int]:
    """Return the highest close that hits the stop loss, and the lowest that takes the profit.

    Args:
        held: A position that is not empty.
        price_step: What one tick is worth.
        rules: Of the strategy.
    """
    if not (rules.stop_loss_ppm or rules.take_profit_ppm):
        return NO_LOSS, NO_PROFIT
    entry = Fraction(held.cost) / Fraction(price_step) / Fraction(held.quantity)
    paid, part = entry.numerator, entry.denominator * PPM
    loss = paid * (PPM - rules.stop_loss_ppm) // part if rules.stop_loss_ppm else NO_LOSS
    profit = NO_PROFIT
    if rules.take_profit_ppm:
        profit = min(-(-paid * (PPM + rules.take_profit_ppm) // part), NO_PROFIT)
    return loss, profit


def trailing_level(peak: int, ppm: int) -> int:
    """Return the highest close that hits a trailing stop at a share below the peak."""
    return share_of(peak, PPM - ppm) if ppm > 0 else NO_LOSS
