"""What the trader reads: topics by its own places, missing ticks from the store, the journal."""

import asyncio
from collections.abc import Callable

import msgspec
import polars as pl
import structlog

from jts_trading.bus.entries import entry_key
from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.instruments import parse_instrument_id
from jts_trading.domain.sessions import local_date
from jts_trading.engine.events import JournalRead
from jts_trading.engine.state import EngineState
from jts_trading.engine.stored import entries_of
from jts_trading.journal.chain import open_event
from jts_trading.ports.bus import Bus, Entry
from jts_trading.ports.journal import Journal
from jts_trading.ports.market import Market, MarketRefusedError, MarketUnavailableError
from jts_trading.services.trader.settings import TraderSettings
from jts_trading.services.trader.snapshots import Places

TICKS = ("market-data.krx.ticks", "market-data.crypto.ticks")
NEWS = ("orders.executions", "orders.failures", "portfolio.updates")
INPUTS = "trading.inputs"
BEGINNING = "0-0"
# Events that move orders or positions of an instance.
MOVING = frozenset(
    {
        "cancel_requested",
        "intent_recorded",
        "order_adopted",
        "order_amended",
        "order_cancelled",
        "order_denied",
        "order_expired",
        "order_filled",
        "order_rejected",
        "position_adopted",
    }
)
_PAGE = 500
_FILL_POLL_S = 0.2
_log = structlog.get_logger(__name__)


class Topics:
    """Reads the bus from places of its own, and notices that a topic was wiped.

    Args:
        bus: The bus.
        settings: Of the role.
        monotonic_ns: Real time.

    Attributes:
        places: Topic to the id of the last entry that was taken in.
    """

    def __init__(
        self, bus: Bus, settings: TraderSettings, monotonic_ns: Callable[[], int]
    ) -> None:
        self._bus = bus
        self._settings = settings
        self._monotonic_ns = monotonic_ns
        self.places: Places = dict.fromkeys((*TICKS, INPUTS), BEGINNING)
        self._news: Places = {}
        self._heard_ns: dict[str, int] = {}
        self._after: dict[str, str] = {}

    async def read(self) -> tuple[list[Entry], bool]:
        """Return the next entries, and whether nothing more waits.

        News of orders begin with those that come from now on: the journal tells the others.

        Raises:
            BusUnavailableError: The bus did not answer.
        """
        if not self._news:
            newest = {topic: await self._bus.newest(topic) or (0, 0) for topic in NEWS}
            self._news = {topic: "{}-{}".format(*at) for topic, at in newest.items()}
        count = self._settings.entries
        entries, after = await self._bus.read(
            {**self.places, **self._news},
            count=count,
            wait_ms=max(1, int(self._settings.wait_s * 1000)),
        )
        now_ns = self._monotonic_ns()
        for topic, place in after.items():
            if topic in self._news:
                self._news[topic] = place
            if place != self.places.get(topic):
                self._heard_ns[topic] = now_ns
        self._after = after
        per_topic = [sum(e.topic == topic for e in entries) for topic in TICKS]
        return entries, max(per_topic) < count

    def passed(self) -> None:
        """Note that everything of the last read was taken in, what was left out too."""
        for topic, place in self._after.items():
            if topic in self.places:
                self.places[topic] = place

    async def find_wiped(self) -> list[str]:
        """Return the topics that lost what had been read of them, and begin with them anew.

        Raises:
            BusUnavailableError: The bus did not answer.
        """
        wiped = []
        now_ns = self._monotonic_ns()
        for topic in (*TICKS, INPUTS):
            heard_ns = self._heard_ns.setdefault(topic, now_ns)
            if now_ns - heard_ns < self._settings.look_s * 1e9:
                continue
            self._heard_ns[topic] = now_ns
            newest = await self._bus.newest(topic) or (0, 0)
            if newest < entry_key(self.places[topic]):
                self.places[topic] = BEGINNING
                wiped.append(topic)
        return wiped


class TickStore:
    """Finds recorded ticks again that the bus no longer has.

    Args:
        market: The store.
        settings: Of the role.
    """

    def __init__(self, market: Market, settings: TraderSettings) -> None:
        self._market = market
        self._settings = settings

    async def between(
        self, state: EngineState, feed: str, after: int, before: int, now_ns: int
    ) -> list[TicksCollected]:
        """Return recorded trades of a feed with numbers between two, both excluded.

        Waits for the recorder to have passed the second number, within its limit.

        Args:
            state: Whose instruments are wanted.
            feed: Of the ticks.
            after: Number of the last tick that is known.
            before: Number of the next one that is known.
            now_ns: Instance time.
        """
        found: list[TicksCollected] = []
        pause_s, left_s = _FILL_POLL_S, self._settings.fill_wait_s
        while True:
            try:
                rows = await self._rows(state, feed, after, now_ns)
            except (MarketUnavailableError, MarketRefusedError) as error:
                _log.warning("recorded_ticks_away", error=str(error))
                return found
            if rows is not None:
                found = list(entries_of(rows.filter(pl.col("tick") < before)))
                if rows.filter(pl.col("tick") >= before).height:
                    return found
            if left_s <= 0:
                return found
            await asyncio.sleep(min(pause_s, left_s))
            # Each look reads a day: ever fewer of them.
            left_s, pause_s = left_s - pause_s, 2 * pause_s

    async def _rows(
        self, state: EngineState, feed: str, after: int, now_ns: int
    ) -> pl.DataFrame | None:
        by_venue: dict[str, set[str]] = {}
        for instance in state.instances.values():
            symbols = {parse_instrument_id(name).symbol for name in instance.spec.instrument_ids}
            by_venue.setdefault(instance.spec.venue, set()).update(symbols)
        frames = []
        for venue, symbols in by_venue.items():
            rows = await self._market.read(
                "ticks",
                venue=venue,
                symbols=sorted(symbols),
                first=local_date(venue, state.newest_ns or now_ns),
                last=local_date(venue, now_ns),
                interval="tick",
            )
            frames.append(rows.filter((pl.col("feed") == feed) & (pl.col("tick") > after)))
        filled = [frame for frame in frames if frame.height]
        # Each venue has its own scale of prices; a feed is of one venue.
        return filled[0] if filled else None


async def read_journal(journal: Journal, after_seq: int) -> JournalRead | None:
    """Return the next page of the journal as an event; None when there is nothing new.

    Raises:
        JournalUnavailableError: It did not answer.
    """
    page = await journal.events(after_seq, _PAGE)
    if not page:
        return None
    moving = tuple((row.seq, row.ts_ns, open_event(row)) for row in page if row.type in MOVING)
    return JournalRead(moving, page[-1].seq)


def split_after(entry: TicksCollected, last: int) -> list[TicksCollected]:
    """Return an entry in two where a tick number lies inside it: up to it, and behind it."""
    count = last - entry.first_tick + 1
    if not 0 < count < len(entry.ticks):
        return [entry]
    head = msgspec.structs.replace(entry, ticks=entry.ticks[:count], frames=entry.frames[:count])
    tail = msgspec.structs.replace(
        entry,
        first_tick=entry.first_tick + count,
        ticks=entry.ticks[count:],
        frames=entry.frames[count:],
    )
    return [head, tail]
