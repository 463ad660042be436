"""Recorded bars as a tape of trades: deterministic, on the recorded prices, volume conserved.

A bar becomes prints along open, low, high, close when it closed at or above its open, and open,
high, low, close when below: the shortest path that can have touched all four. Each leg is walked
in equal steps on the grid. The shares of the bar are dealt over its prints as evenly as whole
shares allow, so their sum is the bar's volume exactly.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jts_trading.domain.market.costs import Side
from jts_trading.simulation.krx_market import Print

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TapeBar:
    """One recorded bar of one instrument, labelled by its start (UTC ns); won and shares."""

    symbol: str
    start_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int


def prints_of(bar: TapeBar, tick: int, *, prints_max: int = 12, bar_s: int = 60) -> list[Print]:
    """Return the trades of a bar, ascending in time, inside it.

    Args:
        bar: The bar; one without volume has no trades.
        tick: Price step of the walk between the four prices.
        prints_max: Most trades of a bar, at least 4: more make the walk finer.
        bar_s: Length of the bar in seconds.

    Raises:
        ValueError: The four prices contradict each other, or the volume is negative.
    """
    if not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
        raise ValueError(f"{bar} has prices outside its low and high")
    if bar.volume < 0 or bar.low <= 0:
        raise ValueError(f"{bar} has a volume below 0 or a price not above 0")
    if not bar.volume:
        return []
    path = _path(bar, tick, min(prints_max, bar.volume))
    share, rest = divmod(bar.volume, len(path))
    prints: list[Print] = []
    side = Side.BUY if bar.close >= bar.open else Side.SELL
    for at, price in enumerate(path):
        if prints and price != prints[-1].price:
            side = Side.BUY if price > prints[-1].price else Side.SELL
        # The wire has whole seconds.
        second = at * bar_s // len(path)
        quantity = share + (at < rest)
        prints.append(Print(bar.start_ns + second * NS_PER_S, bar.symbol, price, quantity, side))
    return prints


def _path(bar: TapeBar, tick: int, prints_max: int) -> list[int]:
    middle = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
    corners = [bar.open]
    for price in (*middle, bar.close):
        if price != corners[-1]:
            corners.append(price)
    if len(corners) >= prints_max:
        return _fewest(bar, corners, prints_max)
    legs = list(itertools.pairwise(corners))
    between = (prints_max - len(corners)) // len(legs) if legs else 0
    path = [corners[0]]
    for start, end in legs:
        path += [*_steps(start, end, tick, between), end]
    return path


def _fewest(bar: TapeBar, corners: list[int], prints_max: int) -> list[int]:
    """Choose when there are fewer shares than corners: close and open first, then extremes."""
    if prints_max >= len(corners):
        return corners
    order = (bar.close, bar.open, bar.high, bar.low)
    if prints_max == 1:
        return [bar.close]
    kept = set(order[:prints_max])
    return [*[price for price in corners[:-1] if price in kept][: prints_max - 1], bar.close]


def _steps(start: int, end: int, tick: int, between: int) -> list[int]:
    direction = 1 if end > start else -1
    ticks = abs(end - start) // tick
    count = min(between, max(0, ticks - 1))
    return [
        start + direction * tick * (ticks * step // (count + 1)) for step in range(1, count + 1)
    ]


def merged(tapes: Iterable[Iterable[Print]]) -> Iterator[Print]:
    """Yield the trades of several instruments in the order of time, then symbol."""
    yield from sorted(
        (trade for tape in tapes for trade in tape), key=lambda trade: (trade.ts_ns, trade.symbol)
    )
