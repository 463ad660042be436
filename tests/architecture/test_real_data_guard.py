"""The suite cannot pass over real data that is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
SKIPPING = """
import pytest

@pytest.mark.real_data
def test_prices():
    pytest.skip("not today")

def test_other():
    pytest.skip("no data needed")
"""
USING = """
def test_prices(test_data):
    assert (test_data / "catalog.json").is_file()
"""


def _run(folder: Path, test: str, data: Path) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text(encoding="utf-8"))
    (folder / "test_some.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = real_data: reads the shared data\n")
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", str(folder)]
    environment = {**os.environ, "JTS_TEST_DATA": str(data)}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory that looks like the shared data."""
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "catalog.json").write_text("{}")
    return directory


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """An empty suite of its own."""
    directory = tmp_path / "suite"
    directory.mkdir()
    return directory


def test_run_when_data_is_there_and_skipped_then_fails(suite: Path, data: Path):
    """A skipped test of real data turns the run red and is named; other skips do not count."""
    answer = _run(suite, SKIPPING, data)

    assert answer.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 tests of real data were skipped although it is there" in answer.stdout
    assert "test_some.py::test_prices" in answer.stdout


def test_run_when_data_is_missing_then_skips_and_passes(suite: Path, tmp_path: Path):
    """Without the data the run is green and says where it looked."""
    answer = _run(suite, USING, tmp_path / "nowhere")

    assert answer.returncode == pytest.ExitCode.OK
    assert "name its directory in JTS_TEST_DATA" in answer.stdout
    assert "1 tests of real data were skipped for want of it" in answer.stdout


def test_run_when_data_is_there_and_used_then_passes(suite: Path, data: Path):
    """The fixture finds the directory that the environment names."""
    assert _run(suite, USING, data).returncode == pytest.ExitCode.OK
