"""The twelve indicators of the benchmark: their settings, their input, and how values are kept.

Scripts run in interpreters that know nothing of JTS, so this file needs numpy and pyarrow only.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from measured import Outcome, median_seconds, say
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Answer = tuple[Floats, ...]

CASES: dict[str, dict[str, float]] = {
    "SMA": {"period": 20},
    "EMA": {"period": 20},
    "RSI": {"period": 14},
    "MACD": {"fast": 12, "slow": 26, "signal": 9},
    "Bollinger": {"period": 20, "deviations": 2.0},
    "ATR": {"period": 14},
    "Stochastic": {"period": 14, "k": 3, "d": 3},
    "ADX": {"period": 14},
    "OBV": {},
    "VWAP": {},
    "MFI": {"period": 14},
    "CCI": {"period": 20},
}
OUTPUTS = {"MACD": 3, "Bollinger": 3, "Stochastic": 2}
_DAY_MS, _SEOUL_MS = 86_400_000, 32_400_000


class Bars(NamedTuple):
    """Columns of one instrument; `session` is the day in Seoul."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    session: NDArray[np.int64]


def read_bars(path: str) -> Bars:
    """Return the columns of a generated market of one instrument."""
    table = pq.read_table(path)
    names = ("open", "high", "low", "close", "volume")
    stamp = table["timestamp"].cast("int64").to_numpy()
    prices = (np.ascontiguousarray(table[name].to_numpy(), np.float64) for name in names)
    return Bars(*prices, session=(stamp + _SEOUL_MS) // _DAY_MS)


def session_slices(bars: Bars) -> list[slice]:
    """Return the rows of each session."""
    cuts = [0, *np.flatnonzero(np.diff(bars.session)) + 1, len(bars.session)]
    return [slice(first, end) for first, end in pairwise(cuts)]


def measure_each(
    engine: str, calls: dict[str, Callable[[], Answer]], rows: int, repeats: int, cache: str
) -> None:
    """Time each call alone, keep what it says, and print the sum of their seconds."""
    spent, columns = {}, []
    for name in CASES:
        if name not in calls:
            columns += [np.full(rows, np.nan)] * OUTPUTS.get(name, 1)
            continue

        def run(call: Callable[[], Answer] = calls[name]) -> Outcome:
            call()
            return Outcome(0, 0.0)

        spent[name], _ = median_seconds(run, repeats)
        columns += calls[name]()
    keep_values(engine, columns, spent, sum(spent.values()), cache)


def keep_values(
    engine: str, columns: list[Floats], spent: dict[str, float], seconds: float, cache: str
) -> None:
    """Write the values of all outputs, and print the line of an engine."""
    path = Path(cache).parent / f"indicators-{engine}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.stack(columns))
    say(
        rows=len(columns[0]),
        seconds=seconds,
        outcome=Outcome(len(spent), 0.0),
        values=str(path),
        phases=spent,
    )
