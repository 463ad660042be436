"""Runs the hand-written kernels: python kernel.py CASE FILE REPEATS THREADS."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
from kernels import sma_cross
from measured import Outcome, median_seconds, say


def main() -> None:
    """Measure one case."""
    _, _case, path, repeats, threads = sys.argv
    began = time.perf_counter()
    table = pq.read_table(path, columns=["symbol", "open", "close"])
    close, open_ = table["close"].to_numpy(), table["open"].to_numpy()
    codes = table["symbol"].combine_chunks().dictionary_encode().indices.to_numpy()
    offsets = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(close))
    load = time.perf_counter() - began

    count = int(threads)
    cuts = [len(offsets[:-1]) * at // count for at in range(count + 1)]
    shares = [offsets[cuts[at] : cuts[at + 1] + 1] for at in range(count)]
    pool = ThreadPoolExecutor(count)

    def run() -> Outcome:
        parts = pool.map(lambda share: sma_cross(close, open_, share, 20, 50), shares)
        fills, gains = zip(*parts, strict=True)
        return Outcome(sum(fills), sum(gains))

    seconds, outcome = median_seconds(run, int(repeats))
    say(rows=len(close), seconds=seconds, outcome=outcome, load_seconds=load)


main()
