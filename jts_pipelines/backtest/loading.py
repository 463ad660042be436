"""What a backtest is asked to run over, and the bars that are loaded for it.

Bars come from all tiers or from a file that no tier needs to know; both roads of one file give
one result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

import polars as pl

from jts_pipelines.backtest.bar_table import REQUIRED
from jts_pipelines.backtest.cautions import Caution, Code
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.tick_bars import (
    TRADE_COLUMNS,
    are_trades,
    bars_of_trades,
    checked_trades,
    placed_trades,
    refuse_two_sources,
    sound_trades,
)
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.grammar import QUOTE_COLUMNS
from jts_trading.strategy.frames import DAY_SECONDS
from storage.errors import InputError

_COLUMNS = (*REQUIRED, "status", "trade_date", "broker", "quality")
_QUOTES = ("bid", "ask")
_TICKS = (*TRADE_COLUMNS, *_QUOTES, "broker", "received_at", "feed", "tick")


class BarLake(Protocol):
    """What a backtest asks of the lake."""

    def scan(
        self,
        dataset: str = ...,
        *,
        venue: str | None = None,
        interval: str | None = None,
        symbols: Sequence[str] | None = None,
        start: date | None = None,
        end: date | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.LazyFrame:
        """Return the stored rows of a dataset."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestRequest:
    """One run that was asked for.

    Attributes:
        text: The strategy.
        file: How errors name it.
        from_day, to_day: First and last session, inclusive; None is as far as there are bars.
        symbols: The venue's own spelling; None takes all that have bars.
        params: Values of parameters that replace those in the text, as they would be written.
        bar_broker: Takes only rows of this source, where several have the same bars.
        has_ticks: Bars of the tiers are built from recorded trades, not read.
        quotes: File of best quotes for bars that are built from trades.
        settings: Assumptions.
    """

    text: str
    file: str = "<strategy>"
    from_day: date | None = None
    to_day: date | None = None
    symbols: tuple[str, ...] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    bar_broker: str | None = None
    has_ticks: bool = False
    quotes: Path | None = None
    settings: BacktestSettings = field(default_factory=BacktestSettings)

    def __post_init__(self) -> None:
        """Check the period.

        Raises:
            InputError: It ends before it begins.
        """
        if self.from_day and self.to_day and self.to_day < self.from_day:
            raise InputError(f"the period ends on {self.to_day}, before its start {self.from_day}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Bars of a request, and what is to be said about them.

    Attributes:
        bars: See `bar_table`.
        cautions: What a reader of the result should know of them.
    """

    bars: pl.DataFrame
    cautions: tuple[Caution, ...]


def bars_from_lake(lake: BarLake, request: BacktestRequest) -> Loaded:
    """Load the bars of a request from all tiers.

    Raises:
        InputError: There are none.
        StorageError: A tier is not there or a file is damaged.
    """
    if request.has_ticks:
        return _from_trades(_ticks(lake, request), request)
    rows = lake.scan(
        "candles",
        venue=request.settings.venue,
        interval=request.settings.interval,
        symbols=request.symbols,
        start=request.from_day,
        end=request.to_day,
        # Few strategies look at quotes, and few bars have them.
        columns=(*_COLUMNS, *_QUOTES) if QUOTE_COLUMNS[0] in request.text else _COLUMNS,
    ).collect()
    bars = _wanted(rows, request)
    return Loaded(bars, _absent(bars, request))


def bars_from_file(path: Path, request: BacktestRequest) -> Loaded:
    """Load the bars of a request from a Parquet or CSV file, which no tier needs to know.

    A file of trades (`price` and `quantity`) becomes bars of the interval that is asked for.

    Zeros as open, high and low mean that nothing traded, as most feeds write a halt. Bars whose
    high or low does not enclose open and close are left out, as an ingest would: both roads of
    one file give one result.

    Raises:
        InputError: The file cannot be read, or has no bars that can be used.
    """
    frame = read_table(path)
    if are_trades(frame):
        return _from_trades(frame, request)
    if request.quotes is not None:
        raise InputError(f"{path} holds bars; quotes are accepted beside trades only")
    if "interval" in frame.columns:
        frame = frame.filter(pl.col("interval") == request.settings.interval)
    if request.symbols is not None and "symbol" in frame.columns:
        frame = frame.filter(pl.col("symbol").is_in(request.symbols))
    frame = _between(_wanted(frame, request), request)
    bars = _wanted(frame.filter(~_is_out_of_order(frame)), request)
    return Loaded(bars, _left_out(frame.height - bars.height) + _absent(frame, request))


def _ticks(lake: BarLake, request: BacktestRequest) -> pl.DataFrame:
    return lake.scan(
        "ticks",
        venue=request.settings.venue,
        symbols=request.symbols,
        start=request.from_day,
        end=request.to_day,
        columns=_TICKS,
    ).collect()


def trades_of(source: BarLake | Path, request: BacktestRequest) -> pl.DataFrame | None:
    """Return the trades of a request that lie in a session, by time; None for a source of bars.

    Columns as `tick_bars.placed_trades` has them.

    Raises:
        InputError: There are none, or they cannot be used.
        StorageError: A tier is not there or a file is damaged.
    """
    if isinstance(source, Path):
        rows = read_table(source)
        if not are_trades(rows):
            return None
    elif request.has_ticks:
        rows = _ticks(source, request)
    else:
        return None
    venue = request.settings.venue
    sound = sound_trades(checked_trades(_asked(rows, request)))
    placed = placed_trades(sound, DAY_SECONDS, venue)
    refuse_two_sources(placed)
    return _between(_wanted(placed, request), request)


def _asked(trades: pl.DataFrame, request: BacktestRequest) -> pl.DataFrame:
    if request.symbols is not None and "symbol" in trades.columns:
        trades = trades.filter(pl.col("symbol").is_in(request.symbols))
    return _wanted(trades, request)


def _from_trades(trades: pl.DataFrame, request: BacktestRequest) -> Loaded:
    """Build the bars of a request from trades."""
    trades = _asked(trades, request)
    quotes = None if request.quotes is None else read_table(request.quotes)
    settings = request.settings
    built = bars_of_trades(trades, settings.interval, settings.venue, quotes)
    bars = _between(built.bars, request)
    return Loaded(bars, built.cautions + _absent(bars, request))


def period_of(bars: pl.DataFrame, venue: str) -> tuple[date, date]:
    """Return the first and last session of some bars; at least one.

    Raises:
        InputError: The bars have no time.
    """
    day = next((name for name in ("trade_date", "session_date") if name in bars.columns), None)
    if day is not None and bars.schema[day] == pl.Date and bars[day].null_count() == 0:
        days = bars.select(first=pl.col(day).min(), last=pl.col(day).max()).row(0)
        return days[0], days[1]
    if not isinstance(bars.schema.get("timestamp"), pl.Datetime):
        raise InputError("timestamp is no column of times; accepted: UTC ms with a time zone")
    calendar = calendar_for(venue)
    stamps = bars["timestamp"].dt.epoch("ns")
    first, last = stamps.min(), stamps.max()
    return calendar.session_date(int(str(first))), calendar.session_date(int(str(last)))


def read_table(path: Path) -> pl.DataFrame:
    """Read a Parquet or CSV file; symbols stay text.

    Raises:
        InputError: It is not there, not whole, or of another kind.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.suffix == ".csv":
            texts = dict.fromkeys(("symbol", "ticker", "Code"), pl.String)
            return pl.read_csv(path, try_parse_dates=True, schema_overrides=texts)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    raise InputError(f"{path}: accepted are .parquet and .csv")


def _wanted(frame: pl.DataFrame, request: BacktestRequest) -> pl.DataFrame:
    if request.bar_broker is not None and "broker" in frame.columns:
        frame = frame.filter(pl.col("broker") == request.bar_broker)
    if frame.height == 0:
        settings = request.settings
        period = f"{request.from_day or 'the first'} to {request.to_day or 'the last day'}"
        who = "" if request.symbols is None else f" of {', '.join(request.symbols[:5])}"
        raise InputError(f"no {settings.interval} bars{who} at {settings.venue} for {period}")
    return frame


def _is_out_of_order(frame: pl.DataFrame) -> pl.Series:
    """Return which rows have four prices of which high or low does not enclose the others."""
    prices = ("open", "high", "low", "close")
    if not all(frame.schema.get(name, pl.Null).is_numeric() for name in prices):
        return pl.Series([False]).new_from_index(0, frame.height)  # The run refuses it, says why.
    exact = {name: pl.col(name).cast(pl.Float64) for name in prices}
    is_whole = pl.all_horizontal((exact[n] > 0) & exact[n].is_finite() for n in prices)
    is_low = exact["high"] < pl.max_horizontal("open", "close", "low")
    is_high = exact["low"] > pl.min_horizontal("open", "close", "high")
    found = is_whole & (is_low | is_high)
    return frame.select(found.fill_null(value=False).alias("found"))["found"]


def _left_out(count: int) -> tuple[Caution, ...]:
    if count == 0:
        return ()
    bars = "1 bar" if count == 1 else f"{count:,} bars"
    text = f"{bars} of the file left out: high or low does not enclose open and close"
    return (Caution(Code.BARS_LEFT_OUT, text),)


def _absent(bars: pl.DataFrame, request: BacktestRequest) -> tuple[Caution, ...]:
    """Return a warning that names the symbols which were asked for and have no bars."""
    asked = request.symbols or ()
    present = set(bars["symbol"].unique()) if asked and "symbol" in bars.columns else set(asked)
    absent = [symbol for symbol in asked if symbol not in present]
    if not absent:
        return ()
    return (Caution(Code.NO_BARS, f"no bars of {', '.join(absent)} in this period"),)


def _between(frame: pl.DataFrame, request: BacktestRequest) -> pl.DataFrame:
    """Cut a file to the sessions asked for; without a column of sessions, by start and end."""
    if request.from_day is None and request.to_day is None:
        return frame
    day = next((name for name in ("trade_date", "session_date") if name in frame.columns), None)
    if day is not None and frame.schema[day] == pl.Date:
        days = frame[day]
    elif isinstance(frame.schema.get("timestamp"), pl.Datetime):
        calendar = calendar_for(request.settings.venue)
        stamps = frame["timestamp"].dt.epoch("ms")
        known = {at: calendar.session_date(at * 1_000_000) for at in stamps.unique()}
        days = stamps.replace_strict(known, return_dtype=pl.Date)
    else:
        return frame  # The run itself refuses it, and says why.
    inside = pl.Series([True]).new_from_index(0, frame.height)
    if request.from_day is not None:
        inside &= days >= request.from_day
    if request.to_day is not None:
        inside &= days <= request.to_day
    return _wanted(frame.filter(inside), request)
