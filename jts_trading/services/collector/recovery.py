"""What a start takes up: frames without an entry, trades that were said, numbers given."""

from collections.abc import Sequence

import msgspec
import structlog

from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.ports.bus import Bus, BusUnavailableError
from jts_trading.services.collector.entry_log import EntryLog, FeedPlace
from jts_trading.services.collector.reception import Reception

_TICKS = msgspec.msgpack.Decoder(TicksCollected)
# The newest entries of every feed lie within a minute, or the feed was silent.
_LOOK_BACK_MS, _LOOK_BACK_MAX = 60_000, 20_000
_ITEMS_OF_A_FRAME_MAX = 1_000
# A feed that delivers has an entry long before so many frames.
_FRAMES_BEFORE_ANY_ENTRY = 10_000


def recover(log: EntryLog, receptions: Sequence[Reception]) -> None:
    """Let every feed of a topic go on where the process before ended.

    Raises:
        OSError: Entries cannot be logged.
    """
    by_name = {reception.name: reception for reception in receptions}
    for name, lines in log.recovered.lines.items():
        if name in by_name:
            by_name[name].judges.restore(dict(lines))
    for entry in log.recovered.entries:
        if entry.feed in by_name:
            for tick in _TICKS.decode(entry.envelope.payload).ticks:
                by_name[entry.feed].judges.relive(tick)
    log.recovered.entries.clear()
    for reception in receptions:
        _distrust_lost_log(log, reception)
        place = log.place(reception.name)
        frames = list(reception.keeper.after(place.through_frame))
        reception.recover(frames, place.done_items)


def _distrust_lost_log(log: EntryLog, reception: Reception) -> None:
    """Give no number twice where frames are kept and what was said of them is gone."""
    frames = reception.keeper.next_number - 1
    if reception.name in log.places or frames < _FRAMES_BEFORE_ANY_ENTRY:
        return
    structlog.get_logger().error("entries_lost", feed=reception.name, frames=frames)
    # No frame has more items, so no number up to here was given.
    log.places[reception.name] = FeedPlace(frames, 0, frames * _ITEMS_OF_A_FRAME_MAX + 1)


async def look_ahead(bus: Bus, topic: str, log: EntryLog, receptions: Sequence[Reception]) -> None:
    """Take numbers as given that the bus has and our files lost with the machine's power."""
    try:
        newest = await bus.newest(topic)
        if newest is None or newest <= log.newest:
            return
        begin = f"{max(0, newest[0] - _LOOK_BACK_MS)}-0"
        entries, _ = await bus.read({topic: begin}, count=_LOOK_BACK_MAX, wait_ms=0)
    except BusUnavailableError:
        # Files that are whole know more than the bus; that they are not is rare.
        return
    by_name = {reception.name: reception for reception in receptions}
    for entry in entries:
        try:
            ticks = _TICKS.decode(entry.envelope.payload)
        except msgspec.DecodeError:
            continue
        if ticks.feed in by_name:
            _take_as_given(ticks, log, by_name[ticks.feed])
    log.raise_floor(newest)


def _take_as_given(ticks: TicksCollected, log: EntryLog, reception: Reception) -> None:
    known = log.place(ticks.feed).next_tick
    next_tick = ticks.first_tick + len(ticks.ticks)
    if next_tick <= known:
        return
    structlog.get_logger().error("numbers_lost", feed=ticks.feed, known=known, published=next_tick)
    last_frame = ticks.first_frame + max(ticks.frames, default=0)
    if last_frame >= reception.keeper.next_number:
        reception.keeper.skip_to(last_frame + 1)
    log.places[ticks.feed] = FeedPlace(reception.keeper.next_number - 1, 0, next_tick)
