"""Files of corporate actions: splits, rights issues, dividends, delistings, as in settings."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl

from jts_pipelines.backtest.delistings import read_delisting
from jts_pipelines.backtest.dividends import read_dividend
from jts_pipelines.backtest.rights import read_rights_issue
from jts_pipelines.backtest.splits import read_split
from storage.errors import InputError


class _Kind(NamedTuple):
    """Columns of a file besides symbol and date, and what checks a row.

    Attributes:
        columns: In the order in which settings spell them, with a colon between.
        is_needed: Whether a row must have them.
    """

    columns: tuple[str, ...]
    is_needed: bool
    read: Callable[[str], object]


KINDS = {
    "splits": _Kind(("old", "new"), True, read_split),
    "rights": _Kind(("ratio", "price"), True, read_rights_issue),
    "dividends": _Kind(("amount",), True, read_dividend),
    "delistings": _Kind(("price",), False, read_delisting),
}
"""By their name in settings."""


def actions_of(table: pl.DataFrame, kind: str, file: Path) -> tuple[str, ...]:
    """Return the rows of a file as settings have them.

    Args:
        table: Columns symbol and date, and those of the kind; others are ignored.
        kind: One of `KINDS`.
        file: Named in errors.

    Raises:
        InputError: A column is missing, or a row is not accepted.
    """
    of = KINDS[kind]
    needed = ("symbol", "date", *(of.columns if of.is_needed else ()))
    missing = [name for name in needed if name not in table.columns]
    if missing:
        accepted = ", ".join(("symbol", "date", *of.columns))
        raise InputError(f"{file} has no column {missing[0]}; accepted: {accepted}")
    present = [name for name in of.columns if name in table.columns]
    found = []
    if isinstance(table.schema["date"], pl.Datetime):
        table = table.with_columns(pl.col("date").dt.date())
    rows = table.select(pl.col("symbol", "date", *present).cast(pl.String)).iter_rows()
    for number, (symbol, day, *rest) in enumerate(rows, 1):
        # Tables of floats have whole numbers, too.
        values = [value.removesuffix(".0") for value in rest if value is not None]
        text = f"{symbol}@{day}" + ("=" + ":".join(values) if values else "")
        try:
            of.read(text)
        except InputError as error:
            raise InputError(f"{file}, row {number}: {error}") from error
        found.append(text)
    return tuple(found)
