"""What the journal says into the store: signals, decisions, orders and fills.

Theory of operation. The journal is read page by page behind the place that the store keeps beside
the rows; the place moves after the rows of a page are stored, so a crash repeats at most one page,
and a store that was wiped gets everything again. An order is recorded as the journal has it now:
it may be ahead of the event that led to it, and its newest row wins.
"""

import asyncio
from collections.abc import Sequence

import structlog

from jts_trading.domain.errors import TerminalError
from jts_trading.domain.journal_events import (
    DecisionRecorded,
    JournalEvent,
    OrderFilled,
    SignalRecorded,
)
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.journal.chain import open_event
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Journal, StoredEvent
from jts_trading.ports.market import Market, MarketRefusedError, Row
from jts_trading.services.recorder.patience import Patience
from jts_trading.services.recorder.rows import decision_row, fill_row, order_row, signal_row
from jts_trading.services.recorder.settings import RecorderSettings
from jts_trading.services.recorder.writing import RowWriter
from jts_trading.telemetry.metrics import Counters

READER = "recorder/journal"
_ORDER = "order/"
_NS_PER_S = 1_000_000_000
_log = structlog.get_logger(__name__)


class JournalTail:
    """The part of the recorder that reads the journal.

    Args:
        journal: What is read.
        market: Keeps the place.
        writer: Into the store.
        patience: Of this part.
        counters: Of the role.
        clock: Of the instance.
        settings: Bounds and pauses.
    """

    def __init__(
        self,
        journal: Journal,
        market: Market,
        writer: RowWriter,
        patience: Patience,
        counters: Counters,
        *,
        clock: Clock,
        settings: RecorderSettings,
    ) -> None:
        self._journal = journal
        self._market = market
        self._writer = writer
        self._patience = patience
        self._counters = counters
        self._clock = clock
        self._settings = settings

    async def run(self) -> None:
        """Record until cancelled.

        Raises:
            SchemaError: The journal holds an event of a newer program.
        """
        place = await self._first_place()
        while True:
            page = await self._page(place)
            if not page:
                self._counters.put("lag_seconds", 0, part="journal")
                await asyncio.sleep(self._settings.poll_s)
                continue
            await self._record(page)
            place = page[-1].seq
            await self._keep(place)
            lag_s = max(0, self._clock.now_ns() - page[-1].ts_ns) / _NS_PER_S
            self._counters.put("lag_seconds", lag_s, part="journal")
            self._counters.put("journal_place", place)

    async def _first_place(self) -> int:
        places = await self._patience.insist(self._market.places)
        place = int(places.get(READER, "0"))
        if place and not await self._page(place - 1, 1):
            _log.warning("journal_begins_anew", place=place)
            return 0
        return place

    async def _page(self, place: int, limit: int | None = None) -> list[StoredEvent]:
        count = limit or self._settings.page_events
        return await self._patience.insist(lambda: self._journal.events(place, count))

    async def _keep(self, place: int) -> None:
        await self._patience.insist(lambda: self._market.keep_places({READER: str(place)}))

    async def _record(self, page: Sequence[StoredEvent]) -> None:
        orders = await self._orders(page)
        rows: dict[str, list[Row]] = {"orders": [order_row(order) for order in orders.values()]}
        for stored in page:
            made = _row_of(open_event(stored), stored, orders)
            if made is not None:
                rows.setdefault(made[0], []).append(made[1])
        for dataset, of_dataset in rows.items():
            await self._write(dataset, of_dataset)

    async def _orders(self, page: Sequence[StoredEvent]) -> dict[str, OrderRow]:
        """Return the orders that a page is about, by id."""
        streams = dict.fromkeys(stored.stream for stored in page)
        ids = [name.removeprefix(_ORDER) for name in streams if name.startswith(_ORDER)]
        found = [await self._order(order_id) for order_id in ids]
        return {order.id: order for order in found if order is not None}

    async def _order(self, order_id: str) -> OrderRow | None:
        return await self._patience.insist(lambda: self._journal.find_order(order_id=order_id))

    async def _write(self, dataset: str, rows: Sequence[Row]) -> None:
        try:
            await self._writer.write(dataset, rows)
        except MarketRefusedError as error:
            if len(rows) == 1:
                self._counters.add("refused_total", part="journal")
                _log.error("row_refused", dataset=dataset, seq=rows[0]["seq"], error=str(error))
                return
            for row in rows:
                await self._write(dataset, [row])


def _row_of(
    event: JournalEvent, stored: StoredEvent, orders: dict[str, OrderRow]
) -> tuple[str, Row] | None:
    match event:
        case SignalRecorded():
            return "signals", signal_row(event, stored)
        case DecisionRecorded():
            return "decisions", decision_row(event, stored)
        case OrderFilled():
            order = orders.get(event.order_id)
            if order is None:
                raise TerminalError(f"journal row {stored.seq}: order {event.order_id} is unknown")
            return "fills", fill_row(event, order, stored)
        case _:
            return None
