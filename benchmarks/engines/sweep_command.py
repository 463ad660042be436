"""Measures `jts sweep` as a command: python sweep_command.py CASE FILE REPEATS CACHE METHOD.

A hundred parameter sets, from the start of a new process to the ledger, the files and the page,
with everything compiled before. METHOD is grid, or tpe, which asks for eight sets at a time.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from measured import Outcome, median_of, say
from texts import TEXTS

_TRIALS = 100
_RANGES = ("--sweep", "quick=5..50..5", "--sweep", "slow=110..200..10")


def main() -> None:
    """Measure one method."""
    _, _case, path, repeats, _cache, method = sys.argv
    with tempfile.TemporaryDirectory() as place:
        text = Path(place, "sweep.jts")
        text.write_text(TEXTS["sweep"], encoding="utf-8")
        command = [
            *("env", f"JTS_HOME={place}"),
            *(sys.executable, "-m", "jts_pipelines.cli", "sweep", str(text), "--bars", path),
            *("--interval", "1m", "--method", method, "--trials", str(_TRIALS), *_RANGES),
            *("--report", str(Path(place, "page.html")), "--json"),
        ]
        seconds, outcome = median_of(lambda: _once(command), int(repeats))
    rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    say(rows=rows * _TRIALS, seconds=seconds, outcome=outcome)


def _once(command: list[str]) -> tuple[float, Outcome]:
    began = time.perf_counter()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    spent = time.perf_counter() - began
    metrics = json.loads(done.stdout)["best"]["metrics"]
    return spent, Outcome(int(metrics["trades"]), float(metrics["net_profit"]))


main()
