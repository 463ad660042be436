"""The market port: market data and the daemon's own records, into the hot tier and back.

Rows are recognised by the key of their dataset: the same row appended again adds nothing, alone
or in another batch, today or after a restart. So a writer may repeat what was not confirmed.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Protocol

import polars as pl

from jts_trading.domain.errors import TerminalError, TransientError

Row = Mapping[str, Any]
"""Column name to value, as `storage.schema.datasets` declares the dataset.

Times are UTC ns as `int`, days `date`, prices, quantities and money `Decimal`.
"""


class MarketUnavailableError(TransientError):
    """The store did not answer; the same call may be repeated."""


class MarketRefusedError(TerminalError):
    """The dataset, a row or a bound is not what the store takes; nothing was stored."""


class Market(Protocol):
    """Rows of datasets that the daemon writes and reads."""

    async def append(self, dataset: str, rows: Sequence[Row]) -> int:
        """Make rows visible all together; return how many there were.

        Of rows with the same key the one with the highest `revision` is read, and of equals the
        newest.

        Args:
            dataset: `ticks`, `signals`, `decisions`, `orders`, `fills` or `gaps`.
            rows: Complete rows of one venue, interval and trading day.

        Raises:
            MarketRefusedError: A row is not as the dataset declares it, or the rows are of several
                days.
            MarketUnavailableError: Not known to be stored; repeat it.
        """
        ...

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
        """Return rows of a span of trading days from all tiers, sorted by symbol and time.

        Args:
            dataset: One of those above, or `candles`.
            venue: Decides the scale of prices, quantities and money.
            symbols: The venue's own spelling.
            first: First trading day.
            last: Last trading day, inclusive.
            interval: Of the bars; all when None.

        Raises:
            MarketRefusedError: The dataset or venue is unknown.
            MarketUnavailableError: A tier did not answer.
        """
        ...

    async def places(self) -> dict[str, str]:
        """Return how far each reader has come, by name, as `keep_places` noted it.

        Raises:
            MarketUnavailableError: The store did not answer.
        """
        ...

    async def keep_places(self, places: Mapping[str, str]) -> None:
        """Note beside the rows how far readers have come in what they make them of.

        One process at a time may do so for a reader.

        Raises:
            MarketUnavailableError: Not known to be noted; repeat it.
        """
        ...
