"""Cash dividends: what a position earns on the first bar of its ex-date.

Bars stay raw and so does the base price, as at KRX, which does not lower it by a dividend in cash.
"""

from datetime import date
from typing import NamedTuple

import numpy as np

from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Ints
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.splits import first_row_of, split_rows
from jts_trading.domain.instruments import Venue
from storage.errors import InputError

AMOUNT_MAX = 100_000_000


class Dividend(NamedTuple):
    """What is paid for a share to those who hold it before `day`, its ex-date."""

    symbol: str
    day: date
    amount: int


def read_dividend(text: str) -> Dividend:
    """Read `005930@2024-03-28=361`: symbol, ex-date, won a share before tax.

    Raises:
        InputError: It is not spelled so.
    """
    symbol, at, rest = text.strip().partition("@")
    day, equals, amount = rest.partition("=")
    paid = int(amount) if amount.isdecimal() else 0
    if not (symbol and at and equals) or not 0 < paid <= AMOUNT_MAX:
        raise InputError(
            f"dividend {text!r}; accepted: SYMBOL@DAY=AMOUNT such as 005930@2024-03-28=361, the "
            f"first day without it and won a share from 1 to {AMOUNT_MAX:,}"
        )
    try:
        return Dividend(symbol, date.fromisoformat(day), paid)
    except ValueError as error:
        raise InputError(f"dividend {text!r}: {error}") from error


def corporate_rows(bars: BarTable, settings: BacktestSettings) -> Ints:
    """Return (row, old, new, instrument, amount, tax) of splits and dividends, by row.

    A split pays nothing, and in a dividend one share stays one. Where both are on a row, the
    dividend comes first: it is paid for the shares before.

    Args:
        bars: Those that traded.
        settings: For both, and the tax on dividends.

    Raises:
        InputError: One is not spelled as it should be, or the venue has no shares.
    """
    if settings.dividends and settings.venue != Venue.KRX:
        raise InputError(f"dividends are those of shares; venue is {settings.venue}")
    tax, found = settings.ppm("dividend_tax_percent"), []
    for paid in map(read_dividend, settings.dividends):
        row, at = first_row_of(bars, paid.symbol, paid.day)
        if row >= 0:
            found.append((row, 0, 1, 1, at, paid.amount, tax))
    for row, old, new, at in split_rows(bars, settings.splits).tolist():
        found.append((row, 1, old, new, at, 0, 0))
    rows = np.array(sorted(found), np.int64).reshape(-1, 7)
    return rows[:, [0, 2, 3, 4, 5, 6]]
