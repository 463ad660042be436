"""Builds a role from the settings: the wiring of the daemon, readable in one screen.

Each role is built by a module of its own, imported only for it: a collector must not pay for the
memory of a compiler.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Protocol, cast

from jts_trading.bootstrap.settings import DaemonSettings
from jts_trading.bootstrap.stores import Stores
from jts_trading.telemetry.health import Role

NAMES = ("collector", "recorder", "trader", "executor", "reconciler", "notifier")


class Build(Protocol):
    """Wires one role; the function `build` of `jts_trading.bootstrap.<role>`."""

    async def __call__(self, daemon: DaemonSettings, stores: Stores) -> Role:
        """Return the role, not yet running."""
        ...


def import_roles(names: Iterable[str]) -> None:
    """Import what some roles are made of, before an event loop has to wait for it."""
    for name in names:
        import_module(f"jts_trading.bootstrap.{name}")


@asynccontextmanager
async def build_role(name: str, daemon: DaemonSettings) -> AsyncIterator[Role]:
    """Build a role for the time of a block; its connections close with the block.

    Raises:
        ConfigError: A section of the role cannot be used.
    """
    build = cast("Build", import_module(f"jts_trading.bootstrap.{name}").build)
    async with AsyncExitStack() as stack:
        yield await build(daemon, Stores(daemon.settings, name, stack))
