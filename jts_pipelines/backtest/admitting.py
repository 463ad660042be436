"""The bars of a run: laid out, of the instruments that the universe of its strategy accepts."""

from collections.abc import Iterable, Iterator

import polars as pl

from jts_pipelines.backtest.bar_layout import Group, groups_of, lay_out
from jts_pipelines.backtest.history import History
from jts_pipelines.backtest.instruments import Instruments, read_instruments
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.venues import units_of_venue
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.plan import Plan, Universe
from jts_trading.strategy.universe import admits, describe, selects
from storage.errors import InputError


def admission_of(
    plan: Plan, settings: BacktestSettings, listing: pl.DataFrame | None
) -> "Admission":
    """Return what a strategy may trade, by a listing (see `instruments`)."""
    instruments = read_instruments(listing, settings.unknown_market, settings.venue)
    return Admission(plan.universe, instruments)


class Admission:
    """Decides by symbol what a strategy may trade."""

    def __init__(self, universe: Universe, instruments: Instruments) -> None:
        self._universe, self._instruments = universe, instruments
        self._known: dict[str, bool] = {}

    @property
    def is_open(self) -> bool:
        """Whether every instrument is accepted."""
        return not selects(self._universe)

    def accepts(self, symbol: str) -> bool:
        """Return whether an instrument is accepted."""
        if self.is_open:
            return True
        if symbol not in self._known:
            listed = self._instruments.find(symbol)
            name = f"{self._instruments.venue}:{symbol}"
            self._known[symbol] = admits(self._universe, name, listed.market, listed.asset)
        return self._known[symbol]

    def kept(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of accepted instruments."""
        if self.is_open or "symbol" not in frame.columns:
            return frame
        symbols = frame["symbol"].unique().cast(pl.String).to_list()
        accepted = [symbol for symbol in symbols if self.accepts(symbol)]
        if len(accepted) == len(symbols):
            return frame
        return frame.filter(pl.col("symbol").cast(pl.String).is_in(accepted))

    def require_any(self) -> None:
        """Refuse a universe that accepted none of the instruments that were asked about.

        Raises:
            InputError: It did.
        """
        if self._known and not any(self._known.values()):
            raise InputError(
                f"the universe of the strategy accepts none of {len(self._known)} instruments; "
                f"it asks for {describe(self._universe)}"
            )


def history_of(
    bars: pl.DataFrame | History, admission: Admission, settings: BacktestSettings
) -> History:
    """Return the bars that a strategy may trade, laid out.

    Args:
        bars: Rows (see `bar_rows`), or what was laid out already.
        admission: Of the strategy.
        settings: For the venue.

    Raises:
        InputError: The rows cannot be used, see `lay_out`, or all are outside the universe.
    """
    if isinstance(bars, pl.DataFrame):
        frame = admission.kept(bars)
        admission.require_any()
        return laid_out(groups_of(frame), settings, frame.height)
    symbols = bars.table.symbols
    chosen = [at for at, symbol in enumerate(symbols) if admission.accepts(symbol)]
    admission.require_any()
    if len(chosen) == len(symbols):
        return bars
    return laid_out(_again(bars.groups(chosen)), settings)


def history_before(history: History, end_ms: int, settings: BacktestSettings) -> History:
    """Return the bars that begin before an instant, as if there had never been others.

    Raises:
        InputError: There are none.
    """
    is_early = pl.col("timestamp").dt.epoch("ms") < end_ms
    groups = history.groups(range(len(history.table.symbols)))
    return laid_out(_again(group.filter(is_early) for group in groups), settings)


def laid_out(groups: Iterable[Group], settings: BacktestSettings, rows: int = 0) -> History:
    """Lay groups of rows out for the venue of a run; see `lay_out`."""
    is_whole = settings.terms.money_places == 0
    units_of = None if is_whole else units_of_venue(settings.venue, default_table())
    return lay_out(groups, calendar_for(settings.venue), units_of, rows)


def _again(frames: Iterable[pl.DataFrame]) -> Iterator[Group]:
    for frame in frames:
        yield Group(frame.height, lambda frame=frame: frame)  # type: ignore[misc]
