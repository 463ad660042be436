"""The bars that a run may see, checked and laid out, with what few of them have beside.

A history is a ninth of the frame that it was read from. Where rows are needed again (a check that
cuts later bars off), they are made from it, for as many instruments as are asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jts_pipelines.backtest.bar_table import GROUP_ROWS, BarTable
from jts_pipelines.backtest.columns import Floats, Ints
from jts_pipelines.backtest.frames import day_of
from jts_pipelines.backtest.whole_columns import ONE, PRICES
from storage.quality.reasons import TAINTED
from storage.schema.datasets import Status

_TIME = pl.Datetime("ms", "UTC")


@dataclass(frozen=True, slots=True)
class History:
    """Bars of one interval, of every instrument that may be traded.

    Attributes:
        table: All bars, those without a trade too.
        doubts: By row: 0, or the place of its doubt in `TAINTED`, counted from 1; None where no
            bar has one.
        quotes: By row, bid and ask at its end, NaN where there are none; None without any.
    """

    table: BarTable
    doubts: NDArray[np.uint8] | None = None
    quotes: Floats | None = None

    @property
    def period(self) -> tuple[date, date]:
        """First and last session."""
        return day_of(self.table.days[0]), day_of(self.table.days[-1])

    @property
    def doubtful(self) -> pl.DataFrame:
        """Rows that the lake marks as doubtful: symbol, timestamp, quality."""
        rows = np.empty(0, np.int64) if self.doubts is None else np.flatnonzero(self.doubts)
        table = self.table
        owner = np.searchsorted(table.offsets, rows, side="right") - 1
        codes = rows if self.doubts is None else self.doubts[rows].astype(np.int64) - 1
        return pl.DataFrame(
            {
                "symbol": pl.Series(table.symbols, dtype=pl.String).gather(owner),
                "timestamp": pl.Series(table.times[table.moment_of(rows, owner)]).cast(_TIME),
                "quality": pl.Series(TAINTED, dtype=pl.String).gather(codes),
            }
        )

    def rows_of(self, instruments: Sequence[int]) -> pl.DataFrame:
        """Return the rows of some instruments, as they would be read (see `bar_rows`)."""
        table = self.table
        spans = [(int(table.offsets[at]), int(table.offsets[at + 1])) for at in instruments]
        rows = np.concatenate([np.empty(0, np.int64), *(np.arange(*span) for span in spans)])
        owner = np.repeat(np.array(instruments, np.int64), [end - at for at, end in spans])
        moments = table.moment_of(rows, owner)
        columns = {
            "symbol": pl.Series(table.symbols, dtype=pl.String).gather(owner),
            "timestamp": pl.Series(table.times[moments]).cast(_TIME),
            **self._prices(rows, owner),
            "volume": table.volume[rows],
            "status": pl.Series([Status.HALTED.value, Status.TRADED.value]).gather(
                table.is_traded[rows].astype(np.int64)
            ),
            "trade_date": pl.Series(table.days[moments].astype(np.int32)).cast(pl.Date),
        }
        if self.doubts is not None:
            names = pl.Series(["ok", *TAINTED])
            columns["quality"] = names.gather(self.doubts[rows].astype(np.int64))
        if self.quotes is not None:
            columns |= {"bid": self.quotes[rows, 0], "ask": self.quotes[rows, 1]}
        return pl.DataFrame(columns)

    def groups(self, instruments: Sequence[int]) -> Iterator[pl.DataFrame]:
        """Yield the rows of some instruments, a group of them at a time."""
        group: list[int] = []
        count = 0
        for at in instruments:
            length = int(self.table.offsets[at + 1] - self.table.offsets[at])
            if group and count + length > GROUP_ROWS:
                yield self.rows_of(group)
                group, count = [], 0
            group.append(at)
            count += length
        if group:
            yield self.rows_of(group)

    def _prices(self, rows: Ints, owner: Ints) -> dict[str, NDArray[np.generic]]:
        steps, units = self.table.prices[rows], self.table.units
        if all(each.price_step == 1 for each in units):
            return {name: steps[:, place] for place, name in enumerate(PRICES)}
        # One of the two is a whole number, so that the quotient is the float next to the price.
        above = np.array([float(max(each.price_step, ONE)) for each in units])[owner]
        below = np.array([float(1 / min(each.price_step, ONE)) for each in units])[owner]
        return {name: steps[:, place] * above / below for place, name in enumerate(PRICES)}
