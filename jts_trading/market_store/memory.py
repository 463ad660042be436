"""The market port in memory, for simulation and tests."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from jts_trading.market_store.batches import (
    batch_of,
    find_dataset,
    key_of,
    split_by_partition,
)
from jts_trading.ports.market import MarketRefusedError, MarketUnavailableError, Row
from storage.errors import InputError
from storage.schema.arrow import file_schema
from storage.schema.datasets import CANDLES


class MemoryMarket:
    """Keeps rows as long as it lives.

    Args:
        candles: What `read` finds of the candles: as `Lake.read` returns them for one venue.

    Attributes:
        is_down: Set it to have every call fail as with a store that is gone.
    """

    def __init__(self, candles: pl.DataFrame | None = None) -> None:
        self.is_down = False
        self._candles = candles
        self._rows: dict[str, dict[tuple[object, ...], Row]] = {}
        self._places: dict[str, str] = {}

    async def append(self, dataset: str, rows: Sequence[Row]) -> int:
        """Store rows; see `ports.market.Market`."""
        self._require_up()
        if not rows:
            return 0
        batch_of(dataset, rows)
        known = find_dataset(dataset)
        held = self._rows.setdefault(dataset, {})
        for row in rows:
            before = held.get(key_of(known, row))
            if before is None or row[known.revision] >= before[known.revision]:
                held[key_of(known, row)] = dict(row)
        return len(rows)

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
        """Return rows; see `ports.market.Market`."""
        self._require_up()
        known = find_dataset(dataset)
        try:
            schema = file_schema(known, venue)
        except InputError as error:
            raise MarketRefusedError(str(error)) from error

        rows = [
            row
            for row in self.rows(dataset)
            if row["venue"] == venue
            and row["symbol"] in symbols
            and first <= row["trade_date"] <= last
            and interval in {None, row["interval"]}
        ]
        tables = [batch_of(dataset, batch) for batch in split_by_partition(dataset, rows)]
        found = [pl.DataFrame(pl.from_arrow(table)) for table in [schema.empty_table(), *tables]]
        if known is CANDLES and self._candles is not None:
            found.append(_bars(self._candles, venue, symbols, (first, last), interval))
        return pl.concat(found).sort(known.file_sort)

    def rows(self, dataset: str) -> list[Row]:
        """Return every row of a dataset, in the order of their first appearance."""
        return list(self._rows.get(dataset, {}).values())

    async def places(self) -> dict[str, str]:
        """Return the places of readers; see `ports.market.Market`."""
        self._require_up()
        return dict(self._places)

    async def keep_places(self, places: Mapping[str, str]) -> None:
        """Note places of readers; see `ports.market.Market`."""
        self._require_up()
        self._places.update(places)

    def _require_up(self) -> None:
        if self.is_down:
            raise MarketUnavailableError("market store in memory: is down")


def _bars(
    candles: pl.DataFrame,
    venue: str,
    symbols: Sequence[str],
    days: tuple[date, date],
    interval: str | None,
) -> pl.DataFrame:
    wanted = (
        pl.col("venue").eq(venue)
        & pl.col("symbol").is_in(list(symbols))
        & pl.col("trade_date").is_between(*days)
    )
    if interval is not None:
        wanted &= pl.col("interval").eq(interval)
    return candles.filter(wanted)
