"""Corporate actions as the portfolio and as rules see them.

Bars stay raw. To the portfolio an action is a row: what becomes of shares, cash and the base price
on its first bar (`exchanging`). Rules see prices and volumes in the shares of the first bar of
their instrument, so that nothing jumps: what a run has decided does not depend on actions that
come later.
"""

import numpy as np

from jts_pipelines.backtest import places
from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Floats, Ints, Whole
from jts_pipelines.backtest.dividends import read_dividend
from jts_pipelines.backtest.rights import rights_rows, with_rights
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.splits import first_row_of, split_rows
from jts_trading.domain.instruments import Venue
from storage.errors import InputError

_Row = tuple[int, ...]


def corporate_rows(bars: BarTable, settings: BacktestSettings) -> Ints:
    """Return splits, rights issues and dividends by row, see `places.SPLIT_ROW`.

    A split pays nothing, and in a dividend one share stays one. Of one row, dividends come first
    and splits last: what is paid is paid for the shares before.

    Args:
        bars: Those that traded.
        settings: For all three, and the tax on dividends.

    Raises:
        InputError: One is not spelled as it should be, or the venue has no shares.
    """
    for name in ("dividends", "rights"):
        if getattr(settings, name) and settings.venue != Venue.KRX:
            raise InputError(f"{name} are those of shares; venue is {settings.venue}")
    found = _dividend_rows(bars, settings)
    for issue in rights_rows(bars, settings.rights):
        row, at, base, close, worth, part = issue
        found.append((row, base, close, at, worth, part, 0, places.REASON_RIGHTS))
    for row, old, new, at in split_rows(bars, settings.splits).tolist():
        found.append((row, old, new, at, 0, 0, 0, places.REASON_SPLIT))
    found.sort(key=lambda action: action[places.SPLIT_ROW])
    return np.array(found, np.int64).reshape(-1, places.SPLIT_COLUMNS)


def _dividend_rows(bars: BarTable, settings: BacktestSettings) -> list[_Row]:
    tax, found = settings.ppm("dividend_tax_percent"), []
    for paid in map(read_dividend, settings.dividends):
        row, at = first_row_of(bars, paid.symbol, paid.day)
        if row >= 0:
            found.append((row, 1, 1, at, paid.amount, 0, tax, places.REASON_DIVIDEND))
    return sorted(found)


def steady_columns(bars: BarTable, actions: Ints) -> tuple[Whole | Floats, Whole | Floats]:
    """Return prices and volumes in the shares of the first bar; whole prices where ratios are.

    A rights issue leaves prices whole and volumes as they are.

    Args:
        bars: Those that traded.
        actions: See `corporate_rows`.
    """
    splits = actions[actions[:, places.SPLIT_OLD] != actions[:, places.SPLIT_NEW]]
    rights = splits[:, places.SPLIT_REASON] == places.REASON_RIGHTS
    prices: Whole = bars.prices
    if len(splits) == 0:
        return prices, bars.volume
    above, below = _ratios(bars, splits[~rights])
    volume = bars.volume * (below / above) if not rights.all() else bars.volume
    if rights.any():
        prices, above, below = _with_rights(bars, splits)
    if (above % below == 0).all():
        return prices.astype(np.int64) * (above // below)[:, None], volume
    return prices * (above / below)[:, None], volume


def _ratios(bars: BarTable, splits: Ints) -> tuple[Ints, Ints]:
    """Return by row how many shares of its first bar a share is: above / below is the inverse."""
    above, below = np.ones(bars.rows, np.int64), np.ones(bars.rows, np.int64)
    for row, old, new, at in splits[:, :4].tolist():
        later = slice(row, bars.offsets[at + 1])
        above[later] *= new
        below[later] *= old
    return above, below


def _with_rights(bars: BarTable, actions: Ints) -> tuple[Ints, Ints, Ints]:
    """Return whole prices as they were before all rights issues, and the splits before those.

    The latest action is undone first: each knows the shares just after it.
    """
    prices = bars.prices.astype(np.int64)
    above, below = np.ones(bars.rows, np.int64), np.ones(bars.rows, np.int64)
    for row, old, new, at, *_, reason in actions[::-1].tolist():
        later = slice(row, bars.offsets[at + 1])
        if reason == places.REASON_SPLIT:
            above[later] *= new
            below[later] *= old
        else:
            prices[later] = with_rights(prices[later], old, new, above[later], below[later])
            above[later] = below[later] = 1
    return prices, above, below
