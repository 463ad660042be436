"""The connections of one role: opened by need, closed together when the role ends."""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jts_trading.bus.redis_state import RedisState
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.config.settings import Settings
from jts_trading.config.source import ConfigSource
from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.journal.connection import Database
from jts_trading.journal.outbox import PostgresOutbox
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.ports.clock import Clock, InstanceClock, boottime_ns, open_clock
from jts_trading.ports.inputs import configured_inputs, read_inputs, require_releases

if TYPE_CHECKING:
    from jts_trading.market_store.clickhouse import ClickHouseMarket

_Opened = TypeVar("_Opened")


class Stores:
    """Makes the connections of one role; every call makes one of its own.

    Args:
        settings: Of the installation.
        role: Name of the role, which becomes the writer of its journal chain.
        stack: Closes what was opened.
    """

    def __init__(self, settings: Settings, role: str, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._role = role
        self._stack = stack
        self.clock: Clock = open_clock(settings.instance.run_directory)

    @property
    def home(self) -> Path:
        """The data root."""
        return self._settings.instance.root

    @property
    def speed(self) -> Fraction:
        """Instance seconds per real second."""
        return self.clock.speed if isinstance(self.clock, InstanceClock) else Fraction(1)

    async def enter(self, context: AbstractAsyncContextManager[_Opened]) -> _Opened:
        """Open something that closes with the role."""
        return await self._stack.enter_async_context(context)

    def inputs(self, source: ConfigSource) -> TradingInputs:
        """Return what is traded now: the file of the home, else what the configuration says.

        Raises:
            ConfigError: File or configuration cannot be used.
        """
        found = read_inputs(self.home)
        if found is not None:
            return found
        made = configured_inputs(source, version=0, created_ns=self.clock.now_ns())
        require_releases(self.home, source, made)
        return made

    def bus(self) -> RedisBus:
        """Return a connection to the bus."""
        bus = RedisBus(self._settings.redis_dsn)
        self._stack.push_async_callback(bus.close)
        return bus

    def state(self) -> RedisState:
        """Return a connection to the shared state."""
        state = RedisState(self._settings.redis_dsn, boottime_ns)
        self._stack.push_async_callback(state.close)
        return state

    def journal(self) -> PostgresJournal:
        """Return a journal whose writer is this role."""
        journal = PostgresJournal(Database(self._settings.postgres_dsn), self._role)
        self._stack.push_async_callback(journal.close)
        return journal

    def market(self) -> "ClickHouseMarket":
        """Return the market store."""
        # Only who needs it pays for the memory of its engines.
        from jts_trading.market_store.clickhouse import open_market

        settings = self._settings
        market = open_market(settings.hot_dsn, settings.tiers, self.home)
        self._stack.callback(market.close)
        return market

    def outbox(self) -> PostgresOutbox:
        """Return outbox and leases, on a connection beside the journal's."""
        outbox = PostgresOutbox(Database(self._settings.postgres_dsn))
        self._stack.push_async_callback(outbox.close)
        return outbox
