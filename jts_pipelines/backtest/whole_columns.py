"""Prices and quantities of bars as the numbers that a backtest counts with.

Where everything is counted in won and shares, columns must hold whole numbers already. Elsewhere
prices become whole steps of their instrument, and quantities stay coins, as a live step sees them.
"""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from jts_pipelines.backtest.columns import Floats, Ints, Whole
from jts_trading.strategy.units import Units
from storage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

PRICES = ("open", "high", "low", "close")
# Sizes and stops multiply prices by millions inside 64 bits; no share was ever near it.
PRICE_MAX = 100_000_000_000
_EXACT_MAX = 1 << 53
_NARROW_MAX = 1 << 31
_BLOCK = 1 << 15
# How far a float may lie from a whole number of steps that it stands for.
_NEAR = 1e-6


def won_prices(frame: pl.DataFrame) -> Whole:
    """Return open, high, low and close side by side.

    Raises:
        InputError: One is no whole number of won.
    """
    return _side_by_side([whole_column(frame, name) for name in PRICES])


def shares(frame: pl.DataFrame) -> Whole:
    """Return the volume as whole shares.

    Raises:
        InputError: One is no whole number.
    """
    return narrow(whole_column(frame, "volume"))


def stepped_prices(frame: pl.DataFrame, offsets: Ints, units: "Sequence[Units]") -> Whole:
    """Return open, high, low and close side by side, in price steps of their instrument.

    Args:
        frame: Rows in order.
        offsets: First row of each instrument, and the number of rows at the end.
        units: Of each instrument.

    Raises:
        InputError: A price is negative, no number, or lies between two steps.
    """
    lengths = np.diff(offsets)
    # One of the two is a whole number, so that it is exact.
    above = np.repeat([float(max(u.price_step, Decimal(1))) for u in units], lengths)
    below = np.repeat([float(1 / min(u.price_step, Decimal(1))) for u in units], lengths)
    found = []
    for name in PRICES:
        values = frame[name].cast(pl.Float64).to_numpy()
        steps = values / above * below
        near = np.rint(steps)
        is_wrong = ~((values >= 0) & (near < PRICE_MAX) & (np.abs(steps - near) <= _NEAR * below))
        _refuse(frame, name, values, is_wrong, "numbers on the venue's tick")
        found.append(near.astype(np.int64))
    return _side_by_side(found)


def coins(frame: pl.DataFrame) -> Floats:
    """Return the volume in coins.

    Raises:
        InputError: One is negative or no number.
    """
    values: Floats = frame["volume"].cast(pl.Float64).to_numpy()
    is_wrong = ~((values >= 0) & (values < _EXACT_MAX))
    _refuse(frame, "volume", values, is_wrong, "numbers of coins from 0 on")
    return values


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


def whole_column(frame: pl.DataFrame, name: str) -> Ints:
    """Return a column of won or shares as whole numbers.

    Raises:
        InputError: A value is none, or out of range.
    """
    values = frame[name].to_numpy()
    most = _EXACT_MAX if name == "volume" else PRICE_MAX
    if values.dtype.kind in "iu":
        if values.min() >= 0 and values.max() < most:
            return values
        is_wrong = (values < 0) | (values >= most)
    else:
        is_wrong = ~((values >= 0) & (values < most) & (values == np.floor(values)))
    unit = "shares" if name == "volume" else "won"
    _refuse(frame, name, values, is_wrong, f"whole {unit} from 0 to below {most:,}")
    return values.astype(np.int64)


def _side_by_side(columns: list[Ints]) -> Whole:
    is_narrow = all(len(c) == 0 or c.max() < _NARROW_MAX for c in columns)
    prices = np.empty((len(columns[0]), len(columns)), np.int32 if is_narrow else np.int64)

    def fill(first: int) -> None:
        rows = slice(first, first + _BLOCK)
        for place, column in enumerate(columns):
            prices[rows, place] = column[rows]

    # What is written stays in the cache until all four are there.
    with ThreadPoolExecutor(2) as threads:
        for _ in threads.map(fill, range(0, len(prices), _BLOCK)):
            pass
    return prices


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
