"""How charts look, and the one place that draws them.

matplotlib's objects are used, never its global state, so that runs in one process do not meet.
Words stay words in an SVG (`svg.fonttype: none`): the reader's own fonts draw them.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1b2733", "#66758a", "#e3e8ee"
# As on every Korean board: red is up, blue is down. Lines without a direction are slate.
SLATE, GAIN, LOSS = "#3d4f63", "#d03438", "#1f66c1"

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "jts",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 9,
    "axes.titlecolor": MUTED,
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@contextmanager
def draw(
    size: tuple[float, float], target: io.BytesIO, form: Literal["svg", "png"]
) -> "Iterator[Figure]":
    """Hand out an empty figure and write it, with what the block drew on it, to the target.

    Equal drawings give equal bytes: no date and no version goes in.

    Args:
        size: Width and height in inches.
        target: Where the picture goes.
        form: Its format.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # matplotlib checks the keys
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        figure.savefig(target, format=form, dpi=110, metadata=metadata)


def show_dates(axes: "Axes") -> None:
    """Write few, short dates below an axis."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=10)  # type: ignore[no-untyped-call]  # theirs
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]  # theirs
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    axes.grid(visible=False, axis="x")


def show_logarithmic(axes: "Axes") -> None:
    """Make the axis beside logarithmic, with labels at 1, 2 and 5 times powers of ten."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())


def show_thousands(axes: "Axes") -> None:
    """Write large numbers with separators beside an axis."""
    from matplotlib.ticker import StrMethodFormatter

    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
