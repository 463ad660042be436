"""Calls to stores that may be away: repeated with growing pauses, and the reason is told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from jts_trading.domain.errors import TransientError
from jts_trading.telemetry.metrics import Counters

_Answer = TypeVar("_Answer")
_log = structlog.get_logger(__name__)


class Patience:
    """Insists on calls until they are answered.

    Args:
        part: Of the role, for reasons and logs.
        counters: Where repetitions are counted.
        pause_s: First pause, real seconds; doubled each time.
        pause_s_max: Longest pause.

    Attributes:
        reason: Why the part does not do its work; empty when it does.
    """

    def __init__(
        self, part: str, counters: Counters, *, pause_s: float, pause_s_max: float
    ) -> None:
        self.reason = f"{part}: starting"
        self._part = part
        self._counters = counters
        self._pause_s = pause_s
        self._pause_s_max = pause_s_max

    async def insist(self, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Return the answer of a call, however long its store is away."""
        pause_s = self._pause_s
        is_away = False
        while True:
            try:
                answer = await call()
            except TransientError as error:
                self.reason = f"{self._part}: {error}"
                self._counters.add("retries_total", part=self._part)
                if not is_away:
                    _log.warning("store_away", part=self._part, error=str(error))
                is_away = True
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._pause_s_max)
            else:
                if is_away:
                    _log.info("store_back", part=self._part)
                self.reason = ""
                return answer
