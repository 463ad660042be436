"""Run a daemon role or a command of the daemon: `python -m jts_trading <role or command>`.

`jts` passes these commands on and lists them from the table here; whoever calls this module
directly gets the same answers and exit codes. Nothing of the daemon is imported before a command
runs.
"""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click

from jts_trading.telemetry import console
from jts_trading.telemetry.command_group import Entry, LazyGroup, is_work, position_of_command

COMMANDS = {
    "run": Entry("jts_trading.commands.run:run", "Run one daemon role, or all in one process."),
    "sim": Entry("jts_trading.commands.sim:sim", "Play a broker: its protocol over real sockets."),
    "orders": Entry("jts_trading.commands.orders:orders", "Show orders as the journal has them."),
    "positions": Entry("jts_trading.commands.positions:positions", "Show positions and cash."),
    "ledger": Entry("jts_trading.commands.ledger:ledger", "Dump the double-entry ledger."),
    "journal": Entry("jts_trading.commands.journal:journal", "Verify the journal's hash chains."),
    "reconcile": Entry(
        "jts_trading.commands.reconcile:reconcile", "Compare the journal with a broker now."
    ),
    "kill": Entry("jts_trading.commands.kill:kill", "Latch the kill switch: no new orders."),
    "unkill": Entry("jts_trading.commands.kill:unkill", "Release the kill switch."),
    "why": Entry("jts_trading.commands.why:why", "Say why an order exists, back to its frame."),
    "migrate": Entry("jts_trading.commands.migrate:migrate", "Bring the ledger's schema up."),
}

# Roles and simulators end in their own way: they finish what is under way.
_OWN_SIGNALS = ("run", "sim")


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 a check failed, 2 bad usage, input or configuration, "
    "3 another process leads, 4 a broken invariant, 5 storage failed.",
)
@click.option("--debug", is_flag=True, help="Print the traceback of an error.")
def daemon(debug: bool) -> None:
    """The daemon's roles and commands."""
    del debug  # read from the arguments by main, which also guards the parsing of this group


def main(arguments: list[str] | None = None) -> None:
    """Run one command line and leave with its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    at = position_of_command(words)
    if arguments is None and words[at : at + 1] not in [[name] for name in _OWN_SIGNALS]:
        # As Ctrl-C does, SIGTERM and the end of the terminal leave through every `finally`.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)

    def run() -> Any:
        if arguments is None and is_work(words, COMMANDS):
            from jts_trading.telemetry.start import start_logs

            start_logs()
        # People type `jts`, whichever program answers.
        return daemon.main(args=words, prog_name="jts", standalone_mode=False)

    sys.exit(console.run_guarded(run, debug="--debug" in words[:at], logs=_log_directory))


def _leave(number: int, _frame: FrameType | None) -> None:
    # A second one must not interrupt the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _log_directory() -> Path:
    from jts_trading.config.settings import load_settings

    return load_settings().instance.log_directory


if __name__ == "__main__":
    main()
