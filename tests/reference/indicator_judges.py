"""What TA-Lib and pandas-ta-classic say about the native indicators.

Each judge names an indicator, its settings, the library and how to ask it. `fades` is the bar from
which values agree where the two start differently; every such row, and every known difference of
another kind, is explained in `docs/indicator_differences.toml`. Tests load this file by its path.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Answer = Sequence[Floats | pd.Series]


@dataclass(frozen=True)
class Market:
    """Columns as the libraries want them."""

    frame: pd.DataFrame

    def __getattr__(self, name: str) -> Floats:
        """Return a column as an array."""
        return self.frame[name].to_numpy()


@dataclass(frozen=True)
class Judge:
    """One question to a library.

    `outputs` are the places of our outputs in the order of the answer, None for all of them.
    `fades`: 0 when the answer has to begin on the same bar and agree at once.
    """

    indicator: str
    settings: dict[str, float | str]
    ask: Callable[[ModuleType, Market], Answer]
    outputs: tuple[int, ...] | None = None
    fades: int = 0
    scale: float = 1.0


def _columns(frame: pd.DataFrame, *starts: str) -> list[pd.Series]:
    """Return the columns that begin with these words, in their order."""
    found = []
    for start in starts:
        (name,) = (c for c in frame.columns if c == start or c.startswith(f"{start}_"))
        found.append(frame[name])
    return found


TALIB = (
    Judge("SMA", {"period": 20}, lambda t, m: [t.SMA(m.close, 20)]),
    Judge("EMA", {"period": 20}, lambda t, m: [t.EMA(m.close, 20)]),
    Judge("RMA", {"period": 14}, lambda t, m: [t.RMA(m.close, 14)]),
    Judge("WMA", {"period": 20}, lambda t, m: [t.WMA(m.close, 20)]),
    Judge("DEMA", {"period": 20}, lambda t, m: [t.DEMA(m.close, 20)]),
    Judge("TEMA", {"period": 20}, lambda t, m: [t.TEMA(m.close, 20)]),
    Judge("T3", {"period": 5, "volume_factor": "0.7"}, lambda t, m: [t.T3(m.close, 5, 0.7)]),
    Judge("TRIMA", {"period": 19}, lambda t, m: [t.TRIMA(m.close, 19)]),
    Judge("TRIMA", {"period": 20}, lambda t, m: [t.TRIMA(m.close, 20)]),
    Judge("HMA", {"period": 20}, lambda t, m: [t.HMA(m.close, 20)]),
    Judge("HMA", {"period": 15}, lambda t, m: [t.HMA(m.close, 15)]),
    Judge("ZLEMA", {"period": 20}, lambda t, m: [t.ZLEMA(m.close, 20)]),
    Judge("ZLEMA", {"period": 15}, lambda t, m: [t.ZLEMA(m.close, 15)]),
    Judge("VWMA", {"period": 20}, lambda t, m: [t.VWMA(m.close, m.volume, 20)]),
    Judge("LSMA", {"period": 14}, lambda t, m: [t.LINEARREG(m.close, 14)]),
    Judge("RSI", {"period": 14}, lambda t, m: [t.RSI(m.close, 14)]),
    Judge(
        "MACD",
        {"fast": 12, "slow": 26, "signal": 9},
        lambda t, m: list(t.MACD(m.close, 12, 26, 9)),
        fades=250,
    ),
    Judge("price_change", {"period": 5}, lambda t, m: [t.ROCP(m.close, 5)]),
    Judge("TrueRange", {}, lambda t, m: [t.TRANGE(m.high, m.low, m.close)]),
    Judge("ATR", {"period": 14}, lambda t, m: [t.ATR(m.high, m.low, m.close, 14)]),
    Judge(
        "Bollinger",
        {"period": 20, "deviations": 2},
        lambda t, m: list(t.BBANDS(m.close, 20, 2.0, 2.0)),
    ),
)

PANDAS_TA = (
    Judge("SMA", {"period": 20}, lambda t, m: [t.sma(m.frame.close, 20, talib=False)]),
    Judge("EMA", {"period": 20}, lambda t, m: [t.ema(m.frame.close, 20, talib=False)]),
    Judge("RMA", {"period": 14}, lambda t, m: [t.rma(m.frame.close, 14, talib=False)], fades=400),
    Judge("WMA", {"period": 20}, lambda t, m: [t.wma(m.frame.close, 20, talib=False)]),
    Judge("DEMA", {"period": 20}, lambda t, m: [t.dema(m.frame.close, 20, talib=False)]),
    Judge("TEMA", {"period": 20}, lambda t, m: [t.tema(m.frame.close, 20, talib=False)]),
    Judge(
        "T3",
        {"period": 5, "volume_factor": "0.7"},
        lambda t, m: [t.t3(m.frame.close, 5, 0.7, talib=False)],
    ),
    Judge("HMA", {"period": 20}, lambda t, m: [t.hma(m.frame.close, 20)]),
    Judge("ZLEMA", {"period": 20}, lambda t, m: [t.zlma(m.frame.close, 20)]),
    Judge("VWMA", {"period": 20}, lambda t, m: [t.vwma(m.frame.close, m.frame.volume, 20)]),
    Judge("SWMA", {}, lambda t, m: [t.swma(m.frame.close, 4)]),
    Judge(
        "ALMA",
        {"period": 9, "offset": "0.85", "sigma": 6},
        lambda t, m: [t.alma(m.frame.close, 9, 6.0, 0.15)],
    ),
    Judge("LSMA", {"period": 14}, lambda t, m: [t.linreg(m.frame.close, 14, talib=False)]),
    Judge(
        "MACD",
        {"fast": 12, "slow": 26, "signal": 9},
        lambda t, m: _columns(
            t.macd(m.frame.close, 12, 26, 9, talib=False), "MACD", "MACDs", "MACDh"
        ),
    ),
    Judge("RSI", {"period": 14}, lambda t, m: [t.rsi(m.frame.close, 14, talib=False)], fades=450),
    Judge(
        "ATR",
        {"period": 14},
        lambda t, m: [t.atr(m.frame.high, m.frame.low, m.frame.close, 14, talib=False)],
        fades=450,
    ),
    Judge(
        "Bollinger",
        {"period": 20, "deviations": 2},
        lambda t, m: _columns(t.bbands(m.frame.close, 20, 2.0, talib=False), "BBU", "BBM", "BBL"),
    ),
    Judge("avg_volume", {"period": 5}, lambda t, m: [t.sma(m.frame.volume, 5).shift(1)]),
    Judge("price_change", {"period": 3}, lambda t, m: [m.frame.close.pct_change(3)]),
)
