"""Run the jts command.

Commands are named here and imported only when they run: `jts --help` must not pay for Dagster,
pandas or an engine. A command whose module is not there yet is not listed.
"""

import difflib
import importlib
import signal
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import click

from jts_pipelines.cli import console


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives.

    Attributes:
        target: `module:attribute` of a click command.
        help: One line for `jts --help`.
    """

    target: str
    help: str

    @property
    def module(self) -> str:
        """The module to import."""
        return self.target.partition(":")[0]


COMMANDS = {
    "up": Entry("jts_pipelines.cli.up:up", "Start everything and keep it running."),
    "demo": Entry("jts_pipelines.cli.demo:demo", "Run the main job once, from files to a report."),
    "test": Entry("jts_pipelines.cli.test:test", "Run lint, types, import contracts and tests."),
    "sample": Entry("jts_pipelines.cli.sample:sample", "Write made-up KRX bars to try things on."),
    "ingest": Entry("jts_pipelines.cli.ingest:ingest", "Load CSV or Parquet into the hot tier."),
    "sql": Entry("jts_pipelines.cli.sql:sql", "Ask one SQL over hot, warm and cold."),
    "storage": Entry("jts_pipelines.cli.storage:storage", "Show, verify and move the tiers."),
    "strategy": Entry("jts_pipelines.cli.strategy:strategy", "Check and explain strategies."),
    "backtest": Entry("jts_pipelines.cli.backtest:backtest", "Run a strategy over the past."),
    "status": Entry("jts_pipelines.cli.status:status", "Show the parts of the running instance."),
    "doctor": Entry("jts_pipelines.cli.doctor:doctor", "Check this machine and configuration."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called, from a table of names."""

    def __init__(self, *args: Any, entries: dict[str, Entry], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands that exist, in the order of the table."""
        del ctx
        return [name for name, entry in self._entries.items() if find_spec(entry.module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None if there is none of this name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, attribute = self._entries[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a line, or name the nearest one.

        Raises:
            click.UsageError: There is no such command.
        """
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            nearest = difflib.get_close_matches(args[0], known, n=1, cutoff=0.5)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise click.UsageError(
                f"no such command: {args[0]}{hint} (known: {', '.join(known)})", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, importing none of them."""
        rows = [(name, self._entries[name].help) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 a check failed, 2 bad usage, input or configuration, "
    "3 another process leads, 4 a broken invariant, 5 storage failed.",
)
@click.version_option(package_name="jts", prog_name="jts")
@click.option("--debug", is_flag=True, help="Print the traceback of an error.")
@click.pass_context
def jts(ctx: click.Context, debug: bool) -> None:
    """JTS: market data tiers, backtests and trading of Korean equities and crypto."""
    del debug  # read from the arguments by main, which also guards the parsing of this group
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run one command line and leave with its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words[: _position_of_command(words)]

    if arguments is None:
        # As Ctrl-C does, SIGTERM and the end of the terminal leave through every `finally`:
        # the stores of a command stop, and its sockets go.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)

    def run() -> Any:
        # Logs and crash hooks belong to the process; a caller inside another one keeps its own.
        if arguments is None and _is_work(words):
            from jts_pipelines.cli.logs import start_logs

            start_logs()
        return jts.main(args=words, prog_name="jts", standalone_mode=False)

    sys.exit(console.run_guarded(run, debug=debug, logs=_log_directory))


def _leave(number: int, _frame: FrameType | None) -> None:
    # A second one must not interrupt the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _is_work(words: list[str]) -> bool:
    """Return whether a command will run; help and version need no configuration and no logs."""
    named = words[_position_of_command(words) :]
    return bool(named) and named[0] in COMMANDS and not {"-h", "--help"} & set(named)


def _position_of_command(words: list[str]) -> int:
    return next((at for at, word in enumerate(words) if not word.startswith("-")), len(words))


def _log_directory() -> Path:
    from jts_trading.config.settings import load_settings

    return load_settings().instance.log_directory


if __name__ == "__main__":
    main()
