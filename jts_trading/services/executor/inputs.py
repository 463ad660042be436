"""The trading inputs that are in force: read at the start, taken over while the role runs."""

import asyncio
from pathlib import Path

import structlog

from jts_trading.config.source import ConfigError
from jts_trading.domain.errors import TransientError
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.schemas import SchemaError
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput, TradingInputs
from jts_trading.ports.bus import Bus, Entry
from jts_trading.ports.inputs import inputs_file, read_inputs

TOPIC = "trading.inputs"
_LOOK_S = 2.0
_log = structlog.get_logger(__name__)


class InputsWatch:
    """Newest trading inputs of a data root.

    Args:
        home: The data root.
        bus: Where newer ones are announced.
    """

    def __init__(self, home: Path, bus: Bus) -> None:
        self._home = home
        self._bus = bus
        self._inputs: TradingInputs | None = None
        self._stamp: tuple[int, int] | None = None
        self.trouble = ""

    @property
    def version(self) -> int:
        """Of the inputs in force; 0 without any."""
        return self._inputs.version if self._inputs else 0

    @property
    def limits(self) -> RiskLimits | None:
        """The limits in force; None denies."""
        return self._inputs.risk if self._inputs else None

    @property
    def strategies(self) -> tuple[StrategyInput, ...]:
        """The strategy instances in force."""
        return self._inputs.instances if self._inputs else ()

    def find(self, instance: str) -> StrategyInput | None:
        """Return a strategy instance."""
        return next((each for each in self.strategies if each.instance == instance), None)

    def of_account(self, broker: str, account: str) -> tuple[StrategyInput, ...]:
        """Return the strategy instances of an account."""
        return tuple(
            each for each in self.strategies if (each.broker, each.account) == (broker, account)
        )

    def look(self) -> None:
        """Read the file if it has changed; a damaged one changes nothing."""
        try:
            found = inputs_file(self._home).stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp != self._stamp:
                inputs = read_inputs(self._home)
                self._stamp = stamp
                self.trouble = ""
                if inputs is not None:
                    self._take(inputs)
        except FileNotFoundError:
            self.trouble = "" if self._inputs else "no trading inputs yet"
        except (OSError, ConfigError) as error:
            self.trouble = str(error)

    async def watch(self) -> None:
        """Take over what is announced, and what the file says, until cancelled."""
        positions = {TOPIC: "0-0"}
        while True:
            self.look()
            try:
                entries, positions = await self._bus.read(
                    positions, count=16, wait_ms=int(_LOOK_S * 1000)
                )
            except TransientError:
                await asyncio.sleep(_LOOK_S)
                continue
            for entry in entries:
                self._read(entry)

    def _read(self, entry: Entry) -> None:
        envelope = entry.envelope
        try:
            inputs = MESSAGES.decode(envelope.type, envelope.version, envelope.payload)
        except SchemaError as error:
            _log.warning("trading_inputs_unreadable", error=str(error), entry=entry.entry_id)
            return
        if isinstance(inputs, TradingInputs):
            self._take(inputs)

    def _take(self, inputs: TradingInputs) -> None:
        if inputs.version > self.version:
            self._inputs = inputs
            _log.info("trading_inputs_taken_over", version=inputs.version, source=inputs.source)
