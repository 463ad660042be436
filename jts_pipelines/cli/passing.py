"""Commands of the daemon under the name `jts`: this process becomes `python -m jts_trading`.

Pipelines may not import brokers, journal or bus. Becoming the other program, instead of starting
it, keeps its exit code, its streams, the terminal and Ctrl-C without a line of code for each.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from jts_trading.telemetry.command_group import Entry, LazyGroup


class PassingGroup(LazyGroup):
    """A lazy group that hands some of its commands to the daemon's program.

    Args:
        entries: Commands of its own.
        passed: Commands of the daemon, listed after them.
    """

    def __init__(
        self,
        *args: Any,
        entries: Mapping[str, Entry],
        passed: Mapping[str, Entry],
        **settings: Any,
    ) -> None:
        super().__init__(*args, entries={**entries, **passed}, **settings)
        self._passed = passed

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, one that becomes the daemon's program where it is the daemon's."""
        if cmd_name in self._passed and cmd_name in self.list_commands(ctx):
            return _passing(cmd_name, self._passed[cmd_name].help)
        return super().get_command(ctx, cmd_name)


def _passing(name: str, help_line: str) -> click.Command:
    @click.command(
        name,
        help=help_line,
        # Its own help and its own usage errors come from the program that knows them.
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    @click.pass_context
    def passing(ctx: click.Context, words: tuple[str, ...]) -> None:
        is_debug = bool(ctx.parent and ctx.parent.params.get("debug"))
        become(name, words, is_debug=is_debug)

    return passing


def become(name: str, words: tuple[str, ...], *, is_debug: bool = False) -> None:
    """Replace this process by `python -m jts_trading NAME WORDS`; does not return."""
    sys.stdout.flush()
    sys.stderr.flush()
    debug = ("--debug",) if is_debug else ()
    # -P: a stray module in the working directory must not take the place of a library.
    argv = (sys.executable, "-P", "-m", "jts_trading", *debug, name, *words)
    os.execv(sys.executable, argv)  # noqa: S606 - a fixed program of ours, no shell
