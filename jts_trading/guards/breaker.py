"""A circuit breaker: a venue that failed several times gets nothing new for a while.

Closed lets everything through. `failures_max` failures within `window_s` open it for `open_s`;
then one call is let through as a trial, and its outcome closes or opens it again. Cancels and
reducing orders do not ask it.
"""

from collections import deque
from collections.abc import Callable
from enum import StrEnum

_NS_PER_S = 1_000_000_000


class BreakerState(StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"
    OPEN = "open"
    TRIAL = "trial"


class Breaker:
    """The breaker of one venue.

    Args:
        monotonic_ns: Real time.
        failures_max: Failures within the window that open it.
        window_s: Length of the window.
        open_s: How long it stays open.
    """

    def __init__(
        self,
        monotonic_ns: Callable[[], int],
        *,
        failures_max: int = 5,
        window_s: float = 30.0,
        open_s: float = 10.0,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._failures_max = failures_max
        self._window_ns = int(window_s * _NS_PER_S)
        self._open_ns = int(open_s * _NS_PER_S)
        self._failures: deque[int] = deque(maxlen=failures_max)
        self._opened_ns: int | None = None
        self._is_trying = False

    @property
    def state(self) -> BreakerState:
        """What it lets through now."""
        if self._opened_ns is None:
            return BreakerState.CLOSED
        is_over = self._monotonic_ns() - self._opened_ns >= self._open_ns
        return BreakerState.TRIAL if is_over else BreakerState.OPEN

    def allows(self) -> bool:
        """Return whether a call may be made; a trial is given to one caller at a time."""
        match self.state:
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return False
            case BreakerState.TRIAL:
                is_first, self._is_trying = not self._is_trying, True
                return is_first

    def succeed(self) -> None:
        """Note that the venue answered, whatever it said."""
        self._failures.clear()
        self._opened_ns = None
        self._is_trying = False

    def fail(self) -> bool:
        """Note that the venue did not answer as it should; return whether this opened it."""
        now_ns = self._monotonic_ns()
        self._failures.append(now_ns)
        was_trying, self._is_trying = self._is_trying, False
        is_full = len(self._failures) == self._failures_max
        is_burst = is_full and now_ns - self._failures[0] <= self._window_ns
        if was_trying or (self._opened_ns is None and is_burst):
            self._opened_ns = now_ns
            return True
        return False

    def give_back(self) -> None:
        """Note that a trial was not made after all."""
        self._is_trying = False
