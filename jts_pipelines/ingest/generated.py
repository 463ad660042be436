"""Market data made from a seed: for `jts demo` without data and for tests.

The files have the schema and the names of the real ones, and their peculiarities: prices on the
tick grid, halted days as zeros with the last close carried, an unadjusted split that follows a
halt, alphanumeric codes, a closing auction after a gap of nine minutes. The same arguments give
the same bytes of content; nothing here is a real price.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from jts_trading.domain.sessions import calendar_for

DAILY_NAME = "krx_1d_2023-12_2025-06.parquet"
MINUTE_NAME = "krx_1m_creon_005930_2018-01_2018-02.parquet"
LISTING_NAME = "krx_instruments_2026-08-21.parquet"
DAILY_FIRST = date(2023, 12, 5)
DAILY_LAST = date(2025, 6, 17)
MINUTE_FIRST = date(2018, 1, 17)
MINUTE_LAST = date(2018, 2, 26)

_SEOUL = ZoneInfo("Asia/Seoul")
_SPECIAL_SYMBOLS = ("005930", "37550L", "36328K", "00088K")
# "Sample electronics", "sample chemistry": words that no company is called by.
_NAMES = ("견본전자", "견본화학", "견본제약", "견본건설", "견본금속", "견본식품", "견본통신")
# Price below which a tick applies (KRX, since 2023-01-25).
_TICK_BELOW = (2_000, 5_000, 20_000, 50_000, 200_000, 500_000)
_TICKS = (1, 5, 10, 50, 100, 500, 1_000)
_DAILY_LIMIT = 0.29
_SPLIT_RATIO = 10
_HALT_DAYS = 3
_CONTINUOUS_MINUTES = 380
_AUCTION_MINUTE = 389

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GeneratedFiles:
    """Where the three files were written, below the directory given."""

    daily: Path
    minute: Path
    listing: Path


def write_generated(
    directory: Path,
    *,
    seed: int = 20_231_205,
    symbols: int = 60,
    first: date = DAILY_FIRST,
    last: date = DAILY_LAST,
) -> GeneratedFiles:
    """Write a daily panel, one symbol's minute bars and a listing as the real set has them.

    Args:
        directory: Gets a folder `krx` with the files.
        seed: Decides every number.
        symbols: Of the daily panel.
        first: First day of the daily panel.
        last: Last day of the daily panel.
    """
    folder = directory / "krx"
    folder.mkdir(parents=True, exist_ok=True)
    files = GeneratedFiles(folder / DAILY_NAME, folder / MINUTE_NAME, folder / LISTING_NAME)
    daily_panel(seed=seed, symbols=symbols, first=first, last=last).write_parquet(files.daily)
    minute_bars(seed=seed).write_parquet(files.minute)
    listing(symbols).write_parquet(files.listing)
    return files


def listing(symbols: int) -> pl.DataFrame:
    """Return ticker, Korean name, market and asset type of the panel's symbols.

    Codes that end in a letter are preferred shares, which only KOSPI has here; of the others every
    second one is listed on KOSDAQ.
    """
    rows = []
    for at, symbol in enumerate(_symbols(symbols)):
        is_preferred = not symbol.isdigit()
        name = f"{_NAMES[at % len(_NAMES)]}{at // len(_NAMES) + 1}"
        market = "KOSPI" if is_preferred or at % 2 == 0 else "KOSDAQ"
        suffix, kind = ("우", "PREFERRED") if is_preferred else ("", "COMMON")
        rows.append((symbol, f"{name}{suffix}", market, kind))
    return pl.DataFrame(rows, schema=["ticker", "name", "market", "asset_type"], orient="row")


def daily_panel(
    *, seed: int, symbols: int, first: date = DAILY_FIRST, last: date = DAILY_LAST
) -> pl.DataFrame:
    """Return daily bars, sorted by symbol and day: about one row in 35 is a halted session.

    The first symbol has an unadjusted 10:1 split after a halt of three sessions in its middle.
    """
    days = calendar_for("KRX").sessions(first, last)
    panels = [
        _symbol_days(symbol, days, np.random.default_rng([seed, at]), has_split=at == 0)
        for at, symbol in enumerate(_symbols(symbols))
    ]
    return pl.concat(panels).select(
        "timestamp", "symbol", "broker", "interval",
        "open", "high", "low", "close", "volume", "session_date",
    )  # fmt: skip


def minute_bars(
    *,
    seed: int,
    symbol: str = "005930",
    first: date = MINUTE_FIRST,
    last: date = MINUTE_LAST,
) -> pl.DataFrame:
    """Return minute bars of one symbol: 381 a session, the last one the closing auction.

    `source_label` is the end of the minute in Korean time, as the Creon export has it.
    """
    rng = np.random.default_rng([seed, 1_000_003])
    minutes = np.append(np.arange(_CONTINUOUS_MINUTES), _AUCTION_MINUTE)
    price = 2_480_000.0
    parts = []
    for day in calendar_for("KRX").sessions(first, last):
        moves = rng.normal(0.0, 0.0006, minutes.size)
        closes = _on_grid(price * np.exp(np.cumsum(moves)))
        opens = np.append(price, closes[:-1])
        price = float(closes[-1])
        opening = datetime.combine(day, time(9), _SEOUL)
        starts = [opening + timedelta(minutes=int(minute)) for minute in minutes]
        labels = [int((at + timedelta(minutes=1)).strftime("%Y%m%d%H%M")) for at in starts]
        parts.append(
            _bars(rng, opens, closes, spread=0.0008, volume=400.0).with_columns(
                timestamp=pl.Series(starts).dt.convert_time_zone("UTC").dt.cast_time_unit("ms"),
                source_label=pl.Series(labels, dtype=pl.Int64),
            )
        )
    return (
        pl.concat(parts)
        .with_columns(symbol=pl.lit(symbol), broker=pl.lit("creon"), interval=pl.lit("1m"))
        .select(
            "timestamp", "symbol", "broker", "interval",
            "open", "high", "low", "close", "volume", "source_label",
        )
    )  # fmt: skip


def _symbols(count: int) -> list[str]:
    plain = (f"{10 * at:06d}" for at in range(2, count + 2))
    names = [*_SPECIAL_SYMBOLS, *plain]
    return names[:count]


def _symbol_days(
    symbol: str, days: list[date], rng: np.random.Generator, *, has_split: bool
) -> pl.DataFrame:
    count = len(days)
    drift = rng.normal(0.0, 0.0004)
    moves = np.clip(rng.normal(drift, 0.022, count), -_DAILY_LIMIT, _DAILY_LIMIT)
    start = float(np.exp(rng.uniform(np.log(3_000), np.log(180_000))))
    raw = start * np.exp(np.cumsum(moves))
    halted = _halts(rng, count)
    if has_split and count > 4 * _HALT_DAYS:
        middle = count // 2
        halted[middle - _HALT_DAYS : middle] = True
        raw[middle:] /= _SPLIT_RATIO
    carried = np.maximum.accumulate(np.where(halted, 0, np.arange(count)))
    closes = _on_grid(np.maximum(raw[carried], 200.0))
    # A bar opens near the last close, except where the split moved the ground under it.
    opens = _on_grid(closes * np.exp(rng.normal(0.0, 0.008, count)))
    bars = _bars(rng, opens, closes, spread=0.01, volume=90_000.0)
    midnights = [datetime.combine(day, time(), _SEOUL) for day in days]
    is_halted = pl.Series(halted)
    blank = pl.when(is_halted).then(0.0)
    return bars.with_columns(
        *(blank.otherwise(pl.col(name)).alias(name) for name in ("open", "high", "low", "volume")),
        timestamp=pl.Series(midnights).dt.convert_time_zone("UTC").dt.cast_time_unit("ms"),
        session_date=pl.Series(days, dtype=pl.Date),
        symbol=pl.lit(symbol),
        broker=pl.lit("krx"),
        interval=pl.lit("1d"),
    )


def _halts(rng: np.random.Generator, count: int) -> npt.NDArray[np.bool_]:
    """A few spells of some sessions each; never on the first day, which has nothing to carry."""
    halted = np.zeros(count, dtype=np.bool_)
    for begin in rng.integers(1, max(count, 2), size=max(count // 180, 1)):
        halted[begin : begin + int(rng.integers(1, 9))] = True
    halted[0] = False
    return halted


def _bars(
    rng: np.random.Generator, opens: _Floats, closes: _Floats, *, spread: float, volume: float
) -> pl.DataFrame:
    reach = np.abs(rng.normal(0.0, spread, (2, opens.size)))
    highs = np.maximum(
        _on_grid(np.maximum(opens, closes) * (1 + reach[0])), np.maximum(opens, closes)
    )
    lows = np.minimum(
        _on_grid(np.minimum(opens, closes) * (1 - reach[1])), np.minimum(opens, closes)
    )
    volumes = np.floor(volume * np.exp(rng.normal(0.0, 0.8, opens.size))) + 1
    return pl.DataFrame(
        {"open": opens, "high": highs, "low": lows, "close": closes, "volume": volumes}
    )


def _on_grid(prices: _Floats) -> _Floats:
    ticks = np.asarray(_TICKS, dtype=np.float64)[np.searchsorted(_TICK_BELOW, prices, "right")]
    return np.asarray(np.maximum(np.round(prices / ticks), 1) * ticks, dtype=np.float64)
