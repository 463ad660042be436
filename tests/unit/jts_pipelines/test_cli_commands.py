"""The `jts` command line: its table of commands, its help, its usage errors."""

import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from jts_pipelines.cli.__main__ import COMMANDS, jts, main

_PRESENT = [name for name, entry in COMMANDS.items() if find_spec(entry.module)]


def _run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-P", "-m", "jts_pipelines.cli", *words]
    return subprocess.run(argv, capture_output=True, text=True, cwd=cwd, timeout=60, check=False)


def _leave(words: list[str]) -> int:
    with pytest.raises(SystemExit) as left:
        main(words)
    code = left.value.code
    assert isinstance(code, int)
    return code


def test_help_when_asked_then_it_lists_exactly_what_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No command is promised before its module is there."""
    assert _leave(["--help"]) == 0
    lines = capsys.readouterr().out.partition("Commands:")[2].splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert [name for name in listed if name in COMMANDS] == _PRESENT
    assert {"up", "test", "status", "doctor"} <= set(_PRESENT)


def test_help_when_asked_then_no_command_and_no_engine_is_imported(tmp_path: Path) -> None:
    """`jts --help` is quick because it loads nothing that works with data."""
    program = (
        "import sys; from jts_pipelines.cli.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pandas', 'polars', 'duckdb', 'dagster', 'chdb', 'numba', 'pyarrow', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    argv = [sys.executable, "-P", "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stderr == "[]\n"


def test_help_when_run_then_few_modules_are_loaded(tmp_path: Path) -> None:
    """What a start costs is what it imports: 0.2 s for some 170 modules, interpreter included."""
    program = (
        "import sys; from jts_pipelines.cli.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(len(sys.modules), file=sys.stderr)\n"
    )
    argv = [sys.executable, "-P", "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert int(done.stderr) < 190


@pytest.mark.parametrize("name", _PRESENT)
def test_each_command_when_asked_for_help_then_it_explains_itself(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every listed command loads, is a click command and has help."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)
    assert _leave([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: jts {name}")


def test_command_when_it_is_unknown_then_the_nearest_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A typing error is exit code 2 and one line."""
    assert _leave(["statsu"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("jts: no such command: statsu; did you mean status? (known: up")
    assert (printed.err.count("\n"), printed.out) == (1, "")


def test_option_when_it_is_unknown_then_the_nearest_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same for an option of a command."""
    assert _leave(["doctor", "--jsn"]) == 2
    line = capsys.readouterr().err
    assert "--jsn" in line
    assert "--json" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "accepted"),
    [
        (["storage", "nope"], "(known: archive, "),
        (["sql"], "(see: jts sql --help)"),
        (["ingest", "bars.csv"], "(see: jts ingest --help)"),
    ],
)
def test_command_line_when_it_is_incomplete_then_the_line_says_where_to_look(
    words: list[str], accepted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would be accepted stands in the error, for groups of commands too."""
    assert _leave(words) == 2
    line = capsys.readouterr().err
    assert accepted in line
    assert line.count("\n") == 1


def test_jts_when_called_alone_then_it_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    """A first-time user sees what there is."""
    assert _leave([]) == 0
    assert jts.help is not None
    assert jts.help in " ".join(capsys.readouterr().out.split())


def test_jts_when_a_library_is_shadowed_by_the_directory_then_it_still_runs(
    tmp_path: Path,
) -> None:
    """A stray `click.py` where the user stands does not take the place of the library."""
    (tmp_path / "click.py").write_text("raise RuntimeError('shadowed')\n", encoding="utf-8")
    assert _run("--version", cwd=tmp_path).returncode == 0
