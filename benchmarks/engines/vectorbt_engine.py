"""Runs vectorbt: python vectorbt_engine.py CASE FILE REPEATS ENGINE (rust or numba)."""

import sys
import time

import numpy as np
import pyarrow.parquet as pq
import vectorbt as vbt
from measured import Outcome, median_seconds, say

CASH = 1e12


def main() -> None:
    """Measure one case."""
    _, _case, path, repeats, engine = sys.argv
    began = time.perf_counter()
    table = pq.read_table(path, columns=["symbol", "open", "close"])
    symbols = len(table["symbol"].unique())
    # Its columns are instruments; the file holds one after another, all equally long.
    close = table["close"].to_numpy().reshape(symbols, -1).T.astype(np.float64)
    open_ = table["open"].to_numpy().reshape(symbols, -1).T.astype(np.float64)
    load = time.perf_counter() - began

    def run() -> Outcome:
        fast = vbt.MA.run(close, 20, engine=engine).ma.to_numpy()
        slow = vbt.MA.run(close, 50, engine=engine).ma.to_numpy()
        above, below = fast > slow, fast < slow
        known = ~np.isnan(slow)
        entries, exits = np.zeros_like(above), np.zeros_like(above)
        entries[1:] = above[1:] & ~above[:-1] & known[:-1]
        exits[1:] = below[1:] & ~below[:-1] & known[:-1]
        # Decided on the close, filled at the next open.
        entries, exits = np.roll(entries, 1, axis=0), np.roll(exits, 1, axis=0)
        entries[0] = exits[0] = False
        portfolio = vbt.Portfolio.from_signals(
            close, entries, exits, price=open_, size=1.0, fees=0.0005, init_cash=CASH,
            engine=engine,
        )  # fmt: skip
        gain = float(np.sum(np.asarray(portfolio.final_value()) - CASH))
        return Outcome(len(portfolio.orders.values), gain)

    seconds, outcome = median_seconds(run, int(repeats))
    say(rows=close.size, seconds=seconds, outcome=outcome, load_seconds=load)


main()
