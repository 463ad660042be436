"""How far orders were filled from the price that they were decided at, as chart and table."""

import io

import numpy as np
import polars as pl

from jts_pipelines.backtest.slippage import Slippage, slippage_by_kind, slippage_by_order
from jts_pipelines.reports.charts import inline
from jts_pipelines.reports.page import figure, table
from jts_pipelines.reports.style import GAIN, INK, LOSS, MUTED, draw, show_thousands
from jts_pipelines.reports.words import amount, currency_word

_BARS = 60
_ENDS = (0.01, 0.99)
_NARROWEST_BPS = 0.05
_NOTE = (
    "<p class='muted small'>Distance from the newest trade when an order was given, in hundredths "
    "of a per cent of its price: above zero is worse. It has the spread, the depth of the book "
    "and what the market did meanwhile; commissions are not in it.</p>"
)


def slippage_part(orders: pl.DataFrame, currency: str) -> str:
    """Return a chart and a table of the slippage of orders, or nothing where none was filled.

    Args:
        orders: See `event_result.EventResult`.
        currency: Of the account.
    """
    by_kind = slippage_by_kind(orders)
    if not by_kind:
        return ""
    head = ("Orders", "count", "mean, bps", "by value, bps", "worst, bps", currency_word(currency))
    rows = [
        (f"{kind.replace('_', '-')} {side}", *_shown(found, currency))
        for (kind, side), found in by_kind.items()
    ]
    return figure(_chart(orders)) + table(head, rows) + _NOTE


def _shown(found: Slippage, currency: str) -> tuple[str, ...]:
    distances = (found.mean_bps, found.value_bps, found.worst_bps)
    return (
        f"{found.orders:,}",
        *("–" if bps is None else f"{bps:+,.2f}" for bps in distances),
        amount(found.cost, currency, is_signed=True),
    )


def _chart(orders: pl.DataFrame) -> str:
    """Return how many orders were filled at which distance; the ends gather what lies beyond."""
    distances = slippage_by_order(orders)["slippage_bps"].to_numpy()
    low, high = np.quantile(distances, _ENDS)
    # Zero is an edge, so that no bar holds better and worse ones.
    width = max((high - low) / _BARS, _NARROWEST_BPS)
    edges = np.arange(np.floor(low / width) - 1, np.ceil(high / width) + 2) * width
    moved = distances[distances != 0]
    counts, edges = np.histogram(np.clip(moved, edges[0], edges[-1]), bins=edges)
    centres = (edges[:-1] + edges[1:]) / 2
    buffer = io.BytesIO()
    with draw((10.6, 2.4), buffer, "svg") as drawn:
        axes = drawn.subplots()
        colours = [LOSS if at > 0 else GAIN for at in centres]
        axes.bar(centres, counts, width=np.diff(edges) * 0.92, color=colours, alpha=0.8)
        axes.bar(0, len(distances) - len(moved), width=width / 2, color=MUTED)
        mean = float(distances.mean())
        axes.axvline(mean, color=INK, lw=1.0, ls=(0, (3, 2)))
        tones = "blue worse, red better, grey neither"
        axes.set_title(f"Orders by slippage, bps ({tones}; dashed: mean {mean:+.2f})")
        axes.locator_params(axis="y", integer=True)
        show_thousands(axes)
        axes.grid(visible=False, axis="x")
    return inline(buffer)
