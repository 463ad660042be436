"""The ceiling: what a person would write by hand with numba for exactly one strategy.

Commissions are 5 bps floored to a won, as JTS has them; orders that a close decides fill at the
next open.
"""

from numba import njit

FEE_NANO, NANO, PPM = 500_000, 1_000_000_000, 1_000_000


@njit(cache=True, nogil=True)
def fee_of(gross):
    """Return the commission on a gross amount, floored to a won."""
    return (
        gross * FEE_NANO // NANO
        if gross < NANO * 8
        else gross // NANO * FEE_NANO + (gross % NANO * FEE_NANO // NANO)
    )


@njit(cache=True, nogil=True)
def sma_cross(close, open_, offsets, fast, slow):
    """Return fills, and the sum of cash flows with open positions at the last close."""
    fills, money = 0, 0
    for at in range(len(offsets) - 1):
        first, end = offsets[at], offsets[at + 1]
        fast_sum, slow_sum, held, wanted, before = 0, 0, 0, 0, 0
        for row in range(first, end):
            if wanted != 0:
                price = open_[row]
                money -= wanted * price + price * FEE_NANO // NANO
                held += wanted
                fills += 1
                wanted = 0
            fast_sum += close[row]
            slow_sum += close[row]
            if row - first >= fast:
                fast_sum -= close[row - fast]
            if row - first >= slow:
                slow_sum -= close[row - slow]
            if row - first >= slow - 1:
                left, right = fast_sum * slow, slow_sum * fast
                now = 1 if left > right else (-1 if left < right else 0)
                if row - first >= slow:
                    if now == 1 and before <= 0 and held == 0:
                        wanted = 1
                    elif now == -1 and before >= 0 and held == 1:
                        wanted = -1
                before = now
        money += held * close[end - 1]
    return fills, money


@njit(cache=True, nogil=True)
def sma_pairs(close, open_, sums, pairs, fills, money):
    """Fill in fills and money of each pair of periods, from the sums of all closes before."""
    count = len(close)
    for at in range(len(pairs)):
        fast, slow = pairs[at]
        held, wanted, before, done, gained = 0, 0, 0, 0, 0
        for row in range(slow - 1, count):
            if wanted != 0:
                price = open_[row]
                gained -= wanted * price + price * FEE_NANO // NANO
                held += wanted
                done += 1
                wanted = 0
            left = (sums[row + 1] - sums[row + 1 - fast]) * slow
            right = (sums[row + 1] - sums[row + 1 - slow]) * fast
            now = 1 if left > right else (-1 if left < right else 0)
            if row >= slow:
                if now == 1 and before <= 0 and held == 0:
                    wanted = 1
                elif now == -1 and before >= 0 and held == 1:
                    wanted = -1
            before = now
        fills[at], money[at] = done, gained + held * close[count - 1]


@njit(cache=True, nogil=True)
def multi(open_, high, low, close, cash, floors):
    """Return fills and gain of MACD, RSI and a trailing stop by ATR over one instrument.

    `floors` has room for a number per bar.
    """
    start, fills, held, wanted, peak = cash, 0, 0, 0, 0
    quick, slow, signal, gains, losses, ranges = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    lines, best = 0, -1
    for row in range(len(close)):
        if wanted != 0:
            gross = wanted * open_[row] if wanted > 0 else -wanted * open_[row]
            cash -= wanted * open_[row] + fee_of(gross)
            held += wanted
            fills += 1
            peak = 0 if wanted > 0 else peak
            wanted = 0
        x = float(close[row])
        if row >= 12:
            quick += (x - quick) * (2.0 / 13.0)
        else:
            quick = quick + x if row < 11 else (quick + x) / 12
        if row >= 26:
            slow += (x - slow) * (2.0 / 27.0)
        else:
            slow = slow + x if row < 25 else (slow + x) / 26
        histogram, strength, floor = 0.0, 0.0, -1.0
        if row >= 25:
            line = quick - slow
            lines += 1
            if lines > 9:
                signal += (line - signal) * (2.0 / 10.0)
            else:
                signal = signal + line if lines < 9 else (signal + line) / 9
            if lines >= 9:
                histogram = line - signal
        if row > 0:
            before = float(close[row - 1])
            up, down = max(x - before, 0.0), max(before - x, 0.0)
            reach = max(float(high[row]), before) - min(float(low[row]), before)
            if row > 14:
                gains += (up - gains) * (1.0 / 14)
                losses += (down - losses) * (1.0 / 14)
                ranges += (reach - ranges) * (1.0 / 14)
            elif row < 14:
                gains, losses, ranges = gains + up, losses + down, ranges + reach
            else:
                gains, losses = (gains + up) / 14, (losses + down) / 14
                ranges = (ranges + reach) / 14
            if row >= 14:
                if gains + losses > 0.0:
                    strength = 100.0 * gains / (gains + losses)
                floors[row] = x - 3.0 * ranges
                if best < 14 or floors[row] >= floors[best]:
                    best = row
                elif best <= row - 22:
                    best = row - 21
                    for other in range(row - 20, row + 1):
                        if floors[other] >= floors[best]:
                            best = other
                if row >= 14 + 21:
                    floor = floors[best]
        if held > 0:
            peak = max(peak, close[row])
            if x < floor or close[row] * PPM <= peak * (PPM - 30_000):
                wanted = -held
        elif histogram > 0.0 and 40.0 <= strength <= 60.0:
            wanted = (cash // PPM * 200_000 + cash % PPM * 200_000 // PPM) // close[row]
    return fills, cash + held * close[len(close) - 1] - start


@njit(cache=True, nogil=True)
def portfolio(open_, close, cash, state, orders):
    """Return fills and gain of crossings over many instruments with one cash and a risk block.

    Args:
        open_, close: [instant, instrument].
        cash: Won.
        state: [instrument, (quick sum, slow sum, order before, held, entry, peak, wanted)], zeros.
        orders: Rows for (instant, instrument, quantity, price, fee) of each fill.
    """
    start, fills, taken = cash, 0, 0
    for row in range(len(close)):
        value = 0
        for sale in (True, False):
            for at in range(close.shape[1]):
                wanted = state[at, 6]
                if wanted == 0 or (wanted < 0) != sale:
                    continue
                price = open_[row, at]
                fee = fee_of(abs(wanted) * price)
                cash -= wanted * price + fee
                orders[fills, 0], orders[fills, 1], orders[fills, 2] = row, at, wanted
                orders[fills, 3], orders[fills, 4] = price, fee
                fills += 1
                state[at, 3] += wanted
                state[at, 4], state[at, 5], state[at, 6] = price, 0, 0
                taken -= sale
        for at in range(close.shape[1]):
            value += state[at, 3] * close[row, at]
        for at in range(close.shape[1]):
            price = close[row, at]
            state[at, 0] += price
            state[at, 1] += price
            if row >= 20:
                state[at, 0] -= close[row - 20, at]
            if row >= 50:
                state[at, 1] -= close[row - 50, at]
            if row < 49:
                continue
            left, right = state[at, 0] * 50, state[at, 1] * 20
            now = 1 if left > right else (-1 if left < right else 0)
            crossed = 0
            if row >= 50 and now == 1 and state[at, 2] <= 0:
                crossed = 1
            elif row >= 50 and now == -1 and state[at, 2] >= 0:
                crossed = -1
            state[at, 2] = now
            if state[at, 3] > 0:
                entry, peak = state[at, 4], max(state[at, 5], price)
                state[at, 5] = peak
                if (
                    crossed == -1
                    or price * PPM <= entry * (PPM - 20_000)
                    or price * PPM <= peak * (PPM - 30_000)
                    or price * PPM >= entry * (PPM + 60_000)
                ):
                    state[at, 6] = -state[at, 3]
            elif crossed == 1 and taken < 700:
                equity = cash + value
                wanted = (equity // PPM * 1_000 + equity % PPM * 1_000 // PPM) // price
                if wanted > 0:
                    state[at, 6] = wanted
                    taken += 1
    last = len(close) - 1
    for at in range(close.shape[1]):
        cash += state[at, 3] * close[last, at]
    return fills, cash - start
