"""Run the jts command.

Commands are named here and imported only when they run: `jts --help` must not pay for Dagster,
pandas or an engine. Those of the daemon are named in `jts_trading.__main__`; this process becomes
`python -m jts_trading` for them.
"""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click

from jts_pipelines.cli.passing import PassingGroup
from jts_trading.__main__ import COMMANDS as DAEMON_COMMANDS
from jts_trading.telemetry import console
from jts_trading.telemetry.command_group import Entry, is_work, position_of_command

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
    "bench": Entry("jts_pipelines.cli.bench:bench", "Measure JTS beside its peers."),
    "sweep": Entry("jts_pipelines.cli.sweep:sweep", "Run a strategy with many parameter sets."),
    "walk-forward": Entry(
        "jts_pipelines.cli.sweep:walk_forward", "Choose parameters on the past, test on the next."
    ),
    "trials": Entry("jts_pipelines.cli.holdout:trials", "Show everything that was ever tried."),
    "holdout": Entry("jts_pipelines.cli.holdout:holdout", "Lock data that no run may see."),
    "status": Entry("jts_pipelines.cli.status:status", "Show the parts of the running instance."),
    "doctor": Entry("jts_pipelines.cli.doctor:doctor", "Check this machine and configuration."),
}


@click.group(
    cls=PassingGroup,
    entries=COMMANDS,
    passed=DAEMON_COMMANDS,
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
    debug = "--debug" in words[: position_of_command(words)]

    if arguments is None:
        # As Ctrl-C does, SIGTERM and the end of the terminal leave through every `finally`:
        # the stores of a command stop, and its sockets go.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)

    def run() -> Any:
        # Logs and crash hooks belong to the process; a caller inside another one keeps its own.
        if arguments is None and is_work(words, COMMANDS):
            from jts_trading.telemetry.start import start_logs

            start_logs()
        return jts.main(args=words, prog_name="jts", standalone_mode=False)

    sys.exit(console.run_guarded(run, debug=debug, logs=_log_directory))


def _leave(number: int, _frame: FrameType | None) -> None:
    # A second one must not interrupt the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _log_directory() -> Path:
    from jts_trading.config.settings import load_settings

    return load_settings().instance.log_directory


if __name__ == "__main__":
    main()
