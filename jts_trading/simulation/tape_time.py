"""The time of a simulated market: that of its tape, or of the instance's clock."""

from jts_trading.ports.clock import Clock


class TapeTime:
    """The time of the market: that of the last trade at full speed, else of the clock.

    Args:
        clock: Time of the instance.
        speed: Tape seconds per second of the clock; 0 as fast as readers follow; None by the
            clock itself.
        start_ns: Time of the first trade.
    """

    def __init__(self, clock: Clock, speed: float | None, start_ns: int) -> None:
        self._clock = clock
        self._speed = speed
        self._start_ns = start_ns
        self._reached_ns = start_ns
        self._began_ns: int | None = None

    def begin(self) -> None:
        """Let the tape run from now on."""
        self._began_ns = self._clock.now_ns()

    def now_ns(self) -> int:
        """Return the time of the market in UTC ns; it never goes back."""
        if self._speed is None:
            return self._clock.now_ns()
        if self._speed == 0 or self._began_ns is None:
            return self._reached_ns
        elapsed = self._clock.now_ns() - self._began_ns
        return max(self._reached_ns, self._start_ns + int(elapsed * self._speed))

    async def reach(self, ts_ns: int) -> None:
        """Wait until a trade of the tape is due."""
        if self._speed is None:
            await self._clock.sleep_until(ts_ns)
        elif self._speed and self._began_ns is not None:
            due = self._began_ns + int((ts_ns - self._start_ns) / self._speed)
            await self._clock.sleep_until(due)
        self._reached_ns = max(self._reached_ns, ts_ns)
