"""The gate: the last statement before an order's bytes leave.

A process may have been paused, fenced, killed off by a person or simply slow since it decided. So
everything that can have changed is looked at once more, without waiting for anybody: the lease and
its token, the kill switch, how long ago the attempt was noted, the latest time of the order, and
that what leaves is what was approved. What the gate stops was certainly not sent.
"""

from collections.abc import Callable

from jts_trading.domain.errors import TransientError
from jts_trading.execution.lifecycle import latest_ns
from jts_trading.guards.kill_switch import KillLevel
from jts_trading.risk.approval import ApprovedOrder
from jts_trading.services.executor.means import Means
from jts_trading.services.executor.outcomes import Sending

_NS_PER_MS = 1_000_000


class NotSentError(TransientError):
    """The gate was shut: no byte has left."""


def build_gate(
    means: Means, approved: ApprovedOrder, sending: Sending, token: int, *, reduces: bool
) -> Callable[[], None]:
    """Return the gate of one attempt; it notes when it was asked and when it let through.

    Args:
        means: Lease, kill switch and times.
        approved: What was judged.
        sending: What is noted about the attempt.
        token: Under which it was noted.
        reduces: Whether it may pass while entries are stopped.
    """
    latest = latest_ns(sending.order)

    def gate() -> None:
        now_ns = means.boottime_ns()
        late_ms = (now_ns - sending.noted_ns) / _NS_PER_MS
        level = means.kill_switch.level()
        sending.sent_ns = means.clock.now_ns()
        if means.keeper.token != token:
            raise NotSentError("the lease is not held under this token any more")
        if level >= KillLevel.ALL or (level >= KillLevel.ENTRIES and not reduces):
            raise NotSentError(f"the kill switch is latched at level {level}")
        if late_ms > means.settings.write_within_ms:
            raise NotSentError(f"the attempt was noted {late_ms:.0f} ms ago")
        if latest is not None and sending.sent_ns > latest:
            raise NotSentError("its time to be sent is over")
        if approved.order.payload_hash != approved.payload_hash:
            raise NotSentError("the payload is not the one that was approved")
        sending.real_sent_ns = now_ns

    return gate
