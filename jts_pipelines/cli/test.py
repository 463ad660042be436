"""`jts test`: format, lint, types, import contracts and tests; the same here and in CI."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.table import Table

_CHECKOUT = Path(__file__).resolve().parents[2]
_BIN = Path(sys.executable).parent
# One more than the two cores of the machines that it runs on: a good part of the suite waits, for
# processes to start and for markets to be played.
_WORKERS = "3"
_PYTEST = ("-n", _WORKERS, "--dist", "worksteal", "--durations=15", "-q")


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One program of the suite.

    Attributes:
        name: In the table and for `--only`.
        argv: Its command, run in the checkout.
    """

    name: str
    argv: tuple[str, ...]


class StageResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a stage ended.

    Attributes:
        name: Of the stage.
        exit_code: Of its program; 0 is passed.
        seconds: That it took.
    """

    name: str
    exit_code: int
    seconds: float


class SuiteDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts test --json` prints.

    Attributes:
        passed: Whether every stage did.
        seconds: Of all stages together.
        stages: In the order in which they ran.
    """

    passed: bool
    seconds: float
    stages: tuple[StageResult, ...]


NAMES = ("format", "lint", "types", "contracts", "tests")


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--fast", is_flag=True, help="Leave the tests out that run commands as a user would."
)
@click.option(
    "--only",
    type=click.Choice(NAMES),
    multiple=True,
    help="Run this stage; repeat it for more. All stages without it.",
)
@console.json_option
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def test(
    fast: bool, only: tuple[str, ...], as_json: bool, pytest_arguments: tuple[str, ...]
) -> int:
    """Run the whole suite; words after -- go to pytest.

    Every stage runs, also after one failed; the exit code is 1 if any did.
    """
    started = time.monotonic()
    chosen = [s for s in stages(pytest_arguments, fast=fast) if not only or s.name in only]
    results = tuple(_run(stage, as_json=as_json) for stage in chosen)
    document = SuiteDocument(
        passed=all(result.exit_code == 0 for result in results),
        seconds=round(time.monotonic() - started, 1),
        stages=results,
    )
    console.emit(document, as_json=as_json, table=lambda: _table(document))
    return console.DONE if document.passed else console.CHECK_FAILED


def stages(pytest_arguments: Sequence[str] = (), *, fast: bool = False) -> tuple[Stage, ...]:
    """Return the stages of the suite in order.

    Args:
        pytest_arguments: Appended to pytest's own, which they may override.
        fast: Without the tests marked `e2e`.
    """
    selection = ("-m", "not e2e") if fast else ()
    return (
        Stage(name="format", argv=(str(_BIN / "ruff"), "format", "--check", ".")),
        Stage(name="lint", argv=(str(_BIN / "ruff"), "check", ".")),
        Stage(name="types", argv=(sys.executable, "-m", "mypy")),
        Stage(name="contracts", argv=(str(_BIN / "lint-imports"), "--no-cache", "--no-logo")),
        Stage(
            name="tests",
            argv=(sys.executable, "-m", "pytest", *_PYTEST, *selection, *pytest_arguments),
        ),
    )


def _run(stage: Stage, *, as_json: bool) -> StageResult:
    console.note(f"== {stage.name}: {' '.join(Path(stage.argv[0]).name.split())} ==")
    started = time.monotonic()
    # Stdout belongs to the document of --json; a person reads both streams in one place.
    output = sys.stderr if as_json else None
    code = subprocess.run(stage.argv, cwd=_CHECKOUT, stdout=output, check=False).returncode
    return StageResult(
        name=stage.name, exit_code=code, seconds=round(time.monotonic() - started, 1)
    )


def _table(document: SuiteDocument) -> "Table":
    from rich.table import Table

    table = Table("stage", "result", "seconds")
    for result in document.stages:
        word = "passed" if result.exit_code == 0 else f"failed (exit code {result.exit_code})"
        table.add_row(result.name, word, f"{result.seconds:.1f}")
    word = "passed" if document.passed else "failed"
    table.add_row("all", word, f"{document.seconds:.1f}", style="bold")
    return table
