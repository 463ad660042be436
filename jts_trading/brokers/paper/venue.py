"""The paper venue in the executor's process: takes orders, matches them with the market's ticks.

Theory of operation. One worker thread owns the books, so that taking, cancelling and matching are
one line without locks, and no disk is waited for in the event loop. Ticks are read from the bus at
a place of its own. A transaction that fills an order carries the place along; without one the
place is kept every now and then: ticks that are read again change nothing, because an order only
counts trades that were received after it was accepted, and ends with its first fill. So every
order is filled exactly once, whatever dies when.

A fill is told on `orders.notices` afterwards, as a hint; the books are the truth.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

import structlog

from jts_trading.brokers.paper.books import PaperBooks
from jts_trading.brokers.paper.desk import PaperDesk
from jts_trading.brokers.paper.notices import TOPIC, notices_envelope
from jts_trading.brokers.paper.settings import PaperSettings
from jts_trading.domain.account_reports import FillNotice
from jts_trading.domain.errors import TransientError, UnknownOutcome
from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.schemas import SchemaError
from jts_trading.domain.ticks import TradeTick
from jts_trading.execution.fill_costs import CostRules
from jts_trading.ports.bus import Bus, Entry
from jts_trading.ports.clock import Clock
from jts_trading.ports.sender import Accepted, Gate, Refused
from jts_trading.risk.approval import FinalOrder

FILE = Path("trading") / "paper.sqlite"
_ENTRIES = 64
_WAIT_MS = 500
_AGAIN_S = 0.5
_Answer = TypeVar("_Answer")
_log = structlog.get_logger(__name__)


class PaperVenue:
    """One paper account; one object per process that sends, closed when the role ends.

    Args:
        path: The file of its books, `<home>/trading/paper.sqlite`.
        settings: The account.
        costs: Commissions by the dated rules.
        bus: Market data, and where fills are told.
        clock: Instance time.
    """

    def __init__(
        self, path: Path, settings: PaperSettings, costs: CostRules, *, bus: Bus, clock: Clock
    ) -> None:
        self.settings = settings
        self.trouble = ""
        self._path = path
        self._costs = costs
        self._bus = bus
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="paper")
        self._books: PaperBooks | None = None
        self._desk: PaperDesk | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def submit(self, order: FinalOrder, gate: Gate) -> Accepted | Refused:
        """Take an order; see `ports.sender.Sender`.

        Raises:
            TransientError: Nothing was done.
            UnknownOutcome: The books may or may not have it.
        """
        return await self._ask(
            lambda desk: desk.take(order, self._clock.now_ns(), gate), "an order"
        )

    async def cancel(self, name: str) -> Accepted | Refused:
        """Cancel an order by its number; see `ports.sender.Sender`.

        Raises:
            TransientError: Nothing was done.
            UnknownOutcome: The books may or may not have it.
        """
        return await self._ask(lambda desk: desk.cancel(name, self._clock.now_ns()), "a cancel")

    async def match(self) -> None:
        """Match orders with the market until cancelled; what the executor runs beside itself."""
        positions: dict[str, str] = {}
        while True:
            try:
                if not positions:
                    place = await self._ask(lambda desk: desk.place, "the place")
                    positions = {self.settings.topic: place}
                positions = await self._match_some(positions)
                self.trouble = ""
            except (TransientError, UnknownOutcome) as error:
                # The same entries come again, and change only what they have not changed yet.
                self.trouble = f"paper matching: {error}"
                await asyncio.sleep(_AGAIN_S)

    async def _match_some(self, positions: dict[str, str]) -> dict[str, str]:
        """Apply the entries behind some positions; return the positions after them."""
        entries, after = await self._bus.read(positions, count=_ENTRIES, wait_ms=_WAIT_MS)
        if entries:
            notices = await self._ask(lambda desk: _apply_all(desk, entries), "matching")
            await self._tell(notices)
        return after

    async def close(self) -> None:
        """Close the books."""
        books, self._books, self._desk = self._books, None, None
        if books is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, books.close)
        self._thread.shutdown(wait=True)

    async def _ask(self, work: Callable[[PaperDesk], _Answer], what: str) -> _Answer:
        def run() -> _Answer:
            return work(self._opened())

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "unable to open" in str(error):
                raise TransientError(f"paper books: {error}") from error
            raise UnknownOutcome(f"paper books: {what}: {error}") from error
        except sqlite3.Error as error:
            raise UnknownOutcome(f"paper books: {what}: {error}") from error

    def _opened(self) -> PaperDesk:
        """Return the desk, opening the books when they are first needed; in the worker thread."""
        if self._desk is None:
            self._books = PaperBooks(
                self._path,
                account=self.settings.account,
                currency=self.settings.currency,
                deposit=self.settings.deposit,
            )
            self._desk = PaperDesk(self._books, self.settings, self._costs)
        return self._desk

    async def _tell(self, notices: list[FillNotice]) -> None:
        if notices:
            envelope = notices_envelope(
                self.settings.account, tuple(notices), self._clock.now_ns()
            )
            await self._bus.publish(TOPIC, envelope)


def _apply_all(desk: PaperDesk, entries: list[Entry]) -> list[FillNotice]:
    notices: list[FillNotice] = []
    for entry in entries:
        notices += desk.apply(entry.entry_id, _trades(entry))
    return notices


def _trades(entry: Entry) -> list[TradeTick]:
    envelope = entry.envelope
    try:
        message = MESSAGES.decode(envelope.type, envelope.version, envelope.payload)
    except SchemaError as error:
        _log.warning("ticks_unreadable", entry=entry.entry_id, error=str(error))
        return []
    if not isinstance(message, TicksCollected):
        return []
    return [tick for tick in message.ticks if isinstance(tick, TradeTick)]
