"""Fixtures of the whole suite: compiled code, the shared market data, proof that it was used."""

import os
import sys
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[1]
# What several test files share: they import it by its name.
sys.path.append(str(Path(__file__).resolve().parent / "reference"))


def _data_directory() -> Path:
    named = os.environ.get("JTS_TEST_DATA")
    return Path(named) if named else _REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The shared set of real market data; tests on it are marked `real_data`."""
    directory = _data_directory()
    if not (directory / "catalog.json").is_file():
        pytest.skip(f"no market data in {directory}: name its directory in JTS_TEST_DATA")
    return directory


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled code, shared by the tests of a run, also by those of other workers."""
    root = tmp_path_factory.getbasetemp()
    found = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "kernels"
    found.mkdir(mode=0o700, exist_ok=True)
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what reads the shared data, so that nobody has to remember to; begin with the longest.

    Tests that run commands as a user would wait for a market's clock and for processes to start:
    minutes in which other workers compute. Begun last, the longest of them would run alone.
    """
    for item in items:
        if "test_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_data)
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


class RealDataGuard:
    """Fails a run in which the data is there and a test on it was skipped all the same."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a skipped test of real data."""
        is_skip = report.skipped and not hasattr(report, "wasxfail")
        if is_skip and "real_data" in report.keywords:
            self.skipped.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn a green run red when data was present and not used."""
        is_present = (_data_directory() / "catalog.json").is_file()
        if is_present and self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how many tests of real data were skipped, and which."""
        if not self.skipped:
            return
        is_present = (_data_directory() / "catalog.json").is_file()
        verdict = "although it is there: the run fails" if is_present else "for want of it"
        count = len(self.skipped)
        terminalreporter.write_line(f"{count} tests of real data were skipped {verdict}")
        for name in self.skipped if is_present else []:
            terminalreporter.write_line(f"  {name}")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the run."""
    config.pluginmanager.register(RealDataGuard(), "real-data-guard")
