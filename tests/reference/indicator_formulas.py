"""Slow formulas of indicators: each looks at all bars up to the one in question.

Independent of the steps: written from the definitions, with lists and no state. A formula takes
bars (dicts of columns) and the parameters, and returns the value, a tuple of values, or None.
Tests load this file by its path.
"""

import math
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from operator import itemgetter

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


def middles(bars: Bars) -> list[float]:
    """Return (high + low) / 2 of each bar."""
    return [(bar["high"] + bar["low"]) / 2 for bar in bars]


def rsi(values: Sequence[float], period: int) -> float | None:
    """Wilder's relative strength index of the last value."""
    moves = [b - a for a, b in pairwise(values)]
    gains, losses = (rma([max(s * m, 0.0) for m in moves], period) for s in (1, -1))
    if not gains or gains[-1] + losses[-1] == 0:
        return None
    return 100 * gains[-1] / (gains[-1] + losses[-1])


def frama(bars: Bars, period: int) -> Answer:
    """Ehlers' fractal adaptive average."""
    average, found, dimension, half = 0.0, None, 1.0, period // 2
    for end in range(1, len(bars) + 1):
        price = middles(bars[:end])[-1]
        if end < period:
            average = price
            continue
        parts = [bars[end - half : end], bars[end - period : end - half], bars[end - period : end]]
        newer, older, total = (
            (max(column(p, "high")) - min(column(p, "low"))) / len(p) for p in parts
        )
        if min(newer, older, total) > 0:
            dimension = math.log2((newer + older) / total)
        weight = min(max(math.exp(-4.6 * (dimension - 1)), 0.01), 1.0)
        average = found = weight * price + (1 - weight) * average
    return found


def super_smoother(bars: Bars, period: int) -> Answer:
    """Ehlers' super smoother."""
    closes = column(bars, "close")
    a = math.exp(-math.sqrt(2) * math.pi / period)
    b, c = 2 * a * math.cos(math.sqrt(2) * math.pi / period), -a * a
    found = closes[:2]
    for newer, older in zip(closes[2:], closes[1:], strict=False):
        found.append((1 - b - c) * (newer + older) / 2 + b * found[-1] + c * found[-2])
    return found[-1] if len(closes) > 2 else None


def connors_rsi(bars: Bars, rsi_period: int, streak: int, rank: int) -> Answer:
    """The RSI of Connors."""
    closes = column(bars, "close")
    runs = [0]
    for a, b in pairwise(closes):
        sign = (b > a) - (b < a)
        runs.append(runs[-1] + sign if sign * runs[-1] > 0 else sign)
    changes = [(b - a) / a for a, b in pairwise(closes)]
    if len(changes) < rank + 1:
        return None
    below = sum(change <= changes[-1] for change in changes[-1 - rank : -1])
    parts = (rsi(closes, rsi_period), rsi(runs, streak), 100 * below / rank)
    return None if None in parts else sum(parts) / 3


def schaff(bars: Bars, period: int, fast: int, slow: int, weight: float) -> Answer:
    """Schaff's trend cycle."""
    quick, calm = (ema(column(bars, "close"), n) for n in (fast, slow))
    series = [a - b for a, b in zip(quick[slow - fast :], calm, strict=True)]
    for _ in range(2):
        smooth: list[float] = []
        place = None
        for end in range(period, len(series) + 1):
            window = series[end - period : end]
            if max(window) > min(window):
                place = 100 * (window[-1] - min(window)) / (max(window) - min(window))
            if place is not None:
                smooth.append(smooth[-1] + weight * (place - smooth[-1]) if smooth else place)
        series = smooth
    return series[-1] if series else None


def envelope(bars: Bars, period: int, percent: float) -> Answer:
    """A mean with bands."""
    middle = sma_of_close(bars, period)
    if middle is None:
        return None, None, None
    return middle * (1 + percent / 100), middle, middle * (1 - percent / 100)


def volume_ratio(bars: Bars, period: int) -> Answer:
    """Volume of rises in percent of that of falls."""
    if len(bars) <= period:
        return None
    sums = {1: 0.0, 0: 0.0, -1: 0.0}
    for old, new in pairwise(bars[-1 - period :]):
        sums[(new["close"] > old["close"]) - (new["close"] < old["close"])] += new["volume"]
    down = sums[-1] + sums[0] / 2
    return 100 * (sums[1] + sums[0] / 2) / down if down else None


def typical(bar: Bar) -> float:
    """Typical price."""
    return (bar["high"] + bar["low"] + bar["close"]) / 3


def vwap_of(bars: Bars) -> float:
    """Volume-weighted mean of typical prices."""
    return sum(typical(b) * b["volume"] for b in bars) / sum(column(bars, "volume"))


def vwap_bands(bars: Bars, deviations: float) -> Answer:
    """The session's average with bands."""
    session = [bar for bar in bars if bar["session"] == bars[-1]["session"]]
    middle = vwap_of(session)
    squares = sum(b["volume"] * (typical(b) - middle) ** 2 for b in session)
    width = deviations * math.sqrt(squares / sum(column(session, "volume")))
    return middle + width, middle, middle - width


def rolling_vwap(bars: Bars, period: int) -> Answer:
    """Volume-weighted mean of a window."""
    return vwap_of(bars[-period:]) if len(bars) >= period else None


def anchored_vwap(bars: Bars, start: int) -> Answer:
    """Volume-weighted mean since a date."""
    since = [bar for bar in bars if bar["session"] >= start]
    return vwap_of(since) if since else None


def true_ranges(bars: Bars) -> list[float]:
    """True ranges from the second bar on."""
    return [
        max(new["high"], old["close"]) - min(new["low"], old["close"])
        for old, new in pairwise(bars)
    ]


def keltner(bars: Bars, period: int, atr: int, deviations: float) -> Answer:
    """An average with bands of average true ranges."""
    middle, width = ema(column(bars, "close"), period), rma(true_ranges(bars), atr)
    if not middle or not width:
        return (None, middle[-1] if middle else None, None)
    side = deviations * width[-1]
    return middle[-1] + side, middle[-1], middle[-1] - side


def klinger(bars: Bars, fast: int, slow: int, signal: int) -> Answer:
    """Klinger's oscillator."""
    flows = [
        new["volume"] if typical(new) >= typical(old) else -new["volume"]
        for old, new in pairwise(bars)
    ]
    quick, calm = ema(flows, fast)[slow - fast :], ema(flows, slow)
    line = [a - b for a, b in zip(quick, calm, strict=True)]
    average = ema(line, signal)
    return line[-1] if line else None, average[-1] if average else None


def alligator(bars: Bars, jaw: int, teeth: int, lips: int) -> Answer:
    """Three shifted averages."""
    lines = [rma(middles(bars), n) for n in (jaw, teeth, lips)]
    return tuple(
        line[-1 - shift] if len(line) > shift else None
        for line, shift in zip(lines, (8, 5, 3), strict=True)
    )


def middle_of(bars: Bars, period: int) -> float | None:
    """Middle of the range of the last bars."""
    if len(bars) < period:
        return None
    return (max(column(bars[-period:], "high")) + min(column(bars[-period:], "low"))) / 2


def ichimoku(bars: Bars, conversion: int, baseline: int, span: int, displacement: int) -> Answer:
    """All lines, and the cloud ahead."""
    quick, calm = middle_of(bars, conversion), middle_of(bars, baseline)

    def cloud(known: Bars) -> tuple[float | None, float | None]:
        one, two = middle_of(known, conversion), middle_of(known, baseline)
        ahead = None if one is None or two is None else (one + two) / 2
        return ahead, middle_of(known, span)

    over = cloud(bars[: len(bars) - displacement + 1])
    return quick, calm, *over, bars[-1]["close"], *cloud(bars)


def sessions_of(bars: Bars) -> list[Bar]:
    """Open, high, low and close of each session."""
    found: list[Bar] = []
    for _, group in groupby(bars, key=itemgetter("session")):
        day = list(group)
        found.append(
            {
                "open": day[0]["open"],
                "high": max(column(day, "high")),
                "low": min(column(day, "low")),
                "close": day[-1]["close"],
            }
        )
    return found


def with_previous(count: int) -> Callable[[Callable[..., Answer]], Callable[[Bars], Answer]]:
    """Turn levels of (open, high, low, close, open of now) into a formula of bars."""

    def formula(levels: Callable[..., Answer]) -> Callable[[Bars], Answer]:
        def at(bars: Bars) -> Answer:
            days = sessions_of(bars)
            if len(days) < 2:
                return (None,) * count
            return levels(*days[-2].values(), days[-1]["open"])

        return at

    return formula


@with_previous(7)
def classic(_o: float, h: float, low: float, c: float, _now: float) -> Answer:
    """Floor pivots."""
    p = (h + low + c) / 3
    above = (2 * p - low, p + (h - low), h + 2 * (p - low))
    return p, *above, 2 * p - h, p - (h - low), low - 2 * (h - p)


@with_previous(7)
def fibonacci(_o: float, h: float, low: float, c: float, _now: float) -> Answer:
    """Fibonacci pivots."""
    p, ratios = (h + low + c) / 3, (0.382, 0.618, 1)
    return p, *(p + r * (h - low) for r in ratios), *(p - r * (h - low) for r in ratios)


@with_previous(9)
def camarilla(_o: float, h: float, low: float, c: float, _now: float) -> Answer:
    """Camarilla pivots."""
    sides = [(h - low) * 1.1 / n for n in (12, 6, 4, 2)]
    return (h + low + c) / 3, *(c + side for side in sides), *(c - side for side in sides)


@with_previous(5)
def woodie(_o: float, h: float, low: float, _c: float, now: float) -> Answer:
    """Woodie pivots."""
    p = (h + low + 2 * now) / 4
    return p, 2 * p - low, p + (h - low), 2 * p - h, p - (h - low)


@with_previous(3)
def demark(o: float, h: float, low: float, c: float, _now: float) -> Answer:
    """DeMark pivots."""
    extra = low if c < o else h if c > o else c
    x = h + low + c + extra
    return x / 4, x / 2 - low, x / 2 - h


@with_previous(4)
def previous_session(o: float, h: float, low: float, c: float, _now: float) -> Answer:
    """The session before."""
    return o, h, low, c


def session_so_far(bars: Bars) -> Answer:
    """This session."""
    day = sessions_of(bars)[-1]
    return day["open"], day["high"], day["low"]


def r_squared(bars: Bars, period: int) -> Answer:
    """Squared correlation with time."""
    closes = column(bars, "close")[-period:]
    if len(closes) < period:
        return None
    times, level, middle = range(period), mean(closes), (period - 1) / 2
    shared = sum((t - middle) * (x - level) for t, x in zip(times, closes, strict=True))
    spread = sum((x - level) ** 2 for x in closes)
    return shared**2 / spread / sum((t - middle) ** 2 for t in times) if spread else None


FORMULAS: dict[str, Callable[..., Answer]] = {
    "SMA": sma_of_close,
    "FRAMA": frama,
    "SuperSmoother": super_smoother,
    "ConnorsRSI": connors_rsi,
    "SchaffTrendCycle": schaff,
    "Alligator": alligator,
    "Ichimoku": ichimoku,
    "ClassicPivots": classic,
    "FibonacciPivots": fibonacci,
    "CamarillaPivots": camarilla,
    "WoodiePivots": woodie,
    "DeMarkPivots": demark,
    "PreviousSession": previous_session,
    "SessionSoFar": session_so_far,
    "RSquared": r_squared,
    "Envelope": envelope,
    "Keltner": keltner,
    "Klinger": klinger,
    "VolumeRatio": volume_ratio,
    "VWAPBands": vwap_bands,
    "RollingVWAP": rolling_vwap,
    "AnchoredVWAP": anchored_vwap,
}
