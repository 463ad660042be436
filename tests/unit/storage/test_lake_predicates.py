"""Filters of a query become bounds that contain every wanted row."""

from datetime import UTC, date, datetime

import duckdb
import polars as pl
import pytest
from polars.io.plugins import register_io_source

from storage.lake.hot_rows import condition
from storage.lake.predicates import bounds
from storage.lake.selection import Selection, select
from storage.schema.partitions import partition_of

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
NOON_MS = 1_704_196_800_000
SYMBOL, TIME, DAY = pl.col("symbol"), pl.col("timestamp"), pl.col("trade_date")


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (None, Selection()),
        (SYMBOL == "A", Selection(symbols=frozenset({"A"}))),
        (pl.lit("A") == SYMBOL, Selection(symbols=frozenset({"A"}))),
        (SYMBOL.is_in(["A", "B"]), Selection(symbols=frozenset({"A", "B"}))),
        ((SYMBOL == "A") & (SYMBOL == "B"), Selection(symbols=frozenset())),
        (pl.col("venue") == "KRX", Selection(venues=frozenset({"KRX"}))),
        (pl.col("interval") == "1d", Selection(intervals=frozenset({"1d"}))),
        (TIME >= NOON, Selection(start_ms=NOON_MS)),
        (TIME < NOON, Selection(end_ms=NOON_MS)),
        (TIME == NOON, Selection(start_ms=NOON_MS, end_ms=NOON_MS)),
        (date(2024, 1, 2) < DAY, Selection(from_day=date(2024, 1, 2))),
        (pl.lit(date(2024, 1, 2)) > DAY, Selection(to_day=date(2024, 1, 2))),
        (
            DAY.is_between(date(2024, 1, 2), date(2024, 1, 5)) & (SYMBOL == "A"),
            Selection(
                symbols=frozenset({"A"}), from_day=date(2024, 1, 2), to_day=date(2024, 1, 5)
            ),
        ),
        ((SYMBOL == "A") | (SYMBOL == "B"), Selection()),
        (SYMBOL != "A", Selection()),
        (~(SYMBOL == "A"), Selection()),
        (SYMBOL.str.starts_with("A"), Selection()),
        (pl.col("close") > 5, Selection()),
    ],
)
def test_predicate_when_understood_bounds_and_otherwise_does_not(
    predicate: pl.Expr | None, expected: Selection
) -> None:
    """Only conjunctions over keys narrow what is fetched; the rest is left alone."""
    assert bounds(predicate) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("symbol = 'A'", Selection(symbols=frozenset({"A"}))),
        ("symbol IN ('A', 'B', 'C')", Selection(symbols=frozenset({"A", "B", "C"}))),
        (
            "timestamp BETWEEN '2024-01-02 12:00:00+00' AND '2024-01-02 12:00:00+00'",
            Selection(start_ms=NOON_MS, end_ms=NOON_MS),
        ),
        (
            "trade_date >= '2024-01-02' AND trade_date < '2024-01-05'",
            Selection(from_day=date(2024, 1, 2), to_day=date(2024, 1, 5)),
        ),
    ],
)
def test_filter_of_duckdb_when_it_arrives_is_understood(where: str, expected: Selection) -> None:
    """The form in which this DuckDB hands its filters over is one that we know."""
    schema = {"symbol": pl.String, "timestamp": pl.Datetime("ms", "UTC"), "trade_date": pl.Date}
    seen: list[Selection] = []

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, size: int | None
    ):
        seen.append(bounds(predicate))
        yield pl.DataFrame(schema=schema).select(columns or list(schema))

    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("hot", register_io_source(source, schema=schema))
        connection.sql(f"SELECT * FROM hot WHERE {where}").fetchall()  # noqa: S608 - written above

    assert seen == [expected]


def test_condition_when_days_follow_each_other_joins_them() -> None:
    """A week of minute partitions is one span; values are parameters, never text."""
    days = [partition_of("candles", "KRX", "1m", date(2024, 1, day)) for day in (1, 2, 3, 5)]
    days.append(partition_of("candles", "KRX", "1d", date(2024, 1, 5)))
    text, values = condition(days, select(symbols=["A'; DROP TABLE candles"], start=NOON))

    assert [values["i0"], values["f0"], values["l0"]] == ["1d", "2024-01-01", "2024-01-31"]
    assert [values["f1"], values["l1"]] == ["2024-01-01", "2024-01-03"]
    assert [values["f2"], values["l2"]] == ["2024-01-05", "2024-01-05"]
    assert values["start_ms"] == NOON_MS
    assert "DROP" not in text
    assert values["s0"] == "A'; DROP TABLE candles"
