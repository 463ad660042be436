"""Slow formulas of indicators: each looks at all bars up to the one in question.

Independent of the steps: written from the definitions, with lists and no state. A formula takes
bars (dicts of columns) and the parameters, and returns the value, a tuple of values, or None.
Tests load this file by its path.
"""

from collections.abc import Callable, Sequence

Bar = dict[str, float]
Bars = Sequence[Bar]
Answer = float | None | tuple[float | None, ...]


def mean(values: Sequence[float]) -> float:
    """Simple mean."""
    return sum(values) / len(values)


def ema(values: Sequence[float], period: int) -> list[float]:
    """Exponential averages from the first one on: the seed is the mean of the first values."""
    if len(values) < period:
        return []
    found = [mean(values[:period])]
    for value in values[period:]:
        found.append(found[-1] + (value - found[-1]) * 2 / (period + 1))
    return found


def rma(values: Sequence[float], period: int) -> list[float]:
    """Wilder averages from the first one on."""
    if len(values) < period:
        return []
    found = [mean(values[:period])]
    for value in values[period:]:
        found.append((found[-1] * (period - 1) + value) / period)
    return found


def column(bars: Bars, name: str) -> list[float]:
    """Return a column."""
    return [bar[name] for bar in bars]


def sma_of_close(bars: Bars, period: int) -> Answer:
    """Simple mean."""
    closes = column(bars, "close")
    return mean(closes[-period:]) if len(closes) >= period else None


FORMULAS: dict[str, Callable[..., Answer]] = {
    "SMA": sma_of_close,
}
