"""From what engines said to the lines of a benchmark.

A line has `bench, case, engine, rows, seconds, rate, peak_rss_mb, ratio_to_jts, agrees`, or an
`error` where an engine could not be installed or failed. The ratio
is how many times as long as JTS an engine takes (of memory: how many times as much it holds).
Results agree when there are as many fills and the gain differs by less than a won per fill: peers
do not round commissions down. Engines that leave values agree when each value does, to a part in
a billion.
"""

from typing import Any

import numpy as np

from jts_pipelines.bench.rows import Case
from jts_pipelines.bench.running import Measured

Line = dict[str, Any]
# Averages that start at different values have met after so many rows.
_SETTLED = 1_000


def lines_of(bench: str, case: Case, measured: list[Measured]) -> list[Line]:
    """Return the lines of a case: one per row and engine."""
    ours = next((each for each in measured if each.engine == "jts"), None)
    return [
        line
        for row in case.rows
        for each in measured
        for line in [_line(bench, row, each, ours)]
        if line is not None
    ]


def _line(bench: str, row: str, each: Measured, ours: Measured | None) -> Line | None:
    if "error" in each.figures:
        return {"bench": bench, "case": row, "engine": each.engine, "error": each.figures["error"]}
    figure = _figure(row, each)
    if figure is None:
        return None
    rows = each.get("rows")
    base = None if ours is None else _figure(row, ours)
    return {
        "bench": bench,
        "case": row,
        "engine": each.engine,
        "rows": None if rows is None else int(rows),
        "seconds": None if row == "memory" else figure,
        "rate": rows / figure if rows and figure and row != "memory" else None,
        "peak_rss_mb": each.get("peak_rss_mb"),
        "ratio_to_jts": figure / base if base else None,
        "agrees": None if ours is None else agree(each, ours),
        "phases": each.figures.get("phases"),
        "peak_mb_by_phase": each.figures.get("peak_mb_by_phase"),
    }


def _figure(row: str, each: Measured) -> float | None:
    """Return the figure that a row compares: seconds, or MB."""
    if row == "memory":
        return each.get("peak_rss_mb")
    seconds, load = each.get("seconds"), each.get("load_seconds")
    if row.endswith("-load"):
        return None if seconds is None or load is None else seconds + load
    return seconds


def agree(one: Measured, other: Measured) -> bool | None:
    """Return whether two engines did the same; None where there is nothing to compare."""
    if "values" in one.figures and "values" in other.figures:
        return _have_same_values(one.figures["values"], other.figures["values"])
    fills, gain = (one.get("fills"), other.get("fills")), (one.get("gain"), other.get("gain"))
    if fills[0] is None or fills[1] is None:
        return None
    if fills[0] != fills[1] or gain[0] is None or gain[1] is None:
        return False
    return abs(gain[0] - gain[1]) <= fills[0]


def _have_same_values(one: str, other: str) -> bool:
    """Compare files of [output, row]; what one of them lacks altogether is not compared."""
    pair = zip(np.load(one, mmap_mode="r"), np.load(other, mmap_mode="r"), strict=True)
    return all(
        np.allclose(found[_SETTLED:], expected[_SETTLED:], rtol=1e-9, atol=1e-7, equal_nan=True)
        for found, expected in pair
        if not (np.isnan(found).all() or np.isnan(expected).all())
    )
