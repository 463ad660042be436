"""The ceiling: what a person would write by hand with numba for exactly one strategy."""

from numba import njit

FEE_NANO = 500_000  # 5 bps in billionths; floored to a won, as JTS does


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
                money -= wanted * price + price * FEE_NANO // 1_000_000_000
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
