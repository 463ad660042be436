"""What a benchmark prints: ratios, and whether engines agree."""

from pathlib import Path

import numpy as np

from jts_pipelines.bench.report import agree, lines_of
from jts_pipelines.bench.rows import BENCHES, Case, Engine
from jts_pipelines.bench.running import Measured

CASE = Case("sma", None, (Engine("jts", "jts.py"),), ("sma-3x4", "sma-3x4-load", "memory"))
OURS = Measured(
    "jts",
    {"rows": 12, "seconds": 2.0, "load_seconds": 1.0, "fills": 3, "gain": 10, "peak_rss_mb": 50},
)


def test_lines_of_a_case_have_each_row_for_each_engine() -> None:
    """Computing, computing with loading, and memory are rows of one run."""
    slow = Measured("vectorbt", OURS.figures | {"seconds": 8.0, "gain": 12.9, "peak_rss_mb": 200})

    lines = lines_of("backtest", CASE, [OURS, slow])

    ratios = [(line["case"], line["engine"], line["ratio_to_jts"]) for line in lines]
    assert ratios == [
        ("sma-3x4", "jts", 1.0),
        ("sma-3x4", "vectorbt", 4.0),
        ("sma-3x4-load", "jts", 1.0),
        ("sma-3x4-load", "vectorbt", 3.0),
        ("memory", "jts", 1.0),
        ("memory", "vectorbt", 4.0),
    ]
    assert lines[1]["rate"] == 1.5
    assert all(line["agrees"] for line in lines)


def test_engines_agree_on_equal_fills_and_a_won_per_fill() -> None:
    """A peer that does not round commissions differs by less than a won per fill."""
    assert agree(OURS, Measured("peer", {"fills": 3, "gain": 13.0}))
    assert not agree(OURS, Measured("peer", {"fills": 3, "gain": 13.1}))
    assert not agree(OURS, Measured("peer", {"fills": 4, "gain": 10.0}))
    assert agree(OURS, Measured("peer", {"fills": None})) is None


def test_lines_without_jts_have_no_ratio() -> None:
    """A run of one peer is still a measurement."""
    lines = lines_of("backtest", CASE, [Measured("kernel", {"rows": 12, "seconds": 3.0})])

    assert [(line["case"], line["ratio_to_jts"]) for line in lines] == [("sma-3x4", None)]


def test_cases_of_benches_name_scripts_that_exist() -> None:
    """Every engine of every case has its script."""
    from jts_pipelines.bench.rows import ENGINES

    scripts = {e.script for cases in BENCHES.values() for case in cases for e in case.engines}
    assert all((ENGINES / script).is_file() for script in scripts)


def test_values_agree_when_each_output_does_and_absent_ones_are_left_out(tmp_path: Path) -> None:
    """Values of indicators are compared row by row, from where averages have met."""
    ours = np.arange(6_000.0).reshape(2, 3_000)
    ours[:, :20] = np.nan
    early, absent, wrong = ours.copy(), ours.copy(), ours.copy()
    early[0, 500] += 1.0
    absent[1] = np.nan
    wrong[0, 2_000] *= 1 + 1e-6
    engines = {}
    for name, values in (("jts", ours), ("a", early), ("b", absent), ("c", wrong)):
        np.save(tmp_path / f"{name}.npy", values)
        engines[name] = Measured(name, {"values": str(tmp_path / f"{name}.npy")})

    found = {name: agree(each, engines["jts"]) for name, each in engines.items()}

    assert found == {"jts": True, "a": True, "b": True, "c": False}
