"""One line as a small picture, for lists and for Dagster's metadata."""

import io
from collections.abc import Sequence

from jts_pipelines.reports.style import GAIN, LOSS, MUTED, draw


def png_sparkline(values: Sequence[float], title: str = "") -> bytes:
    """Return a line over some values as PNG, well below 100 kB.

    The line is red, which is up in Korea, when the last value is not below the first, else blue.

    Args:
        values: At least one number, in order.
        title: Written above the line; plain Latin text, since it is drawn.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("a line needs at least one value")
    numbers = [float(value) for value in values]
    buffer = io.BytesIO()
    with draw((5.6, 1.7), buffer, "png") as figure:
        axes = figure.subplots()
        colour = GAIN if numbers[-1] >= numbers[0] else LOSS
        places = range(len(numbers))
        axes.axhline(numbers[0], color=MUTED, lw=0.8, ls=(0, (4, 3)))
        axes.plot(places, numbers, color=colour, lw=1.6)
        axes.fill_between(places, numbers, numbers[0], color=colour, alpha=0.12, lw=0)
        axes.set_title(title)
        axes.set_xticks([])
    return buffer.getvalue()
