"""Charts of a backtest as SVG for a page.

Names of people's making do not enter a chart; the page around it shows them.
"""

import io
import math
import re
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes

from jts_pipelines.backtest.benchmark import Comparison
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.reports.style import (
    GAIN,
    INK,
    LOSS,
    MUTED,
    SLATE,
    draw,
    show_dates,
    show_logarithmic,
    show_thousands,
)
from jts_pipelines.reports.words import currency_word

_ROLLING = (126, 63, 21)
_LOG_FROM = 4
# More marks than this are drawn as one picture: a page stays below a megabyte.
_POINTS_MAX = 400
_BENCHMARKS = ("#b0803a", "#7a6ea8", "#4c8c7a", "#9aa5b1")
_SPAN = np.timedelta64(3, "D")
# Names that matplotlib gives to groups: several charts stand in one page, so they go.
_GROUP_ID = re.compile(r' id="(?!m[0-9a-f]{8,}|p[0-9a-f]{8,}|C\d+_\d+_)[^"]*"')


class Charted(Protocol):
    """What a result has to have for the charts of every kind of backtest."""

    @property
    def equity(self) -> pl.DataFrame:
        """One row per session: session, positions, equity, drawdown."""
        ...

    @property
    def trades(self) -> pl.DataFrame:
        """Round trips, see `result.trade_table`."""
        ...

    @property
    def start_cash(self) -> int:
        """In the account's currency."""
        ...

    @property
    def currency(self) -> str:
        """Of the account."""
        ...

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """With benchmarks."""
        ...


def equity_chart(result: Charted) -> str:
    """Return equity, invested share and drawdown over time, one above the other."""
    equity = result.equity
    days = equity["session"].to_numpy()
    unit, unit_name = money_unit(result)
    worth = equity["equity"].to_numpy() / unit
    invested = 100 * equity["positions"].to_numpy() / np.maximum(equity["equity"].to_numpy(), 1)
    fall = 100 * equity["drawdown"].to_numpy()
    buffer = io.BytesIO()
    with draw((10.6, 5.6), buffer, "svg") as figure:
        axes = figure.subplots(3, 1, sharex=True, height_ratios=(3.2, 1, 1.2))
        start = result.start_cash / unit
        axes[0].axhline(start, color=MUTED, lw=0.8, ls=(0, (4, 3)))
        low, high = _draw_benchmarks(axes[0], result)
        axes[0].plot(days, worth, color=SLATE, lw=1.6, marker="o" if len(days) == 1 else "")
        axes[0].fill_between(days, worth, start, color=SLATE, alpha=0.07, lw=0)
        title = f"Equity, {unit_name} (dashed: starting cash)"
        low, high = min(low, worth.min()), max(high, worth.max())
        if low > 0 and high > _LOG_FROM * low:
            show_logarithmic(axes[0])
            title += ", logarithmic"
        axes[0].set_title(title)
        axes[1].fill_between(days, invested, color=SLATE, alpha=0.25, lw=0)
        is_short = float(invested.min()) < 0
        lowest = float(invested.min()) * 1.08 if is_short else 0
        axes[1].set_ylim(lowest, max(102.0, float(invested.max())))
        below = "below zero: short" if is_short else "the rest is cash"
        axes[1].set_title(f"Invested, % of equity; {below}")
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


def money_unit(result: Charted) -> tuple[int, str]:
    """Return in which unit money stands beside an axis, and its name."""
    word = currency_word(result.currency)
    return (1_000_000, f"million {word}") if result.start_cash >= 10**6 else (1, word)


def _draw_benchmarks(axes: "Axes", result: Charted) -> tuple[float, float]:
    """Draw what the starting cash would have become in each benchmark; return least and most."""
    low, high = math.inf, -math.inf
    drawn = [comparison for comparison in result.comparisons if comparison.path.height]
    for comparison, colour in zip(drawn, _BENCHMARKS, strict=False):
        worth = comparison.path["growth"].to_numpy() * result.start_cash / money_unit(result)[0]
        days = comparison.path["session"].to_numpy()
        label = comparison.name if comparison.name.isascii() else "benchmark"
        axes.plot(days, worth, color=colour, lw=1.0, label=label)
        low, high = min(low, float(worth.min())), max(high, float(worth.max()))
    if drawn:
        axes.legend(loc="upper left", ncols=4)
    return low, high


def rolling_chart(result: BacktestResult) -> str:
    """Return the Sharpe ratio and the volatility of the sessions before each session."""
    path = result.equity["equity"].to_numpy().astype(float)
    returns = np.diff(path, prepend=float(result.start_cash)) / np.concatenate(
        ([float(result.start_cash)], path[:-1])
    )
    length = next((n for n in _ROLLING if len(returns) >= 2 * n), 0)
    if length == 0:
        return ""
    parts = np.lib.stride_tricks.sliding_window_view(returns, length)
    scale = np.sqrt(float(str(result.config["sessions_per_year"])))
    spread = parts.std(axis=1, ddof=1)
    sharpe = np.where(spread > 1e-12, parts.mean(axis=1) / np.maximum(spread, 1e-12), 0.0) * scale
    days = result.equity["session"].to_numpy()[length - 1 :]
    buffer = io.BytesIO()
    with draw((10.6, 3.0), buffer, "svg") as figure:
        axes = figure.subplots(2, 1, sharex=True, height_ratios=(1.7, 1))
        axes[0].axhline(0, color=MUTED, lw=0.8)
        for is_gain, colour in ((True, GAIN), (False, LOSS)):
            part = np.where((sharpe >= 0) == is_gain, sharpe, 0.0)
            axes[0].fill_between(days, part, 0, color=colour, alpha=0.16, lw=0)
        axes[0].plot(days, sharpe, color=SLATE, lw=1.2)
        axes[0].set_title(f"Sharpe ratio of the last {length} sessions, annual")
        axes[1].plot(days, 100 * spread * scale, color=SLATE, lw=1.0)
        axes[1].set_ylim(bottom=0)
        axes[1].set_title("Volatility of the same sessions, % a year")
        show_dates(axes[1])
    return inline(buffer)


def trades_chart(result: Charted) -> str:
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
            rasterized=closed.height > _POINTS_MAX,
        )
        axes.set_title(
            "Return of each closed trade, % (red gain, blue loss; area: money invested)"
        )
        show_thousands(axes)
        show_dates(axes)
    return inline(buffer)


def profit_chart(result: Charted) -> str:
    """Return how many closed trades ended with which return; the ends gather what lies beyond."""
    closed = result.trades.filter(pl.col("status") == "closed")
    if closed.height == 0:
        return ""
    returns = 100 * closed["return"].to_numpy()
    low, high = np.quantile(returns, (0.01, 0.98))
    # Zero is an edge, so that no bar holds gains and losses.
    width = max((high - low) / 40, 0.05)
    edges = np.arange(np.floor(low / width), np.ceil(high / width) + 1) * width
    counts, edges = np.histogram(np.clip(returns, edges[0], edges[-1]), bins=edges)
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
    # What was paid or exchanged has no price.
    is_own = pl.col("instrument") == path["instrument"][0]
    fills = result.fills.filter(is_own & (pl.col("price") > 0))
    buffer = io.BytesIO()
    with draw((10.6, 3.4), buffer, "svg") as figure:
        axes = figure.subplots()
        axes.plot(path["session"].to_numpy(), path["close"].to_numpy(), color=MUTED, lw=1.0)
        for side, mark, colour in (("buy", "^", GAIN), ("sell", "v", LOSS)):
            own = fills.filter(pl.col("side") == side)
            days, prices = own["session"].to_numpy(), own["price"].to_numpy()
            axes.scatter(days, prices, marker=mark, s=42, c=colour, label=side, zorder=3,
                         rasterized=own.height > _POINTS_MAX)  # fmt: skip
        closes = path["close"].to_numpy()
        is_wide = closes.max() > _LOG_FROM * max(closes.min(), 1)
        if is_wide:
            show_logarithmic(axes)
        scale = ", logarithmic" if is_wide else ""
        money = currency_word(result.currency)
        axes.set_title(f"Close, {money}{scale}; marks are fills: red buys, blue sales")
        axes.legend(loc="upper left", ncols=2)
        show_thousands(axes)
        show_dates(axes)
    return inline(buffer)


def inline(buffer: io.BytesIO) -> str:
    """Return a drawn SVG as markup that may stand beside others in one page."""
    text = buffer.getvalue().decode()
    return _GROUP_ID.sub("", text[text.index("<svg") :])
