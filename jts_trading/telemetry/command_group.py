"""A click group whose commands are named in a table and imported only when they run.

`--help` must not pay for Dagster, pandas or an engine. A command whose module is not there is not
listed.
"""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives.

    Attributes:
        target: `module:attribute` of a click command.
        help: One line for `--help`.
    """

    target: str
    help: str

    @property
    def module(self) -> str:
        """The module to import."""
        return self.target.partition(":")[0]

    @property
    def is_there(self) -> bool:
        """Whether its module exists."""
        return find_spec(self.module) is not None

    def load(self) -> click.Command:
        """Import and return the command."""
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """A group that imports a command when it is called, from a table of names."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands that exist, in the order of the table."""
        del ctx
        return [name for name, entry in self._entries.items() if entry.is_there]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None if there is none of this name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return self._entries[cmd_name].load()

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


def position_of_command(words: list[str]) -> int:
    """Return where the name of the command stands in a command line; its length without one."""
    return next((at for at, word in enumerate(words) if not word.startswith("-")), len(words))


def is_work(words: list[str], entries: Mapping[str, Entry]) -> bool:
    """Return whether a command will run; help and version need no configuration and no logs."""
    named = words[position_of_command(words) :]
    return bool(named) and named[0] in entries and not {"-h", "--help"} & set(named)
