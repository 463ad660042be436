"""The market port: market data and the daemon's own records, into the hot tier and back."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Protocol

import polars as pl

from jts_trading.domain.errors import TransientError

Row = Mapping[str, Any]
"""Column name to value, as `storage.schema.datasets` declares the dataset."""


class MarketUnavailableError(TransientError):
    """The store did not answer; the same append may be repeated."""


class Market(Protocol):
    """Rows of datasets that the daemon writes and reads."""

    async def append(self, dataset: str, rows: Sequence[Row], token: str) -> int:
        """Make rows visible all together; return how many are stored for this token.

        The same token with the same rows again adds nothing.

        Args:
            dataset: `ticks`, `signals`, `decisions`, `orders`, `fills`, `gaps`, ...
            rows: Complete rows of one venue.
            token: Identifies the batch, such as topic and entry ids.

        Raises:
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

        Raises:
            MarketUnavailableError: A tier did not answer.
        """
        ...
