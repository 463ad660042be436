"""Prices and quantities of bars as the numbers that a backtest counts with.

Where everything is counted in won and shares, columns must hold whole numbers already. Elsewhere
prices become whole steps of their instrument, and quantities stay coins, as a live step sees them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import polars as pl

from jts_pipelines.backtest.columns import Floats, Ints, Whole
from jts_trading.strategy.units import Units
from storage.errors import InputError

PRICES = ("open", "high", "low", "close")
# Sizes and stops multiply prices by millions inside 64 bits; no share was ever near it.
PRICE_MAX = 100_000_000_000
_EXACT_MAX = 1 << 53
_NARROW_MAX = 1 << 31
_BLOCK = 1 << 15
ONE = Decimal(1)
# How far a float may lie from a whole number of steps that it stands for.
_NEAR = 1e-6


@dataclass(frozen=True, slots=True)
class Column:
    """Numbers of a column, and the lowest and highest of them."""

    values: Ints | Floats
    lowest: float
    highest: float

    @property
    def is_narrow(self) -> bool:
        """Whether the narrower of two whole types holds all of them."""
        return self.highest < _NARROW_MAX


def won_column(frame: pl.DataFrame, name: str) -> Column:
    """Return a column of won or shares as whole numbers.

    Raises:
        InputError: A value is none, or out of range.
    """
    values = frame[name].to_numpy()
    most = _EXACT_MAX if name == "volume" else PRICE_MAX
    if values.dtype.kind in "iu":
        lowest, highest = values.min(), values.max()
        if lowest >= 0 and highest < most:
            return Column(values, int(lowest), int(highest))
        is_wrong = (values < 0) | (values >= most)
    else:
        is_wrong = ~((values >= 0) & (values < most) & (values == np.floor(values)))
    unit = "shares" if name == "volume" else "won"
    _refuse(frame, name, values, is_wrong, f"whole {unit} from 0 to below {most:,}")
    return Column(values, int(values.min()), int(values.max()))


def coin_column(frame: pl.DataFrame, name: str) -> Column:
    """Return a column of prices as they stand, or of a volume in coins.

    Raises:
        InputError: A value is negative or no number.
    """
    values: Floats = frame[name].cast(pl.Float64).to_numpy()
    is_volume = name == "volume"
    is_wrong = ~((values >= 0) & (values < (_EXACT_MAX if is_volume else np.inf)))
    accepted = "numbers of coins from 0 on" if is_volume else "numbers on the venue's tick"
    _refuse(frame, name, values, is_wrong, accepted)
    return Column(values, float(values.min()), float(values.max()))


def step_prices(prices: Floats, units: Units, where: Callable[[int], str]) -> None:
    """Turn prices of an instrument into whole steps, where they stand.

    Args:
        prices: Open, high, low and close of each row, side by side.
        units: Of the instrument.
        where: Names the bar of a row.

    Raises:
        InputError: A price lies between two steps, or is more than any price.
    """
    # One of the two is a whole number, so that it is exact.
    above, below = float(max(units.price_step, ONE)), float(1 / min(units.price_step, ONE))
    steps = prices / above * below
    near = np.rint(steps)
    is_wrong = ~((near < PRICE_MAX) & (np.abs(steps - near) <= _NEAR * below))
    if is_wrong.any():
        place, row = divmod(int(np.argmax(is_wrong.T)), len(prices))
        raise InputError(
            f"{PRICES[place]} of {where(row)} is {prices[row, place]}; "
            "accepted: numbers on the venue's tick"
        )
    prices[:] = near


def summable(volume: Whole | Floats) -> Ints | Floats:
    """Return a volume in the type in which it is added up."""
    if volume.dtype.kind == "i":
        return volume.astype(np.int64)
    return volume.astype(np.float64)


def narrow_volume(volume: Ints | Floats) -> Whole | Floats:
    """Return a volume of shares in the narrower type if it holds them, coins as they are."""
    is_narrow = volume.dtype.kind == "i" and volume.size and volume.max() < _NARROW_MAX
    return volume.astype(np.int32) if is_narrow else volume


def narrow(values: Ints) -> Whole:
    """Return whole numbers in the narrower type if it holds them."""
    return values.astype(np.int32) if values.size and values.max() < _NARROW_MAX else values


def put_side_by_side(columns: Sequence[Column], prices: Whole | Floats) -> None:
    """Write columns of prices beside each other.

    Args:
        columns: Open, high, low and close.
        prices: [row, place], as many rows as the columns have.
    """
    # What is written stays in the cache until all four are there.
    for first in range(0, len(prices), _BLOCK):
        rows = slice(first, first + _BLOCK)
        for place, column in enumerate(columns):
            prices[rows, place] = column.values[rows]


def _refuse(
    frame: pl.DataFrame, name: str, values: np.ndarray, is_wrong: np.ndarray, accepted: str
) -> None:
    if is_wrong.any():
        at = int(np.argmax(is_wrong))
        symbol, stamp = frame["symbol"][at], frame["timestamp"][at]
        raise InputError(
            f"{name} of {symbol} at {stamp:%Y-%m-%d %H:%M} UTC is {values[at]}; "
            f"accepted: {accepted}"
        )
