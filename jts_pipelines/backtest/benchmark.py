"""A run beside an index or a coin: alpha, beta, tracking error, capture.

Sessions of the run decide when the benchmark is looked at: its last close that was known at the
end of a session. A daily bar that begins at midnight in Seoul is known at the close of its
session, any other bar when it has ended. A benchmark without bars is said to be absent, with the
places where it was looked for.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from jts_pipelines.backtest.columns import Flags, Floats, Ints
from jts_pipelines.backtest.returns import (
    Figure,
    compounded,
    correlation,
    plain,
    ratio,
    return_figures,
    spread,
)
from jts_trading.domain.calendars import CalendarError
from jts_trading.domain.sessions import calendar_for
from storage.errors import InputError
from storage.schema.datasets import INTERVALS

BENCHMARK_DEFINITIONS: dict[str, str] = {
    "benchmark_return": "last close / close before the first session - 1, over the same sessions",
    "excess_return": "total return of the run over these sessions - benchmark_return",
    "benchmark_volatility": "standard deviation (n - 1) of its session returns x sqrt(sessions "
    "per year)",
    "benchmark_sharpe": "mean of its session returns / their standard deviation x sqrt(sessions "
    "per year)",
    "benchmark_max_drawdown": "its lowest close / highest close before it - 1",
    "alpha": "(mean of session returns - beta x mean of its session returns) x sessions per year",
    "beta": "covariance of both session returns / variance of its ones",
    "correlation": "correlation of both session returns",
    "tracking_error": "standard deviation (n - 1) of the difference of session returns x "
    "sqrt(sessions per year)",
    "information_ratio": "mean difference of session returns / its standard deviation x "
    "sqrt(sessions per year)",
    "up_capture": "annual growth of the run over the sessions in which it rose / its own",
    "down_capture": "annual growth of the run over the sessions in which it fell / its own",
}
KNOWN = {
    "KOSPI": ("KRX", ("KOSPI", "KS11", "1001")),
    "KOSDAQ": ("KRX", ("KOSDAQ", "KQ11", "2001")),
    "BTC": ("UPBIT", ("KRW-BTC",)),
}
"""Benchmarks by name: venue and the spellings under which feeds keep them."""
HOLD = "hold"
"""What asks for buying and holding all that the run may trade."""
DEFAULTS = (HOLD, *KNOWN)

_DAY_MS = 86_400_000
_KST_MS = 9 * 3_600_000
_TRUSTED_FOR = timedelta(days=7)
_INTERVALS = ("1d", "1h", "1m")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What to compare with: bars of the lake, those of a file, or holding what a run may trade."""

    name: str
    venue: str = ""
    symbols: tuple[str, ...] = ()
    file: Path | None = None
    is_hold: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run beside a benchmark.

    Attributes:
        name: As it was asked for.
        source: Which bars; empty where there are none.
        absence: Why there is no comparison; empty where there is one.
        sessions: How many were compared.
        figures: By name, see `BENCHMARK_DEFINITIONS`; empty where there is none.
        path: Session and growth of the benchmark since the first session, 1 at its beginning.
        digest: SHA-256 of the closes that were used.
    """

    name: str
    source: str
    absence: str
    sessions: int
    figures: Mapping[str, Figure]
    path: pl.DataFrame
    digest: str

    def document(self) -> dict[str, object]:
        """Return what a script reads of it."""
        return {
            "name": self.name,
            "sessions": self.sessions,
            "absence": self.absence,
            "figures": dict(self.figures),
        }


def read_benchmark(text: str) -> Benchmark:
    """Read `hold`, a name of `KNOWN`, an instrument such as UPBIT:KRW-BTC, or NAME=FILE.

    Raises:
        InputError: It is none of these.
    """
    name, is_file, path = text.partition("=")
    if is_file and name.strip() and path.strip():
        return Benchmark(name.strip(), file=Path(path.strip()))
    if text.lower() == HOLD:
        return Benchmark("Buy and hold", is_hold=True)
    if text.upper() in KNOWN:
        venue, symbols = KNOWN[text.upper()]
        return Benchmark(text.upper(), venue, symbols)
    venue, colon, symbol = text.partition(":")
    if colon and venue.strip() and symbol.strip():
        return Benchmark(text, venue.strip().upper(), (symbol.strip(),))
    accepted = ", ".join(DEFAULTS)
    raise InputError(f"benchmark is {text!r}; accepted: {accepted}, VENUE:SYMBOL, or NAME=FILE")


def absent(benchmark: Benchmark, why: str) -> Comparison:
    """Return what says that there is nothing to compare with."""
    return Comparison(benchmark.name, "", why, 0, {}, _path([], []), "")


def compare(
    equity: pl.DataFrame,
    start_cash: int,
    benchmark: Benchmark,
    bars: pl.DataFrame,
    *,
    venue: str,
    sessions_per_year: int,
) -> Comparison:
    """Compare a run with the bars of a benchmark.

    Args:
        equity: Of the run, one row per session.
        start_cash: In won.
        benchmark: What the bars are of.
        bars: `close` and `timestamp` (UTC) with `interval`, or `close` and a date in
            `session_date`, `trade_date` or `date`; one symbol.
        venue: Of the run.
        sessions_per_year: For annual figures.

    Raises:
        InputError: The bars have no close, or no time.
    """
    sessions = equity["session"].to_list()
    calendar = calendar_for(venue)
    ends = np.array([calendar.open_close_ns(day)[1] // 1_000_000 for day in sessions], np.int64)
    begin = calendar.open_close_ns(sessions[0])[0] // 1_000_000
    known_at, closes = _closes(bars, venue)
    if len(closes) == 0:
        return absent(benchmark, "its bars have no close above zero")
    place = np.searchsorted(known_at, np.concatenate(([begin], ends)), side="right") - 1
    age = np.concatenate(([begin], ends)) - known_at[np.maximum(place, 0)]
    is_known = (place >= 0) & (age <= _TRUSTED_FOR.total_seconds() * 1000)
    used = is_known[1:] & is_known[:-1]
    if used.sum() < 2:
        return absent(benchmark, "its bars do not cover two sessions of this run")
    worth = closes[np.maximum(place, 0)]
    theirs = worth[1:][used] / worth[:-1][used] - 1.0
    path = np.concatenate(([float(start_cash)], equity["equity"].to_numpy().astype(np.float64)))
    ours = path[1:][used] / path[:-1][used] - 1.0
    figures = comparison_figures(ours, theirs, sessions_per_year)
    growth = np.cumprod(1.0 + theirs)
    days = [day for day, is_used in zip(sessions, used.tolist(), strict=True) if is_used]
    digest = hashlib.sha256(worth.astype("<f8").tobytes()).hexdigest()
    source = benchmark.name if benchmark.file is None else str(benchmark.file)
    return Comparison(
        benchmark.name, source, "", len(days), figures, _path(days, growth.tolist()), digest
    )


def comparison_figures(ours: Floats, theirs: Floats, per_year: int) -> dict[str, Figure]:
    """Return every figure of `BENCHMARK_DEFINITIONS` for two series of session returns."""
    alone = return_figures(theirs, per_year)
    scale, difference = math.sqrt(per_year), ours - theirs
    variance = float(theirs.var(ddof=1))
    beta = ratio(float(np.cov(ours, theirs, ddof=1)[0, 1]), variance)
    alpha = None if beta is None else float(ours.mean() - beta * theirs.mean()) * per_year
    tracking = spread(difference)
    growth = np.concatenate(([1.0], np.cumprod(1.0 + theirs)))
    total = float(np.prod(1.0 + ours)) - 1.0
    found = {
        "benchmark_return": alone["total_return"],
        "excess_return": total - float(alone["total_return"] or 0.0),
        "benchmark_volatility": alone["volatility"],
        "benchmark_sharpe": alone["sharpe"],
        "benchmark_max_drawdown": float((growth / np.maximum.accumulate(growth)).min()) - 1.0,
        "alpha": alpha,
        "beta": beta,
        "correlation": correlation(ours, theirs),
        "tracking_error": None if tracking is None else tracking * scale,
        "information_ratio": ratio(float(difference.mean()) * scale, tracking),
        "up_capture": _capture(ours, theirs, theirs > 0, per_year),
        "down_capture": _capture(ours, theirs, theirs < 0, per_year),
    }
    return {name: plain(found[name]) for name in BENCHMARK_DEFINITIONS}


def _capture(ours: Floats, theirs: Floats, chosen: Flags, per_year: int) -> float | None:
    if not chosen.any():
        return None
    power = per_year / int(chosen.sum())
    own = compounded(float(np.prod(1.0 + theirs[chosen])), power)
    return compounded(float(np.prod(1.0 + ours[chosen])), power) / own if own else None


def _closes(bars: pl.DataFrame, venue: str) -> tuple[Ints, Floats]:
    """Return when closes were known, UTC ms, ascending, and the closes."""
    if "close" not in bars.columns:
        raise InputError(f"the bars of a benchmark lack close; they have {bars.columns}")
    known = pl.Series("known", _known_at(bars, venue))
    kept = (
        bars.select(pl.col("close").cast(pl.Float64, strict=False))
        .with_columns(known)
        .filter((pl.col("close") > 0) & pl.col("known").is_not_null())
        .sort("known")
        .unique("known", keep="last", maintain_order=True)
    )
    return kept["known"].to_numpy(), kept["close"].to_numpy()


def _known_at(bars: pl.DataFrame, venue: str) -> Sequence[int | None]:
    calendar = calendar_for(venue)

    def close_of(number: int) -> int | None:
        try:
            return calendar.open_close_ns(_date(number))[1] // 1_000_000
        except CalendarError:
            return None  # No session of the run's venue: the close before it stays known.

    if "timestamp" in bars.columns and isinstance(bars.schema["timestamp"], pl.Datetime):
        starts = bars["timestamp"].dt.epoch("ms").to_list()
        interval = bars["interval"][0] if "interval" in bars.columns and bars.height else "1d"
        length = INTERVALS.get(interval, 86_400) * 1000
        if length < _DAY_MS:
            return [at + length for at in starts]
        return [
            close_of((at + _KST_MS) // _DAY_MS) if (at + _KST_MS) % _DAY_MS == 0 else at + length
            for at in starts
        ]
    named = next((c for c in ("session_date", "trade_date", "date", "Date") if c in bars), None)
    if named is None or bars.schema[named] != pl.Date:
        raise InputError(f"the bars of a benchmark lack timestamp or date; found {bars.columns}")
    return [close_of(int(day)) for day in bars[named].to_physical()]


def _date(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)


def _path(days: Sequence[date], growth: Sequence[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"session": days, "growth": growth}, schema={"session": pl.Date, "growth": pl.Float64}
    )
