"""What is told and what is not: pure, over real time in ns that the caller gives."""

from collections import OrderedDict, deque

from jts_trading.domain.feed_messages import RiskAlert, RoleHealth
from jts_trading.domain.messages import OrderChanged

REMEMBERED_MAX = 4096
_MINUTE_NS = 60_000_000_000
_NS_PER_S = 1_000_000_000


def alert_of(message: object, ts_ns: int) -> RiskAlert | None:
    """Return what a message of the bus says to people; None when it says nothing to them."""
    match message:
        case RiskAlert():
            return message
        case OrderChanged():
            text = (
                f"{message.event.replace('_', ' ')}: {message.quantity} {message.instrument_id}"
                f" of {message.instance} at {message.broker}:"
                f" {message.reason or 'no reason given'}"
            )
            return RiskAlert(
                severity="warning",
                check=message.event,
                subject=f"{message.instance}/{message.instrument_id}",
                text=text,
                ts_ns=ts_ns,
            )
        case RoleHealth() if not message.is_ready:
            return RiskAlert(
                severity="warning",
                check="role",
                subject=message.role,
                text="; ".join(message.reasons) or "not ready",
                ts_ns=message.ts_ns,
            )
        case _:
            return None


class Told:
    """Remembers what people were told.

    Args:
        again_s: The same thing is told again only after so long.
        per_minute_max: Most alerts of a minute, critical ones apart.

    Attributes:
        repeated: Alerts that were left out because they had been told.
        crowded: Alerts that were left out because there were too many, since the last summary.
    """

    def __init__(self, *, again_s: float, per_minute_max: int) -> None:
        self.repeated = 0
        self.crowded = 0
        self._again_ns = int(again_s * _NS_PER_S)
        self._per_minute_max = per_minute_max
        self._last: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._recent: deque[int] = deque()

    def is_due(self, alert: RiskAlert, now_ns: int) -> bool:
        """Return whether an alert is to be told now."""
        last_ns = self._last.get(_key(alert))
        if last_ns is not None and now_ns - last_ns < self._again_ns:
            self.repeated += 1
            return False
        if alert.severity != "critical" and len(self._within_minute(now_ns)) >= (
            self._per_minute_max
        ):
            self.crowded += 1
            return False
        return True

    def note(self, alert: RiskAlert, now_ns: int) -> None:
        """Remember that an alert was told."""
        self._last[_key(alert)] = now_ns
        self._last.move_to_end(_key(alert))
        while len(self._last) > REMEMBERED_MAX:
            self._last.popitem(last=False)
        self._within_minute(now_ns).append(now_ns)

    def summary(self, now_ns: int, ts_ns: int) -> RiskAlert | None:
        """Return how many were left out, once there is room again; None when there is nothing."""
        if not self.crowded or len(self._within_minute(now_ns)) >= self._per_minute_max:
            return None
        text = f"{self.crowded} more alerts came too fast to be told one by one; see the log"
        self.crowded = 0
        return RiskAlert(
            severity="warning", check="notifier", subject="notifier", text=text, ts_ns=ts_ns
        )

    def _within_minute(self, now_ns: int) -> deque[int]:
        while self._recent and self._recent[0] <= now_ns - _MINUTE_NS:
            self._recent.popleft()
        return self._recent


def _key(alert: RiskAlert) -> tuple[str, str, str]:
    return alert.check, alert.subject, alert.text
