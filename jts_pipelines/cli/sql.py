"""`jts sql`: one SELECT over hot, warm and cold."""

import csv
import io
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from jts_trading.telemetry import console

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_ROWS = 1_000
LONGEST_SECONDS = 86_400
# A spreadsheet takes a cell that begins with one of these for a formula: fault list IN33.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@click.command()
@click.argument("query")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="How the answer is written.",
)
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds after which to give up.")
def sql(query: str, *, form: str, as_json: bool, out: Path | None, timeout: float) -> None:
    """Ask one SQL over hot, warm and cold.

    QUERY is one SELECT in DuckDB's SQL over the views candles, ticks, signals, decisions, orders,
    fills and gaps (each with a column `tier`), positions (what the fills add up to) and
    quarantine (refused rows).
    """
    from storage.lake.sql import require_one_select

    form = "json" if as_json else form
    if form == "parquet" and out is None and sys.stdout.isatty():
        raise console.CommandError("parquet is not for a terminal: name --out", console.BAD_USAGE)
    if not 0 < timeout <= LONGEST_SECONDS:
        raise console.CommandError(
            f"--timeout: accepted are seconds above 0, up to {LONGEST_SECONDS}", console.BAD_USAGE
        )
    if out is not None and not out.absolute().parent.is_dir():
        raise console.CommandError(f"--out {out}: there is no such folder", console.BAD_USAGE)
    require_one_select(query)
    content = _WRITERS[form](_ask(query, timeout))
    if out is None:
        click.echo(content, nl=False)
        return
    from storage.manifest.durable import atomic_write

    atomic_write(out.absolute(), content)


def _ask(query: str, timeout: float) -> "pa.Table":
    from jts_pipelines.cli.instance import running_stores
    from jts_trading.config.settings import load_settings
    from storage.hot.store import HotStore
    from storage.lake.lake import Lake
    from storage.manifest.chain import Manifests

    settings = load_settings()
    home = settings.instance.root
    with running_stores(settings) as stores:
        hot = HotStore(stores.hot)
        try:
            manifests = Manifests(settings.tiers.path(home, "manifests"))
            lake = Lake(hot, manifests, settings.tiers, home)
            return lake.sql(query, timeout_seconds=timeout)
        finally:
            hot.close()


def as_table(table: "pa.Table") -> bytes:
    """Return aligned text columns, numbers to the right, with a note when rows are left out."""
    shown = table.slice(0, TABLE_ROWS)
    names = [str(name) for name in table.column_names]
    columns = [[_plain(value) for value in column.to_pylist()] for column in shown.columns]
    widths = [
        max([len(name), *(len(cell) for cell in cells)])
        for name, cells in zip(names, columns, strict=True)
    ]
    right = [_is_number(kind) for kind in table.schema.types]
    lines = [
        _line(names, widths, [False] * len(names)),
        _line(["-" * width for width in widths], widths, [False] * len(names)),
        *(_line(list(row), widths, right) for row in zip(*columns, strict=True)),
    ]
    if table.num_rows > TABLE_ROWS:
        console.note(
            f"{table.num_rows} rows, the first {TABLE_ROWS} are shown; --format csv has them all"
        )
    return ("\n".join(lines) + "\n").encode()


def as_csv(table: "pa.Table") -> bytes:
    """Return CSV with a header; text that a spreadsheet would calculate gets a leading quote."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_escaped(str(name)) for name in table.column_names])
    columns = [[_cell(value) for value in column.to_pylist()] for column in table.columns]
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue().encode()


def as_json_rows(table: "pa.Table") -> bytes:
    """Return one JSON array of row objects; decimals are exact numbers, times ISO 8601."""
    encoder = msgspec.json.Encoder(decimal_format="number")
    names = [str(name) for name in table.column_names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise console.CommandError(
            f"SQL: columns named twice: {', '.join(twice)}; JSON needs an alias for each",
            console.BAD_USAGE,
        )
    columns = [[_trimmed(value) for value in column.to_pylist()] for column in table.columns]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return encoder.encode(rows) + b"\n"


def as_parquet(table: "pa.Table") -> bytes:
    """Return a Parquet file, zstd compressed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    try:
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    except pa.ArrowNotImplementedError as error:
        raise console.CommandError(
            f"SQL: Parquet has no such column: {error}; cast it, as to VARCHAR", console.BAD_USAGE
        ) from error
    return bytes(sink.getvalue())


_WRITERS: dict[str, Callable[["pa.Table"], bytes]] = {
    "table": as_table,
    "csv": as_csv,
    "json": as_json_rows,
    "parquet": as_parquet,
}


def _line(cells: list[str], widths: list[int], right: list[bool]) -> str:
    placed = (
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    )
    return "  ".join(placed).rstrip()


def _is_number(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _trimmed(value: Any) -> Any:
    """Drop the zeros that only the scale of a column brings: 71500.00000000 is 71500."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else value.normalize()
    return value


def _plain(value: Any) -> str:
    trimmed = _trimmed(value)
    if trimmed is None:
        return ""
    text = f"{trimmed:f}" if isinstance(trimmed, Decimal) else str(trimmed)
    # One row is one line, whatever stands in a text (IN34).
    return text.replace("\r", "\\r").replace("\n", "\\n").replace("\x1b", "\\x1b")


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return _escaped(value)
    trimmed = _trimmed(value)
    if trimmed is None:
        return ""
    return f"{trimmed:f}" if isinstance(trimmed, Decimal) else str(trimmed)


def _escaped(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
