"""Past prices of one instrument: what the last trade at or before some time ago was.

Theory of operation. Only changes of the price are kept, in the order of arrival, as far back as
the longest time that is asked for. Of changes that lie closer together than a part in `GRAINS` of
that time only the last one is kept. So memory is bounded, and what is found is exact but for
changes that are that close: 5 ms where five minutes are asked for.
"""

import math
from array import array

import numpy as np

GRAINS = 1 << 16
_DROPPED_MIN = 1_024


class PriceTrail:
    """The prices of one instrument.

    Args:
        lags_ns: How long ago is asked for, ascending.
    """

    __slots__ = ("_grain_ns", "_heads", "_lags_ns", "prices", "times_ns")

    def __init__(self, lags_ns: tuple[int, ...]) -> None:
        self._lags_ns = lags_ns
        self._heads = [0] * len(lags_ns)
        self._grain_ns = lags_ns[-1] // GRAINS
        self.times_ns, self.prices = array("q"), array("q")

    def add(self, at_ns: int, price: int) -> None:
        """Take a price in, after it was asked what was before it.

        Args:
            at_ns: When it was known, UTC ns; never before an earlier one.
            price: In ticks.
        """
        times, prices = self.times_ns, self.prices
        last = len(prices) - 1
        if last >= 0 and prices[last] == price:
            return
        # A change that has been found already stays.
        if last > self._heads[0] and at_ns - times[last] < self._grain_ns:
            times[last], prices[last] = at_ns, price
            return
        times.append(at_ns)
        prices.append(price)

    def before(self, now_ns: int) -> list[float]:
        """Return the last price at or before each time ago, NaN where none is known.

        Args:
            now_ns: Never before that of an earlier call.
        """
        times, heads = self.times_ns, self._heads
        last, found = len(times) - 1, []
        for place, lag_ns in enumerate(self._lags_ns):
            head, until_ns = heads[place], now_ns - lag_ns
            while head < last and times[head + 1] <= until_ns:
                head += 1
            heads[place] = head
            known = last >= 0 and times[head] <= until_ns
            found.append(float(self.prices[head]) if known else math.nan)
        if heads[-1] >= _DROPPED_MIN:
            self._drop(heads[-1])
        return found

    def _drop(self, count: int) -> None:
        del self.times_ns[:count], self.prices[:count]
        self._heads = [head - count for head in self._heads]

    def stored(self) -> bytes:
        """Return what is kept: times, then prices, int64 little-endian."""
        first = self._heads[-1]
        kept = (*self.times_ns[first:], *self.prices[first:])
        return np.array(kept, "<i8").tobytes()

    def load(self, stored: bytes) -> None:
        """Go on from what was stored."""
        kept = np.frombuffer(stored, "<i8").tolist()
        half = len(kept) // 2
        self.times_ns, self.prices = array("q", kept[:half]), array("q", kept[half:])
        self._heads = [0] * len(self._lags_ns)
