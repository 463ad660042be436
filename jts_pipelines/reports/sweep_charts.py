"""Charts of sweeps and walk-forwards as SVG for a page."""

import io
from collections.abc import Callable

import numpy as np

from jts_pipelines.backtest.columns import Floats
from jts_pipelines.reports.charts import inline
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
from jts_pipelines.reports.words import LABELS
from jts_pipelines.research.space import Axis
from jts_pipelines.research.sweep import SweepResult
from jts_pipelines.research.walk_forward import WalkResult

_CELLS_WITH_TEXT = 220
_TICKS_MAX = 24


def heat_title(result: SweepResult) -> str:
    """Return what the chart of the scores shows, for a heading."""
    axes = result.plan.space.axes
    widest = sorted(axes, key=lambda axis: -len(axis.values))
    others = [axis.name for axis in axes if axis in widest[2:] and len(axis.values) > 1]
    over = f", of {', '.join(others)} the best" if others else ""
    return f"{LABELS[result.plan.objective]} by parameters{over} (framed: the best trial)"


def heat_chart(result: SweepResult) -> str:
    """Return the score over the two widest axes, the best over all others; one axis is a line."""
    from matplotlib.patches import Rectangle

    axes = result.plan.space.axes
    order = sorted(range(len(axes)), key=lambda at: -len(axes[at].values))
    if len(axes[order[0]].values) < 2:
        return ""
    if len(axes) == 1 or len(axes[order[1]].values) < 2:
        return _line_chart(result, order[0])
    across, down = sorted(order[:2])
    scores = best_over(result, across, down)
    buffer = io.BytesIO()
    height = min(max(2.4, 0.34 * scores.shape[0] + 1.0), 7.5)
    with draw((10.6, height), buffer, "svg") as figure:
        axis = figure.subplots()
        low, high = float(np.nanmin(scores)), float(np.nanmax(scores))
        limit = max(abs(low), abs(high), 1e-9)
        # Red is good and blue is bad, as gains and losses are everywhere else; where all is
        # good or all is bad, one colour shows by how much.
        colours, ends = "RdBu_r", (-limit, limit)
        if low >= 0 or high <= 0:
            colours, ends = ("Reds" if low >= 0 else "Blues_r"), (low, max(high, low + 1e-9))
        image = axis.imshow(
            scores, cmap=colours, vmin=ends[0], vmax=ends[1], origin="lower", aspect="auto"
        )
        _label(axis.set_xticks, _texts(axes[across]))
        _label(axis.set_yticks, _texts(axes[down]))
        axis.set_xlabel(axes[across].name)
        axis.set_ylabel(axes[down].name)
        axis.grid(visible=False)
        if scores.size <= _CELLS_WITH_TEXT:
            for (row, column), score in np.ndenumerate(scores):
                if np.isfinite(score):
                    # Both ends of the scale are dark, or the one that is far from nothing.
                    place = (score - ends[0]) / (ends[1] - ends[0])
                    is_dark = place > 0.65 if low >= 0 else place < 0.3 or place > 0.8
                    colour = "white" if is_dark else INK
                    axis.text(
                        column, row, f"{score:.2f}", ha="center", va="center",
                        fontsize=7.5, color=colour,
                    )  # fmt: skip
        best = result.points[result.best]
        frame = Rectangle((best[across] - 0.5, best[down] - 0.5), 1, 1, fill=False, ec=INK, lw=2.4)
        axis.add_patch(frame)
        figure.colorbar(image, ax=axis, shrink=0.9, pad=0.015)
    return inline(buffer)


def best_over(result: SweepResult, across: int, down: int) -> Floats:
    """Return the highest score by the values of two axes, [down, across]; NaN where none is."""
    axes = result.plan.space.axes
    scores = np.full((len(axes[down].values), len(axes[across].values)), np.nan)
    for point, score in zip(result.points, result.scores.tolist(), strict=True):
        place = point[down], point[across]
        if np.isfinite(score) and not scores[place] >= score:
            scores[place] = score
    return scores


def _label(set_ticks: Callable[[list[int], list[str]], object], texts: list[str]) -> None:
    chosen = range(0, len(texts), -(-len(texts) // _TICKS_MAX))
    set_ticks(list(chosen), [texts[at] for at in chosen])


def _texts(axis: Axis) -> list[str]:
    return [axis.text(number) for number in range(len(axis.values))]


def _line_chart(result: SweepResult, only: int) -> str:
    axis_of = result.plan.space.axes[only]
    order = sorted(range(len(result.points)), key=lambda at: result.points[at][only])
    places = [result.points[at][only] for at in order]
    buffer = io.BytesIO()
    with draw((10.6, 2.8), buffer, "svg") as figure:
        axis = figure.subplots()
        axis.axhline(0, color=MUTED, lw=0.8)
        axis.plot(places, result.scores[order], color=SLATE, lw=1.4, marker="o", ms=4)
        axis.scatter([result.points[result.best][only]], [result.scores[result.best]], s=90,
                     facecolors="none", edgecolors=GAIN, lw=1.8, zorder=3)  # fmt: skip
        _label(axis.set_xticks, _texts(axis_of))
        axis.set_xlabel(axis_of.name)
    return inline(buffer)


def luck_chart(result: SweepResult) -> str:
    """Return the Sharpe ratios of all trials beside what luck alone is expected to reach."""
    scale = float(np.sqrt(result.plan.sessions_per_year))
    sharpes = np.array([o.sharpe for o in result.outcomes if o.sharpe is not None]) * scale
    if len(sharpes) < 2:
        return ""
    buffer = io.BytesIO()
    with draw((5.4, 3.1), buffer, "svg") as figure:
        axis = figure.subplots()
        axis.hist(sharpes, bins=min(40, max(8, len(sharpes) // 4)), color=SLATE, alpha=0.55)
        axis.axvline(float(sharpes.max()), color=GAIN, lw=1.6)
        deflated = result.significance.deflated
        if deflated is not None:
            axis.axvline(deflated.expected_max * scale, color=INK, lw=1.2, ls=(0, (3, 2)))
        axis.set_title("Sharpe ratios of all trials (red: best; dashed: the best luck expected)")
        axis.locator_params(axis="y", integer=True)
        axis.grid(visible=False, axis="x")
    return inline(buffer)


def logit_chart(result: SweepResult) -> str:
    """Return how the best inside ranks outside, over all ways to choose half of the blocks."""
    if result.overfitting is None:
        return ""
    logits = result.overfitting.logits
    buffer = io.BytesIO()
    with draw((5.4, 3.1), buffer, "svg") as figure:
        axis = figure.subplots()
        edge = max(float(np.abs(logits).max()), 1.0)
        # The middle rank counts as the lower half.
        counts, edges = np.histogram(logits - 1e-9, bins=30, range=(-edge, edge))
        centres = (edges[:-1] + edges[1:]) / 2
        colours = [GAIN if at > 0 else LOSS for at in centres]
        axis.bar(centres, counts / len(logits) * 100, width=np.diff(edges) * 0.92, color=colours,
                 alpha=0.8)  # fmt: skip
        axis.axvline(0, color=INK, lw=1.0)
        axis.set_title("Rank outside of the best inside, logit, % of ways (blue: lower half)")
        axis.grid(visible=False, axis="x")
    return inline(buffer)


def walk_chart(result: WalkResult) -> str:
    """Return the equity of the test sessions; bands are windows."""
    days = result.equity["session"].to_numpy()
    unit = 1_000_000 if result.start_cash >= 10**6 else 1
    worth = result.equity["equity"].to_numpy() / unit
    fall = 100 * result.equity["drawdown"].to_numpy()
    buffer = io.BytesIO()
    with draw((10.6, 4.4), buffer, "svg") as figure:
        axes = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
        axes[0].axhline(result.start_cash / unit, color=MUTED, lw=0.8, ls=(0, (4, 3)))
        axes[0].plot(days, worth, color=SLATE, lw=1.6)
        for number, step in enumerate(result.steps):
            if number % 2:
                first = np.datetime64(result.sessions[step.window.test_first])
                last = np.datetime64(result.sessions[step.window.end - 1])
                axes[0].axvspan(first, last, color=SLATE, alpha=0.06, lw=0)
        axes[0].set_title(f"Equity of the test sessions, in {unit:,} (bands: windows)")
        axes[1].fill_between(days, fall, color=LOSS, alpha=0.3, lw=0)
        axes[1].set_title("Drawdown, %")
        for part in axes:
            show_thousands(part)
        show_dates(axes[1])
    return inline(buffer)


def efficiency_chart(result: WalkResult) -> str:
    """Return the score of the chosen parameters inside and outside, window by window."""
    steps = [step for step in result.steps if step.params is not None]
    if len(steps) < 2:
        return ""
    places = np.arange(len(steps))
    inside = np.array([step.train_score for step in steps])
    outside = np.array([step.test_score for step in steps])
    buffer = io.BytesIO()
    with draw((10.6, 2.7), buffer, "svg") as figure:
        axis = figure.subplots()
        axis.axhline(0, color=MUTED, lw=0.8)
        axis.bar(places - 0.2, inside, width=0.38, color=SLATE, alpha=0.45, label="inside")
        colours = [GAIN if score > 0 else LOSS for score in outside]
        axis.bar(places + 0.2, outside, width=0.38, color=colours, label="outside")
        starts = [str(result.sessions[step.window.test_first]) for step in steps]
        _label(axis.set_xticks, starts)
        axis.tick_params(axis="x", labelsize=7)
        axis.set_title(f"{result.plan.objective}: grey inside, coloured outside (red above zero)")
        axis.grid(visible=False, axis="x")
    return inline(buffer)
