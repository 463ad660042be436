"""One group of rows of bars, checked by itself: types, order, keys, statuses.

Rows are what `lake.scan` and candle files give: `symbol`, `timestamp`, `open`, `high`, `low`,
`close`, `volume`, and, where present, `status`, `trade_date` (or `session_date`), `broker`,
`quality`, `bid`, `ask`. What can only be seen over all groups is `bar_layout`'s part.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from jts_pipelines.backtest.columns import Ints
from jts_pipelines.backtest.whole_columns import PRICES
from storage.errors import InputError
from storage.schema.datasets import Status

REQUIRED = ("symbol", "timestamp", *PRICES, "volume")
QUOTES = ("bid", "ask")
COLUMNS = (*REQUIRED, "status", "trade_date", "broker", "quality")
"""What a backtest reads of the lake; quotes come with them where a strategy looks at them."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a group, sorted by symbol and time, unique on both.

    Attributes:
        frame: `symbol`, `timestamp` (UTC ms), prices and `volume` (whole numbers or floats), and
            where present `status`, `trade_date` (without a null), `broker`, `quality`, quotes.
        symbols: Of each run of rows, each once.
        offsets: First row of each run, and the number of rows at the end.
        stamp: Start of each bar, UTC ms.
    """

    frame: pl.DataFrame
    symbols: tuple[str, ...]
    offsets: Ints
    stamp: Ints


def checked_rows(frame: pl.DataFrame) -> Rows:
    """Check the rows of a group and bring them into order.

    Raises:
        InputError: A column is missing or has another type, a value is missing, a key appears
            twice, or a status is unknown.
    """
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise InputError(f"the bars lack {', '.join(missing)}; needed: {', '.join(REQUIRED)}")
    try:
        rows = _in_order(_plain(frame))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"the bars hold values of a wrong type: {error}") from error
    _refuse_unknown_status(rows.frame)
    return rows


def out_of_order(frame: pl.DataFrame) -> pl.Series | None:
    """Return which rows have four prices of which high or low does not enclose the others.

    None where no row has.
    """
    prices = ("open", "high", "low", "close")
    if not all(frame.schema.get(name, pl.Null).is_numeric() for name in prices):
        return None  # The run refuses it, says why.
    first, high, low, last = (frame[name] for name in prices)
    encloses = (high >= first, high >= last, high >= low, low <= first, low <= last)
    if all(each.all(ignore_nulls=False) for each in encloses):
        return None
    exact = {name: pl.col(name).cast(pl.Float64) for name in prices}
    is_whole = pl.all_horizontal((exact[n] > 0) & exact[n].is_finite() for n in prices)
    is_low = exact["high"] < pl.max_horizontal("open", "close", "low")
    is_high = exact["low"] > pl.min_horizontal("open", "close", "high")
    found = is_whole & (is_low | is_high)
    return frame.select(found.fill_null(value=False).alias("found"))["found"]


def two_bars(symbol: str, stamp: int, brokers: tuple[str, str]) -> InputError:
    """Return what says that a key appears twice, and how to choose where sources differ."""
    way_out = "" if brokers[0] == brokers[1] else f"; choose one of {' and '.join(brokers)} with"
    way_out += " --broker" if way_out else ""
    return InputError(f"{symbol} has two bars at {minute_of(stamp)} UTC{way_out}")


def minute_of(stamp: int) -> str:
    """Return an instant (UTC ms) as errors name it."""
    return f"{pl.Series([stamp]).cast(pl.Datetime('ms'))[0]:%Y-%m-%d %H:%M}"


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    kind = frame.schema["timestamp"]
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        raise InputError(f"timestamp is {kind}; accepted: UTC milliseconds with a time zone")
    dates = next((c for c in ("trade_date", "session_date") if c in frame.columns), None)
    _refuse_gaps(frame)
    columns = [
        pl.col("symbol").cast(pl.String),
        pl.col("timestamp").dt.convert_time_zone("UTC").dt.cast_time_unit("ms"),
        *(_number(frame, name) for name in (*PRICES, "volume")),
        *(pl.col(name).cast(pl.String) for name in ("status", "quality") if name in frame.columns),
        *(pl.col(name).cast(pl.Float64) for name in QUOTES if name in frame.columns),
    ]
    if dates is not None and frame[dates].null_count() == 0:
        columns.append(pl.col(dates).cast(pl.Date).alias("trade_date"))
    if "broker" in frame.columns:
        columns.append(pl.col("broker").cast(pl.String).fill_null("?"))
    return frame.select(columns)


def _refuse_gaps(frame: pl.DataFrame) -> None:
    """Refuse rows without a key, a close or a volume."""
    needed = ("symbol", "timestamp", "close", "volume")
    counts = frame.select(needed).null_count().row(0)
    if not any(counts):
        return
    name, count = next((name, n) for name, n in zip(needed, counts, strict=True) if n)
    row = frame.filter(pl.col(name).is_null()).row(0, named=True)
    start = "no timestamp" if row["timestamp"] is None else f"{row['timestamp']:%Y-%m-%d %H:%M}"
    bars = "1 bar has" if count == 1 else f"{count:,} bars have"
    raise InputError(
        f"{bars} no {name}, the first: {row['symbol'] or 'no symbol'}, {start}; "
        "accepted: a value in every bar (jts ingest sets the others aside, with reasons)"
    )


def _number(frame: pl.DataFrame, name: str) -> pl.Expr:
    column, kind = pl.col(name), frame.schema[name]
    if isinstance(kind, pl.Decimal) and kind.scale == 0:
        column = column.cast(pl.Int64)
    elif not (kind.is_integer() and kind != pl.UInt64):
        column = column.cast(pl.Float64)
    return column.fill_null(0) if frame[name].null_count() else column


def _in_order(frame: pl.DataFrame) -> Rows:
    """Return the rows sorted by symbol and time; the same frame where they are already."""
    rows = _runs(frame)
    steps = _steps(rows)
    if len(set(rows.symbols)) != len(rows.symbols) or (steps < 0).any():
        rows = _runs(frame.sort("symbol", "timestamp"))
        steps = _steps(rows)
    if not steps.all():
        _refuse_duplicate(rows, int(np.argmin(steps != 0)))
    return rows


def _runs(frame: pl.DataFrame) -> Rows:
    runs = frame["symbol"].rle()
    lengths = runs.struct.field("len").cast(pl.Int64).to_numpy()
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    stamp = frame["timestamp"].to_physical().to_numpy()
    return Rows(frame, tuple(runs.struct.field("value")), offsets, stamp)


def _steps(rows: Rows) -> Ints:
    """Return the time from each row to the next one; 1 where another run begins."""
    steps = np.diff(rows.stamp)
    steps[rows.offsets[1:-1] - 1] = 1
    return steps


def _refuse_duplicate(rows: Rows, row: int) -> None:
    """Refuse a row that has the key of the next one."""
    frame, brokers = rows.frame, ("", "")
    if "broker" in frame.columns:
        brokers = frame["broker"][row], frame["broker"][row + 1]
    raise two_bars(frame["symbol"][row], int(rows.stamp[row]), brokers)


def _refuse_unknown_status(frame: pl.DataFrame) -> None:
    if "status" not in frame.columns:
        return
    known = [status.value for status in Status]
    wrong = frame.filter(~pl.col("status").is_in(known).fill_null(value=False)).head(1)
    if wrong.height:
        row = wrong.row(0, named=True)
        raise InputError(
            f"status of {row['symbol']} at {row['timestamp']:%Y-%m-%d %H:%M} UTC is "
            f"{row['status']!r}; accepted: {', '.join(known)}"
        )
