"""A run beside benchmarks, as a table."""

from collections.abc import Sequence
from html import escape

from jts_pipelines.backtest.benchmark import BENCHMARK_DEFINITIONS, Comparison
from jts_pipelines.reports.page import Cell, hinted, table
from jts_pipelines.reports.words import BENCHMARK_LABELS, counted, show


def comparison_table(comparisons: Sequence[Comparison], sessions: int) -> str:
    """Return the figures of each benchmark, and why others are absent.

    Args:
        comparisons: Of the run.
        sessions: How many it has.
    """
    found = [comparison for comparison in comparisons if comparison.figures]
    missing = [
        f"<p class='muted small'>{escape(comparison.name)} is absent: "
        f"{escape(comparison.absence)}</p>"
        for comparison in comparisons
        if comparison.absence
    ]
    if not found:
        return "".join(missing)
    rows = [
        (
            Cell(f"<td>{hinted(BENCHMARK_LABELS[name], definition)}</td>"),
            *(show(name, comparison.figures[name]) for comparison in found),
        )
        for name, definition in BENCHMARK_DEFINITIONS.items()
    ]
    whole = counted(sessions, "session")
    head = ("", *(f"{c.name}, {c.sessions:,} of {whole}" for c in found))
    return table(head, rows) + "".join(missing)
