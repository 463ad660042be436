"""Prices of limit and stop orders: from what a text asks for to whole price steps.

The same function in a backtest, which compiles its text, and live. Rounding to the tick of the
venue comes after it: a limit down for a purchase and up for a sale, a stop the other way, so that
an order fills less likely than the text asks for, never more likely.
"""


def whole_price(value: float, is_up: bool) -> int:
    """Return a price of a rule in whole steps, or 0 where it is unknown or past counting."""
    if not 0.0 < value < 1e12:
        return 0
    low = int(value)
    return low + (1 if is_up and low < value else 0)
