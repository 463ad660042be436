"""Charts of an account's day as SVG: equity with its fills, and prices with buys and sells."""

import io
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jts_pipelines.reports.charts import inline
from jts_pipelines.reports.daily_account import Point
from jts_pipelines.reports.daily_records import Fill, Prices
from jts_pipelines.reports.style import (
    GAIN,
    LOSS,
    MUTED,
    SLATE,
    draw,
    show_dates,
    show_thousands,
)
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.sessions import KST_OFFSET_NS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = ((OrderSide.BUY, "^", GAIN), (OrderSide.SELL, "v", LOSS))


def equity_chart(curve: Sequence[Point], fills: Iterable[Fill], start: float) -> str:
    """Return equity over the day with a mark at each fill; nothing without a curve.

    Args:
        curve: In order of time.
        fills: Of the day.
        start: Equity at the beginning, drawn as a dashed line.
    """
    if not curve:
        return ""
    times = _clock(point.ts_ns for point in curve)
    worth = [float(point.equity) for point in curve]
    buffer = io.BytesIO()
    with draw((10.6, 3.4), buffer, "svg") as figure:
        axes = figure.subplots()
        axes.axhline(start, color=MUTED, lw=0.8, ls=(0, (4, 3)))
        axes.plot(times, worth, color=SLATE, lw=1.5, drawstyle="steps-post")
        axes.fill_between(times, worth, start, color=SLATE, alpha=0.07, lw=0, step="post")
        _mark_fills(axes, fills, lambda fill: _value_at(curve, fill.ts_ns))
        axes.set_title("Equity (dashed: at the beginning); marks are fills: red buys, blue sales")
        show_thousands(axes)
        show_dates(axes)
    return inline(buffer)


def price_chart(prices: Prices, fills: Iterable[Fill]) -> str:
    """Return the price of an instrument over the day with its fills; nothing without trades."""
    if not prices.ts_ns:
        return ""
    buffer = io.BytesIO()
    with draw((10.6, 2.9), buffer, "svg") as figure:
        axes = figure.subplots()
        times = _clock(prices.ts_ns)
        axes.plot(times, [float(price) for price in prices.last], color=MUTED, lw=1.0)
        _mark_fills(axes, fills, lambda fill: float(fill.price))
        axes.set_title("Last trade; marks are fills: red buys, blue sales")
        show_thousands(axes)
        show_dates(axes)
    return inline(buffer)


def _mark_fills(axes: "Axes", fills: Iterable[Fill], height: Callable[[Fill], float]) -> None:
    every = list(fills)
    for side, mark, colour in _MARKS:
        own = [fill for fill in every if fill.side is side]
        axes.scatter(
            _clock(fill.ts_ns for fill in own),
            [height(fill) for fill in own],
            marker=mark,
            s=38,
            c=colour,
            zorder=3,
        )


def _value_at(curve: Sequence[Point], ts_ns: int) -> float:
    """Return the equity at or right before an instant."""
    at = bisect_right(curve, ts_ns, key=lambda point: point.ts_ns)
    return float(curve[max(at - 1, 0)].equity)


def _clock(ts_ns: Iterable[int]) -> npt.NDArray[np.datetime64]:
    """Return instants as the clock on a wall in Seoul shows them."""
    walls: npt.NDArray[np.datetime64] = np.array(
        [each + KST_OFFSET_NS for each in ts_ns], dtype="datetime64[ns]"
    )
    return walls
