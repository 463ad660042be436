"""The trades of the events case: instants, prices and instruments, the same for every engine."""

import numpy as np

INSTRUMENTS, TICKS, SECONDS = 10, 200_000, 23_000


def make_trades(open_ns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return instants (UTC ns, ascending), prices in won and numbers of instruments."""
    random = np.random.Generator(np.random.PCG64(7))
    stamps = open_ns + np.sort(random.integers(0, SECONDS * 1_000, TICKS)) * 1_000_000
    which = random.integers(0, INSTRUMENTS, TICKS)
    prices = np.empty(TICKS, np.int64)
    for at in range(INSTRUMENTS):
        own = which == at
        prices[own] = 100_000 + 10_000 * at + 100 * np.cumsum(random.integers(-1, 2, own.sum()))
    return stamps, prices, which
