"""Base prices on the ex or resumption day of a corporate action, before rounding to the grid.

Exact fractions of a won; `prices.rounded_reference` rounds them up to the tick. An action that
goes through the opening-price method (capital reduction, spin-off relisting) has no formula: the
auction sets its base.
"""

from fractions import Fraction

Ratio = int | Fraction


def after_share_exchange(previous_close: int, old_shares: int, new_shares: int) -> Fraction:
    """Return the base after a split or consolidation of `old_shares` into `new_shares`.

    Raises:
        ValueError: A number is not above zero.
    """
    _require_positive(previous_close, old_shares, new_shares)
    return Fraction(previous_close * old_shares, new_shares)


def after_free_shares(cum_price: int, ratio: Ratio) -> Fraction:
    """Return the base after a bonus issue or stock dividend of `ratio` new shares per old one.

    Raises:
        ValueError: A number is not above zero.
    """
    _require_positive(cum_price, ratio)
    return cum_price / (1 + Fraction(ratio))


def after_rights_issue(cum_price: int, issue_price: int, ratio: Ratio) -> Fraction:
    """Return the base after an offer of `ratio` new shares per old one to the holders.

    Raises:
        ValueError: A number is not above zero.
    """
    _require_positive(cum_price, issue_price, ratio)
    return (cum_price + issue_price * Fraction(ratio)) / (1 + Fraction(ratio))


def after_cash_dividend(cum_price: int) -> Fraction:
    """Return the base after a cash dividend: KRX leaves it unchanged."""
    _require_positive(cum_price)
    return Fraction(cum_price)


def opening_range(appraised_price: int) -> tuple[int, int]:
    """Return the lowest and highest quote of an opening-price auction, in won, unrounded."""
    _require_positive(appraised_price)
    return -(-appraised_price // 2), appraised_price * 2


def _require_positive(*values: Ratio) -> None:
    for value in values:
        if value <= 0:
            raise ValueError(f"{value} is not above 0")
