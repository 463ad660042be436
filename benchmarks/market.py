"""Writes a generated market: python market.py FILE SYMBOLS BARS SEED FIRST_DAY.

The same arguments give the same file, and every engine reads that file.

Prices are whole won on the KRX ladder, so that exact engines can be told from rounding ones: two
means of such prices tie now and then, and how a running sum rounds then decides a trade.
"""

import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from jts_trading.domain.sessions import calendar_for

BARS_A_SESSION = 390
TICK = 100
_LOW, _HIGH = 60_000, 190_000
_MINUTE_MS = 60_000


def write_market(path: Path, *, symbols: int, bars: int, seed: int, first: date) -> None:
    """Write minute bars of a random walk, sorted by symbol and time.

    Args:
        path: Parquet with symbol, timestamp (UTC ms), open, high, low, close, volume (int64).
        symbols: How many instruments.
        bars: Bars of each.
        seed: Of the walk.
        first: From which day on sessions are taken.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    stamps = _stamps(bars, first)
    writer: list[pl.DataFrame] = []
    for number in range(symbols):
        close = _walk(random, bars)
        open_ = np.concatenate([close[:1], close[:-1]]) + TICK * random.integers(-1, 2, bars)
        reach = TICK * random.integers(0, 3, (2, bars))
        writer.append(
            pl.DataFrame(
                {
                    "symbol": np.full(bars, f"{number:06d}"),
                    "timestamp": stamps,
                    "open": open_,
                    "high": np.maximum(open_, close) + reach[0],
                    "low": np.minimum(open_, close) - reach[1],
                    "close": close,
                    "volume": random.integers(1, 10_000, bars),
                }
            )
        )
    frame = pl.concat(writer).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))
    frame.write_parquet(path, compression="zstd", row_group_size=1 << 20)


def _stamps(bars: int, first: date) -> np.ndarray:
    calendar, day, found = calendar_for("KRX"), first, []
    while len(found) * BARS_A_SESSION < bars:
        if calendar.is_session(day):
            opens_ms = calendar.open_close_ns(day)[0] // 1_000_000
            found.append(opens_ms + _MINUTE_MS * np.arange(BARS_A_SESSION))
        day += timedelta(days=1)
    return np.concatenate(found)[:bars]


def _walk(random: np.random.Generator, bars: int) -> np.ndarray:
    """Return a walk on the grid that turns round at its bounds."""
    span = (_HIGH - _LOW) // TICK
    steps = np.cumsum(random.integers(-3, 4, bars)) + random.integers(0, span)
    folded = np.abs((steps + span) % (2 * span) - span)
    return _LOW + TICK * folded.astype(np.int64)


if __name__ == "__main__":
    file, symbols, bars, seed, first = sys.argv[1:]
    write_market(
        Path(file),
        symbols=int(symbols),
        bars=int(bars),
        seed=int(seed),
        first=date.fromisoformat(first),
    )
