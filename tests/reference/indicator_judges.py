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
    `is_untied`: no two bars may have equal prices. `fades`: 0 when the answer has to begin on the
    same bar and agree at once.
    """

    indicator: str
    settings: dict[str, float | str]
    ask: Callable[[ModuleType, Market], Answer]
    outputs: tuple[int, ...] | None = None
    fades: int = 0
    scale: float = 1.0
    is_untied: bool = False


def _columns(frame: pd.DataFrame, *starts: str) -> list[pd.Series]:
    """Return the columns that begin with these words, in their order."""
    found = []
    for start in starts:
        (name,) = (c for c in frame.columns if c == start or c.startswith(f"{start}_"))
        found.append(frame[name])
    return found


def _from_first(answer: tuple[Floats, Floats]) -> list[Floats]:
    """Return lines of which the second is whole numbers that are null with the first."""
    line, trend = answer
    return [line, np.where(np.isnan(line), np.nan, trend)]


def _since(places: Floats, period: int) -> Floats:
    """Return how many bars ago the places of extremes are."""
    since = np.arange(len(places)) - places
    return np.where(np.arange(len(places)) < period - 1, np.nan, since)


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
    Judge("KAMA", {"period": 20, "fast": 2, "slow": 30}, lambda t, m: [t.KAMA(m.close, 20)]),
    Judge("TypicalPrice", {}, lambda t, m: [t.TYPPRICE(m.high, m.low, m.close)]),
    Judge("MedianPrice", {}, lambda t, m: [t.MEDPRICE(m.high, m.low)]),
    Judge("WeightedClose", {}, lambda t, m: [t.WCLPRICE(m.high, m.low, m.close)]),
    Judge("AveragePrice", {}, lambda t, m: [t.AVGPRICE(m.open, m.high, m.low, m.close)]),
    Judge("MidPoint", {"period": 14}, lambda t, m: [t.MIDPOINT(m.close, 14)]),
    Judge("MidPrice", {"period": 14}, lambda t, m: [t.MIDPRICE(m.high, m.low, 14)]),
    Judge("HeikinAshi", {}, lambda t, m: list(t.HA(m.open, m.high, m.low, m.close))),
    Judge("CCI", {"period": 20}, lambda t, m: [t.CCI(m.high, m.low, m.close, 20)]),
    Judge("CCI", {"period": 17}, lambda t, m: [t.CCI(m.high, m.low, m.close, 17)]),
    Judge(
        "Ultimate",
        {"short": 7, "middle": 14, "long": 28},
        lambda t, m: [t.ULTOSC(m.high, m.low, m.close, 7, 14, 28)],
    ),
    Judge("Awesome", {"fast": 5, "slow": 34}, lambda t, m: [t.AO(m.high, m.low, 5, 34)]),
    Judge(
        "Accelerator",
        {"fast": 5, "slow": 34, "signal": 5},
        lambda t, m: [t.AC(m.high, m.low, 5, 34, 5)],
    ),
    Judge("BOP", {}, lambda t, m: [t.BOP(m.open, m.high, m.low, m.close)]),
    Judge("ElderRay", {"period": 13}, lambda t, m: list(t.ERI(m.high, m.low, m.close, 13))),
    Judge("IMI", {"period": 14}, lambda t, m: [t.IMI(m.open, m.close, 14)]),
    Judge("QStick", {"period": 10}, lambda t, m: [t.QSTICK(m.open, m.close, 10)]),
    Judge(
        "Stochastic",
        {"period": 14, "k": 3, "d": 3},
        lambda t, m: list(t.STOCH(m.high, m.low, m.close, 14, 3, 0, 3, 0)),
    ),
    Judge(
        "FastStochastic",
        {"period": 14, "d": 3},
        lambda t, m: list(t.STOCHF(m.high, m.low, m.close, 14, 3, 0)),
    ),
    Judge(
        "KDJ",
        {"period": 9, "k": 3, "d": 3},
        lambda t, m: list(t.KDJ(m.high, m.low, m.close, 9, 3, 13, 3, 13)),
    ),
    Judge(
        "StochRSI",
        {"rsi": 14, "period": 14, "k": 1, "d": 3},
        lambda t, m: list(t.STOCHRSI(m.close, 14, 14, 3, 0)),
    ),
    Judge("WilliamsR", {"period": 14}, lambda t, m: [t.WILLR(m.high, m.low, m.close, 14)]),
    Judge(
        "SMI",
        {"period": 13, "fast": 2, "slow": 25, "signal": 9},
        lambda t, m: list(t.SMI(m.high, m.low, m.close, 13, 2, 25, 9)),
    ),
    Judge("MOM", {"period": 10}, lambda t, m: [t.MOM(m.close, 10)]),
    Judge("ROC", {"period": 10}, lambda t, m: [t.ROC(m.close, 10)]),
    Judge("APO", {"fast": 12, "slow": 26}, lambda t, m: [t.APO(m.close, 12, 26, 1)], fades=250),
    Judge(
        "PPO",
        {"fast": 12, "slow": 26, "signal": 9},
        lambda t, m: [t.PPO(m.close, 12, 26, 1)],
        outputs=(0,),
        fades=250,
    ),
    Judge(
        "PVO",
        {"fast": 12, "slow": 26, "signal": 9},
        lambda t, m: [t.PVO(m.volume, 12, 26, 1)],
        outputs=(0,),
        fades=250,
    ),
    Judge("TRIX", {"period": 18}, lambda t, m: [t.TRIX(m.close, 18)]),
    Judge("DPO", {"period": 20}, lambda t, m: [t.DPO(m.close, 20)]),
    Judge("DPO", {"period": 21}, lambda t, m: [t.DPO(m.close, 21)]),
    Judge("CMO", {"period": 14}, lambda t, m: [t.CMOU(m.close, 14)]),
    Judge("EfficiencyRatio", {"period": 10}, lambda t, m: [t.ER(m.close, 10)]),
    Judge(
        "TSI",
        {"slow": 25, "fast": 13, "signal": 13},
        lambda t, m: [t.TSI(m.close, 25, 13)],
        outputs=(0,),
    ),
    Judge(
        "Coppock",
        {"long": 14, "short": 11, "mean": 10},
        lambda t, m: [t.COPPOCK(m.close, 10, 11, 14)],
    ),
    Judge("ForecastOscillator", {"period": 5}, lambda t, m: [t.FOSC(m.close, 5)]),
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
    Judge("NATR", {"period": 14}, lambda t, m: [t.NATR(m.high, m.low, m.close, 14)]),
    Judge("AverageRange", {"period": 14}, lambda t, m: [t.ADR(m.high, m.low, 14)]),
    Judge("StdDev", {"period": 20}, lambda t, m: [t.STDDEV(m.close, 20, 1.0)]),
    Judge("Variance", {"period": 20}, lambda t, m: [t.VAR(m.close, 20, 1.0)]),
    Judge("MeanDeviation", {"period": 14}, lambda t, m: [t.AVGDEV(m.close, 14)]),
    Judge(
        "ChaikinVolatility",
        {"period": 10, "change": 12},
        lambda t, m: [t.CVI(m.high, m.low, 10, 12)],
    ),
    Judge("RVI", {"period": 14, "deviation": 10}, lambda t, m: [t.RVI(m.close, 14, 10)]),
    Judge("Donchian", {"period": 20}, lambda t, m: list(t.DONCHIAN(m.high, m.low, 20))),
    Judge(
        "AccelerationBands",
        {"period": 20},
        lambda t, m: list(t.ACCBANDS(m.high, m.low, m.close, 20)),
    ),
    Judge("RelativeVolume", {"period": 20}, lambda t, m: [t.RVOL(m.volume, 20)]),
    Judge("OBV", {}, lambda t, m: [t.OBV(m.close, m.volume)]),
    Judge("AD", {}, lambda t, m: [t.AD(m.high, m.low, m.close, m.volume)]),
    Judge(
        "ADOSC",
        {"fast": 3, "slow": 10},
        lambda t, m: [t.ADOSC(m.high, m.low, m.close, m.volume, 3, 10)],
    ),
    Judge("CMF", {"period": 20}, lambda t, m: [t.CMF(m.high, m.low, m.close, m.volume, 20)]),
    Judge("MFI", {"period": 14}, lambda t, m: [t.MFI(m.high, m.low, m.close, m.volume, 14)]),
    Judge("ForceIndex", {"period": 13}, lambda t, m: [t.EFI(m.close, m.volume, 13)]),
    Judge("NVI", {}, lambda t, m: [t.NVI(m.close, m.volume)]),
    Judge("PVI", {}, lambda t, m: [t.PVI(m.close, m.volume)]),
    Judge("PVT", {}, lambda t, m: [t.PVT(m.close, m.volume)]),
    Judge("MarketFacilitation", {}, lambda t, m: [t.MARKETFI(m.high, m.low, m.volume)]),
    Judge("WilliamsAD", {}, lambda t, m: [t.WAD(m.high, m.low, m.close)]),
    Judge(
        "AnchoredVWAP",
        {"start": 0},
        lambda t, m: [t.VWAP(m.high, m.low, m.close, m.volume)],
    ),
    Judge(
        "DMI",
        {"period": 14, "smoothing": 14},
        lambda t, m: [
            t.PLUS_DI(m.high, m.low, m.close, 14),
            t.MINUS_DI(m.high, m.low, m.close, 14),
            t.ADX(m.high, m.low, m.close, 14),
        ],
    ),
    Judge("ADX", {"period": 14}, lambda t, m: [t.ADX(m.high, m.low, m.close, 14)]),
    Judge("ADXR", {"period": 14}, lambda t, m: [t.ADXR(m.high, m.low, m.close, 14)]),
    Judge("DX", {"period": 14}, lambda t, m: [t.DX(m.high, m.low, m.close, 14)]),
    Judge("PlusDI", {"period": 14}, lambda t, m: [t.PLUS_DI(m.high, m.low, m.close, 14)]),
    Judge("MinusDI", {"period": 14}, lambda t, m: [t.MINUS_DI(m.high, m.low, m.close, 14)]),
    Judge("PlusDM", {"period": 14}, lambda t, m: [t.PLUS_DM(m.high, m.low, 14)]),
    Judge("MinusDM", {"period": 14}, lambda t, m: [t.MINUS_DM(m.high, m.low, 14)]),
    Judge("Aroon", {"period": 14}, lambda t, m: list(t.AROON(m.high, m.low, 14))[::-1]),
    Judge("AroonOscillator", {"period": 14}, lambda t, m: [t.AROONOSC(m.high, m.low, 14)]),
    Judge(
        "ParabolicSAR",
        {"acceleration": "0.02", "maximum": "0.2"},
        lambda t, m: [t.SAR(m.high, m.low, 0.02, 0.2)],
    ),
    Judge(
        "SuperTrend",
        {"period": 10, "factor": 3},
        lambda t, m: _from_first(t.SUPERTREND(m.high, m.low, m.close, 10, 3.0)),
    ),
    Judge("Vortex", {"period": 14}, lambda t, m: list(t.VORTEX(m.high, m.low, m.close, 14))),
    Judge(
        "MassIndex", {"period": 25, "smoothing": 9}, lambda t, m: [t.MASSI(m.high, m.low, 9, 25)]
    ),
    Judge("VHF", {"period": 28}, lambda t, m: [t.VHF(m.close, 28)]),
    Judge("LinRegSlope", {"period": 14}, lambda t, m: [t.LINEARREG_SLOPE(m.close, 14)]),
    Judge("LinRegIntercept", {"period": 14}, lambda t, m: [t.LINEARREG_INTERCEPT(m.close, 14)]),
    Judge("Forecast", {"period": 14}, lambda t, m: [t.TSF(m.close, 14)]),
    Judge("LinRegAngle", {"period": 14}, lambda t, m: [t.LINEARREG_ANGLE(m.close / 100.0, 14)]),
    Judge("Highest", {"period": 20}, lambda t, m: [t.MAX(m.high, 20)]),
    Judge("Lowest", {"period": 20}, lambda t, m: [t.MIN(m.low, 20)]),
    Judge(
        "SinceHighest",
        {"period": 20},
        lambda t, m: [_since(t.MAXINDEX(m.high, 20), 20)],
        is_untied=True,
    ),
    Judge(
        "SinceLowest",
        {"period": 20},
        lambda t, m: [_since(t.MININDEX(m.low, 20), 20)],
        is_untied=True,
    ),
    Judge("Sum", {"period": 20}, lambda t, m: [t.SUM(m.close, 20)]),
    Judge(
        "Percentile",
        {"period": 20, "percent": 30},
        lambda t, m: [t.PERCENTILE(m.close, 20, 30.0)],
    ),
    Judge("PercentRank", {"period": 50}, lambda t, m: [t.PERCENTRANK(m.close, 50)]),
    Judge("Correlation", {"period": 20}, lambda t, m: [t.CORREL(m.close, m.volume, 20)]),
    Judge("Beta", {"period": 20}, lambda t, m: [t.BETA(m.open, m.close, 20)]),
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
    Judge("VIDYA", {"period": 14}, lambda t, m: [t.vidya(m.frame.close, 14)]),
    Judge(
        "McGinley", {"period": 10, "factor": "1"}, lambda t, m: [t.mcgd(m.frame.close, 10, c=1)]
    ),
    Judge(
        "KST",
        {
            "roc1": 10,
            "roc2": 15,
            "roc3": 20,
            "roc4": 30,
            "mean1": 10,
            "mean2": 10,
            "mean3": 10,
            "mean4": 15,
            "signal": 9,
        },
        lambda t, m: _columns(t.kst(m.frame.close, talib=False), "KST", "KSTs"),
        scale=100.0,
    ),
    Judge(
        "TSI",
        {"slow": 25, "fast": 13, "signal": 13},
        lambda t, m: _columns(t.tsi(m.frame.close, 13, 25, 13, talib=False), "TSI", "TSIs"),
    ),
    Judge(
        "Fisher",
        {"period": 9},
        lambda t, m: _columns(t.fisher(m.frame.high, m.frame.low, 9), "FISHERT", "FISHERTs"),
        fades=100,
    ),
    Judge(
        "RVGI",
        {"period": 10},
        lambda t, m: _columns(
            t.rvgi(m.frame.open, m.frame.high, m.frame.low, m.frame.close, 10, 4),
            "RVGI",
            "RVGIs",
        ),
    ),
    Judge(
        "Psychological", {"period": 12}, lambda t, m: [t.psl(m.frame.close, length=12)], fades=12
    ),
    Judge(
        "Disparity",
        {"period": 20},
        lambda t, m: [100 * (t.bias(m.frame.close, 20, mamode="sma", talib=False) + 1)],
    ),
    Judge(
        "ARBR",
        {"period": 26},
        lambda t, m: _columns(
            t.brar(m.frame.open, m.frame.high, m.frame.low, m.frame.close, 26), "AR", "BR"
        ),
    ),
    Judge("CenterOfGravity", {"period": 10}, lambda t, m: [t.cg(m.frame.close, 10)]),
    Judge(
        "LaguerreRSI", {"gamma": "0.5"}, lambda t, m: [t.lrsi(m.frame.close, gamma=0.5)], fades=1
    ),
    Judge(
        "StochRSI",
        {"rsi": 14, "period": 14, "k": 3, "d": 3},
        lambda t, m: _columns(
            t.stochrsi(m.frame.close, 14, 14, 3, 3, talib=False), "STOCHRSIk", "STOCHRSId"
        ),
        fades=400,
    ),
    Judge(
        "Stochastic",
        {"period": 14, "k": 3, "d": 3},
        lambda t, m: _columns(
            t.stoch(m.frame.high, m.frame.low, m.frame.close, 14, 3, 3, talib=False),
            "STOCHk",
            "STOCHd",
        ),
    ),
    Judge(
        "Coppock",
        {"long": 14, "short": 11, "mean": 10},
        lambda t, m: [t.coppock(m.frame.close, 10, 11, 14)],
    ),
    Judge(
        "KAMA",
        {"period": 10, "fast": 2, "slow": 30},
        lambda t, m: [t.kama(m.frame.close, 10, 2, 30)],
        fades=10,
    ),
    Judge("UlcerIndex", {"period": 14}, lambda t, m: [t.ui(m.frame.close, 14)]),
    Judge(
        "HistoricalVolatility",
        {"period": 20, "bars_per_year": 252},
        lambda t, m: [t.hvol(m.frame.close, 20, 252)],
    ),
    Judge(
        "BollingerPercentB",
        {"period": 20, "deviations": 2},
        lambda t, m: _columns(t.bbands(m.frame.close, 20, 2.0, talib=False, ddof=0), "BBP"),
    ),
    Judge(
        "BollingerBandwidth",
        {"period": 20, "deviations": 2},
        lambda t, m: _columns(t.bbands(m.frame.close, 20, 2.0, talib=False, ddof=0), "BBB"),
    ),
    Judge(
        "ChandelierExit",
        {"period": 22, "deviations": 3},
        lambda t, m: _columns(
            t.ce(m.frame.high, m.frame.low, m.frame.close, 22, 3.0), "CE_L", "CE_S"
        ),
        fades=550,
    ),
    Judge(
        "EaseOfMovement",
        {"period": 14, "divisor": 10_000},
        lambda t, m: [t.eom(m.frame.high, m.frame.low, m.frame.close, m.frame.volume, 14, 10_000)],
    ),
    Judge(
        "VolumeOscillator",
        {"fast": 5, "slow": 10},
        lambda t, m: [t.vosc(m.frame.volume, 5, 10)],
    ),
    Judge(
        "VWAP",
        {},
        lambda t, m: [
            t.vwap(m.frame.high, m.frame.low, m.frame.close, m.frame.volume, anchor="D")
        ],
    ),
    Judge(
        "WeeklyVWAP",
        {},
        lambda t, m: [
            t.vwap(m.frame.high, m.frame.low, m.frame.close, m.frame.volume, anchor="W")
        ],
    ),
    Judge(
        "MonthlyVWAP",
        {},
        lambda t, m: [
            t.vwap(m.frame.high, m.frame.low, m.frame.close, m.frame.volume, anchor="M")
        ],
    ),
    Judge("StdDev", {"period": 20}, lambda t, m: [t.stdev(m.frame.close, 20, talib=False)]),
    Judge("Variance", {"period": 20}, lambda t, m: [t.variance(m.frame.close, 20, talib=False)]),
    Judge("Median", {"period": 20}, lambda t, m: [t.median(m.frame.close, 20)]),
    Judge("Median", {"period": 21}, lambda t, m: [t.median(m.frame.close, 21)]),
    Judge("Skewness", {"period": 30}, lambda t, m: [t.skew(m.frame.close, 30)]),
    Judge("Kurtosis", {"period": 30}, lambda t, m: [t.kurtosis(m.frame.close, 30)]),
    Judge("LogReturn", {"period": 1}, lambda t, m: [t.log_return(m.frame.close, 1)]),
    Judge(
        "ZScore",
        {"period": 20},
        lambda t, m: [t.zscore(m.frame.close, 20)],
        scale=(19 / 20) ** 0.5,
    ),
    Judge(
        "Choppiness",
        {"period": 14},
        lambda t, m: [t.chop(m.frame.high, m.frame.low, m.frame.close, 14, 1)],
    ),
    Judge(
        "Vortex",
        {"period": 14},
        lambda t, m: _columns(
            t.vortex(m.frame.high, m.frame.low, m.frame.close, 14), "VTXP", "VTXM"
        ),
    ),
    Judge(
        "Ichimoku",
        {"conversion": 9, "baseline": 26, "span": 52, "displacement": 27},
        lambda t, m: _columns(
            t.ichimoku(m.frame.high, m.frame.low, m.frame.close, 9, 26, 52)[0],
            *("ITS", "IKS", "ISA", "ISB"),
        ),
        outputs=(0, 1, 2, 3),
    ),
    Judge(
        "ChandeKrollStop",
        {"period": 10, "factor": 1, "smoothing": 9},
        lambda t, m: _columns(
            t.cksp(m.frame.high, m.frame.low, m.frame.close, 10, 1, 9), "CKSPl", "CKSPs"
        ),
        fades=400,
    ),
    Judge(
        "ADX",
        {"period": 10},
        lambda t, m: _columns(
            t.adx(m.frame.high, m.frame.low, m.frame.close, 10, talib=False), "ADX"
        ),
        fades=550,
    ),
)
