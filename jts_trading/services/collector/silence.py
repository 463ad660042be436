"""Which instruments of a feed say nothing in their session although the socket stands. Pure.

A heartbeat proves the socket, not the data. What counts is the time since the newest tick of the
instrument, or since its session began or the feed opened, whichever is later.
"""

from typing import NamedTuple

from jts_trading.services.collector.hours import is_continuous, opened_ns
from jts_trading.services.collector.sanity import NS_PER_S

NAMED_MAX = 5


class SilenceChange(NamedTuple):
    """An instrument fell silent, or speaks again (`end_ns` above 0). UTC ns."""

    instrument_id: str
    start_ns: int
    end_ns: int


class Silence:
    """Watches the instruments of one feed.

    Args:
        venue: Its sessions count.
        after_s: Instance seconds; None watches nothing.
        allowance_ns: Instance time that our own way may take beyond them.
        least_ns: Instance time that has to pass in any case.
    """

    def __init__(
        self, venue: str, after_s: float | None, allowance_ns: int, least_ns: int = 0
    ) -> None:
        self._venue = venue
        self._after_ns: int | None = None
        if after_s is not None:
            self._after_ns = max(int(after_s * NS_PER_S) + allowance_ns, least_ns)
        self._heard_ns: dict[str, int] = {}
        self._opened_ns: int | None = None
        self._halted: set[str] = set()
        self._silent: dict[str, int] = {}

    @property
    def instruments(self) -> frozenset[str]:
        """What is watched."""
        return frozenset(self._heard_ns)

    def watch(self, instrument_id: str, now_ns: int) -> None:
        """Begin to watch an instrument."""
        self._heard_ns.setdefault(instrument_id, now_ns)

    def unwatch(self, instrument_id: str) -> None:
        """Stop watching: the venue will not deliver it."""
        self._heard_ns.pop(instrument_id, None)
        self._silent.pop(instrument_id, None)

    def opened(self, now_ns: int) -> None:
        """The feed delivers from now on."""
        self._opened_ns = now_ns

    def closed(self) -> None:
        """The feed delivers nothing: that is told as such."""
        self._opened_ns = None

    def heard(self, instrument_id: str, now_ns: int, *, is_halted: bool = False) -> None:
        """Note a tick."""
        if instrument_id not in self._heard_ns:
            return
        self._heard_ns[instrument_id] = now_ns
        if is_halted:
            self._halted.add(instrument_id)
        else:
            self._halted.discard(instrument_id)

    def look(self, now_ns: int) -> list[SilenceChange]:
        """Return what changed since the last look."""
        if self._after_ns is None:
            return []
        is_session = is_continuous(self._venue, now_ns)
        if not is_session or self._opened_ns is None:
            return self._ended(now_ns)
        begin_ns = max(self._opened_ns, opened_ns(self._venue, now_ns))
        changes = []
        for instrument_id, heard_ns in self._heard_ns.items():
            since_ns = max(heard_ns, begin_ns)
            is_silent = now_ns - since_ns > self._after_ns and instrument_id not in self._halted
            started = self._silent.get(instrument_id)
            if is_silent and started is None:
                self._silent[instrument_id] = since_ns
                changes.append(SilenceChange(instrument_id, since_ns, 0))
            elif not is_silent and started is not None:
                del self._silent[instrument_id]
                changes.append(SilenceChange(instrument_id, started, max(since_ns, started + 1)))
        return changes

    def reasons(self) -> list[str]:
        """Return why the feed does not do its work: silent instruments, the first by name."""
        names = sorted(self._silent)
        if not names:
            return []
        more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
        return [f"silent in their session: {', '.join(names[:NAMED_MAX])}{more}"]

    def _ended(self, now_ns: int) -> list[SilenceChange]:
        ended, self._silent = self._silent, {}
        return [SilenceChange(name, start, now_ns) for name, start in ended.items()]
