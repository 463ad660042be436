"""Facts of the account for the guard of a plan: filled from whole numbers, backtest and live.

Plain Python over a row that is given, so that a daemon calls it as it is and a backtest compiles
its text. The places are those of `dsl.facts`. Money is in the units of the instrument (price step
times quantity step) and prices in its ticks; quantities become shares or coins by `step`, the
smallest quantity, so that money compares with price times quantity.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FACT_PRICE_SCALE, FACT_QUANTITY, FACT_VALUE, FACT_ENTRY_PRICE, FACT_PROFIT = 0, 1, 2, 3, 4
FACT_HIGHEST, FACT_BARS, FACT_AGE = 5, 6, 7
FACT_EQUITY, FACT_CASH, FACT_POSITIONS, FACT_EXPOSURE, FACT_DAY_PROFIT = 8, 9, 10, 11, 12
FACT_ENTRIES = 13


def fill_position(  # noqa: PLR0917 - compiled code is called by position
    facts: Floats, held: int, cost: int, close: int, since: tuple[int, int, int, int], step: float
) -> None:
    """Fill in what is known of a position; while flat all is null or zero.

    Args:
        facts: The row.
        held: Smallest quantities, below zero for a short position.
        cost: Paid for all of it, without fees, in money units.
        close: Of the bar that is judged, in ticks.
        since: Since the fill that opened the position: the best close in ticks, traded bars
            (the one of the fill is the first), seconds between the starts of that bar and
            the one that is judged, and entries, the first one included.
        step: Smallest quantity, in shares or coins.
    """
    facts[FACT_QUANTITY] = held * step
    facts[FACT_VALUE] = held * close * step
    facts[FACT_ENTRIES] = since[3] if held != 0 else 0
    if held == 0:
        for place in range(FACT_ENTRY_PRICE, FACT_AGE + 1):
            facts[place] = math.nan
        return
    paid = cost / abs(held)
    gain = close - paid if held > 0 else paid - close
    facts[FACT_ENTRY_PRICE] = paid
    facts[FACT_PROFIT] = gain / paid if paid > 0.0 else math.nan
    facts[FACT_HIGHEST] = since[0]
    facts[FACT_BARS] = since[1]
    facts[FACT_AGE] = since[2]


def fill_portfolio(
    facts: Floats, money: tuple[int, int, int, int], positions: int, step: float
) -> None:
    """Fill in what is known of the account of the instance.

    Args:
        facts: The row.
        money: In money units: equity at the closes of this instant, what positions are worth there
            (short ones too), the cash that no order has reserved, equity at the start of the
            trading day.
        positions: Instruments that are held or being bought.
        step: Smallest quantity, in shares or coins.
    """
    equity, worth, free, day_start = money
    facts[FACT_EQUITY] = equity * step
    facts[FACT_CASH] = free * step
    facts[FACT_POSITIONS] = positions
    facts[FACT_EXPOSURE] = worth / equity if equity > 0 else math.nan
    facts[FACT_DAY_PROFIT] = (equity - day_start) / day_start if day_start > 0 else math.nan
