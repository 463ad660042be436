"""What a backtest is asked to run over, and the bars that are loaded for it.

Bars come from all tiers or from a file that no tier needs to know; both roads of one file give
one result.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Protocol

import polars as pl

from jts_pipelines.backtest.admitting import Admission, laid_out
from jts_pipelines.backtest.bar_files import file_groups, read_table, table_schema
from jts_pipelines.backtest.bar_layout import Group, NoBarsError, groups_of
from jts_pipelines.backtest.bar_rows import COLUMNS, QUOTES, out_of_order
from jts_pipelines.backtest.bar_table import GROUP_ROWS
from jts_pipelines.backtest.cautions import Caution, Code
from jts_pipelines.backtest.history import History
from jts_pipelines.backtest.quote_levels import Books, books_of
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.tick_bars import (
    LINEAGE,
    TRADE_COLUMNS,
    are_trades,
    bars_of_trades,
    checked_trades,
    placed_trades,
    quoted_trades,
    refuse_two_sources,
    sound_trades,
    trades_left_out,
)
from jts_pipelines.backtest.vendor_bars import FileForm, read_vendor_bars
from jts_pipelines.backtest.watch import Spent, Watch
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.grammar import QUOTE_COLUMNS
from jts_trading.strategy.frames import DAY_SECONDS
from storage.errors import InputError, MovedError, StorageError

_ATTEMPTS = 20
_TICKS = (*TRADE_COLUMNS, *QUOTES, *LINEAGE, "broker", "received_at")


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

    def batches(
        self,
        dataset: str = ...,
        *,
        venue: str | None = None,
        interval: str | None = None,
        symbols: Sequence[str] | None = None,
        start: date | None = None,
        end: date | None = None,
        columns: Sequence[str] | None = None,
        rows_max: int = ...,
    ) -> Iterator[pl.DataFrame]:
        """Yield the stored rows of a dataset, about so many at a time."""
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
        quotes: File of best quotes, or of order books, beside trades.
        form: What a file of bars does not say itself.
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
    form: FileForm = field(default_factory=FileForm)
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
        bars: Laid out.
        cautions: What a reader of the result should know of them.
        spent: What it took to load them.
    """

    bars: History
    cautions: tuple[Caution, ...]
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True)
class LoadedTrades:
    """Trades of a request.

    Attributes:
        rows: Columns as `tick_bars.placed_trades` has them, and `quoted`: the row of its book.
        books: Where quotes are known with their quantities.
        cautions: What a reader of the result should know of them.
    """

    rows: pl.DataFrame
    books: Books | None
    cautions: tuple[Caution, ...]


def bars_from_lake(lake: BarLake, request: BacktestRequest, admission: Admission) -> Loaded:
    """Load the bars of a request from all tiers.

    Args:
        lake: All tiers.
        request: What is asked for.
        admission: What the strategy may trade.

    Raises:
        InputError: There are none, or they cannot be used.
        StorageError: A tier is not there or a file is damaged.
    """
    if request.has_ticks:
        return _Sieve(request, admission).from_trades(_ticks(lake, request))
    if request.quotes is not None:
        raise InputError("quotes are accepted beside trades only: --ticks, or a file of trades")
    for _ in range(_ATTEMPTS):
        sieve = _Sieve(request, admission)
        try:
            return sieve.loaded(_lake_groups(lake, request, sieve))
        except MovedError:
            continue
    raise StorageError(f"rows came in during {_ATTEMPTS} attempts to read them; try again")


def _lake_groups(lake: BarLake, request: BacktestRequest, sieve: "_Sieve") -> Iterator[Group]:
    frames = lake.batches(
        "candles",
        venue=request.settings.venue,
        interval=request.settings.interval,
        symbols=request.symbols,
        start=request.from_day,
        end=request.to_day,
        # Few strategies look at quotes, and few bars have them.
        columns=(*COLUMNS, *QUOTES) if QUOTE_COLUMNS[0] in request.text else COLUMNS,
        rows_max=GROUP_ROWS,
    )
    for frame in frames:
        yield Group(frame.height, lambda frame=frame: sieve.kept(frame))  # type: ignore[misc]


def bars_from_file(path: Path, request: BacktestRequest, admission: Admission) -> Loaded:
    """Load the bars of a request from a Parquet or CSV file, which no tier needs to know.

    A file of trades (`price` and `quantity`) becomes bars of the interval that is asked for.

    Zeros as open, high and low mean that nothing traded, as most feeds write a halt. Bars whose
    high or low does not enclose open and close are left out, as an ingest would: both roads of
    one file give one result.

    Raises:
        InputError: The file cannot be read, or has no bars that can be used.
    """
    sieve = _Sieve(request, admission)
    schema = table_schema(path)
    if are_trades(list(schema)):
        return sieve.from_trades(read_table(path))
    if request.quotes is not None:
        raise InputError(f"{path} holds bars; quotes are accepted beside trades only")
    if request.form.is_plain(schema):
        groups = file_groups(path, sieve.of_file, request.symbols)
        return sieve.loaded(groups, sum(group.rows for group in groups))
    settings = request.settings
    frame, cautions = read_vendor_bars(
        path,
        request.form,
        venue=settings.venue,
        interval=settings.interval,
        symbols=request.symbols,
    )
    found = sieve.loaded(groups_of(sieve.of_file(frame)), frame.height)
    return replace(found, cautions=cautions + found.cautions)


def trades_of(source: BarLake | Path, request: BacktestRequest) -> LoadedTrades | None:
    """Return the trades of a request that lie in a session, by time; None for a source of bars.

    Raises:
        InputError: There are none, or they cannot be used.
        StorageError: A tier is not there or a file is damaged.
    """
    if isinstance(source, Path):
        if not are_trades(list(table_schema(source))):
            return None
        rows = read_table(source)
    elif request.has_ticks:
        rows = _ticks(source, request)
    else:
        return None
    quotes = rows if request.quotes is None else read_table(request.quotes)
    books, cautions = books_of(quotes)
    checked = checked_trades(_asked(rows.with_row_index("quoted"), request))
    placed = placed_trades(sound_trades(checked), DAY_SECONDS, request.settings.venue)
    refuse_two_sources(placed)
    cautions += trades_left_out(checked.height - placed.height, checked.height)
    if request.quotes is not None:
        placed = quoted_trades(placed, quotes)
    return LoadedTrades(_some(_between(placed, request), request), books, cautions)


def _ticks(lake: BarLake, request: BacktestRequest) -> pl.DataFrame:
    return lake.scan(
        "ticks",
        venue=request.settings.venue,
        symbols=request.symbols,
        start=request.from_day,
        end=request.to_day,
        columns=_TICKS,
    ).collect()


def _asked(trades: pl.DataFrame, request: BacktestRequest) -> pl.DataFrame:
    """Return the trades of the symbols and the source that are asked for."""
    if request.symbols is not None and "symbol" in trades.columns:
        trades = trades.filter(pl.col("symbol").is_in(request.symbols))
    return _some(_of_source(trades, request), request)


def _of_source(frame: pl.DataFrame, request: BacktestRequest) -> pl.DataFrame:
    if request.bar_broker is not None and "broker" in frame.columns:
        return frame.filter(pl.col("broker") == request.bar_broker)
    return frame


def _some(frame: pl.DataFrame, request: BacktestRequest) -> pl.DataFrame:
    if frame.height == 0:
        raise _nothing(request)
    return frame


def _nothing(request: BacktestRequest, intervals: Collection[str] = ()) -> InputError:
    period = f"{request.from_day or 'the first'} to {request.to_day or 'the last day'}"
    who = "" if request.symbols is None else f" of {', '.join(request.symbols[:5])}"
    settings = request.settings
    others = ", ".join(sorted(intervals)) if settings.interval not in intervals else ""
    known = f"; the file has those of {others}" if others else ""
    return InputError(f"no {settings.interval} bars{who} at {settings.venue} for {period}{known}")


class _Sieve:
    """Keeps the rows that a request asks for, and what is to be said about the others.

    Groups come from several threads.
    """

    def __init__(self, request: BacktestRequest, admission: Admission) -> None:
        self._request, self._admission = request, admission
        self._symbols: set[str] = set()
        self._intervals: set[str] = set()
        self._left_out: list[int] = []

    def kept(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a group that are wanted, of those that the tiers gave."""
        frame = _of_source(frame, self._request)
        if self._request.symbols is not None and "symbol" in frame.columns:
            self._symbols.update(frame["symbol"].unique().cast(pl.String))
        return self._admission.kept(frame)

    def of_file(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a group that are wanted, of those that a file has."""
        request = self._request
        if "interval" in frame.columns:
            self._intervals.update(map(str, frame["interval"].unique()))
            frame = frame.filter(pl.col("interval") == request.settings.interval)
        if request.symbols is not None and "symbol" in frame.columns:
            frame = frame.filter(pl.col("symbol").is_in(request.symbols))
        frame = self.kept(_between(frame, request))
        is_wrong = out_of_order(frame)
        if is_wrong is None:
            return frame
        self._left_out.append(int(is_wrong.sum()))
        return frame.filter(~is_wrong)

    def from_trades(self, trades: pl.DataFrame) -> Loaded:
        """Build the bars of a request from trades.

        Raises:
            InputError: There are none, or they cannot be used.
        """
        request = self._request
        quotes = None if request.quotes is None else read_table(request.quotes)
        settings = request.settings
        asked = _asked(trades, request)
        built = bars_of_trades(asked, settings.interval, settings.venue, quotes)
        frame = self.kept(_between(built.bars, request))
        found = self.loaded(groups_of(frame), frame.height)
        return replace(found, cautions=built.cautions + found.cautions)

    def loaded(self, groups: Iterable[Group], rows: int = 0) -> Loaded:
        """Lay out what is wanted of some groups.

        Raises:
            InputError: There is nothing, or it cannot be used.
        """
        settings, watch = self._request.settings, Watch()
        watch.begin("load")
        try:
            history = laid_out(groups, settings, rows)
        except NoBarsError as error:
            self._admission.require_any()
            raise _nothing(self._request, self._intervals) from error
        cautions = (*_left_out(sum(self._left_out)), *self._absent())
        return Loaded(history, cautions, watch.stop())

    def _absent(self) -> tuple[Caution, ...]:
        """Return a warning that names the symbols which were asked for and have no bars."""
        asked = self._request.symbols or ()
        absent = [symbol for symbol in asked if symbol not in self._symbols]
        if not absent:
            return ()
        return (Caution(Code.NO_BARS, f"no bars of {', '.join(absent)} in this period"),)


def _left_out(count: int) -> tuple[Caution, ...]:
    if count == 0:
        return ()
    bars = "1 bar" if count == 1 else f"{count:,} bars"
    text = f"{bars} of the file left out: high or low does not enclose open and close"
    return (Caution(Code.BARS_LEFT_OUT, text),)


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
    return frame.filter(inside)
