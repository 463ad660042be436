"""Watches the kill switch: tells of it, and at level ALL lines up the cancel of every order.

SIGUSR1 trips it at level ALL in this process at once; the file follows. Nothing in here waits for
the journal, the bus or the shared state.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable

import structlog

from jts_trading.domain.journal_events import NoteRecorded
from jts_trading.guards.audit_trail import AuditTrail
from jts_trading.guards.kill_switch import KillLevel, KillSwitch
from jts_trading.ports.clock import Clock, SystemClock
from jts_trading.ports.journal import Fact
from jts_trading.services.executor.alerts import Alerts
from jts_trading.telemetry.metrics import Counters

NOTE_TOPIC = "kill_switch"
_log = structlog.get_logger(__name__)


class KillWatch:
    """Acts on the kill switch.

    Args:
        switch: The switch.
        audit: Local file of what was done.
        cancel_all: Lines up the cancel of every working order; returns their ids.
        record: Notes a fact in the journal as soon as it answers.
        alerts: Tells people.
        clock: Dates the note.
        counters: Metrics of the role.
        every_s: Pause between two looks.
    """

    def __init__(
        self,
        switch: KillSwitch,
        audit: AuditTrail,
        *,
        cancel_all: Callable[[], tuple[str, ...]],
        record: Callable[[Fact], None],
        alerts: Alerts,
        clock: Clock,
        counters: Counters,
        every_s: float,
    ) -> None:
        self._switch = switch
        self._audit = audit
        self._cancel_all = cancel_all
        self._record = record
        self._alerts = alerts
        self._clock = clock
        self._counters = counters
        self._every_s = every_s
        self._level = KillLevel.NONE
        self._by_signal = False

    def listen(self) -> None:
        """Trip on SIGUSR1; where signals cannot be had, the file has to do."""
        # Not through the event loop: a loop that is held up must not hold up the switch.
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGUSR1, lambda *_: self._trip())

    async def watch(self) -> None:
        """Look until cancelled."""
        self._switch.restore()
        while True:
            self.look()
            await asyncio.sleep(self._every_s)

    def look(self) -> None:
        """Look once and act on what is new."""
        if self._by_signal:
            self._by_signal = False
            with contextlib.suppress(OSError):
                self._switch.latch(KillLevel.ALL, who="signal", why="SIGUSR1")
        level = self._switch.level()
        self._counters.put("kill_level", float(level))
        if level is not self._level:
            self._tell(level)
            self._level = level
        if level is KillLevel.ALL:
            cancelled = self._cancel_all()
            if cancelled:
                self._note_cancels(cancelled)

    def _trip(self) -> None:
        self._switch.trip(KillLevel.ALL)
        self._by_signal = True

    def _tell(self, level: KillLevel) -> None:
        record = self._switch.record()
        who, why = (record.who, record.why) if record else ("", "")
        _log.warning("kill_switch", level=level.name, who=who, why=why)
        said = f"level {level.name} by {who or 'nobody known'}: {why}"
        self._alerts.say("critical", "kill_switch", level.name, said)
        now_ns = self._clock.now_ns()
        note = NoteRecorded(topic=NOTE_TOPIC, subject=level.name, body=said)
        self._record(Fact(note, now_ns, event_id=f"kill/{level.name}/{now_ns}"))

    def _note_cancels(self, order_ids: tuple[str, ...]) -> None:
        with contextlib.suppress(OSError):
            self._audit.append(
                at_ns=SystemClock().now_ns(),
                action="cancel",
                subject="orders",
                who="executor",
                why="kill switch at level ALL",
                detail=" ".join(order_ids),
            )
