"""One line on stderr and an exit code for whatever a command raises."""

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from jts_trading.config.source import ConfigError
from jts_trading.domain.calendars import CalendarError
from jts_trading.domain.errors import RuleMissingError, TerminalError
from jts_trading.domain.instruments import InstrumentError
from jts_trading.dsl.errors import Place, StrategyError
from jts_trading.telemetry import console
from storage.embedded.private import DirectoryOwnedError
from storage.errors import InputError, ManifestError, RefusedError


def _raise(error: BaseException) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


def _missing_file() -> None:
    Path("/no/such/file.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("bad key"), 2),
        (InputError("bad row"), 2),
        (click.UsageError("bad option"), 2),
        (StrategyError("unknown name", Place("s.jts", 3, 7)), 2),
        (DirectoryOwnedError("owned by process 7"), 3),
        (console.CommandError("broken", console.INVARIANT_BROKEN), 4),
        (ManifestError("chain"), 5),
        (RefusedError("fewer rows"), 5),
        (TerminalError("stop"), 1),
        (InstrumentError("KRX:00593"), 2),
        (CalendarError("no session"), 2),
        (RuleMissingError("no tax in 1950"), 2),
        (OSError(28, "No space left on device", "/x"), 5),
    ],
)
def test_run_guarded_when_an_expected_error_is_raised_then_one_line_and_its_code(
    error: Exception, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit codes are those of the outer contract, and stdout stays empty."""
    assert console.run_guarded(_raise(error), debug=False, logs=lambda: tmp_path) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("jts: ")
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_run_guarded_when_a_file_is_missing_then_the_path_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path of the user that does not exist is bad input."""
    assert console.run_guarded(_missing_file, debug=False, logs=lambda: tmp_path) == 2
    assert capsys.readouterr().err == "jts: /no/such/file.csv: No such file or directory\n"


def test_run_guarded_when_the_error_is_unexpected_then_the_traceback_is_kept_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bug is one line that names the log; the traceback stands there and not on the terminal."""
    code = console.run_guarded(_raise(ValueError("seven")), debug=False, logs=lambda: tmp_path)
    (log,) = tmp_path.iterdir()
    assert code == 4
    assert capsys.readouterr().err == f"jts: unexpected ValueError: seven (traceback: {log})\n"
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_run_guarded_when_debug_is_on_then_the_traceback_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--debug` shows where even an expected error came from."""
    error = InputError("bad row")
    assert console.run_guarded(_raise(error), debug=True, logs=lambda: tmp_path) == 2
    assert "Traceback" in capsys.readouterr().err


def test_run_guarded_when_interrupted_then_it_is_quiet_and_130(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is not an error to explain."""
    code = console.run_guarded(_raise(KeyboardInterrupt()), debug=False, logs=lambda: tmp_path)
    assert (code, capsys.readouterr().err) == (130, "")


def test_run_guarded_when_an_error_carries_a_password_then_it_is_masked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A canary secret in a DSN reaches neither the terminal nor the kept traceback."""
    error = ValueError("cannot reach http://desk:canary-91c@db:8123/x")
    console.run_guarded(_raise(error), debug=True, logs=lambda: tmp_path)
    (log,) = tmp_path.iterdir()
    assert "canary-91c" not in capsys.readouterr().err + log.read_text(encoding="utf-8")


def test_run_guarded_when_the_logs_cannot_be_found_then_the_line_is_printed_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A broken configuration does not hide the error that it caused."""

    def no_logs() -> Path:
        raise ConfigError("bad key")

    assert console.run_guarded(_raise(ValueError("seven")), debug=False, logs=no_logs) == 4
    line = capsys.readouterr().err
    Path(line.rpartition("traceback: ")[2].rstrip(")\n")).unlink()
    assert line.startswith("jts: unexpected ValueError: seven")


def test_run_guarded_when_the_reader_of_a_pipe_left_then_nothing_is_said() -> None:
    """`jts ... | head` ends without a word and without a traceback."""
    program = (
        "import sys; from pathlib import Path; from jts_trading.telemetry import console\n"
        "def run():\n"
        "    for _ in range(100_000): print('x' * 50)\n"
        "sys.exit(console.run_guarded(run, debug=False, logs=lambda: Path('/nonexistent')))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(30) == 141


def test_emit_when_json_is_asked_for_then_stdout_is_one_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A script reads stdout as it is."""
    console.emit({"rows": 3, "코드": "005930"}, as_json=True)
    assert capsys.readouterr().out == '{"rows":3,"코드":"005930"}\n'


def test_note_when_bars_are_shown_then_it_has_lines_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a terminal a note stands above the bars and is not appended to one of them."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with console.progress() as bars:
        bars.add("moves", total=16)
        console.note("first month moved")
    lines = [
        re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", line) for line in terminal.getvalue().splitlines()
    ]
    assert "first month moved" in [line.strip() for line in lines]


def test_progress_when_stderr_is_no_terminal_then_nothing_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A log file gets no bars."""
    with console.progress() as bars:
        bar = bars.add("ingest", total=10)
        bar.advance(4)
        bar.update(done=10, total=10)
    assert capsys.readouterr() == ("", "")
