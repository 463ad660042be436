"""The import contracts hold, and a planted violation of them is found and named."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_BUILDINGS = ("storage", "jts_trading", "jts_pipelines")


def _lint(directory: Path) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("lint-imports"))
    argv = [program, "--config", str(directory / "pyproject.toml"), "--no-cache"]
    # Started where the packages are: the copy is linted, not what is installed.
    return subprocess.run(
        argv, cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the three buildings and their contracts, to plant something in."""
    for building in _BUILDINGS:
        shutil.copytree(
            _ROOT / building, tmp_path / building, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(_ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_when_linted_then_all_are_kept() -> None:
    """No import points upwards."""
    done = _lint(_ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("storage/schema/planted.py", "import jts_trading.domain", "Buildings"),
        ("storage/schema/planted.py", "import storage.lake", "Floors of storage"),
        ("jts_trading/domain/planted.py", "import jts_trading.engine", "Floors of jts_trading"),
        ("jts_trading/domain/planted.py", "import random", "Pure core"),
        ("jts_trading/ports/planted.py", "import dagster", "Dagster at the edge"),
        ("jts_pipelines/ingest/planted.py", "import chdb", "Embedded engines at the edge"),
        ("jts_pipelines/reports/planted.py", "import jts_trading.brokers", "Pipelines use"),
        ("jts_pipelines/ingest/planted.py", "import jts_pipelines.cli", "Floors of jts_pipelines"),
    ],
)
def test_contracts_when_an_import_is_planted_then_it_is_named(
    copy: Path, file: str, line: str, contract: str
) -> None:
    """The build fails; the broken contract and the module that broke it are named."""
    (copy / file).write_text(f'"""Planted."""\n\n{line}\n', encoding="utf-8")
    done = _lint(copy)
    assert done.returncode == 1
    broken = [row for row in done.stdout.splitlines() if row.endswith(" BROKEN")]
    assert any(row.startswith(contract) for row in broken), done.stdout
    assert file.removesuffix(".py").replace("/", ".") in done.stdout


@pytest.mark.parametrize("building", _BUILDINGS)
def test_contracts_when_a_room_is_not_placed_then_it_is_named(copy: Path, building: str) -> None:
    """A new top folder has to be given its floor before it may exist."""
    room = copy / building / "planted_room"
    room.mkdir()
    (room / "__init__.py").write_text('"""Planted."""\n', encoding="utf-8")
    done = _lint(copy)
    assert done.returncode == 1
    assert "planted_room" in done.stdout
