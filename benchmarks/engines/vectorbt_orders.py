"""The cases that vectorbt runs by order functions: what a close decides fills at the next open.

Commissions are handed over floored to a won, so that sizes by percent of the cash stay equal.
"""

import numpy as np
import talib
import vectorbt as vbt
from measured import Outcome
from numba import njit
from vectorbt.portfolio.enums import NoOrder
from vectorbt.portfolio.nb import order_nb

FEE = 0.0005


@njit
def _multi_nb(c, open_, close, histogram, strength, floor, held):
    """Fill what the last close decided, and decide on this one. `held`: wanted, peak."""
    row, size = c.i, held[0]
    held[0] = 0.0
    cash, position, x = c.cash_now, c.position_now, close[row]
    fee = np.floor(abs(size) * open_[row] * FEE)
    if size != 0.0:
        cash -= size * open_[row] + fee
        position += size
        if size > 0.0:
            held[1] = 0.0
    if position > 0.0:
        held[1] = max(held[1], x)
        if x < floor[row] or x * 1_000_000 <= held[1] * 970_000:
            held[0] = -position
    elif histogram[row] > 0.0 and 40.0 <= strength[row] <= 60.0:
        held[0] = np.floor(np.floor(cash * 0.2) / x)
    if size == 0.0:
        return NoOrder
    return order_nb(size, open_[row], fixed_fees=fee)


def run_multi(bars: dict[str, np.ndarray], cash: float) -> Outcome:
    """Run MACD, RSI and a trailing stop by ATR, the indicators by TA-Lib."""
    open_, high, low, close = (bars[n][:, 0] for n in ("open", "high", "low", "close"))
    line = talib.EMA(close, 12) - talib.EMA(close, 26)
    signal = np.full(len(close), np.nan)
    signal[25:] = talib.EMA(line[25:], 9)
    stop = close - 3.0 * talib.ATR(high, low, close, 14)
    floor = np.full(len(close), np.nan)
    floor[14:] = talib.MAX(stop[14:], 22)
    strength = talib.RSI(close, 14)
    portfolio = vbt.Portfolio.from_order_func(
        close, _multi_nb, open_, close, line - signal, strength, floor, np.zeros(2), init_cash=cash
    )
    return Outcome(len(portfolio.orders.values), float(portfolio.final_value()) - cash)


@njit
def _decide_nb(c, close, crossed, wanted, entry, peak, taken):
    """Decide on the closes of an instant, exits before entries, once all have filled."""
    row, count = c.i, close.shape[1]
    cash, value = c.last_cash[0], 0.0
    for at in range(count):
        if wanted[at] > 0.0:
            entry[at], peak[at] = c.order_records[c.last_oidx[at]].price, 0.0
        elif wanted[at] < 0.0:
            taken[0] -= 1
        wanted[at] = 0.0
        value += c.last_position[at] * close[row, at]
    for at in range(count):
        held, x = c.last_position[at], close[row, at]
        if held > 0.0:
            peak[at] = max(peak[at], x)
            if (
                crossed[row, at] < 0
                or x * 1_000_000 <= entry[at] * 980_000
                or x * 1_000_000 <= peak[at] * 970_000
                or x * 1_000_000 >= entry[at] * 1_060_000
            ):
                wanted[at] = -held
    for at in range(count):
        if c.last_position[at] == 0.0 and crossed[row, at] > 0 and taken[0] < 700:
            wanted[at] = np.floor(np.floor((cash + value) * 0.001) / close[row, at])
            taken[0] += wanted[at] > 0.0


@njit
def _fill_nb(c, open_, wanted):
    size = wanted[c.col]
    if size == 0.0:
        return NoOrder
    price = open_[c.i, c.col]
    return order_nb(size, price, fixed_fees=np.floor(abs(size) * price * FEE))


def run_portfolio(bars: dict[str, np.ndarray], cash: float) -> Outcome:
    """Run crossings of many instruments with one cash and a risk block."""
    open_, close = bars["open"], bars["close"]
    fast = vbt.MA.run(close, 20, engine="rust").ma.to_numpy()
    slow = vbt.MA.run(close, 50, engine="rust").ma.to_numpy()
    crossed = np.zeros(close.shape, np.int8)
    above, below, known = fast > slow, fast < slow, ~np.isnan(slow)
    crossed[1:][above[1:] & ~above[:-1] & known[:-1]] = 1
    crossed[1:][below[1:] & ~below[:-1] & known[:-1]] = -1
    count = close.shape[1]
    wanted, entry, peak, taken = np.zeros(count), np.zeros(count), np.zeros(count), np.zeros(1)
    portfolio = vbt.Portfolio.from_order_func(
        close,
        _fill_nb,
        open_,
        wanted,
        post_segment_func_nb=_decide_nb,
        post_segment_args=(close, crossed, wanted, entry, peak, taken),
        row_wise=True,
        group_by=True,
        cash_sharing=True,
        init_cash=cash,
        call_post_segment=True,
        update_value=False,
        max_orders=close.size // 20,
    )
    return Outcome(len(portfolio.orders.values), float(portfolio.final_value()) - cash)
