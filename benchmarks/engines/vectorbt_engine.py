"""Runs vectorbt: python vectorbt_engine.py CASE FILE REPEATS CACHE ENGINE (rust or numba).

`multi` and `portfolio` need its order functions, which are compiled by numba whatever the engine.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import vectorbt as vbt
from measured import Outcome, median_seconds, say, sweep_pairs
from vectorbt_orders import run_multi, run_portfolio

CASH, FEE = 1e12, 0.0005
_AT_ONCE = 50


def main() -> None:
    """Measure one case."""
    _, case, path, repeats, _cache, engine = sys.argv
    began = time.perf_counter()
    names = ["open", "high", "low", "close"] if case == "multi" else ["open", "close"]
    table = pq.read_table(path, columns=["symbol", *names])
    symbols = len(table["symbol"].unique())
    # Its columns are instruments; the file holds one after another, all equally long.
    bars = {
        name: table[name].to_numpy().reshape(symbols, -1).T.astype(np.float64) for name in names
    }
    load = time.perf_counter() - began
    runs: dict[str, Callable[[], Outcome]] = {
        "sma": lambda: _sma(bars, engine),
        "sweep": lambda: _sweep(bars, engine),
        "multi": lambda: run_multi(bars, CASH),
        "portfolio": lambda: run_portfolio(bars, CASH),
    }
    seconds, outcome = median_seconds(runs[case], int(repeats))
    pairs = len(sweep_pairs()) if case == "sweep" else 1
    say(rows=bars["close"].size * pairs, seconds=seconds, outcome=outcome, load_seconds=load)


def _sma(bars: dict[str, np.ndarray], engine: str) -> Outcome:
    close = bars["close"]
    fast = vbt.MA.run(close, 20, engine=engine).ma.to_numpy()
    slow = vbt.MA.run(close, 50, engine=engine).ma.to_numpy()
    return _crossings(close, bars["open"], fast, slow, engine)


def _sweep(bars: dict[str, np.ndarray], engine: str) -> Outcome:
    close, open_, pairs = bars["close"][:, 0], bars["open"], sweep_pairs()
    fills, gain = 0, 0.0
    for first in range(0, len(pairs), _AT_ONCE):
        part = pairs[first : first + _AT_ONCE]
        fast = vbt.MA.run(close, [pair[0] for pair in part], engine=engine).ma.to_numpy()
        slow = vbt.MA.run(close, [pair[1] for pair in part], engine=engine).ma.to_numpy()
        wide = np.broadcast_to(bars["close"], fast.shape)
        found = _crossings(wide, np.broadcast_to(open_, fast.shape), fast, slow, engine)
        fills, gain = fills + found.fills, gain + found.gain
    return Outcome(fills, gain)


def _crossings(
    close: np.ndarray, open_: np.ndarray, fast: np.ndarray, slow: np.ndarray, engine: str
) -> Outcome:
    above, below = fast > slow, fast < slow
    known = ~np.isnan(slow)
    entries, exits = np.zeros_like(above), np.zeros_like(above)
    entries[1:] = above[1:] & ~above[:-1] & known[:-1]
    exits[1:] = below[1:] & ~below[:-1] & known[:-1]
    # Decided on the close, filled at the next open.
    entries, exits = np.roll(entries, 1, axis=0), np.roll(exits, 1, axis=0)
    entries[0] = exits[0] = False
    portfolio = vbt.Portfolio.from_signals(
        close, entries, exits, price=open_, size=1.0, fees=FEE, init_cash=CASH, engine=engine
    )
    gain = float(np.sum(np.asarray(portfolio.final_value()) - CASH))
    return Outcome(len(portfolio.orders.values), gain)


if __name__ == "__main__":
    main()
