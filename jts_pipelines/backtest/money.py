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

_PRICE_PLACES = 8
StepOf = Callable[[Units], Decimal]


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
        amounts = ("commission", "dividend", "borrow_fee", "tax", "stt", "rst", "gross")
        return self._shown(table, amounts, ("price",), ("quantity",))

    def orders(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return a table of orders in currency and quantities."""
        return self._shown(table, (), ("price",), ("quantity",))

    def positions(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return a table of positions in currency and quantities."""
        return self._shown(table, ("value",), ("close",), ("quantity",))

    def trades(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return a table of trades in currency and quantities."""
        amounts = ("invested", "commission", "tax", "dividends", "borrow_fee", "profit")
        found = self._shown(table, amounts, ("entry_price",), ("quantity", "sold"))
        if self.terms.money_places == 0:
            return found
        # What was paid for one smallest quantity becomes what was paid for one.
        per_one = self._steps(table, lambda units: units.quantity_step) * self.terms.money_scale
        # A mean of whole steps: the last bits of a quotient of quotients are not.
        return found.with_columns(_divided(table["exit_price"], per_one).round(_PRICE_PLACES))

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
        columns = [_divided(table[name], float(self.terms.money_scale)) for name in amounts]
        columns += self._stepped(table, prices, lambda units: units.price_step)
        columns += self._stepped(table, quantities, lambda units: units.quantity_step)
        return table.with_columns(columns)

    def _stepped(self, table: pl.DataFrame, names: tuple[str, ...], of: StepOf) -> list[pl.Series]:
        """Return columns times a step that is a power of ten: one of two factors is 1."""
        if not names:
            return []
        above = self._steps(table, lambda units: max(of(units), Decimal(1)))
        below = self._steps(table, lambda units: 1 / min(of(units), Decimal(1)))
        return [_divided(table[name] * above, below) for name in names]

    def _steps(self, table: pl.DataFrame, of: StepOf) -> Floats:
        steps = {name: float(of(units)) for name, units in self.units.items()}
        found: Floats = (
            table["instrument"].replace_strict(steps, return_dtype=pl.Float64).to_numpy()
        )
        return found


def _divided(column: pl.Series, by: float | Floats) -> pl.Series:
    """Return quotients that are rounded once: polars multiplies by the reciprocal."""
    quotient = pl.Series(column.name, column.cast(pl.Float64).fill_null(0.0).to_numpy() / by)
    return quotient.set(column.is_null(), None)
