"""The embedded ClickHouse answers the unmodified client, sync and async."""

from typing import Any

import pytest

pytestmark = pytest.mark.integration


def test_insert_when_acknowledged_then_rows_are_read_back(clickhouse_client: Any) -> None:
    """What `insert` acknowledges, `query` returns, and the summary counts it."""
    clickhouse_client.command("CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")

    summary = clickhouse_client.insert("t", [[1, "x"], [2, "y"]], column_names=["a", "s"])

    assert summary.written_rows == 2
    rows = clickhouse_client.query("SELECT * FROM t ORDER BY a").result_rows
    assert rows == [(1, "x"), (2, "y")]
