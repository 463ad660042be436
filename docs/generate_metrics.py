"""Write docs/metrics.md from the definitions of the figures of a backtest.

Run `.venv/bin/python docs/generate_metrics.py`; with `--check` nothing is written and the exit
code says whether the page is up to date.
"""

import sys
import tomllib
from pathlib import Path

from jts_pipelines.backtest.benchmark import BENCHMARK_DEFINITIONS
from jts_pipelines.backtest.metrics import DEFINITIONS
from jts_pipelines.reports.words import BENCHMARK_LABELS, GROUPS, LABELS, unit_of

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "metrics.md"
DIFFERENCES = ROOT / "docs" / "metric_differences.toml"

HEAD = """# Figures of a backtest

Written by `docs/generate_metrics.py` from `jts_pipelines/backtest/metrics.py`; do not edit.
{count} figures. Session returns are those of equity at the last bar of each session, the first one
against the starting cash. Annual figures use 252 sessions (`sessions_per_year`), the riskless rate
is zero. A figure that is not defined for a run is empty (`null` in JSON), never zero or infinite.
Trade figures count closed trades, net of commission and tax. Money is in the account's currency.

Judges: every figure is tested against values computed by hand
(`tests/unit/jts_pipelines/test_metrics.py`), and those that empyrical-reloaded has too against it
over generated runs (`test_metrics_judged.py`), to 1e-9 relative.
"""


def page() -> str:
    """Return the page as text."""
    lines = [HEAD.format(count=len(DEFINITIONS) + len(BENCHMARK_DEFINITIONS))]
    for title, names in GROUPS.items():
        lines += ["", f"## {title}", "", *_table(names, DEFINITIONS, LABELS)]
    lines += [
        "",
        "## Against a benchmark",
        "",
        "The benchmark's return of a session runs from its last close at or before the end of the",
        "session before to its last close at or before the end of this one; sessions before its",
        "first close are left out. `jts backtest --benchmark` names others than `hold`, KOSPI,",
        "KOSDAQ and BTC, or files; a benchmark without bars is said to be absent, not left out",
        "silently. `hold` buys and holds what the run may trade: the money is split evenly over",
        "all instruments, each is bought at its first open, without costs and dividends, until",
        "then its part stays in cash; splits and delistings are those that the run assumes.",
        "",
        *_table(tuple(BENCHMARK_DEFINITIONS), BENCHMARK_DEFINITIONS, BENCHMARK_LABELS),
        "",
        "## Known differences to empyrical-reloaded",
        "",
        "| figure | its name there | relation | reason |",
        "|---|---|---|---|",
    ]
    differences = tomllib.loads(DIFFERENCES.read_text(encoding="utf-8"))
    lines += [
        f"| `{name}` | `{found['judge']}` | {found['relation']} | {found['reason']} |"
        for name, found in differences.items()
    ]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _table(
    names: tuple[str, ...], definitions: dict[str, str], labels: dict[str, str]
) -> list[str]:
    rows = [
        f"| `{name}` | {labels[name]} | {unit_of(name)} | {definitions[name]} |" for name in names
    ]
    return ["| name | figure | unit | definition |", "|---|---|---|---|", *rows]


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; return the exit code."""
    text = page()
    if "--check" in arguments:
        return int(not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != text)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
