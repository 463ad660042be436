"""Tick ladders: which prices may be written, and the nearest ones that may.

Prices are whole units of `10**-scale` (KRX: scale 0, won; Upbit and Binance: scale 8). All
arithmetic is on integers; the band of a price includes its lower bound. A lower bound lies on the
grid of both its neighbours, because each tick divides the next, so rounding never leaves the grid.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache


@dataclass(frozen=True, slots=True)
class Ladder:
    """Ticks by price band.

    Attributes:
        scale: Decimal places of one price unit.
        lows: Lower bound of each band in units, ascending from 0.
        ticks: Tick of each band in units, each a divisor of the next.
    """

    scale: int
    lows: tuple[int, ...]
    ticks: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a ladder on which rounding could leave the grid.

        Raises:
            ValueError: Bands do not ascend from 0, or a tick does not divide its successor.
        """
        if not self.lows or len(self.lows) != len(self.ticks) or self.lows[0] != 0:
            raise ValueError(f"ladder bands must start at 0, found {self.lows}")
        if list(self.lows) != sorted(set(self.lows)) or min(self.ticks) <= 0:
            raise ValueError(f"ladder must ascend with ticks above 0: {self.lows}, {self.ticks}")
        for low, before, after in zip(self.lows[1:], self.ticks, self.ticks[1:], strict=False):
            if after % before or low % after:
                raise ValueError(f"tick {after} from {low} does not continue tick {before}")

    def tick(self, price: int) -> int:
        """Return the tick of the band that holds a price; both in units.

        Raises:
            ValueError: The price is negative.
        """
        if price < 0:
            raise ValueError(f"price {price} is negative; accepted: 0 and above")
        return self.ticks[bisect_right(self.lows, price) - 1]

    def is_on_grid(self, price: int) -> bool:
        """Return whether an order may carry this price in units."""
        return price > 0 and price % self.tick(price) == 0

    def floor(self, price: int) -> int:
        """Return the largest grid price at or below, in units; 0 below the first tick."""
        return price - price % self.tick(price)

    def ceil(self, price: int) -> int:
        """Return the smallest grid price at or above, in units."""
        tick = self.tick(price)
        return -(-price // tick) * tick

    def next_up(self, price: int) -> int:
        """Return the smallest grid price above, in units."""
        return self.ceil(price + 1)

    def next_down(self, price: int) -> int:
        """Return the largest grid price below, in units.

        Raises:
            ValueError: No grid price above zero lies below.
        """
        below = self.floor(price - 1) if price > 0 else 0
        if below <= 0:
            raise ValueError(f"no price above zero lies below {price}")
        return below

    def with_band(self, low: int, high: int, tick: int) -> "Ladder":
        """Return the ladder with another tick from `low` (inclusive) to `high` (exclusive)."""
        mine = zip(self.lows, self.ticks, strict=True)
        bands = [(at, step) for at, step in mine if not low <= at < high]
        bands.append((low, tick))
        if all(at != high for at, _ in bands):
            bands.append((high, self.tick(high)))
        bands.sort()
        return Ladder(self.scale, tuple(at for at, _ in bands), tuple(t for _, t in bands))


@cache
def parse_ladder(text: str, scale: int) -> Ladder:
    """Read `0:1|2000:5|5000:10`, lower bound:tick in currency, as a ladder in units.

    Raises:
        ValueError: The text is no ladder, or a number has more decimals than the scale.
    """
    bands = [_band(part, scale) for part in text.split("|")]
    return Ladder(scale, tuple(low for low, _ in bands), tuple(tick for _, tick in bands))


def _band(part: str, scale: int) -> tuple[int, int]:
    low, colon, tick = part.partition(":")
    if not colon:
        raise ValueError(f"ladder band {part!r} is not lower_bound:tick")
    return exact_units(Decimal(low), scale), exact_units(Decimal(tick), scale)


def exact_units(value: Decimal, scale: int) -> int:
    """Return a decimal as whole units of `10**-scale`.

    Raises:
        ValueError: The value is not finite or has more decimals than the scale.
    """
    units, is_exact = floor_units(value, scale)
    if not is_exact:
        raise ValueError(f"{value} has more than {scale} decimals")
    return units


def floor_units(value: Decimal, scale: int) -> tuple[int, bool]:
    """Return whole units at or below a decimal, and whether nothing was cut off.

    Raises:
        ValueError: The value is not finite.
    """
    if not value.is_finite():
        raise ValueError(f"{value} is not a number")
    numerator, denominator = value.as_integer_ratio()
    units, rest = divmod(numerator * 10**scale, denominator)
    return units, rest == 0


def decimal_of(units: int, scale: int) -> Decimal:
    """Return units of `10**-scale` as an exact decimal without exponent form."""
    return Decimal(units).scaleb(-scale) if scale else Decimal(units)


def floor_decimal(ladder: Ladder, price: Decimal) -> Decimal:
    """Return the largest grid price at or below an exact price."""
    units, _ = floor_units(price, ladder.scale)
    return decimal_of(ladder.floor(units), ladder.scale)


def ceil_decimal(ladder: Ladder, price: Decimal) -> Decimal:
    """Return the smallest grid price at or above an exact price."""
    units, is_exact = floor_units(price, ladder.scale)
    return decimal_of(ladder.ceil(units if is_exact else units + 1), ladder.scale)


def is_decimal_on_grid(ladder: Ladder, price: Decimal) -> bool:
    """Return whether an order may carry this exact price."""
    units, is_exact = floor_units(price, ladder.scale)
    return is_exact and ladder.is_on_grid(units)


def off_grid(ladder: Ladder, prices: Iterable[int]) -> list[int]:
    """Return the positions of the prices (in units) that no order may carry, ascending."""
    return [at for at, price in enumerate(prices) if not ladder.is_on_grid(price)]
