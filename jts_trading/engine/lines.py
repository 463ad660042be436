"""Lines: the bars in the making that share their slots, and who reads them.

Instruments of one interval at one venue have the same slots. Which of their bars are open is noted
when one is opened or closed: so those that are due are found without looking at all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from jts_trading.engine.bars import BarBuilder
from jts_trading.engine.columns import Ints
from jts_trading.engine.slots import Slot, slot_at


class Reader(NamedTuple):
    """An instance that is judged on bars of a line.

    Attributes:
        instance: Its name.
        rows: For each place of the line, the row of the instance; -1 where it reads nothing.
    """

    instance: str
    rows: Ints


@dataclass(slots=True, eq=False)
class Line:
    """All bars in the making of one interval at one venue, in the order of their instruments.

    Attributes:
        seconds: Length of the interval.
        quantity_scale: Decimals of a quantity.
        instrument_ids: Theirs.
        price_steps: What one tick of each is worth.
        readers: In the order of their names.
        opened: Places of the open bars, by start and due time.
        slot: The one that a bar was opened in last.
        reads_quotes: One of the readers asks for the spread.
        reads_doubt: One asks for the quality of bars.
    """

    venue: str
    interval: str
    seconds: int
    quantity_scale: int
    builders: list[BarBuilder] = field(default_factory=list)
    instrument_ids: list[str] = field(default_factory=list)
    price_steps: list[Decimal] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    opened: dict[tuple[int, int], set[int]] = field(default_factory=dict)
    slot: Slot | None = None
    reads_quotes: bool = False
    reads_doubt: bool = False

    def add(self, builder: BarBuilder, price_step: Decimal) -> int:
        """Take in a bar in the making of a further instrument; return its place."""
        place = len(self.builders)
        self.builders.append(builder)
        self.instrument_ids.append(builder.instrument_id)
        self.price_steps.append(price_step)
        if builder.trades:
            self.note_open(place)
        return place

    def note_open(self, place: int) -> None:
        """Note that a bar was opened: so those that are due need not be looked for."""
        builder = self.builders[place]
        slot = builder.start_ns, builder.due_ns
        opened = self.opened.get(slot)
        if opened is None:
            self.opened[slot] = {place}
        else:
            opened.add(place)

    def note_closed(self, start_ns: int, due_ns: int, places: Sequence[int]) -> None:
        """Note that bars of one start and due time were closed."""
        opened = self.opened[start_ns, due_ns]
        if len(places) == len(opened):
            del self.opened[start_ns, due_ns]
        else:
            opened.difference_update(places)

    def slot_at(self, at_ns: int) -> Slot | None:
        """Return the slot to which a trade at an instant belongs, or None."""
        slot = self.slot
        # Nearly always that of the trade before. A day's label lies before its session.
        if slot is None or not (
            slot.start_ns <= at_ns < slot.stop_ns and slot.session.open_ns <= at_ns
        ):
            slot = slot_at(self.venue, at_ns, self.seconds)
            if slot is not None:
                self.slot = slot
        return slot
