"""The embedded ClickHouse answers the unmodified client, sync and async."""

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
import httpx
import lz4.frame
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData

pytestmark = pytest.mark.integration
TABLE = "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a"


def _rows(client: Any, query: str = "SELECT * FROM t ORDER BY a") -> Any:
    return client.query(query).result_rows


def test_insert_when_acknowledged_then_rows_are_read_back(clickhouse_client: Any) -> None:
    """What `insert` acknowledges, `query` returns, and the summary counts it."""
    clickhouse_client.command(TABLE)

    summary = clickhouse_client.insert("t", [[1, "x"], [2, "y"]], column_names=["a", "s"])

    assert summary.written_rows == 2
    assert _rows(clickhouse_client) == [(1, "x"), (2, "y")]


@pytest.mark.parametrize("compress", [False, True, "zstd", "lz4", "gzip"])
def test_insert_when_the_client_compresses_then_rows_are_the_same(
    compress: bool | str, clickhouse_url: str, clickhouse_client: Any
) -> None:
    """Every compression that the client offers by itself arrives unharmed."""
    clickhouse_client.command(TABLE)
    rows = [[number, f"row {number}" * 5] for number in range(5000)]

    with clickhouse_connect.get_client(
        dsn=clickhouse_url, database=clickhouse_client.database, compress=compress
    ) as client:
        summary = client.insert("t", rows, column_names=["a", "s"])
        read = _rows(client)

    assert summary.written_rows == 5000
    assert read == [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("zstd", zstd.compress), ("lz4", lz4.frame.compress)],
)
def test_raw_insert_when_compressed_then_rows_are_there(
    encoding: str, compress: Any, clickhouse_client: Any
) -> None:
    """`raw_insert` sends the statement in the URL and the compressed data in the body."""
    clickhouse_client.command(TABLE)

    summary = clickhouse_client.raw_insert(
        "t", ["a", "s"], compress(b"1\tx\n2\ty\n"), fmt="TSV", compression=encoding
    )

    assert summary.written_rows == 2
    assert _rows(clickhouse_client) == [(1, "x"), (2, "y")]


def test_arrow_when_written_and_read_then_table_and_stream_are_equal(
    clickhouse_client: Any,
) -> None:
    """`insert_arrow`, `query_arrow`, `query_arrow_stream` and frames carry the same rows."""
    clickhouse_client.command(TABLE)
    table = pa.table(
        {
            "a": pa.array(range(150_000), pa.uint64()),
            "s": pa.array([f"s{number % 7}" for number in range(150_000)]),
        }
    )

    clickhouse_client.insert_arrow("t", table)
    whole = clickhouse_client.query_arrow("SELECT * FROM t ORDER BY a")
    with clickhouse_client.query_arrow_stream("SELECT * FROM t ORDER BY a") as stream:
        batches = list(stream)
    frame = clickhouse_client.query_df("SELECT * FROM t ORDER BY a")

    names = {"a": pa.uint64(), "s": pa.string()}
    assert len(batches) > 1
    assert whole.cast(pa.schema(names)).to_pydict() == table.to_pydict()
    streamed = pa.Table.from_batches(batches).cast(pa.schema(names))
    assert streamed.to_pydict() == table.to_pydict()
    assert frame["a"].tolist() == table["a"].to_pylist()


def test_frames_when_inserted_from_pandas_and_polars_then_rows_are_there(
    clickhouse_client: Any,
) -> None:
    """`insert_df` and `insert_df_arrow` work, and an empty Arrow answer keeps its columns."""
    clickhouse_client.command(TABLE)

    clickhouse_client.insert_df("t", pd.DataFrame({"a": [1], "s": ["pandas"]}))
    clickhouse_client.insert_df_arrow("t", pl.DataFrame({"a": [2], "s": ["polars"]}))
    empty = clickhouse_client.query_arrow("SELECT * FROM t WHERE a > 9")
    with clickhouse_client.query_arrow_stream("SELECT * FROM t WHERE a > 9") as stream:
        batches = list(stream)

    assert _rows(clickhouse_client) == [(1, "pandas"), (2, "polars")]
    assert (empty.num_rows, empty.column_names) == (0, ["a", "s"])
    assert sum(batch.num_rows for batch in batches) == 0


def test_parquet_when_sent_and_asked_for_then_pyarrow_reads_it(clickhouse_client: Any) -> None:
    """A framed format comes whole, and goes in whole."""
    clickhouse_client.command(TABLE)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": pa.array(range(99), pa.uint64()), "s": ["x"] * 99}), sink)

    clickhouse_client.raw_insert("t", ["a", "s"], sink.getvalue().to_pybytes(), fmt="Parquet")
    content = clickhouse_client.raw_query("SELECT * FROM t ORDER BY a", fmt="Parquet")
    document = json.loads(clickhouse_client.raw_query("SELECT count() AS n FROM t", fmt="JSON"))

    assert pq.read_table(pa.BufferReader(content))["a"].to_pylist() == list(range(99))
    assert document["data"] == [{"n": 99}] or document["data"] == [{"n": "99"}]


def test_text_formats_when_many_blocks_then_the_header_comes_once(
    clickhouse_client: Any,
) -> None:
    """The engine repeats headers per block; the answer has one."""
    content = clickhouse_client.raw_query(
        "SELECT number FROM numbers(200000)", fmt="TabSeparatedWithNames"
    )

    lines = content.decode().splitlines()
    assert len(lines) == 200_001
    assert lines[0] == "number"
    assert lines.count("number") == 1


def test_answers_when_blocks_are_not_all_then_nothing_is_lost(clickhouse_client: Any) -> None:
    """Totals and dictionaries arrive too, and a block without rows ends nothing."""
    totals = clickhouse_client.raw_query(
        "SELECT number % 2 AS k, count() FROM numbers(9) GROUP BY k WITH TOTALS ORDER BY k",
        fmt="TSV",
    )
    words = "SELECT toLowCardinality(toString(number)) AS s FROM numbers(200000)"
    table = clickhouse_client.query_arrow(
        words, settings={"output_format_arrow_low_cardinality_as_dictionary": 1}
    )
    sparse = clickhouse_client.query(
        "SELECT number FROM numbers(3000000) WHERE number % 1000000 = 999999",
        settings={"max_block_size": 1000},
    ).result_rows

    assert totals == b"0\t5\n1\t4\n\n0\t9\n"
    assert pa.types.is_dictionary(table.schema.field("s").type)
    assert table["s"].to_pylist() == [str(number) for number in range(200_000)]
    assert sorted(sparse) == [(999_999,), (1_999_999,), (2_999_999,)]


def test_parameters_when_bound_then_they_are_data_not_sql(clickhouse_client: Any) -> None:
    """A bound value is never parsed as SQL, whatever it holds; long ones travel as a form."""
    for text in ("x'; DROP TABLE t; --", "tab\there\nand \\ back", "한글", "y" * 100_000):
        rows = clickhouse_client.query("SELECT {x:String}", parameters={"x": text}).result_rows

        assert rows == [(text,)]


def test_settings_when_given_then_they_count_for_that_request_only(
    clickhouse_client: Any,
) -> None:
    """Settings of one request do not leak into the next."""
    query = "SELECT getSetting('max_threads')"

    first = clickhouse_client.query(query, settings={"max_threads": 1}).result_rows
    default = clickhouse_client.query(query).result_rows

    assert first == [(1,)]
    assert default != first or default == [(1,)]
    clickhouse_client.command("SET max_block_size = 7")
    assert clickhouse_client.command("SELECT getSetting('max_block_size')") != 7


def test_bulk_load_when_it_spans_400_days_then_a_setting_lets_it_pass(
    clickhouse_client: Any,
) -> None:
    """The default of 100 partitions per block protects; a bulk load lifts it for itself."""
    clickhouse_client.command(
        "CREATE TABLE d (day Date) ENGINE = MergeTree PARTITION BY day ORDER BY day"
    )
    days = pa.table({"day": pa.array(range(19_000, 19_400), pa.int32()).cast(pa.date32())})

    with pytest.raises(DatabaseError, match="Too many partitions"):
        clickhouse_client.insert_arrow("d", days)
    clickhouse_client.insert_arrow("d", days, settings={"max_partitions_per_insert_block": 0})

    assert clickhouse_client.command("SELECT count() FROM d") == 400
    clickhouse_client.command(
        "ALTER TABLE d DROP PARTITION '2022-01-08'", settings={"max_partition_size_to_drop": 0}
    )
    assert clickhouse_client.command("SELECT count() FROM d") == 399


def test_errors_when_the_engine_refuses_then_its_code_and_text_arrive(
    clickhouse_client: Any,
) -> None:
    """A caller can branch on ClickHouse's own code."""
    for query, code, name in (
        ("SELECT nope", 47, "UNKNOWN_IDENTIFIER"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT * FROM missing", 60, "UNKNOWN_TABLE"),
        ("INSERT INTO missing FORMAT TSV\n1", 60, "UNKNOWN_TABLE"),
    ):
        with pytest.raises(DatabaseError, match=name) as refusal:
            clickhouse_client.command(query)
        assert refusal.value.code == code


def test_error_when_it_comes_in_the_middle_then_the_stream_fails(clickhouse_client: Any) -> None:
    """Rows that were already sent are never mistaken for the whole answer."""
    query = "SELECT throwIf(number = 2000000) FROM numbers(3000000)"

    with pytest.raises(StreamFailureError, match="throwIf"):
        _ = clickhouse_client.query(query).result_rows
    with pytest.raises(Exception, match=r"(?i)premature|incomplete|closed|ended|broken"):
        clickhouse_client.raw_query(query, fmt="TSV")
    assert clickhouse_client.command("SELECT 1") == 1


def test_insert_when_data_are_damaged_then_nothing_is_inserted(clickhouse_client: Any) -> None:
    """A refused insert leaves the table as it was."""
    clickhouse_client.command(TABLE)

    with pytest.raises(DatabaseError, match="CANNOT_PARSE"):
        clickhouse_client.raw_insert("t", ["a", "s"], "1\tx\nno number\ty\n", fmt="TSV")

    assert clickhouse_client.command("SELECT count() FROM t") == 0


@pytest.mark.parametrize(
    "insert",
    [
        lambda client: client.insert("c", [[1], [9]], column_names=["a"]),
        lambda client: client.insert_arrow("c", pa.table({"a": pa.array([1, 9], pa.uint64())})),
        lambda client: client.command("INSERT INTO c FORMAT TSV\n1\n9\n"),
        lambda client: client.command("INSERT INTO c VALUES (1), (9)"),
    ],
    ids=["native", "arrow", "tsv", "values"],
)
def test_insert_when_a_constraint_is_violated_then_it_is_an_error(
    insert: Callable[[Any], None], clickhouse_client: Any
) -> None:
    """What fails at the very end of an insert is never acknowledged."""
    clickhouse_client.command(
        "CREATE TABLE c (a UInt64, CONSTRAINT small CHECK a < 5) ENGINE = MergeTree ORDER BY a"
    )

    with pytest.raises(DatabaseError, match="VIOLATED_CONSTRAINT"):
        insert(clickhouse_client)

    assert clickhouse_client.command("SELECT count() FROM c") == 0


def test_insert_when_the_statement_has_settings_then_they_count(clickhouse_client: Any) -> None:
    """SETTINGS inside an INSERT with data are the statement's own."""
    clickhouse_client.command(TABLE)

    clickhouse_client.command(
        "INSERT INTO t (a, s) SETTINGS input_format_tsv_empty_as_default = 1 FORMAT TSV\n\tx\n"
    )

    assert _rows(clickhouse_client) == [(0, "x")]


def test_insert_when_its_token_is_repeated_then_it_counts_once(clickhouse_client: Any) -> None:
    """A retried insert with its token adds nothing, as long as the table keeps tokens."""
    clickhouse_client.command(f"{TABLE} SETTINGS non_replicated_deduplication_window = 1000")

    for token in ("one", "one", "two"):
        clickhouse_client.insert_arrow(
            "t",
            pa.table({"a": pa.array([1], pa.uint64()), "s": ["x"]}),
            settings={"insert_deduplication_token": token},
        )

    assert clickhouse_client.command("SELECT count() FROM t") == 2


def test_files_when_a_statement_names_them_then_it_is_refused(
    clickhouse_client: Any, tmp_path: Path
) -> None:
    """A statement writes and reads no files of the server by the client's words for its own."""
    clickhouse_client.command(TABLE)
    (tmp_path / "in").write_text("1\tx\n")

    for statement in (
        f"SELECT 1 INTO OUTFILE '{tmp_path}/out' FORMAT CSV",
        f"INSERT INTO t FROM INFILE '{tmp_path}/in' FORMAT TSV",
    ):
        with pytest.raises(DatabaseError, match="NOT_IMPLEMENTED"):
            clickhouse_client.command(statement)

    assert not (tmp_path / "out").exists()
    assert clickhouse_client.command("SELECT count() FROM t") == 0


def test_external_data_when_sent_then_it_can_be_joined(clickhouse_client: Any) -> None:
    """A table that comes with a query exists for that query."""
    external = ExternalData(
        file_name="wanted.csv", data=b"1\n3\n", fmt="CSV", structure=["number UInt64"]
    )

    rows = clickhouse_client.query(
        "SELECT number FROM numbers(5) WHERE number IN (SELECT * FROM wanted) ORDER BY number",
        external_data=external,
    ).result_rows

    assert rows == [(1,), (3,)]


def test_async_client_when_it_works_in_parallel_then_all_is_right(
    clickhouse_url: str, clickhouse_client: Any
) -> None:
    """The unmodified async client queries, inserts and streams."""
    clickhouse_client.command(TABLE)
    parts = urlsplit(clickhouse_url)

    async def work() -> tuple[list[Any], int, int]:
        client = await clickhouse_connect.get_async_client(
            host=parts.hostname, port=parts.port, database=clickhouse_client.database
        )
        try:
            await client.insert("t", [[1, "x"], [2, "y"]], column_names=["a", "s"])
            await client.insert_arrow("t", pa.table({"a": pa.array([3], pa.uint64()), "s": ["z"]}))
            answers = await asyncio.gather(
                *(client.query(f"SELECT {number}") for number in range(8))
            )
            table = await client.query_arrow("SELECT * FROM t")
            streamed = 0
            async with await client.query_row_block_stream(
                "SELECT number FROM numbers(200000)"
            ) as stream:
                async for block in stream:
                    streamed += len(block)
            return [answer.result_rows for answer in answers], table.num_rows, streamed
        finally:
            await client.close()

    answers, rows, streamed = asyncio.run(work())

    assert answers == [[(number,)] for number in range(8)]
    assert (rows, streamed) == (3, 200_000)


def test_three_clients_when_they_work_at_once_then_each_sees_its_own(
    clickhouse_url: str, clickhouse_client: Any
) -> None:
    """Clients in threads neither wait for nor disturb each other."""
    clickhouse_client.command(TABLE)

    def work(number: int) -> tuple[int, int]:
        with clickhouse_connect.get_client(
            dsn=clickhouse_url, database=clickhouse_client.database
        ) as client:
            for turn in range(10):
                client.insert("t", [[number * 100 + turn, "x"]], column_names=["a", "s"])
            mine = "SELECT count() FROM t WHERE intDiv(a, 100) = {n:UInt8}"
            own = {"n": number}
            return client.command(mine, own), client.command("SELECT {n:UInt8}", own)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(work, range(3))) == [(10, 0), (10, 1), (10, 2)]
    assert clickhouse_client.command("SELECT count() FROM t") == 30


def test_http_when_spoken_by_hand_then_headers_are_clickhouses(clickhouse_url: str) -> None:
    """The headers that clients rely on, and what compression of bodies is accepted."""
    response = httpx.get(
        clickhouse_url, params={"query": "SELECT 1 FORMAT CSV", "query_id": "mine"}
    )

    assert response.text == "1\n"
    assert response.headers["X-ClickHouse-Format"] == "CSV"
    assert response.headers["X-ClickHouse-Query-Id"] == "mine"
    assert response.headers["X-ClickHouse-Timezone"]
    assert set(response.headers["Accept-Encoding"].split(", ")) == {
        "zstd",
        "lz4",
        "gzip",
        "deflate",
    }
    assert httpx.get(f"{clickhouse_url}/ping").text == "Ok.\n"


def test_http_when_names_carry_more_than_names_then_nothing_is_smuggled(
    clickhouse_url: str,
) -> None:
    """Neither a header nor a statement hides in a query id or a format."""
    query = {"query": "SELECT 1", "query_id": "x\r\nX-Evil: 1"}
    answer = httpx.get(clickhouse_url, params=query)
    smuggled = {"query": "SELECT 1", "default_format": "JSON; CREATE DATABASE smuggled"}
    refused = httpx.get(clickhouse_url, params=smuggled)

    assert (answer.text, "X-Evil" in answer.headers) == ("1\n", False)
    assert refused.headers["X-ClickHouse-Exception-Code"] == "73"
    assert "smuggled" not in httpx.get(clickhouse_url, params={"query": "SHOW DATABASES"}).text


@pytest.mark.parametrize(
    ("method", "headers", "status", "code"),
    [
        ("GET", {}, 403, "164"),
        ("POST", {"Origin": "https://page.example"}, 403, "497"),
        ("POST", {"Host": "page.example"}, 403, "497"),
        ("POST", {"Sec-Fetch-Site": "cross-site"}, 403, "497"),
        ("POST", {"X-ClickHouse-User": "mallory"}, 403, "516"),
        ("POST", {"X-ClickHouse-Key": "wrong"}, 403, "516"),
        ("POST", {"Content-Encoding": "br"}, 415, "36"),
    ],
)
def test_http_when_the_request_is_not_for_us_then_it_is_refused(
    method: str, headers: dict[str, str], status: int, code: str, clickhouse_url: str
) -> None:
    """A link, a web page or a stranger changes nothing."""
    query = {"query": "CREATE DATABASE never_made ENGINE = Memory"}

    response = httpx.request(
        method,
        f"{clickhouse_url}/?{urlencode(query)}",
        headers=headers,
        content=b"" if method == "GET" else b"\n",
    )

    assert (response.status_code, response.headers["X-ClickHouse-Exception-Code"]) == (
        status,
        code,
    )
    listed = httpx.get(clickhouse_url, params={"query": "SHOW DATABASES"}).text
    assert "never_made" not in listed


def test_upload_when_it_breaks_off_then_nothing_is_inserted(clickhouse_client: Any) -> None:
    """A client that dies in the middle of an upload has inserted nothing."""
    clickhouse_client.command(TABLE)

    def dying() -> Iterator[bytes]:
        yield b"1\tx\n" * 10_000
        raise ConnectionAbortedError

    with pytest.raises(Exception, match=r".*"):
        clickhouse_client.raw_insert("t", ["a", "s"], dying(), fmt="TSV")

    assert clickhouse_client.command("SELECT count() FROM t") == 0
