"""Wait until a traded day has come to rest: everything read, recorded, published, and ended.

Asked of the stores themselves, not of the roles: what a role believes about itself is part of
what the demo is to show.
"""

import time
from typing import TYPE_CHECKING

from jts_pipelines.defs.joint import ask_bus
from jts_pipelines.defs.reports.bus_day import read_bus_day, recorded_up_to
from jts_pipelines.reports.daily_records import day_span
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.phases import has_sessions
from storage.errors import StorageError
from storage.hot.store import HotStore

if TYPE_CHECKING:
    from jts_pipelines.cli.demo_market_day import TradingDay
    from jts_pipelines.defs.house import House

_LOOK_S = 0.5
# So long nothing may have been published: a socket that is still being read publishes.
_QUIET_S = 1.5
_JOURNAL = "recorder/journal"


class Drain:
    """Looks at the stores of an instance until a day's work is done.

    Args:
        house: The instance.
        day: Which day was traded.
    """

    def __init__(self, house: "House", day: "TradingDay") -> None:
        self._house = house
        self._day = day
        self._closed_at: tuple[int, int] | None = None

    def wait(self, seconds: float) -> list[str]:
        """Return at rest, or after so many seconds with one line for what is not done."""
        deadline = time.monotonic() + seconds
        newest, since = self._newest(), time.monotonic()
        while True:
            now = self._newest()
            if now != newest:
                newest, since = now, time.monotonic()
            reasons = self._reasons(newest)
            if not reasons and time.monotonic() - since >= _QUIET_S:
                return []
            if time.monotonic() > deadline:
                said = "; ".join(reasons) or "ticks are still being published"
                return [f"{self._day.broker}: not at rest after {seconds:.0f} s: {said}"]
            time.sleep(_LOOK_S)

    def _newest(self) -> tuple[int, int]:
        """Return the id of the newest entry of ticks."""
        topic = self._day.topic
        return ask_bus(self._house, lambda bus: bus.newest(topic)) or (0, 0)

    def _reasons(self, newest: tuple[int, int]) -> list[str]:
        topic = self._day.topic
        found = []
        with self._house.ledger() as ledger:
            progress = ledger.progress(self._day.broker)
        behind = self._unbarred(newest)
        if behind:
            found.append(f"the trader has closed no bar over tick {behind} yet")
        places = self._places()
        if recorded_up_to(places, topic) < newest:
            found.append(f"the recorder has not recorded {topic} up to {newest}")
        if int(places.get(_JOURNAL, "0")) < progress.newest_seq:
            found.append(f"the recorder has not recorded the journal up to {progress.newest_seq}")
        if progress.unpublished:
            found.append(f"{progress.unpublished} messages wait in the outbox")
        # Where no session closes, an order waits for the next trade, and a tape has a last one.
        resting = (
            progress.resting
            if has_sessions(default_table(), self._day.venue, self._day.day)
            else 0
        )
        if progress.working + resting:
            found.append(f"{progress.working + resting} orders have not ended")
        return found

    def _unbarred(self, newest: tuple[int, int]) -> int:
        """Return the number of the newest trade if no closed bar reaches it, else 0."""
        if self._closed_at == newest:
            return 0
        seen = read_bus_day(self._house, day_span(self._day.day), self._day.instruments)
        last = max((tick.tick for tick in seen.ticks), default=0)
        if max((bar.last_tick for bar in seen.bars), default=0) < last:
            return last
        self._closed_at = newest
        return 0

    def _places(self) -> dict[str, str]:
        hot = HotStore(self._house.settings.hot_dsn)
        try:
            return hot.appends.places()
        except StorageError:
            return {}
        finally:
            hot.close()
