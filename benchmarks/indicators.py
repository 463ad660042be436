"""Twelve indicators over a million rows: JTS, TA-Lib, pandas-ta-classic and polars-talib.

    python benchmarks/indicators.py [--rows N] [--repeats N] [--engines jts,talib,...]

Prints one JSON line per engine and case: `indicators-12` is the sum over the twelve,
`indicators-11` that without VWAP, which polars-talib lacks, `indicators-<name>` each of them.
Every engine runs in a process of its own on the same generated input, after a warm-up; seconds
are the least of the repeats. `agrees` compares every value with TA-Lib's at 1e-9, from the bar on
from which both are said to agree (docs/indicators.md). `jts-fused` computes all of them in one
pass, as a strategy does. A peer that is not installed has a line with its error.
"""

import argparse
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

Floats = NDArray[np.float64]
Market = dict[str, Floats]
Answer = tuple[Floats, ...]

ENGINES = ("jts", "jts-fused", "talib", "polars-talib", "pandas-ta-classic")
BARS_A_SESSION = 390
# Bars after which averages that start differently agree (docs/indicators.md).
FADES = {"MACD": 500}
# (name, settings, outputs) of the twelve, and the call of each library.
CASES: dict[str, dict[str, float]] = {
    "SMA": {"period": 20},
    "EMA": {"period": 20},
    "RSI": {"period": 14},
    "MACD": {"fast": 12, "slow": 26, "signal": 9},
    "Bollinger": {"period": 20, "deviations": 2.0},
    "ATR": {"period": 14},
    "Stochastic": {"period": 14, "k": 3, "d": 3},
    "ADX": {"period": 14},
    "OBV": {},
    "VWAP": {},
    "MFI": {"period": 14},
    "CCI": {"period": 20},
}


def market(rows: int) -> Market:
    """Return seeded bars on a tick of 0.01 near 50,000, with whole volumes."""
    source = np.random.Generator(np.random.PCG64(20))
    ticks = 5_000_000 + np.cumsum(source.integers(-40, 41, rows))
    opened = np.concatenate(([ticks[0]], ticks[:-1])) + source.integers(-5, 6, rows)
    high = np.maximum(opened, ticks) + source.integers(0, 30, rows)
    low = np.minimum(opened, ticks) - source.integers(0, 30, rows)
    volume = source.integers(1, 10_000, rows)
    columns = {"open": opened, "high": high, "low": low, "close": ticks, "volume": volume}
    found = {name: column.astype(np.float64) for name, column in columns.items()}
    found["session"] = np.floor(np.arange(rows) / BARS_A_SESSION) + 19_723.0
    return found


def jts_kernels(folder: Path, *, is_fused: bool) -> Callable[[Market], dict[str, Answer]]:
    """Return a function that computes the twelve by steps compiled as a strategy compiles them."""
    from jts_trading.dsl.emit import function_text
    from jts_trading.indicators.catalog import NATIVE
    from jts_trading.indicators.definition import ParameterKind
    from jts_trading.kernels.loader import load

    steps: dict[str, str] = {}
    drivers, calls, outputs, at = [], [], [], 0
    inputs = ["open", "high", "low", "close", "volume", "session"]
    for name, settings in CASES.items():
        definition = NATIVE.definitions[name]
        for function in (*definition.uses, definition.step):
            steps[function.__name__] = function_text(function)
        values = [
            repr(float(settings[p.name]))
            if p.kind is ParameterKind.NUMBER
            else str(int(settings[p.name]))
            for p in definition.parameters
        ]
        held = {
            key: importlib.import_module("fractions").Fraction(v) for key, v in settings.items()
        }
        columns = [f"{column}_[i]" for column in definition.inputs]
        targets = [f"{name}_{k}" for k in range(len(definition.outputs))]
        place = str(at) if is_fused else "0"
        call = f"{definition.step.__name__}({', '.join(['state', place, *values, *columns])})"
        divisors = [o.divisor(held) if o.divisor else 1 for o in definition.outputs]
        stores = [
            f"{target}[i] = v{k}" + (f" / {float(divisor)}" if divisor != 1 else "")
            for k, (target, divisor) in enumerate(zip(targets, divisors, strict=True))
        ]
        body = [f"{', '.join(f'v{k}' for k in range(len(targets)))} = {call}", *stores]
        size = definition.state_size(held)
        at += size
        calls += body
        outputs.append((name, targets, size, body))
    if is_fused:
        targets = [target for _, names, _, _ in outputs for target in names]
        drivers.append(_driver("run", inputs, targets, calls))
    else:
        drivers += [_driver(f"run_{n}", inputs, t, body) for n, t, _, body in outputs]
    module = load("\n\n".join(["import math", *steps.values(), *drivers]), folder)

    def compute(bars: Market) -> dict[str, Answer]:
        given = [bars[name] for name in inputs]
        rows = len(given[0])
        found = {name: tuple(np.empty(rows) for _ in names) for name, names, _, _ in outputs}
        if is_fused:
            module.run(np.zeros(at), *given, *(a for answer in found.values() for a in answer))
            return found
        for name, _, size, _ in outputs:
            getattr(module, f"run_{name}")(np.zeros(size), *given, *found[name])
        return found

    return compute


def _driver(name: str, inputs: list[str], targets: list[str], body: list[str]) -> str:
    head = f"def {name}({', '.join(['state', *(f'{i}_' for i in inputs), *targets])}):"
    loop = "    for i in range(len(close_)):"
    return "\n".join([head, loop, *(f"        {line}" for line in body)])


def talib_calls(bars: Market) -> dict[str, Callable[[], Answer]]:
    """Return the twelve calls of TA-Lib; its VWAP never resets, so it is asked per session."""
    talib = importlib.import_module("talib")
    o, h, low, c, v = (bars[name] for name in ("open", "high", "low", "close", "volume"))
    del o

    def vwap() -> Answer:
        found = np.empty(len(c))
        for first in range(0, len(c), BARS_A_SESSION):
            part = slice(first, first + BARS_A_SESSION)
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


def pandas_ta_calls(bars: Market) -> dict[str, Callable[[], Answer]]:
    """Return the twelve calls of pandas-ta-classic's own code."""
    pd = importlib.import_module("pandas")
    ta = importlib.import_module("pandas_ta_classic")
    rows = np.arange(len(bars["close"]))
    minutes = pd.to_timedelta(rows % BARS_A_SESSION, unit="min")
    index = pd.to_datetime(bars["session"], unit="D") + pd.Timedelta(hours=9) + minutes
    h, low, c, v = (pd.Series(bars[k], index=index) for k in ("high", "low", "close", "volume"))

    def columns(frame: object, *starts: str) -> Answer:
        found = []
        for start in starts:
            (name,) = (n for n in frame.columns if n.startswith(f"{start}_"))  # type: ignore[attr-defined]
            found.append(frame[name].to_numpy())  # type: ignore[index]
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


def polars_calls(bars: Market) -> dict[str, Callable[[], Answer]]:
    """Return the calls of polars-talib; it has no VWAP."""
    pl = importlib.import_module("polars")
    plta = importlib.import_module("polars_talib")
    frame = pl.DataFrame({k: bars[k] for k in ("open", "high", "low", "close", "volume")})
    h, low, c, v = pl.col("high"), pl.col("low"), pl.col("close"), pl.col("volume")

    def ask(expression: object, *fields: str) -> Callable[[], Answer]:
        def answer() -> Answer:
            (column,) = frame.select(expression).get_columns()
            if not fields:
                return (column.to_numpy(),)
            return tuple(column.struct.field(field).to_numpy() for field in fields)

        return answer

    return {
        "SMA": ask(plta.sma(c, 20)),
        "EMA": ask(plta.ema(c, 20)),
        "RSI": ask(plta.rsi(c, 14)),
        "MACD": ask(plta.macd(c, 12, 26, 9), "macd", "macdsignal", "macdhist"),
        "Bollinger": ask(plta.bbands(c, 20, 2.0, 2.0), "upperband", "middleband", "lowerband"),
        "ATR": ask(plta.atr(h, low, c, 14)),
        "Stochastic": ask(
            plta.stoch(h, low, c, fastk_period=14, slowk_period=3, slowd_period=3),
            "slowk",
            "slowd",
        ),
        "ADX": ask(plta.adx(h, low, c, 14)),
        "OBV": ask(plta.obv(c, v)),
        "MFI": ask(plta.mfi(h, low, c, v, 14)),
        "CCI": ask(plta.cci(h, low, c, 20)),
    }


def measure(engine: str, rows: int, repeats: int, folder: Path) -> dict[str, object]:
    """Run one engine; leave its values in the folder and return seconds by case."""
    bars = market(rows)
    warnings.simplefilter("ignore")
    if engine == "jts-fused":
        fused = jts_kernels(folder / "kernels", is_fused=True)
        values = fused(bars)
        seconds = {"12": min(_timed(lambda: fused(bars)) for _ in range(repeats))}
    elif engine == "jts":
        seconds, values = _each(_jts_calls(bars, folder), repeats)
    else:
        calls = {
            "talib": talib_calls,
            "pandas-ta-classic": pandas_ta_calls,
            "polars-talib": polars_calls,
        }[engine](bars)
        seconds, values = _each(calls, repeats)
    for name, answer in values.items():
        np.save(folder / f"{engine}-{name}.npy", np.vstack(answer))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak_rss_mb": round(peak, 1)}


def _jts_calls(bars: Market, folder: Path) -> dict[str, Callable[[], Answer]]:
    found: dict[str, Callable[[], Answer]] = {}
    for name in list(CASES):
        kept = dict(CASES)
        CASES.clear()
        CASES[name] = kept[name]
        compute = jts_kernels(folder / "kernels", is_fused=False)
        CASES.clear()
        CASES.update(kept)
        found[name] = lambda compute=compute, name=name: compute(bars)[name]
    return found


def _each(
    calls: dict[str, Callable[[], Answer]], repeats: int
) -> tuple[dict[str, float], dict[str, Answer]]:
    seconds, values = {}, {}
    for name, call in calls.items():
        values[name] = call()
        seconds[name] = min(_timed(call) for _ in range(repeats))
    return seconds, values


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def agrees(folder: Path, engine: str, name: str) -> bool | None:
    """Compare the values of an engine with TA-Lib's; None where one of them has none."""
    paths = [folder / f"{each}-{name}.npy" for each in (engine, "talib")]
    if not all(path.exists() for path in paths):
        return None
    found, expected = (np.load(path) for path in paths)
    first = max(FADES.get(name, 0), int(np.argmax(~np.isnan(expected).any(axis=0))))
    return bool(
        found.shape == expected.shape
        and np.allclose(found[:, first:], expected[:, first:], rtol=1e-9, atol=1e-7)
    )


def main() -> int:
    """Run the engines, each in its own process, and print a line per engine and case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.only:
        result = measure(chosen.only, chosen.rows, chosen.repeats, Path(chosen.folder))
        print(json.dumps(result))
        return 0
    with tempfile.TemporaryDirectory(prefix="jts-bench-") as name:
        results = {
            engine: _in_own_process(engine, chosen.rows, chosen.repeats, Path(name))
            for engine in chosen.engines.split(",")
        }
        for line in _lines(results, chosen.rows, Path(name)):
            print(json.dumps(line))
    return 0


def _in_own_process(engine: str, rows: int, repeats: int, folder: Path) -> dict[str, object] | str:
    argv = [sys.executable, __file__, "--rows", str(rows), "--repeats", str(repeats)]
    done = subprocess.run(
        [*argv, "--only", engine, "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def _lines(
    results: dict[str, dict[str, object] | str], rows: int, folder: Path
) -> list[dict[str, object]]:
    lines = []
    base = results.get("jts")
    ours = base["seconds"] if isinstance(base, dict) else {}
    for engine, result in results.items():
        if isinstance(result, str):
            lines.append({"bench": "indicators", "engine": engine, "error": result})
            continue
        seconds = result["seconds"]
        sums = {"12": sum(seconds.values())} if len(seconds) in (1, 12) else {}
        if len(seconds) > 1:
            sums["11"] = sum(s for name, s in seconds.items() if name != "VWAP")
        our_sums = {"12": sum(ours.values()), "11": sum(ours.values()) - ours.get("VWAP", 0.0)}
        for case, value in (*sums.items(), *((n, s) for n, s in seconds.items() if n in CASES)):
            mine = our_sums.get(case, ours.get(case, 0.0))
            verdicts = [
                agrees(folder, engine, name)
                for name in (CASES if case in our_sums else (case,))
                if case != "11" or name != "VWAP"
            ]
            lines.append(
                {
                    "bench": "indicators",
                    "case": f"indicators-{case}",
                    "engine": engine,
                    "rows": rows,
                    "seconds": round(value, 6),
                    "rate": round(rows / value),
                    "ns_per_row": round(value / rows * 1e9, 2),
                    "peak_rss_mb": result["peak_rss_mb"],
                    "ratio_to_jts": round(value / mine, 3) if mine else None,
                    "agrees": None if None in verdicts else all(verdicts),
                }
            )
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
