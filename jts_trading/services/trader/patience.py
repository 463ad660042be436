"""Waiting for a store that does not answer: ever longer, counted, and said once."""

import asyncio

import structlog

from jts_trading.telemetry.metrics import Counters

_log = structlog.get_logger(__name__)


class Patience:
    """Pauses between attempts at one store.

    Args:
        store: Its name in reasons and metrics.
        counters: Of the role.
        pause_s: First pause, real seconds; doubled each time.
        pause_s_max: Longest pause.

    Attributes:
        reason: Why it is waited for; empty when it answered last.
    """

    def __init__(
        self, store: str, counters: Counters, *, pause_s: float, pause_s_max: float
    ) -> None:
        self._store = store
        self._counters = counters
        self._first_s, self._max_s = pause_s, pause_s_max
        self._pause_s = pause_s
        self.reason = ""

    async def wait(self, why: str) -> None:
        """Note that it did not answer, and pause."""
        if not self.reason:
            _log.warning("store_away", store=self._store, error=why)
        self.reason = f"{self._store}: {why}"
        self._counters.add("store_failures_total", store=self._store)
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, self._max_s)

    def answered(self) -> None:
        """Note that it answered."""
        if self.reason:
            _log.info("store_back", store=self._store)
        self.reason, self._pause_s = "", self._first_s
