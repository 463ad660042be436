"""Charts of a backtest as SVG for a page.

Names of people's making do not enter a chart; the page around it shows them.
"""

import io
import re

import numpy as np
import polars as pl

from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.reports.style import (
    GAIN,
    INK,
    LOSS,
    MUTED,
    SLATE,
    draw,
    show_dates,
    show_thousands,
)

_MILLION = 1_000_000
_SPAN = np.timedelta64(3, "D")
# Names that matplotlib gives to groups: several charts stand in one page, so they go.
_GROUP_ID = re.compile(r' id="(?!m[0-9a-f]{8,}|p[0-9a-f]{8,}|C\d+_\d+_)[^"]*"')


def equity_chart(result: BacktestResult) -> str:
    """Return equity, invested share and drawdown over time, one above the other."""
    equity = result.equity
    days = equity["session"].to_numpy()
    worth = equity["equity"].to_numpy() / _MILLION
    invested = 100 * equity["positions"].to_numpy() / np.maximum(equity["equity"].to_numpy(), 1)
    fall = 100 * equity["drawdown"].to_numpy()
    buffer = io.BytesIO()
    with draw((10.6, 5.6), buffer, "svg") as figure:
        axes = figure.subplots(3, 1, sharex=True, height_ratios=(3.2, 1, 1.2))
        start = result.start_cash / _MILLION
        axes[0].axhline(start, color=MUTED, lw=0.8, ls=(0, (4, 3)))
        axes[0].plot(days, worth, color=SLATE, lw=1.6, marker="o" if len(days) == 1 else "")
        axes[0].fill_between(days, worth, start, color=SLATE, alpha=0.07, lw=0)
        axes[0].set_title("Equity, million won (dashed: starting cash)")
        axes[1].fill_between(days, invested, color=SLATE, alpha=0.25, lw=0)
        axes[1].set_ylim(0, max(102.0, float(invested.max())))
        axes[1].set_title("Invested, % of equity; the rest is cash")
        axes[2].fill_between(days, fall, color=LOSS, alpha=0.3, lw=0)
        axes[2].plot(days, fall, color=LOSS, lw=0.8)
        axes[2].set_ylim(min(float(fall.min()) * 1.08, -1.0), 0)
        axes[2].set_title("Drawdown, %")
        if len(days) == 1:
            # One point has no width: the axis would span years.
            axes[2].set_xlim(days[0] - _SPAN, days[0] + _SPAN)
        for part in axes:
            show_thousands(part)
        show_dates(axes[2])
    return inline(buffer)


def trades_chart(result: BacktestResult) -> str:
    """Return closed trades as points: when they ended, what they returned, how large they were."""
    closed = result.trades.filter(pl.col("status") == "closed")
    if closed.height == 0:
        return ""
    invested = closed["invested"].to_numpy().astype(float)
    colours = [GAIN if profit > 0 else LOSS for profit in closed["profit"]]
    buffer = io.BytesIO()
    with draw((5.4, 3.3), buffer, "svg") as figure:
        axes = figure.subplots()
        axes.axhline(0, color=MUTED, lw=0.8)
        axes.scatter(
            closed["exit_session"].to_numpy(),
            100 * closed["return"].to_numpy(),
            s=6 + 60 * invested / max(invested.max(), 1.0),
            c=colours,
            alpha=0.55,
            lw=0,
        )
        axes.set_title(
            "Return of each closed trade, % (red gain, blue loss; area: money invested)"
        )
        show_thousands(axes)
        show_dates(axes)
    return inline(buffer)


def profit_chart(result: BacktestResult) -> str:
    """Return how many closed trades ended with which return; the ends gather what lies beyond."""
    closed = result.trades.filter(pl.col("status") == "closed")
    if closed.height == 0:
        return ""
    returns = 100 * closed["return"].to_numpy()
    edge = max(float(np.abs(np.quantile(returns, (0.01, 0.99))).max()), 1.0)
    counts, edges = np.histogram(np.clip(returns, -edge, edge), bins=40, range=(-edge, edge))
    centres = (edges[:-1] + edges[1:]) / 2
    buffer = io.BytesIO()
    with draw((5.4, 3.3), buffer, "svg") as figure:
        axes = figure.subplots()
        colours = [GAIN if at > 0 else LOSS for at in centres]
        axes.bar(centres, counts, width=np.diff(edges) * 0.92, color=colours, alpha=0.8)
        axes.axvline(float(returns.mean()), color=INK, lw=1.0, ls=(0, (3, 2)))
        axes.set_title(f"Closed trades by return, % (dashed: mean {returns.mean():+.2f} %)")
        axes.locator_params(axis="y", integer=True)
        show_thousands(axes)
        axes.grid(visible=False, axis="x")
    return inline(buffer)


def price_chart(result: BacktestResult) -> str:
    """Return the price of the most traded instrument with its entries and exits."""
    path = result.price_path
    if path.height == 0:
        return ""
    fills = result.fills.filter(pl.col("instrument") == path["instrument"][0])
    buffer = io.BytesIO()
    with draw((10.6, 3.1), buffer, "svg") as figure:
        axes = figure.subplots()
        axes.plot(path["session"].to_numpy(), path["close"].to_numpy(), color=MUTED, lw=1.0)
        for side, mark, colour in (("buy", "^", GAIN), ("sell", "v", LOSS)):
            own = fills.filter(pl.col("side") == side)
            days, prices = own["session"].to_numpy(), own["price"].to_numpy()
            axes.scatter(days, prices, marker=mark, s=42, c=colour, label=side, zorder=3)
        axes.set_title("Close, won; marks are fills: red buys, blue sales")
        axes.legend(loc="upper right", ncols=2)
        show_thousands(axes)
        show_dates(axes)
    return inline(buffer)


def inline(buffer: io.BytesIO) -> str:
    """Return a drawn SVG as markup that may stand beside others in one page."""
    text = buffer.getvalue().decode()
    return _GROUP_ID.sub("", text[text.index("<svg") :])
