"""What the tests of indicators share: small settings, made-up bars, kernels of single indicators.

Tests load this file by its path.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jts_trading.dsl.pasting import function_text
from jts_trading.indicators.catalog import NATIVE, Catalog
from jts_trading.indicators.definition import Definition, ParameterKind
from jts_trading.kernels.loader import load

Floats = NDArray[np.float64]
Kernel = Callable[..., None]
Numbers = dict[str, int | float | str]

COLUMNS = ("open", "high", "low", "close", "volume", "session", "price_scale")
PLAIN_CANDLES = (
    "Doji",
    "DragonflyDoji",
    "GravestoneDoji",
    "LongLeggedDoji",
    "Marubozu",
    "SpinningTop",
    "HighWave",
    "BeltHold",
    "Hammer",
    "HangingMan",
    "InvertedHammer",
    "ShootingStar",
    "DojiStar",
    "Engulfing",
    "Harami",
    "HaramiCross",
    "Piercing",
    "HomingPigeon",
    "MatchingLow",
    "Kicking",
    "ThreeInside",
    "ThreeOutside",
    "ThreeWhiteSoldiers",
    "ThreeBlackCrows",
)
# Settings with which every indicator is defined on the last of 60 bars.
SETTINGS: dict[str, Numbers] = {
    "SMA": {"period": 5},
    "EMA": {"period": 5},
    "RMA": {"period": 5},
    "WMA": {"period": 5},
    "DEMA": {"period": 5},
    "TEMA": {"period": 5},
    "T3": {"period": 4, "volume_factor": "0.7"},
    "TRIMA": {"period": 6},
    "HMA": {"period": 9},
    "ZLEMA": {"period": 7},
    "VWMA": {"period": 5},
    "SWMA": {},
    "ALMA": {"period": 6, "offset": "0.85", "sigma": 6},
    "LSMA": {"period": 6},
    "KAMA": {"period": 6, "fast": 2, "slow": 30},
    "VIDYA": {"period": 6},
    "FRAMA": {"period": 8},
    "McGinley": {"period": 6, "factor": "0.6"},
    "SuperSmoother": {"period": 6},
    "TypicalPrice": {},
    "MedianPrice": {},
    "WeightedClose": {},
    "AveragePrice": {},
    "MidPoint": {"period": 6},
    "MidPrice": {"period": 6},
    "HeikinAshi": {},
    "RSI": {"period": 4},
    "MACD": {"fast": 3, "slow": 6, "signal": 4},
    "price_change": {"period": 3},
    "CCI": {"period": 7},
    "Ultimate": {"short": 3, "middle": 5, "long": 8},
    "Awesome": {"fast": 3, "slow": 8},
    "Accelerator": {"fast": 3, "slow": 8, "signal": 4},
    "BOP": {},
    "RVGI": {"period": 5},
    "ElderRay": {"period": 5},
    "IMI": {"period": 7},
    "QStick": {"period": 5},
    "ARBR": {"period": 8},
    "ConnorsRSI": {"rsi": 3, "streak": 4, "rank": 9},
    "Stochastic": {"period": 6, "k": 3, "d": 2},
    "FastStochastic": {"period": 6, "d": 3},
    "KDJ": {"period": 6, "k": 3, "d": 2},
    "StochRSI": {"rsi": 5, "period": 6, "k": 3, "d": 2},
    "WilliamsR": {"period": 6},
    "SMI": {"period": 5, "fast": 2, "slow": 6, "signal": 3},
    "Fisher": {"period": 6},
    "SchaffTrendCycle": {"period": 5, "fast": 4, "slow": 9, "weight": "0.5"},
    "MOM": {"period": 5},
    "ROC": {"period": 5},
    "APO": {"fast": 3, "slow": 6},
    "PPO": {"fast": 3, "slow": 6, "signal": 4},
    "PVO": {"fast": 3, "slow": 6, "signal": 4},
    "TRIX": {"period": 5},
    "DPO": {"period": 7},
    "CMO": {"period": 6},
    "EfficiencyRatio": {"period": 6},
    "TSI": {"slow": 7, "fast": 4, "signal": 3},
    "KST": {
        "roc1": 3,
        "roc2": 4,
        "roc3": 5,
        "roc4": 7,
        "mean1": 3,
        "mean2": 3,
        "mean3": 4,
        "mean4": 5,
        "signal": 4,
    },
    "Coppock": {"long": 7, "short": 5, "mean": 4},
    "Psychological": {"period": 6},
    "Disparity": {"period": 5},
    "ForecastOscillator": {"period": 5},
    "CenterOfGravity": {"period": 5},
    "LaguerreRSI": {"gamma": "0.5"},
    "TrueRange": {},
    "ATR": {"period": 4},
    "NATR": {"period": 4},
    "AverageRange": {"period": 4},
    "StdDev": {"period": 5},
    "Variance": {"period": 5},
    "MeanDeviation": {"period": 5},
    "ChaikinVolatility": {"period": 4, "change": 3},
    "UlcerIndex": {"period": 5},
    "HistoricalVolatility": {"period": 5, "bars_per_year": 252},
    "RVI": {"period": 5, "deviation": 4},
    "Bollinger": {"period": 5, "deviations": 2},
    "BollingerPercentB": {"period": 5, "deviations": 2},
    "BollingerBandwidth": {"period": 5, "deviations": 2},
    "Keltner": {"period": 5, "atr": 6, "deviations": 2},
    "Donchian": {"period": 5},
    "AccelerationBands": {"period": 5},
    "Envelope": {"period": 5, "percent": 3},
    "ChandelierExit": {"period": 5, "deviations": 3},
    "DMI": {"period": 5, "smoothing": 4},
    "ADX": {"period": 5},
    "ADXR": {"period": 5},
    "DX": {"period": 5},
    "PlusDI": {"period": 5},
    "MinusDI": {"period": 5},
    "PlusDM": {"period": 5},
    "MinusDM": {"period": 5},
    "Aroon": {"period": 6},
    "AroonOscillator": {"period": 6},
    "ParabolicSAR": {"acceleration": "0.02", "maximum": "0.2"},
    "SuperTrend": {"period": 5, "factor": 2},
    "Vortex": {"period": 5},
    "Ichimoku": {"conversion": 3, "baseline": 5, "span": 9, "displacement": 4},
    "Choppiness": {"period": 6},
    "MassIndex": {"period": 6, "smoothing": 4},
    "VHF": {"period": 6},
    "ChandeKrollStop": {"period": 5, "factor": 1, "smoothing": 4},
    "Alligator": {"jaw": 6, "teeth": 5, "lips": 4},
    "LinRegSlope": {"period": 6},
    "LinRegIntercept": {"period": 6},
    "Forecast": {"period": 6},
    "LinRegAngle": {"period": 6},
    "RSquared": {"period": 6},
    "avg_volume": {"period": 5},
    "RelativeVolume": {"period": 5},
    "OBV": {},
    "AD": {},
    "ADOSC": {"fast": 3, "slow": 6},
    "CMF": {"period": 5},
    "MFI": {"period": 5},
    "ForceIndex": {"period": 5},
    "EaseOfMovement": {"period": 5, "divisor": 10_000},
    "NVI": {},
    "PVI": {},
    "PVT": {},
    "VolumeOscillator": {"fast": 3, "slow": 6},
    "Klinger": {"fast": 4, "slow": 7, "signal": 3},
    "VolumeRatio": {"period": 7},
    "MarketFacilitation": {},
    "WilliamsAD": {},
    "VWAP": {},
    "VWAPBands": {"deviations": 2},
    "WeeklyVWAP": {},
    "MonthlyVWAP": {},
    "AnchoredVWAP": {"start": 19_725},
    "RollingVWAP": {"period": 5},
    "ClassicPivots": {},
    "FibonacciPivots": {},
    "CamarillaPivots": {},
    "WoodiePivots": {},
    "DeMarkPivots": {},
    "PreviousSession": {},
    "SessionSoFar": {},
    "Highest": {"period": 6},
    "Lowest": {"period": 6},
    "SinceHighest": {"period": 6},
    "SinceLowest": {"period": 6},
    "Sum": {"period": 6},
    "Median": {"period": 6},
    "Percentile": {"period": 7, "percent": 30},
    "PercentRank": {"period": 7},
    "ZScore": {"period": 6},
    "Skewness": {"period": 8},
    "Kurtosis": {"period": 8},
    "LogReturn": {"period": 2},
    "Correlation": {"period": 6},
    "Beta": {"period": 6},
    "DarkCloudCover": {"penetration": "0.5"},
    "MorningStar": {"penetration": "0.3"},
    "EveningStar": {"penetration": "0.3"},
    "MorningDojiStar": {"penetration": "0.3"},
    "EveningDojiStar": {"penetration": "0.3"},
    **{name: {} for name in PLAIN_CANDLES},
}
# Guards around the slots of an indicator: whoever touches them left its place.
GUARD_SLOTS = 5


def fractions(settings: Numbers) -> dict[str, Fraction]:
    """Return settings as the compiler holds them."""
    return {name: Fraction(value) for name, value in settings.items()}


def settings_of(definition: Definition, **changed: float | str) -> Numbers:
    """Return the defaults of an indicator with some settings changed."""
    found: Numbers = {
        p.name: float(p.default) if p.kind is ParameterKind.NUMBER else int(p.default)
        for p in definition.parameters
        if p.default is not None
    }
    return found | changed


def driver(definition: Definition) -> str:
    """Return the function that runs one indicator over columns, from and into a given state.

    Its parameters are arguments, so that one compilation serves all settings.
    """
    names = [f"p_{p.name}" for p in definition.parameters]
    inputs = [f"columns[{COLUMNS.index(name)}, i]" for name in definition.inputs]
    call = f"{definition.step.__name__}({', '.join(['state', 'at', *names, *inputs])})"
    stores = [f"found = {call}"]
    stores += (
        [f"out[i, {k}] = found[{k}]" for k in range(len(definition.outputs))]
        if len(definition.outputs) > 1
        else ["out[i, 0] = found"]
    )
    head = f"def run_{definition.name}({', '.join(['state', 'at', 'columns', 'out', *names])}):"
    loop = [head, "    for i in range(columns.shape[1]):", *(f"        {s}" for s in stores)]
    return "\n".join(loop)


@cache
def kernels_text(catalog: Catalog = NATIVE) -> str:
    """Return all steps of a catalogue and a driver of each: what several use is compiled once."""
    functions: dict[str, Callable[..., object]] = {}
    for definition in catalog.definitions.values():
        for function in (*definition.uses, definition.step):
            assert functions.setdefault(function.__name__, function) is function
    drivers = map(driver, catalog.definitions.values())
    return "\n\n\n".join(["import math", *map(function_text, functions.values()), *drivers])


def kernel_of(name: str, folder: Path, catalog: Catalog = NATIVE) -> Kernel:
    """Return the driver of one indicator; numba compiles it on its first call, or has it."""
    found: Kernel = getattr(load(kernels_text(catalog), folder), f"run_{name}")
    return found


def compute(
    kernel: Kernel,
    name: str,
    settings: Numbers,
    columns: Floats,
    *,
    cuts: list[int] | None = None,
    guard: float = math.nan,
) -> Floats:
    """Run an indicator in pieces; between pieces its state goes through bytes.

    The slots lie between guards, which must be as they were afterwards.
    """
    definition = NATIVE.definitions[name]
    size = definition.state_size(fractions(settings))
    values = [
        float(Fraction(settings[p.name])) if p.kind is ParameterKind.NUMBER else settings[p.name]
        for p in definition.parameters
    ]
    state = np.full(size + 2 * GUARD_SLOTS, guard)
    state[GUARD_SLOTS : GUARD_SLOTS + size] = 0.0
    out = np.full((columns.shape[1], len(definition.outputs)), 7.0)
    edges = [0, *sorted(cuts or []), columns.shape[1]]
    for first, last in pairwise(edges):
        piece = np.ascontiguousarray(columns[:, first:last])
        kernel(state, GUARD_SLOTS, piece, out[first:last], *values)
        state = np.frombuffer(state.tobytes()).copy()
    for slots in (state[:GUARD_SLOTS], state[GUARD_SLOTS + size :]):
        np.testing.assert_array_equal(slots, guard, err_msg=f"{name} left its slots")
    return out


def walk(
    seed: int, count: int, *, null_share: float = 0.0, tick: float = 50.0, session: int = 13
) -> Floats:
    """Return whole-tick columns; a share of bars is null in every column of the market.

    A session has `session` bars; every fifth one follows after a weekend.
    """
    rng = np.random.default_rng(seed)
    close = 50_000.0 + tick * np.cumsum(rng.integers(-9, 10, count))
    opened = np.concatenate(([close[0]], close[:-1])) + tick * rng.integers(-2, 3, count)
    high = np.maximum(opened, close) + tick * rng.integers(0, 4, count)
    low = np.minimum(opened, close) - tick * rng.integers(0, 4, count)
    volume = rng.integers(1, 10_000, count).astype(float)
    columns = np.vstack([opened, high, low, close, volume])
    columns[:, rng.random(count) < null_share] = math.nan
    number = np.arange(count) // session
    day = 19_723.0 + number + 2 * (number // 5)
    return np.vstack([columns, day, np.full(count, 100.0)])


def candles(seed: int, count: int) -> Floats:
    """Return columns full of gaps, long and missing bodies and shadows: every pattern occurs."""
    rng = np.random.default_rng(seed)
    bodies = rng.choice([0, 0, 1, 1, 2, 3, 5, 9, 14], count) * rng.choice([-1, 1], count)
    gaps = rng.choice([-8, -3, -1, 0, 0, 0, 1, 3, 8], count)
    shadows = rng.choice([0, 0, 0, 1, 2, 4, 9], (2, count))
    steps = np.cumsum(bodies + gaps)
    close = 50_000.0 + 50 * steps
    opened = close - 50.0 * bodies
    high = np.maximum(opened, close) + 50.0 * shadows[0]
    low = np.minimum(opened, close) - 50.0 * shadows[1]
    zeros = np.zeros(count)
    return np.vstack([opened, high, low, close, zeros + 1, zeros, zeros + 100])


def values_of(name: str, settings: Numbers, out: Floats) -> Floats:
    """Divide what is returned as a numerator."""
    held = fractions(settings)
    divisors = [o.divisor(held) if o.divisor else 1 for o in NATIVE.definitions[name].outputs]
    return out / np.array(divisors, dtype=float)
