"""The market port over the hot tier and the lake.

Both are synchronous, so each call runs in a thread; the event loop waits no longer than the time
limit, after which the call counts as unanswered although its thread may still end it. That is
harmless: rows and places may be written twice.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TypeVar

import polars as pl

from jts_trading.market_store.batches import batch_of, find_dataset
from jts_trading.ports.market import MarketRefusedError, MarketUnavailableError, Row
from storage.errors import InputError, StorageError
from storage.hot.store import HotStore
from storage.lake.lake import Lake
from storage.manifest.chain import Manifests
from storage.schema.tiers import TierSettings

WAIT_S = 30.0
READ_S = 300.0
_Answer = TypeVar("_Answer")


class ClickHouseMarket:
    """Appends to the hot tier, reads all tiers; safe to share between tasks of one loop.

    Args:
        hot: The hot tier. Its tables are created at the first call.
        lake: Over the same hot tier.
        owned: Further stores to be closed with this one, such as the lake's own.
        wait_s: Real seconds after which a write counts as unanswered.
        read_s: The same for a read.
    """

    def __init__(
        self,
        hot: HotStore,
        lake: Lake,
        *,
        owned: Sequence[HotStore] = (),
        wait_s: float = WAIT_S,
        read_s: float = READ_S,
    ) -> None:
        self._hot = hot
        self._owned = (hot, *owned)
        self._lake = lake
        self._wait_s = wait_s
        self._read_s = read_s
        self._is_ready = False
        # A lake is used by one thread at a time.
        self._reading = threading.Lock()

    async def append(self, dataset: str, rows: Sequence[Row]) -> int:
        """Store rows; see `ports.market.Market`."""
        return await self._ask(lambda: self._append(dataset, rows), self._wait_s)

    async def read(
        self,
        dataset: str,
        *,
        venue: str,
        symbols: Sequence[str],
        first: date,
        last: date,
        interval: str | None = None,
    ) -> pl.DataFrame:
        """Return rows of all tiers; see `ports.market.Market`."""

        def ask() -> pl.DataFrame:
            with self._reading:
                return self._lake.read(
                    find_dataset(dataset).name,
                    venue=venue,
                    interval=interval,
                    symbols=symbols,
                    start=first,
                    end=last,
                )

        return await self._ask(ask, self._read_s)

    async def places(self) -> dict[str, str]:
        """Return the places of readers; see `ports.market.Market`."""
        return await self._ask(self._hot.appends.places, self._wait_s)

    async def keep_places(self, places: Mapping[str, str]) -> None:
        """Note places of readers; see `ports.market.Market`."""
        await self._ask(lambda: self._hot.appends.keep_places(places), self._wait_s)

    def close(self) -> None:
        """Give the connections back."""
        for store in self._owned:
            store.close()

    def _append(self, dataset: str, rows: Sequence[Row]) -> int:
        if not rows:
            return 0
        return self._hot.appends.append(find_dataset(dataset), batch_of(dataset, rows))

    async def _ask(self, call: Callable[[], _Answer], limit_s: float) -> _Answer:
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.to_thread(self._prepared, call)
        except TimeoutError as error:
            raise MarketUnavailableError(
                f"hot store {self._hot.server}: no answer within {limit_s:g} s"
            ) from error
        except StorageError as error:
            raise MarketUnavailableError(str(error)) from error
        except InputError as error:
            raise MarketRefusedError(str(error)) from error

    def _prepared(self, call: Callable[[], _Answer]) -> _Answer:
        if not self._is_ready:
            self._hot.ensure_schema()
            self._is_ready = True
        return call()


def open_market(dsn: str, tiers: TierSettings, home: Path) -> ClickHouseMarket:
    """Return the market store of an instance; the server is first asked when needed.

    Args:
        dsn: `http://user:password@host:8123/database`.
        tiers: Where warm and cold are.
        home: Data root of the instance.

    Raises:
        InputError: The DSN is not of that form.
    """
    manifests = Manifests(tiers.path(home, "manifests"))
    reading = HotStore(dsn, answer_seconds=READ_S)
    # A thread must not outlive by much the call that nobody waits for any more.
    writing = HotStore(dsn, answer_seconds=WAIT_S)
    return ClickHouseMarket(writing, Lake(reading, manifests, tiers, home), owned=(reading,))
