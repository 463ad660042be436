"""What positions are worth at the newest marks: exact sums of whole numbers, by column.

One tick moves the value of a position by its quantity times the price step. This weight is a
decimal; those with as many decimals are kept together, in whole units of the last one. So the
value of all positions is a sum of products of whole numbers, and no decimal is made for each.
"""

from collections import Counter
from decimal import Decimal

import numpy as np

from jts_trading.engine.columns import Ints

_LONGEST = 1 << 63
_ZERO = Decimal(0)


class Weights:
    """The weights of the positions of an instance, by row.

    Args:
        count: How many rows there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        # Rows of one power of ten: 64 bits, or Python's numbers where one is longer.
        self._groups: dict[int, Ints] = {}
        self._powers: dict[int, int] = {}
        self._sizes: Counter[int] = Counter()

    def __contains__(self, row: int) -> bool:
        return row in self._powers

    def put(self, row: int, weight: Decimal) -> None:
        """Let a row have a weight: how much of its currency one tick of it is; 0 for none."""
        before = self._powers.pop(row, None)
        if before is not None:
            self._groups[before][row] = 0
            self._sizes[before] -= 1
            if not self._sizes[before]:
                del self._groups[before]
        if not weight:
            return
        power = int(weight.as_tuple().exponent)
        steps = int(weight.scaleb(-power))
        self._powers[row] = power
        self._sizes[power] += 1
        group = self._groups.get(power)
        if group is None:
            group = self._groups[power] = np.zeros(self._count, np.int64)
        if abs(steps) >= _LONGEST:
            group = self._groups[power] = group.astype(object)
        group[row] = steps

    def value(self, marks: Ints) -> Decimal:
        """Return what all rows are worth.

        Args:
            marks: Price of each row in ticks; 0 where there is none.
        """
        value = _ZERO
        for power, weights in self._groups.items():
            total = _sum_of_products(weights, marks)
            value += Decimal(total).scaleb(power) if total else 0
        return value

    def count_marked(self, marks: Ints) -> int:
        """Return how many rows have a weight and a mark."""
        return sum(
            int(np.count_nonzero((weights != 0) & (marks != 0)))
            for weights in self._groups.values()
        )


def _sum_of_products(weights: Ints, marks: Ints) -> int:
    largest = int(abs(weights).max()) * int(abs(marks).max())
    if largest * len(marks) < _LONGEST:
        return int(weights @ marks)
    # Sums of 64 bits could overflow: those of Python cannot.
    return sum(map(int.__mul__, weights.tolist(), marks.tolist()))
