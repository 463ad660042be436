"""`jts ingest` as a user runs it: a process of its own, in a home of its own."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from jts_pipelines.ingest.generated import write_generated

pytestmark = pytest.mark.integration


def jts(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command line."""
    environment = {name: value for name, value in os.environ.items() if "JTS" not in name}
    return subprocess.run(
        [sys.executable, "-m", "jts_pipelines.cli", "ingest", *arguments],
        env={**environment, "JTS_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_ingest_when_paths_are_a_pattern_then_one_document_sums_the_files(tmp_path: Path) -> None:
    """The JSON document of design section 8, and nothing else on stdout."""
    for folder in ("a", "b"):
        write_generated(
            tmp_path / folder,
            seed=ord(folder),
            symbols=3,
            first=date(2024, 1, 2),
            last=date(2024, 1, 31) if folder == "a" else date(2024, 1, 12),
        )
    pattern = str(tmp_path / "*" / "krx" / "krx_1d_*.parquet")

    done = jts(tmp_path / "home", pattern, "--venue", "KRX", "--interval", "1d", "--json")

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    # The second file has the keys of the first with other values.
    assert document["files"] == 2
    assert document["rows"] == 22 * 3 + 9 * 3
    assert document["quarantined"] == document["reasons"]["conflicts_with_stored"]
    assert (
        document["rows"] == document["accepted"] + document["quarantined"] + document["duplicates"]
    )
    assert Path(document["reports"][1]["quarantine_file"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.parquet", "--venue", "KRX"], "none.parquet: no such file"),
        (["none-*.csv", "--venue", "KRX"], "none-*.csv: no file matches"),
        (["bars.csv", "--venue", "NYSE"], "unknown venue 'NYSE'; known: KRX"),
        (["bars.csv", "--venue", "KRX", "--mapping", "close=x"], "no such column; found: a, b"),
        (["bars.csv", "--venue", "KRX", "--mapping", "price=a"], "unknown field 'price'"),
        (["bars.csv", "--venue", "KRX"], "no column for timestamp"),
    ],
)
def test_ingest_when_input_is_wrong_then_one_line_and_exit_code_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """Bad input is refused before any store is started."""
    (tmp_path / "bars.csv").write_text("a,b\n1,2\n")
    monkeypatch.chdir(tmp_path)

    done = jts(tmp_path / "home", *arguments, "--interval", "1d")

    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert not (tmp_path / "home" / "hot").exists()
