"""Runs the hand-written kernels: python kernel_main.py CASE FILE REPEATS."""

import sys
import time

import numpy as np
import pyarrow.parquet as pq
from kernels import sma_cross
from measured import Outcome, median_seconds, say


def main() -> None:
    """Measure one case."""
    _, _case, path, repeats = sys.argv
    began = time.perf_counter()
    table = pq.read_table(path, columns=["symbol", "open", "close"])
    close, open_ = table["close"].to_numpy(), table["open"].to_numpy()
    codes = table["symbol"].combine_chunks().dictionary_encode().indices.to_numpy()
    offsets = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(close))
    load = time.perf_counter() - began

    def run() -> Outcome:
        return Outcome(*sma_cross(close, open_, offsets, 20, 50))

    seconds, outcome = median_seconds(run, int(repeats))
    say(rows=len(close), seconds=seconds, outcome=outcome, load_seconds=load)


main()
