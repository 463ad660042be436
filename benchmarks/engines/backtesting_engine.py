"""Runs backtesting.py, one instrument a run: python backtesting_engine.py CASE FILE REPEATS."""

import sys
import time
import warnings

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from backtesting import Backtest, Strategy
from measured import Outcome, median_seconds, say

CASH = 1e9


class Crossing(Strategy):
    """Buys one share when the quick mean crosses above the slow one."""

    def init(self) -> None:
        """Work the means out."""
        close = pd.Series(np.asarray(self.data.Close))
        self.fast = self.I(lambda: close.rolling(20).sum().to_numpy() * 50)
        self.slow = self.I(lambda: close.rolling(50).sum().to_numpy() * 20)

    def next(self) -> None:
        """Decide on a close."""
        fast, slow = self.fast, self.slow
        if np.isnan(slow[-2]):
            return
        if not self.position and fast[-1] > slow[-1] and fast[-2] <= slow[-2]:
            self.buy(size=1)
        elif self.position and fast[-1] < slow[-1] and fast[-2] >= slow[-2]:
            self.position.close()


def main() -> None:
    """Measure one case."""
    _, _case, path, repeats, *_ = sys.argv
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    table = pq.read_table(path).to_pandas()
    table = table.set_index("timestamp").rename(columns=str.capitalize)
    frames = [frame.drop(columns="Symbol") for _, frame in table.groupby("Symbol", sort=True)]
    load = time.perf_counter() - began

    def run() -> Outcome:
        fills, gain = 0, 0.0
        for frame in frames:
            found = Backtest(frame, Crossing, cash=CASH, commission=0.0005).run()
            strategy = found["_strategy"]
            fills += 2 * len(strategy.closed_trades) + len(strategy.trades)
            gain += found["Equity Final [$]"] - CASH
        return Outcome(fills, gain)

    seconds, outcome = median_seconds(run, int(repeats))
    say(rows=len(table), seconds=seconds, outcome=outcome, load_seconds=load)


main()
