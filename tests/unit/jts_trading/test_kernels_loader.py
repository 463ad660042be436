"""Kernels: written once, compiled from real files, found again, shared by processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jts_trading.dsl.compiler import compile_strategy
from jts_trading.kernels.loader import KERNEL_OPTIONS, kernel_digest, kernel_text, load

EXAMPLES = Path(__file__).parents[3] / "examples" / "strategies"
DRIVER = """

def drive(closes, fired):
    state = np.empty(STATE_SIZE)
    init_state(state)
    for i in range(len(closes)):
        close = closes[i]
        fired[i] = step(state, close, close, close, close, 1.0, 0)


@njit(cache=True)
def twice(x):
    return 2 * x
"""
PROGRAM = """
import sys
from pathlib import Path

import numpy as np

from jts_trading.kernels.loader import load

kernel = load(Path(sys.argv[1]).read_text(encoding="utf-8"), Path(sys.argv[2]))
closes = np.array([float((i * i) % 97) for i in range(400)])
fired = np.zeros(400, np.int64)
kernel.drive(closes, fired)
hits = sum(kernel.drive.stats.cache_hits.values())
print(f"{fired.tobytes().hex()} {hits}")
"""


def source() -> str:
    """Return a strategy's source with a driver behind it."""
    plan = compile_strategy((EXAMPLES / "sma_crossover.jts").read_bytes())
    return plan.source + DRIVER


def start(folder: Path) -> subprocess.Popen[str]:
    """Start a process that loads and runs the kernel."""
    text = folder / "source.txt"
    text.write_text(source(), encoding="utf-8")
    arguments = [sys.executable, "-c", PROGRAM, str(text), str(folder / "cache")]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parents[1])}
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> tuple[str, int]:
    """Return what a process fired, and how often it found machine code."""
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    fired, hits = out.split()
    return fired, int(hits)


def test_kernel_when_processes_load_at_once_then_all_agree_and_later_ones_hit(
    tmp_path: Path,
) -> None:
    """Three processes race for an empty cache; a fourth finds their machine code."""
    racers = [start(tmp_path) for _ in range(3)]

    results = {finish(process)[0] for process in racers}
    later, hits = finish(start(tmp_path))

    assert results == {later}
    assert hits == 1
    files = sorted(p.name for p in (tmp_path / "cache").glob("*.py"))
    assert files == [f"{kernel_digest(source())}.py"]
    assert not list((tmp_path / "cache").glob(".unfinished-*"))


def test_kernel_when_file_was_damaged_then_written_again(tmp_path: Path) -> None:
    """A file that is not what its name says is replaced before it is imported."""
    path = tmp_path / f"{kernel_digest(source())}.py"
    path.write_text("raise SystemExit", encoding="utf-8")

    kernel = load(source(), tmp_path)

    assert kernel.__file__ == str(path)
    assert kernel.STATE_SIZE == 77
    assert load(source(), tmp_path) is kernel


def test_text_when_function_carries_a_decorator_then_it_keeps_it() -> None:
    """Drivers may choose their own options; every other function gets ours."""
    text = kernel_text(source())

    assert text.count(f"@njit({KERNEL_OPTIONS})") == 4
    assert text.count("@njit(cache=True)\ndef twice") == 1


def test_digest_when_text_differs_then_differs() -> None:
    """The name of a file stands for its whole text."""
    assert kernel_digest("a = 1") != kernel_digest("a = 2")
    assert kernel_digest("a = 1") == kernel_digest("a = 1")


def test_source_when_no_python_then_nothing_is_written(tmp_path: Path) -> None:
    """A fault of the generator leaves no file behind."""
    with pytest.raises(SyntaxError):
        load("def step(", tmp_path)

    assert not list(tmp_path.iterdir())


def test_module_when_imported_then_numba_is_not() -> None:
    """Importing numba takes a while; who only checks texts does not pay for it."""
    check = (
        "import sys, jts_trading.kernels.loader, jts_trading.dsl.compiler;"
        "sys.exit('numba' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parents[1])}

    done = subprocess.run([sys.executable, "-c", check], check=False, env=environment)

    assert done.returncode == 0


def test_checked_kernel_has_another_name_and_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index outside of its array is an error, not another array."""
    source = "def step(cells, at):\n    return cells[at]\n"
    load(source, tmp_path)
    monkeypatch.setenv("JTS_CHECKED_KERNELS", "1")

    checked = load(source, tmp_path, allocates=False)

    assert len(list(tmp_path.glob("*.py"))) == 2
    cells = np.array([3, 4])
    assert checked.step(cells, 1) == 4
    with pytest.raises(IndexError):
        checked.step(cells, 2)
