"""What every command shares with the terminal: documents, tables, progress and errors.

Stdout carries the result and nothing else, so that `--json` is one document for a script; notes,
progress and errors go to stderr. An error is one line and an exit code (`exit_code_of`).
"""

import errno
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click
import msgspec

from jts_trading.telemetry.secrets import MASK, Redactor

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

DONE = 0
CHECK_FAILED = 1
BAD_USAGE = 2
NOT_LEADER = 3
INVARIANT_BROKEN = 4
STORAGE_FAILED = 5
INTERRUPTED = 130

# Knows the secrets of the configuration once `jts_trading.telemetry.start` has read it.
REDACTOR = Redactor()
# The bars on the terminal now: whatever else is written must go through them, or it cuts them.
_SHOWN: list["Progress"] = []

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout."
)

# Classes are named, not imported: an error can only come from a module that is loaded already.
# The first that fits counts, so a class stands above the one that it derives from.
_EXIT_CODES: tuple[tuple[str, str, int], ...] = (
    ("jts_trading.config.source", "ConfigError", BAD_USAGE),
    ("storage.errors", "InputError", BAD_USAGE),
    ("storage.embedded.private", "DirectoryOwnedError", NOT_LEADER),
    ("storage.errors", "StorageError", STORAGE_FAILED),
    ("jts_trading.domain.instruments", "InstrumentError", BAD_USAGE),
    ("jts_trading.domain.calendars", "CalendarError", BAD_USAGE),
    ("jts_trading.domain.errors", "RuleMissingError", BAD_USAGE),
    ("jts_trading.ports.journal", "FencedError", NOT_LEADER),
    ("jts_trading.ports.journal", "JournalUnavailableError", STORAGE_FAILED),
    ("jts_trading.ports.bus", "BusUnavailableError", STORAGE_FAILED),
    ("jts_trading.ports.state", "StateUnavailableError", STORAGE_FAILED),
    ("jts_trading.ports.market", "MarketUnavailableError", STORAGE_FAILED),
    ("jts_trading.domain.orders", "InvariantError", INVARIANT_BROKEN),
    ("jts_trading.domain.errors", "JtsError", CHECK_FAILED),
)
_PATH_ERRORS = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_DEVICE_ERRORS = frozenset({errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT})
_PIPE_COLUMNS = 200
_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s/]+@")


class CommandError(Exception):
    """The command ends here: one line for stderr and its exit code.

    Attributes:
        exit_code: One of the constants of this module.
    """

    def __init__(self, message: str, exit_code: int = CHECK_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Bar(Protocol):
    """One line of progress."""

    def advance(self, amount: float = 1) -> None:
        """Add to what is done."""

    def update(self, *, done: float, total: float | None = None) -> None:
        """Set what is done, and the total when it became known."""


class Bars(Protocol):
    """The progress of one command."""

    def add(self, title: str, total: float | None = None) -> Bar:
        """Start a line; without a total it only shows that work goes on."""


def emit(
    document: object, *, as_json: bool, table: Callable[[], "RenderableType"] | None = None
) -> None:
    """Print the result of a command on stdout.

    Args:
        document: What msgspec can encode; printed as one JSON document when asked for.
        as_json: The flag of `json_option`.
        table: Builds what a person reads; the JSON document, indented, when None.
    """
    if as_json:
        click.echo(msgspec.json.encode(document))
    elif table is None:
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))
    else:
        from rich.console import Console

        # A pipe has no width; cut cells would be lost there.
        width = None if sys.stdout.isatty() else _PIPE_COLUMNS
        Console(file=sys.stdout, highlight=False, width=width).print(table())


def note(text: str) -> None:
    """Tell a person something on stderr, outside the result and above the bars."""
    for shown in _SHOWN[-1:]:
        shown.console.print(redacted(text), highlight=False, markup=False, soft_wrap=True)
        return
    click.echo(redacted(text), err=True)


@contextmanager
def progress() -> Iterator[Bars]:
    """Show bars on stderr while the block runs, if stderr is a terminal; else show nothing."""
    if not sys.stderr.isatty():
        yield _NoBars()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=False) as shown:
        _SHOWN.append(shown)
        try:
            yield _ShownBars(shown)
        finally:
            _SHOWN.pop()


def run_guarded(run: Callable[[], Any], *, debug: bool, logs: Callable[[], Path]) -> int:
    """Run a command and turn whatever it raises into one line on stderr and an exit code.

    Args:
        run: The command; an `int` that it returns is its exit code.
        debug: Print the traceback too.
        logs: Finds the directory for tracebacks; called only after an unexpected error.

    Returns:
        The exit code of the process.
    """
    try:
        result = run()
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except click.exceptions.Exit as error:
        return error.exit_code
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else CHECK_FAILED
    except Exception as error:  # noqa: BLE001 - the one task boundary of a command
        return _report(error, debug=debug, logs=logs)
    return result if isinstance(result, int) else DONE


def exit_code_of(error: Exception) -> int | None:
    """Return the exit code of an error that a command is expected to raise, else None."""
    if isinstance(error, CommandError):
        return error.exit_code
    if isinstance(error, click.ClickException) or _is_about_a_strategy(error):
        return BAD_USAGE
    for module, name, code in _EXIT_CODES:
        loaded = sys.modules.get(module)
        if loaded is not None and isinstance(error, getattr(loaded, name)):
            return code
    if isinstance(error, _PATH_ERRORS) and error.filename is not None:
        return BAD_USAGE
    if isinstance(error, OSError) and error.errno in _DEVICE_ERRORS:
        return STORAGE_FAILED
    return None


def _is_about_a_strategy(error: Exception) -> bool:
    return type(error).__module__.startswith("jts_trading.dsl")


def redacted(text: str) -> str:
    """Mask the password of every URL in a text, and every secret of the configuration."""
    return REDACTOR.text(_PASSWORD.sub(rf"\1:{MASK}@", text))


class _NoBars:
    """Progress for nobody: a log file or a script reads stderr."""

    def add(self, title: str, total: float | None = None) -> Bar:
        del title, total
        return self

    def advance(self, amount: float = 1) -> None:
        del amount

    def update(self, *, done: float, total: float | None = None) -> None:
        del done, total


class _ShownBars:
    def __init__(self, shown: "Progress") -> None:
        self._shown = shown

    def add(self, title: str, total: float | None = None) -> Bar:
        return _ShownBar(self._shown, self._shown.add_task(title, total=total))


class _ShownBar:
    def __init__(self, shown: "Progress", task: "TaskID") -> None:
        self._shown = shown
        self._task = task

    def advance(self, amount: float = 1) -> None:
        self._shown.advance(self._task, amount)

    def update(self, *, done: float, total: float | None = None) -> None:
        if total is None:
            self._shown.update(self._task, completed=done)
        else:
            self._shown.update(self._task, completed=done, total=total)


def _report(error: Exception, *, debug: bool, logs: Callable[[], Path]) -> int:
    if isinstance(error, BrokenPipeError):
        # The reader of a pipe left (`jts sql ... | head`): nothing is wrong and nobody listens.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return BAD_USAGE
    if debug:
        click.echo(redacted("".join(traceback.format_exception(error))), err=True, nl=False)
    code = exit_code_of(error)
    if code is not None:
        click.echo(f"jts: {redacted(_one_line(error))}", err=True)
        return code
    where = _keep_traceback(error, logs)
    text = f"unexpected {type(error).__name__}: {_one_line(error)}"
    click.echo(f"jts: {redacted(text)} (traceback: {where})", err=True)
    return INVARIANT_BROKEN


def _one_line(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        text = error.format_message() + _way_out(error)
    elif isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error)
    # A DSL error shows the line and a caret below it; every other message is one line.
    return text if _is_about_a_strategy(error) else " ".join(text.split())


def _way_out(error: click.ClickException) -> str:
    """Return what would be accepted, where click itself only says what is wrong."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return ""
    if isinstance(error, click.NoSuchCommand) and isinstance(context.command, click.Group):
        return f" (known: {', '.join(context.command.list_commands(context))})"
    if isinstance(error, click.MissingParameter | click.NoSuchOption):
        return f" (see: {context.command_path} --help)"
    return ""


def _keep_traceback(error: Exception, logs: Callable[[], Path]) -> Path:
    text = redacted("".join(traceback.format_exception(error)))
    try:
        directory = logs()
        directory.mkdir(parents=True, exist_ok=True)
    except Exception:  # noqa: BLE001 - the configuration itself may be what failed
        directory = Path(tempfile.gettempdir())
    file = directory / f"jts-error-{os.getpid()}.log"
    file.write_text(text, encoding="utf-8")
    return file
