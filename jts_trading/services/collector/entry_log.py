"""The entries of one topic in a file, before the bus has them: what was said stays said.

Theory of operation. An entry is logged with its id before it is published, together with the place
that its feed has reached: all frames up to a number, and which tick comes next. A process that is
killed between the two publishes the same bytes under the same id when it starts again; frames
that were kept behind the place are decoded again. A bus that lost entries gets them back here.

Each segment begins with a checkpoint, so that only the newest one has to be read at a start, and
the place of a feed survives however long it said nothing.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from jts_trading.market_store.segments import (
    SegmentLog,
    SegmentSettings,
    list_segments,
    read_records,
)
from jts_trading.ports.bus import Envelope
from jts_trading.services.collector.continuity import Line

EntryId = tuple[int, int]
Lines = dict[str, dict[str, Line]]
NO_ENTRY: EntryId = (0, 0)


class FeedPlace(msgspec.Struct, frozen=True, array_like=True):
    """How far the frames of a feed have become entries.

    Attributes:
        through_frame: All frames up to this number have.
        done_items: So many decoded items of the next frame have, too.
        next_tick: Number of the next tick.
    """

    through_frame: int = 0
    done_items: int = 0
    next_tick: int = 1


class LoggedEntry(msgspec.Struct, frozen=True, array_like=True, tag="entry"):
    """One entry.

    Attributes:
        entry_id: Its id on the bus: milliseconds (UTC, instance time) and number.
        feed: Whose ticks are in it.
        place: Where the feed is after it.
    """

    entry_id: EntryId
    feed: str
    place: FeedPlace
    envelope: Envelope


class Checkpoint(msgspec.Struct, frozen=True, array_like=True, tag="checkpoint"):
    """Everything before a segment in short.

    Attributes:
        entry_id: The newest id.
        places: By feed.
        lines: Where the trades of each instrument are, by feed and instrument.
    """

    entry_id: EntryId
    places: dict[str, FeedPlace]
    lines: Lines


class Recovered(NamedTuple):
    """What a start finds.

    Attributes:
        entries: Entries since the checkpoint, oldest first: their trades move the lines on.
    """

    lines: Lines
    entries: list[LoggedEntry]


_RECORDS = msgspec.msgpack.Decoder(LoggedEntry | Checkpoint)


class EntryLog:
    """Writes and reads the entries of one topic.

    Args:
        directory: `<home>/trading/frames/entries-<topic>`.
        settings: Sizes.

    Raises:
        SegmentError: Another process writes this topic.
    """

    def __init__(self, directory: Path, settings: SegmentSettings) -> None:
        self._log = SegmentLog(directory, settings)
        self.newest: EntryId = NO_ENTRY
        self.places: dict[str, FeedPlace] = {}
        self.recovered = self._recover()

    def next_id(self, ms: int) -> EntryId:
        """Return the id of an entry that is dated ms: greater than all before it."""
        if ms > self.newest[0]:
            return ms, 0
        return self.newest[0], self.newest[1] + 1

    def raise_floor(self, entry_id: EntryId) -> None:
        """Let all ids to come be greater than one that the bus already has."""
        self.newest = max(self.newest, entry_id)

    def place(self, feed: str) -> FeedPlace:
        """Return how far a feed is."""
        return self.places.get(feed, FeedPlace())

    def append(self, entry: LoggedEntry, lines: Callable[[], Lines]) -> None:
        """Log an entry; it survives the end of this process.

        Args:
            entry: The entry; its id is `next_id`.
            lines: Says where the trades of all feeds are, for a checkpoint.

        Raises:
            OSError: The medium does not take it.
        """
        if self._log.is_full:
            self._log.roll()
        if self._log.is_new_segment:
            self._write(Checkpoint(self.newest, self.places, lines()))
        self._write(entry)
        self.newest = entry.entry_id
        self.places[entry.feed] = entry.place

    def after(self, entry_id: EntryId) -> Iterator[LoggedEntry]:
        """Yield the entries behind an id, as far as they are kept, to the end at that moment."""
        first = 1
        for segment in reversed(list_segments(self._log.directory)):
            first = segment.first
            head = next(self._records(first), None)
            if isinstance(head, Checkpoint) and head.entry_id <= entry_id:
                break
        for record in self._records(first):
            if isinstance(record, LoggedEntry) and record.entry_id > entry_id:
                yield record

    def compact(self) -> None:
        """Pack and drop old segments; may run in a thread."""
        self._log.compact()

    def close(self) -> None:
        """Give the files back."""
        self._log.close()

    def _write(self, record: LoggedEntry | Checkpoint) -> None:
        self._log.append(msgspec.msgpack.encode(record))

    def _records(self, first: int) -> Iterator[LoggedEntry | Checkpoint]:
        for _, payload in read_records(self._log.directory, first):
            yield _RECORDS.decode(payload)

    def _recover(self) -> Recovered:
        lines: Lines = {}
        entries: list[LoggedEntry] = []
        for segment in reversed(list_segments(self._log.directory)):
            records = list(self._records(segment.first))
            if not records:
                continue
            for record in records:
                if isinstance(record, Checkpoint):
                    self.newest, lines = record.entry_id, record.lines
                    self.places = dict(record.places)
                    entries.clear()
                else:
                    self.newest = record.entry_id
                    self.places[record.feed] = record.place
                    entries.append(record)
            break
        return Recovered(lines, entries)


def entries_directory(home: Path, topic: str) -> Path:
    """Return where the entries of a topic are, below `<home>`."""
    return home / "trading" / "frames" / f"entries-{topic}"


def frames_directory(home: Path, feed: str) -> Path:
    """Return where the raw frames of a feed are, below `<home>`."""
    return home / "trading" / "frames" / feed
