"""Runs the hand-written kernels: python kernel.py CASE FILE REPEATS CACHE THREADS."""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import kernels
import numpy as np
import pyarrow.parquet as pq
from measured import Outcome, median_seconds, say, sweep_pairs
from texts import CASH

Run = Callable[[], Outcome]


def main() -> None:
    """Measure one case."""
    _, case, path, repeats, _cache, threads = sys.argv
    began = time.perf_counter()
    table = pq.read_table(path, columns=["symbol", "open", "high", "low", "close"])
    columns = {name: table[name].to_numpy() for name in ("open", "high", "low", "close")}
    codes = table["symbol"].combine_chunks().dictionary_encode().indices.to_numpy()
    offsets = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(codes))
    load = time.perf_counter() - began
    runs = {
        "sma": _sma,
        "sma-small": _sma,
        "sweep": _sweep,
        "multi": _multi,
        "portfolio": _portfolio,
    }
    run, rows = runs[case](columns, offsets, int(threads))
    seconds, outcome = median_seconds(run, int(repeats))
    say(rows=rows, seconds=seconds, outcome=outcome, load_seconds=load)


def _sma(columns: dict[str, np.ndarray], offsets: np.ndarray, threads: int) -> tuple[Run, int]:
    cuts = [len(offsets[:-1]) * at // threads for at in range(threads + 1)]
    shares = [offsets[cuts[at] : cuts[at + 1] + 1] for at in range(threads)]
    pool = ThreadPoolExecutor(threads)

    def run() -> Outcome:
        close, open_ = columns["close"], columns["open"]
        parts = pool.map(lambda s: kernels.sma_cross(close, open_, s, 20, 50), shares)
        fills, gains = zip(*parts, strict=True)
        return Outcome(sum(fills), sum(gains))

    return run, len(columns["close"])


def _sweep(columns: dict[str, np.ndarray], _: np.ndarray, threads: int) -> tuple[Run, int]:
    close, open_, pairs = columns["close"], columns["open"], np.array(sweep_pairs())
    pool = ThreadPoolExecutor(threads)

    def run() -> Outcome:
        sums = np.concatenate(([0], np.cumsum(close)))
        fills, money = np.zeros(len(pairs), np.int64), np.zeros(len(pairs), np.int64)
        shares = [slice(at, None, threads) for at in range(threads)]
        list(
            pool.map(
                lambda s: kernels.sma_pairs(close, open_, sums, pairs[s], fills[s], money[s]),
                shares,
            )
        )
        return Outcome(int(fills.sum()), float(money.sum()))

    return run, len(close) * len(pairs)


def _multi(columns: dict[str, np.ndarray], _: np.ndarray, _threads: int) -> tuple[Run, int]:
    arrays = [columns[name] for name in ("open", "high", "low", "close")]
    floors = np.zeros(len(arrays[0]))
    return lambda: Outcome(*kernels.multi(*arrays, CASH, floors)), len(arrays[0])


def _portfolio(
    columns: dict[str, np.ndarray], offsets: np.ndarray, _threads: int
) -> tuple[Run, int]:
    count, rows = len(offsets) - 1, len(columns["close"])
    open_, close = (
        np.ascontiguousarray(columns[name].reshape(count, -1).T) for name in ("open", "close")
    )
    orders = np.zeros((rows // 10, 5), np.int64)

    def run() -> Outcome:
        state = np.zeros((count, 7), np.int64)
        return Outcome(*kernels.portfolio(open_, close, CASH, state, orders))

    return run, rows


main()
