"""Bars of a file as vendors write them: other names of columns, times without a zone, one symbol.

Rows are read and judged as an ingest does it, so both roads of one file give one result. Rows that
an ingest would set aside are left out, and the run says how many and why.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from jts_pipelines.backtest.bar_rows import REQUIRED
from jts_pipelines.backtest.cautions import Caution, Code
from jts_pipelines.ingest.mapping import resolve_columns
from jts_pipelines.ingest.rows import RowReader
from jts_pipelines.ingest.sources import Source, open_source
from jts_trading.domain.instruments import InstrumentError, Venue, normalise_symbol
from jts_trading.domain.sessions import calendar_for
from storage.errors import InputError
from storage.quality.candles import NUMBERS
from storage.quality.reasons import MEANING, Reason
from storage.schema.datasets import PRICE_SCALE

_BATCH_ROWS = 500_000
# 2255-03-13, UTC ms: a run over a file does not ask when the file was made.
_LATEST_MS = 9_000_000_000_000
_LABELS = ("status", "quality", "trade_date")


@dataclass(frozen=True, slots=True)
class FileForm:
    """What is to be known of a file that it does not say itself.

    Attributes:
        mapping: Field -> column, where the names do not say it.
        timezone: IANA zone of times that name none.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    timezone: str | None = None

    def is_plain(self, schema: Mapping[str, pl.DataType]) -> bool:
        """Return whether columns and times are those of the lake already."""
        time = schema.get("timestamp")
        is_zoned = isinstance(time, pl.Datetime) and time.time_zone is not None
        return is_zoned and not self.mapping and all(name in schema for name in REQUIRED)


def read_vendor_bars(
    path: Path, form: FileForm, *, venue: str, interval: str, symbols: Sequence[str] | None
) -> tuple[pl.DataFrame, tuple[Caution, ...]]:
    """Read the bars of a file, with the columns of the lake, and what was left out.

    Args:
        path: Of a Parquet or CSV file.
        form: What the file does not say.
        venue: Of every row.
        interval: Of every row.
        symbols: The only one is that of a file without a column for it.

    Raises:
        InputError: The file cannot be read, a column is missing, or no row can be used.
    """
    if venue not in PRICE_SCALE:
        raise InputError(f"unknown venue {venue!r}; known: {', '.join(PRICE_SCALE)}")
    source = open_source(path)
    columns = resolve_columns(str(path), source.columns, dict(form.mapping), {"symbol"})
    reader = RowReader(
        path=str(path),
        columns=columns,
        venue=venue,
        interval=interval,
        broker="file",
        symbol=None if "symbol" in columns else _only_symbol(path, venue, symbols),
        calendar=calendar_for(venue),
        timezone=form.timezone,
        ingest_id="",
        received_at_ms=_LATEST_MS,
    )
    frame, refused = _accepted(source, reader)
    if frame.is_empty():
        reason = MEANING[Reason(next(iter(refused)))]
        raise InputError(f"{path}: none of its {sum(refused.values()):,} rows is a bar: {reason}")
    return frame, tuple(_left_out(reason, count) for reason, count in refused.items())


def _accepted(source: Source, reader: RowReader) -> tuple[pl.DataFrame, Counter[str]]:
    """Return the rows that can be used, and how many cannot, by reason."""
    frames, refused = [], Counter[str]()
    for batch in source.batches(_BATCH_ROWS):
        judged = reader.judge(batch)
        is_good = pl.col("reasons").list.len() == 0
        wrong = judged.filter(~is_good)["reasons"].list.first()
        refused.update(wrong.to_list())
        kept = ["symbol", "timestamp", *NUMBERS, *_LABELS]
        kept += ["broker"] if "broker" in reader.columns else []
        stamp = pl.col("timestamp").cast(pl.Datetime("ms", "UTC"))
        frames.append(judged.filter(is_good).select(kept).with_columns(stamp))
    return pl.concat(frames), refused


def _only_symbol(path: Path, venue: str, symbols: Sequence[str] | None) -> str:
    """Return the symbol of a file of one: the one that is asked for, or the name of the file."""
    if symbols is not None:
        if len(symbols) == 1:
            return symbols[0]
        raise InputError(f"{path} has no column for symbol, so --symbols names one, not several")
    try:
        return normalise_symbol(Venue(venue), path.stem)
    except InstrumentError as error:
        raise InputError(
            f"{path} has no column for symbol and its name is none of {venue}; "
            "a file of one symbol takes --symbols SYMBOL"
        ) from error


def _left_out(reason: str, count: int) -> Caution:
    rows = "1 row" if count == 1 else f"{count:,} rows"
    return Caution(Code.BARS_LEFT_OUT, f"{rows} of the file left out: {MEANING[Reason(reason)]}")
