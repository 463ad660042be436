"""A budget of time that is handed on: who gets it asks what is left, nobody begins a new one."""

from collections.abc import Callable

from jts_trading.domain.errors import TransientError

_NS_PER_MS = 1_000_000


class DeadlineError(TransientError):
    """The time is over; nothing was done after it."""


class Deadline:
    """The end of a budget, on real monotonic time.

    Args:
        monotonic_ns: Reads the time.
        budget_ms: How long from now.
        what: What has to be over by then, for the message.
    """

    def __init__(self, monotonic_ns: Callable[[], int], budget_ms: float, what: str) -> None:
        self._monotonic_ns = monotonic_ns
        self._began_ns = monotonic_ns()
        self._budget_ms = budget_ms
        self._what = what

    @property
    def spent_ms(self) -> float:
        """Milliseconds since it began."""
        return (self._monotonic_ns() - self._began_ns) / _NS_PER_MS

    @property
    def left_s(self) -> float:
        """Seconds that are left, at least 0; what an await may take."""
        return max(0.0, self._budget_ms - self.spent_ms) / 1000

    def check(self) -> None:
        """Refuse to go on after the end.

        Raises:
            DeadlineError: The time is over.
        """
        spent_ms = self.spent_ms
        if spent_ms > self._budget_ms:
            raise DeadlineError(
                f"{self._what} took {spent_ms:.0f} ms; accepted: {self._budget_ms:.0f} ms"
            )
