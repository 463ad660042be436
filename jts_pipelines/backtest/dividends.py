"""Cash dividends: what a position earns on the first bar of its ex-date.

Bars stay raw and so does the base price, as at KRX, which does not lower it by a dividend in cash.
"""

from datetime import date
from typing import NamedTuple

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
