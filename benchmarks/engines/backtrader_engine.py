"""Runs backtrader, one instrument after another: python backtrader_engine.py CASE FILE REPEATS."""

import sys
import time

import backtrader as bt
import numpy as np
import pyarrow.parquet as pq
from measured import Outcome, median_seconds, say

CASH = 1e9


class Bars(bt.feed.DataBase):
    """Bars from arrays: instants as numbers of days, open and close."""

    params = (("columns", None),)

    def start(self) -> None:
        """Begin at the first bar."""
        super().start()
        self._at = 0

    def _load(self) -> bool:
        days, opens, closes = self.p.columns
        if self._at == len(days):
            return False
        at = self._at
        lines = self.lines
        lines.datetime[0], lines.open[0], lines.close[0] = days[at], opens[at], closes[at]
        lines.high[0], lines.low[0] = max(opens[at], closes[at]), min(opens[at], closes[at])
        self._at += 1
        return True


class Crossing(bt.Strategy):
    """Buys one share when the quick mean crosses above the slow one."""

    def __init__(self) -> None:
        """Set the sums up: means of whole prices would tie by rounding."""
        self.fast = bt.ind.SumN(self.data.close, period=20) * 50
        self.slow = bt.ind.SumN(self.data.close, period=50) * 20
        self.fills = 0

    def notify_order(self, order: bt.Order) -> None:
        """Count fills."""
        self.fills += order.status == order.Completed

    def next(self) -> None:
        """Decide on a close."""
        if len(self) < 51:
            return
        fast, slow = self.fast, self.slow
        if not self.position and fast[0] > slow[0] and fast[-1] <= slow[-1]:
            self.buy(size=1)
        elif self.position and fast[0] < slow[0] and fast[-1] >= slow[-1]:
            self.close()


def main() -> None:
    """Measure one case."""
    _, _case, path, repeats, *_ = sys.argv
    began = time.perf_counter()
    table = pq.read_table(path, columns=["symbol", "timestamp", "open", "close"])
    codes = table["symbol"].combine_chunks().dictionary_encode().indices.to_numpy()
    cuts = np.flatnonzero(np.diff(codes)) + 1
    days = table["timestamp"].cast("int64").to_numpy() / 86_400_000 + 719_163
    columns = [days, *(table[n].to_numpy().astype(float) for n in ("open", "close"))]
    parts = list(zip(*(np.split(column, cuts) for column in columns), strict=True))
    load = time.perf_counter() - began

    def run() -> Outcome:
        fills, gain = 0, 0.0
        for part in parts:
            cerebro = bt.Cerebro(stdstats=False)
            cerebro.adddata(Bars(columns=[column.tolist() for column in part]))
            cerebro.addstrategy(Crossing)
            cerebro.broker.setcash(CASH)
            cerebro.broker.setcommission(commission=0.0005)
            (strategy,) = cerebro.run()
            fills, gain = fills + strategy.fills, gain + cerebro.broker.getvalue() - CASH
        return Outcome(fills, gain)

    seconds, outcome = median_seconds(run, int(repeats))
    say(rows=len(codes), seconds=seconds, outcome=outcome, load_seconds=load)


main()
