"""Runs the twelve indicators of a peer: indicator_peers.py CASE FILE REPEATS CACHE ENGINE."""

import importlib
import sys
import warnings
from collections.abc import Callable

import numpy as np
from twelve import Answer, Bars, measure_each, read_bars, session_slices

Calls = dict[str, Callable[[], Answer]]


def main() -> None:
    """Measure one library."""
    _, _case, path, repeats, cache, engine = sys.argv
    warnings.simplefilter("ignore")
    bars = read_bars(path)
    asked = {"talib": talib_calls, "pandas-ta-classic": pandas_calls, "polars-talib": polars_calls}
    measure_each(engine, asked[engine](bars), len(bars.close), int(repeats), cache)


def talib_calls(bars: Bars) -> Calls:
    """Return the calls of TA-Lib; its VWAP never resets, so it is asked by session."""
    talib = importlib.import_module("talib")
    _, h, low, c, v, _ = bars
    sessions = session_slices(bars)

    def vwap() -> Answer:
        found = np.empty(len(c))
        for part in sessions:
            found[part] = talib.VWAP(h[part], low[part], c[part], v[part])
        return (found,)

    return {
        "SMA": lambda: (talib.SMA(c, 20),),
        "EMA": lambda: (talib.EMA(c, 20),),
        "RSI": lambda: (talib.RSI(c, 14),),
        "MACD": lambda: talib.MACD(c, 12, 26, 9),
        "Bollinger": lambda: talib.BBANDS(c, 20, 2.0, 2.0),
        "ATR": lambda: (talib.ATR(h, low, c, 14),),
        "Stochastic": lambda: talib.STOCH(h, low, c, 14, 3, 0, 3, 0),
        "ADX": lambda: (talib.ADX(h, low, c, 14),),
        "OBV": lambda: (talib.OBV(c, v),),
        "VWAP": vwap,
        "MFI": lambda: (talib.MFI(h, low, c, v, 14),),
        "CCI": lambda: (talib.CCI(h, low, c, 20),),
    }


def pandas_calls(bars: Bars) -> Calls:
    """Return the calls of pandas-ta-classic's own code."""
    pd = importlib.import_module("pandas")
    ta = importlib.import_module("pandas_ta_classic")
    # Its VWAP starts afresh with the day of its index.
    index = pd.to_datetime(bars.session, unit="D") + pd.to_timedelta(
        np.arange(len(bars.close)) % 390, unit="min"
    )
    h, low, c, v = (pd.Series(column, index=index) for column in bars[1:5])

    def columns(frame: object, *starts: str) -> Answer:
        found = []
        for start in starts:
            (name,) = (n for n in frame.columns if n.startswith(f"{start}_"))
            found.append(frame[name].to_numpy())
        return tuple(found)

    return {
        "SMA": lambda: (ta.sma(c, 20, talib=False).to_numpy(),),
        "EMA": lambda: (ta.ema(c, 20, talib=False).to_numpy(),),
        "RSI": lambda: (ta.rsi(c, 14, talib=False).to_numpy(),),
        "MACD": lambda: columns(ta.macd(c, 12, 26, 9, talib=False), "MACD", "MACDs", "MACDh"),
        "Bollinger": lambda: columns(ta.bbands(c, 20, 2.0, talib=False), "BBU", "BBM", "BBL"),
        "ATR": lambda: (ta.atr(h, low, c, 14, talib=False).to_numpy(),),
        "Stochastic": lambda: columns(
            ta.stoch(h, low, c, 14, 3, 3, talib=False), "STOCHk", "STOCHd"
        ),
        "ADX": lambda: columns(ta.adx(h, low, c, 14, talib=False), "ADX"),
        "OBV": lambda: (ta.obv(c, v, talib=False).to_numpy(),),
        "VWAP": lambda: (ta.vwap(h, low, c, v, anchor="D").to_numpy(),),
        "MFI": lambda: (ta.mfi(h, low, c, v, 14, talib=False).to_numpy(),),
        "CCI": lambda: (ta.cci(h, low, c, 20, talib=False).to_numpy(),),
    }


def polars_calls(bars: Bars) -> Calls:
    """Return the calls of polars-talib; it has no VWAP."""
    pl = importlib.import_module("polars")
    ta = importlib.import_module("polars_talib")
    names = ("open", "high", "low", "close", "volume")
    frame = pl.DataFrame({name: getattr(bars, name) for name in names})
    h, low, c, v = (pl.col(name) for name in names[1:])

    def ask(expression: object, *fields: str) -> Callable[[], Answer]:
        def answer() -> Answer:
            (column,) = frame.select(expression).get_columns()
            if not fields:
                return (column.to_numpy(),)
            return tuple(column.struct.field(field).to_numpy() for field in fields)

        return answer

    terms = {"fastk_period": 14, "slowk_period": 3, "slowd_period": 3}
    return {
        "SMA": ask(ta.sma(c, 20)),
        "EMA": ask(ta.ema(c, 20)),
        "RSI": ask(ta.rsi(c, 14)),
        "MACD": ask(ta.macd(c, 12, 26, 9), "macd", "macdsignal", "macdhist"),
        "Bollinger": ask(ta.bbands(c, 20, 2.0, 2.0), "upperband", "middleband", "lowerband"),
        "ATR": ask(ta.atr(h, low, c, 14)),
        "Stochastic": ask(ta.stoch(h, low, c, **terms), "slowk", "slowd"),
        "ADX": ask(ta.adx(h, low, c, 14)),
        "OBV": ask(ta.obv(c, v)),
        "MFI": ask(ta.mfi(h, low, c, v, 14)),
        "CCI": ask(ta.cci(h, low, c, 20)),
    }


main()
