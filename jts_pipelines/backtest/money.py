"""From the whole units that a run counts in to money, prices and quantities as people read them.

At KRX both are the same and tables stay whole numbers. Elsewhere they become decimals in float64:
each is the nearest to an exact one of at most 53 bits, and nothing is added up after that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from jts_pipelines.backtest.columns import Floats, Ints
from jts_pipelines.backtest.venues import VenueTerms
from jts_trading.strategy.units import Units


def in_steps(whole: Ints, step: Decimal) -> Ints | Floats:
    """Return numbers of steps as decimals; whole numbers where a step is."""
    return whole * int(step) if step >= 1 else whole / int(1 / step)


@dataclass(frozen=True, slots=True)
class Money:
    """The units of a run.

    Attributes:
        terms: Of the venue.
        units: Of each instrument, by its name with the venue.
    """

    terms: VenueTerms
    units: Mapping[str, Units]

    def fills(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return a table of fills in currency and quantities."""
        amounts = ("commission", "tax", "stt", "rst", "gross")
        return self._shown(table, amounts, ("price",), ("quantity",))

    def orders(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return a table of orders in currency and quantities."""
        return self._shown(table, (), ("price",), ("quantity",))

    def positions(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return a table of positions in currency and quantities."""
        return self._shown(table, ("value",), ("close",), ("quantity",))

    def trades(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return a table of trades in currency and quantities."""
        if self.terms.money_places == 0:
            return table
        step = self._steps(lambda units: float(units.quantity_step))
        # What was paid for one smallest quantity becomes what was paid for one.
        per_one = pl.col("exit_price") / self.terms.money_scale / step
        amounts = ("invested", "commission", "tax", "profit")
        found = table.with_columns(per_one.alias("exit_price"))
        return self._shown(found, amounts, ("entry_price",), ("quantity", "sold"))

    def equity(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return a path of equity in currency."""
        return self._shown(table, ("cash", "positions", "equity"), (), ())

    def _shown(
        self,
        table: pl.DataFrame,
        amounts: tuple[str, ...],
        prices: tuple[str, ...],
        quantities: tuple[str, ...],
    ) -> pl.DataFrame:
        if self.terms.money_places == 0:
            return table
        price = self._steps(lambda units: float(units.price_step))
        quantity = self._steps(lambda units: float(units.quantity_step))
        return table.with_columns(
            *((pl.col(name) / self.terms.money_scale).alias(name) for name in amounts),
            *(_times(name, price) for name in prices),
            *(_times(name, quantity) for name in quantities),
        )

    def _steps(self, of: Callable[[Units], float]) -> pl.Expr:
        steps = {name: of(units) for name, units in self.units.items()}
        return pl.col("instrument").replace_strict(steps, return_dtype=pl.Float64)


def _times(name: str, step: pl.Expr) -> pl.Expr:
    """Return a column times a power of ten: dividing by a whole number rounds once."""
    small = pl.col(name) / (1.0 / step).round(0)
    return pl.when(step < 1.0).then(small).otherwise(pl.col(name) * step).alias(name)
