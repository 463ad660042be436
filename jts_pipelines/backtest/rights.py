"""Rights issues: what a position earns when it may subscribe to new shares below the price.

On the first bar of its ex-date a share is worth less by what the right to subscribe is worth. The
holder sells that right at its worth; KRX lowers the base price of the session to what is left.
"""

from datetime import date
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import NamedTuple

from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Ints
from jts_pipelines.backtest.splits import first_row_of
from jts_trading.domain.market.corporate import after_rights_issue
from jts_trading.strategy.sizing import PPM
from storage.errors import InputError

PRICE_MAX = 100_000_000
RATIO_MAX = 100
# Twice the product of two such prices is counted in 64 bits.
CLOSE_MAX = 1_000_000_000
COUNTED = 1 << 62


class RightsIssue(NamedTuple):
    """Who holds a share before `day`, its ex-date, may buy `ratio` new ones at `price`."""

    symbol: str
    day: date
    ratio: Fraction
    price: int


class RightsRow(NamedTuple):
    """A rights issue as the portfolio sees it.

    Attributes:
        row: The first one without the right.
        at: Number of the instrument.
        base: Of the session, won, not on the grid yet.
        close: The last one with the right, won.
        worth: Of the right of a share, whole won.
        part: What is left of it, in millionths of a won, rounded down.
    """

    row: int
    at: int
    base: int
    close: int
    worth: int
    part: int


def read_rights_issue(text: str) -> RightsIssue:
    """Read `005930@2024-03-04=0.2:15000`: symbol, ex-date, new shares for an old one, won.

    Raises:
        InputError: It is not spelled so.
    """
    symbol, at, rest = text.strip().partition("@")
    day, equals, terms = rest.partition("=")
    share, colon, amount = terms.partition(":")
    price = int(amount) if amount.isdecimal() else 0
    try:
        ratio = Decimal(share)
    except InvalidOperation:
        ratio = Decimal(0)
    is_sound = ratio.is_finite() and 0 < ratio <= RATIO_MAX and 0 < price <= PRICE_MAX
    if not (symbol and at and equals and colon and is_sound):
        raise InputError(
            f"rights issue {text!r}; accepted: SYMBOL@DAY=RATIO:PRICE such as "
            "005930@2024-03-04=0.2:15000, the first day without the right, new shares for an old "
            f"one up to {RATIO_MAX}, and won for a new one from 1 to {PRICE_MAX:,}"
        )
    try:
        return RightsIssue(symbol, date.fromisoformat(day), Fraction(ratio), price)
    except ValueError as error:
        raise InputError(f"rights issue {text!r}: {error}") from error


def rights_rows(bars: BarTable, rights: tuple[str, ...]) -> list[RightsRow]:
    """Return the issues with bars on both sides whose right is worth something, as given.

    Args:
        bars: Those that traded.
        rights: As settings spell them.

    Raises:
        InputError: One is not spelled as it should be, or a price is too high to be counted.
    """
    found: list[RightsRow] = []
    closes: dict[int, int] = {}
    for issue in map(read_rights_issue, rights):
        row, at = first_row_of(bars, issue.symbol, issue.day)
        if row < 0:
            continue
        # A second issue on the same bar is of what the first one left.
        close = closes.get(row, int(bars.close[row - 1]))
        if close > CLOSE_MAX:
            raise InputError(
                f"{issue.symbol} closed at {close:,} before its rights issue; a price is counted "
                f"exactly up to {CLOSE_MAX:,}"
            )
        if issue.price >= close:
            continue
        left = after_rights_issue(close, issue.price, issue.ratio)
        whole, part = divmod((close - left) * PPM // 1, PPM)
        closes[row] = base = -(-left.numerator // left.denominator)
        found.append(RightsRow(row, at, base, close, int(whole), int(part)))
    return found


def with_rights(prices: Ints, base: int, close: int, above: Ints, below: Ints) -> Ints:
    """Return prices of shares without a right as whole prices of shares with it, half up.

    The base becomes the close before it, and two prices never become one.

    Args:
        prices: [row, open high low close], whole numbers.
        base: See `RightsRow`.
        close: Likewise.
        above: By row: what its prices are multiplied with first.
        below: By row: what they are divided by.

    Raises:
        InputError: They are past what is counted exactly.
    """
    times, over = 2 * close * int(above.max()), 2 * base * int(below.max())
    if int(prices.max()) * times + over >= COUNTED:
        raise InputError("prices after a rights issue are past what is counted exactly")
    over_of = (2 * base * below)[:, None]
    found: Ints = (prices * (2 * close * above)[:, None] + over_of // 2) // over_of
    return found
