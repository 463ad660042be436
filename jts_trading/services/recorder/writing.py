"""Rows into the store: cut into batches that are visible whole, insisted on, counted."""

from collections.abc import Callable, Sequence

from jts_trading.market_store.batches import split_by_partition
from jts_trading.ports.market import Market, Row
from jts_trading.services.recorder.patience import Patience
from jts_trading.telemetry.metrics import Counters, Latency


class RowWriter:
    """Appends rows of any dataset for one part of the recorder.

    Args:
        market: Where to.
        patience: Of that part.
        counters: Of the role.
        appending: Takes the duration of each batch.
        monotonic_ns: Reads real monotonic time.
        batch_rows: Most rows of one batch.
    """

    def __init__(
        self,
        market: Market,
        patience: Patience,
        counters: Counters,
        appending: Latency,
        *,
        monotonic_ns: Callable[[], int],
        batch_rows: int,
    ) -> None:
        self._market = market
        self._patience = patience
        self._counters = counters
        self._appending = appending
        self._monotonic_ns = monotonic_ns
        self._batch_rows = batch_rows

    async def write(self, dataset: str, rows: Sequence[Row]) -> None:
        """Return when the store holds all the rows, however long that takes.

        Raises:
            MarketRefusedError: A row is not as the dataset declares it; others may be stored.
        """
        for batch in split_by_partition(dataset, rows):
            for start in range(0, len(batch), self._batch_rows):
                await self._append(dataset, batch[start : start + self._batch_rows])

    async def _append(self, dataset: str, rows: Sequence[Row]) -> None:
        began_ns = self._monotonic_ns()
        count = await self._patience.insist(lambda: self._market.append(dataset, rows))
        self._appending.add((self._monotonic_ns() - began_ns) / 1e6)
        self._counters.add("rows_total", count, dataset=dataset)
        self._counters.add("batches_total", dataset=dataset)
