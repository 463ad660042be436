# ruff: noqa: S608 - the queries are written here
"""One SQL over all tiers: the same rows, pushed down, and nothing but a SELECT."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import clickhouse_connect
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jts_trading.config.instance import ClockSettings
from jts_trading.ports.clock import write_clock
from storage.errors import InputError
from storage.hot.store import HotStore
from storage.lake.lake import Lake
from storage.manifest.chain import Manifests
from storage.moves.mover import Mover
from storage.schema.arrow import file_schema
from storage.schema.datasets import CANDLES
from storage.schema.partitions import partition_of
from storage.schema.tiers import default_settings

pytestmark = pytest.mark.integration

FIRST = date(2024, 1, 1)
TODAY = FIRST + timedelta(days=100)
DAYS = [FIRST, FIRST + timedelta(days=60), FIRST + timedelta(days=98), FIRST + timedelta(days=99)]
SYMBOLS = [f"{number:06d}" for number in range(20)]


def bars(day: date, *, price: int = 1000) -> pa.Table:
    """Ten minute bars for each of twenty symbols."""
    first = datetime(day.year, day.month, day.day, 1, tzinfo=UTC)
    rows = [
        {
            "timestamp": first + timedelta(minutes=minute),
            "venue": "KRX",
            "symbol": symbol,
            "broker": "kis",
            "interval": "1m",
            "open": price,
            "high": price,
            "low": price,
            "close": price + minute,
            "volume": minute,
            "bid": None,
            "ask": None,
            "trade_date": day,
            "received_at": first,
            "available_at": first,
            "revision": 1,
            "status": "traded",
            "quality": "=1+1" if symbol == "000001" else "ok",
            "ingest_id": "i1",
        }
        for symbol in SYMBOLS
        for minute in range(10)
    ]
    return pa.Table.from_pylist(rows, schema=file_schema(CANDLES, "KRX"))


class Desk:
    """A home, its hot database, and its lake."""

    def __init__(self, dsn: str, home: Path) -> None:
        self.dsn = dsn
        self.home = home
        self.hot = HotStore(dsn)
        self.hot.ensure_schema()
        # The first day of the tests plus one hundred, as a started instance would have it.
        write_clock(home / "run", ClockSettings(epoch="2024-04-10T12:00:00+00:00"))
        self.lake = Lake(self.hot, Manifests(home / "manifests"), default_settings(), home)

    def fill(self) -> None:
        """Bring the days in and move what is due."""
        for day in DAYS:
            partition = partition_of("candles", "KRX", "1m", day)
            self.hot.transit.stage(partition, bars(day))
            self.hot.transit.admit(partition)
        mover = Mover(
            self.hot,
            Manifests(self.home / "manifests"),
            default_settings(),
            self.home,
            now=lambda: datetime.combine(TODAY, datetime.min.time(), UTC),
            today=lambda _: TODAY,
        )
        list(mover.archive())

    def jts(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command as a user would, on this home and hot store."""
        return subprocess.run(
            [sys.executable, "-m", "jts_pipelines.cli", *words],
            env={
                **os.environ,
                "JTS_HOME": str(self.home),
                "JTS_HOT__DSN": self.dsn,
            },
            capture_output=True,
            timeout=60,
            check=False,
        )


def made(clickhouse_url: str, home: Path) -> Iterator[Desk]:
    """A desk on a database of its own, dropped afterwards."""
    name = f"s_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE {name}")
        yield Desk(f"{clickhouse_url}/{name}", home)
        admin.command(f"DROP DATABASE {name}")


@pytest.fixture(scope="module")
def desk(clickhouse_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A filled desk that tests only read."""
    for one in made(clickhouse_url, tmp_path_factory.mktemp("sql")):
        one.fill()
        yield one


@pytest.fixture
def empty_desk(clickhouse_url: str, tmp_path: Path) -> Iterator[Desk]:
    """A desk with nothing on it."""
    yield from made(clickhouse_url, tmp_path)


def test_view_when_all_tiers_hold_rows_shows_each_once(desk: Desk) -> None:
    """Rows by tier and exact sums."""
    answer = desk.lake.sql(
        "SELECT tier, count(*) AS n, sum(close) AS total FROM candles GROUP BY tier ORDER BY tier"
    )

    assert answer["tier"].to_pylist() == ["cold", "hot", "warm"]
    assert answer["n"].to_pylist() == [200, 400, 200]
    assert [int(total) for total in answer["total"].to_pylist()] == [200_900, 401_800, 200_900]


@pytest.mark.parametrize(
    ("where", "fetched"),
    [
        ("symbol = '000003'", 20),
        ("symbol IN ('000003', '000004', 'none')", 40),
        ("trade_date = DATE '2024-04-09'", 200),
        ("trade_date BETWEEN DATE '2024-04-08' AND DATE '2024-04-08'", 200),
        ("timestamp >= '2024-04-09 01:05:00'", 100),
        ("timestamp < TIMESTAMPTZ '2024-04-08 01:02:00+00' AND symbol = '000001'", 3),
        ("venue = 'UPBIT'", 0),
        ("interval = '1d'", 0),
        ("tier = 'warm'", 0),
        ("trade_date <= DATE '2024-03-01'", 0),
    ],
)
def test_filter_when_it_can_be_pushed_fetches_only_its_rows(
    desk: Desk, where: str, fetched: int
) -> None:
    """DuckDB's filters reach ClickHouse; what comes over is counted."""
    query = f"SELECT count(*) AS n, sum(close) AS total FROM candles WHERE {where}"
    answer = desk.lake.ask(query)
    with duckdb.connect(":memory:") as judge:
        judge.execute("SET TimeZone = 'UTC'")
        judge.register("candles", desk.lake.read(with_tier=True).to_arrow())
        expected = judge.sql(query).to_arrow_table()

    assert answer.hot_rows == fetched
    assert answer.table.equals(expected)


def test_projection_when_pushed_fetches_only_its_columns(desk: Desk) -> None:
    """Unused columns do not cross the wire."""
    answer = desk.lake.ask("SELECT max(close) FROM candles WHERE symbol = '000001'")

    assert answer.hot_columns == ("close", "symbol")


def test_plan_of_a_query_on_one_day_reads_one_file(desk: Desk) -> None:
    """Files of other days are skipped by their statistics."""
    plan = desk.lake.sql(
        "SELECT count(*) AS n FROM candles WHERE trade_date = DATE '2024-03-01' AND tier = 'warm'"
    )

    assert plan["n"].to_pylist() == [200]


def test_view_when_the_lake_is_empty_has_its_columns(empty_desk: Desk) -> None:
    """Zero rows, all columns, decimals typed."""
    answer = empty_desk.lake.sql("SELECT * FROM candles")
    refused = empty_desk.lake.sql("SELECT * FROM quarantine")

    assert answer.num_rows == 0
    assert answer.column_names == [*(column.name for column in CANDLES.columns), "tier"]
    assert str(answer.schema.field("close").type) == "decimal128(18, 8)"
    assert (refused.num_rows, refused.column_names[:3]) == (0, ["dataset", "venue", "interval"])


def test_quarantine_when_files_exist_shows_their_rows(empty_desk: Desk) -> None:
    """Refused rows are visible with their reasons."""
    folder = empty_desk.home / "quarantine" / "candles"
    folder.mkdir(parents=True)
    pl.DataFrame({"dataset": ["candles"], "row": [7], "reason": ["high_below_low"]}).write_parquet(
        folder / "i1.parquet"
    )
    answer = empty_desk.lake.sql("SELECT reason, row FROM quarantine")

    assert answer.to_pylist() == [{"reason": "high_below_low", "row": 7}]


@pytest.mark.parametrize(
    "query",
    [
        "",
        ";",
        "SELECT 1; SELECT 2",
        "DROP TABLE candles",
        "COPY candles TO '/tmp/x.csv'",
        "ATTACH '/tmp/x.db'",
        "SET enable_external_access = true",
        "PRAGMA version",
        "INSTALL httpfs",
        "EXPLAIN ANALYZE SELECT 1",
        "CALL pragma_version()",
        "CREATE TABLE t AS SELECT 1",
    ],
)
def test_statement_when_it_is_not_one_select_is_refused(empty_desk: Desk, query: str) -> None:
    """Exactly one SELECT, whatever else SQL can do (IN09)."""
    with pytest.raises(InputError, match=r"exactly one SELECT|Parser Error"):
        empty_desk.lake.sql(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_csv('{home}/warm/../../../../../../etc/passwd')",
        "SELECT * FROM read_text('{home}/manifests/candles/HEAD.json')",
        "SELECT * FROM read_parquet('https://example.org/x.parquet')",
        "SELECT * FROM sqlite_scan('/etc/passwd', 't')",
        "SELECT * FROM secret_of_the_caller",
        "SELECT clse FROM candles",
        "SELECT sum(symbol) FROM candles",
    ],
)
def test_select_when_it_reaches_outside_or_errs_is_one_clear_line(desk: Desk, query: str) -> None:
    """Files, network and Python variables are out of reach; errors are one line."""
    secret_of_the_caller = pl.DataFrame({"a": [1]})
    with pytest.raises(InputError) as caught:
        desk.lake.sql(query.replace("{home}", str(desk.home)))

    assert str(caught.value).startswith("SQL: ")
    assert "\n" not in str(caught.value)
    assert secret_of_the_caller.height == 1


def test_select_when_it_takes_too_long_is_broken_off(desk: Desk) -> None:
    """A cross join ends at its time limit; the next query works."""
    with pytest.raises(InputError, match=r"not answered within 0\.5 s"):
        desk.lake.sql(
            "SELECT count(*) FROM candles a, candles b, candles c, candles d "
            "WHERE a.close + b.close > c.close + d.close",
            timeout_seconds=0.5,
        )

    assert desk.lake.sql("SELECT 1 AS one")["one"].to_pylist() == [1]


def test_select_from_an_unknown_table_names_those_there_are(empty_desk: Desk) -> None:
    """The engine would guess at a table of its own."""
    with pytest.raises(
        InputError, match="Table with name bars does not exist; accepted: candles,"
    ):
        empty_desk.lake.sql("SELECT count(*) FROM bars")


def test_select_when_it_needs_too_much_memory_is_refused(desk: Desk) -> None:
    """Memory is bounded: the engine gives up, the process lives."""
    with pytest.raises(InputError, match=r"SQL: |larger than"):
        desk.lake.sql(
            "SELECT list(a.timestamp ORDER BY random()) FROM candles a, candles b, range(400) c",
            timeout_seconds=30,
        )


def test_sql_command_writes_every_format(desk: Desk, tmp_path: Path) -> None:
    """JSON is one document, CSV escapes formulas, Parquet reads back, the table is aligned."""
    query = (
        "SELECT symbol, quality, close, trade_date, ask FROM candles "
        "WHERE symbol IN ('000001', '000002') AND close = 1009 ORDER BY ALL LIMIT 1"
    )
    document = json.loads(desk.jts("sql", query, "--format", "json").stdout)
    lines = desk.jts("sql", query, "--format", "csv").stdout.decode().splitlines()
    table = desk.jts("sql", query).stdout.decode().splitlines()
    out = tmp_path / "out.parquet"
    written = desk.jts("sql", query, "--format", "parquet", "--out", str(out))

    assert document == [
        {
            "symbol": "000001",
            "quality": "=1+1",
            "close": 1009,
            "trade_date": "2024-01-01",
            "ask": None,
        }
    ]
    assert lines == ["symbol,quality,close,trade_date,ask", "000001,'=1+1,1009,2024-01-01,"]
    assert table[0].split() == ["symbol", "quality", "close", "trade_date", "ask"]
    assert table[2].split() == ["000001", "=1+1", "1009", "2024-01-01"]
    assert (written.returncode, pq.read_table(out).num_rows) == (0, 1)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT clse FROM candles", 'Referenced column "clse" not found'),
        ("DELETE FROM candles", "accepted is exactly one SELECT statement; found DELETE"),
    ],
)
def test_sql_command_when_it_errs_says_one_line_and_exits_2(
    desk: Desk, query: str, text: str
) -> None:
    """Nothing on stdout, one line on stderr."""
    ended = desk.jts("sql", query)

    assert ended.returncode == 2
    assert ended.stdout == b""
    assert text in ended.stderr.decode()
    assert len(ended.stderr.decode().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["SELECT 1 AS a, 2 AS a", "--json"], "columns named twice: a; JSON needs an alias"),
        (["SELECT INTERVAL 1 DAY AS a", "--format", "parquet"], "Parquet has no such column"),
        (["SELECT 1", "--timeout", "inf"], "--timeout: accepted are seconds above 0, up to 86400"),
        (["SELECT 1", "--timeout", "nan"], "--timeout: accepted are seconds above 0, up to 86400"),
        (["SELECT 1", "--out", "/none/a.csv"], "--out /none/a.csv: there is no such folder"),
    ],
)
def test_sql_command_when_the_answer_cannot_be_written_says_so(
    desk: Desk, arguments: list[str], text: str
) -> None:
    """No column is lost in silence, no limit is dropped."""
    ended = desk.jts("sql", *arguments)

    assert (ended.returncode, ended.stdout) == (2, b"")
    assert text in ended.stderr.decode()
    assert len(ended.stderr.decode().splitlines()) == 1


def test_select_when_interrupted_ends_at_once(desk: Desk) -> None:
    """Ctrl-C does not wait for the time limit."""
    timer = threading.Timer(1.0, os.kill, [os.getpid(), signal.SIGINT])
    started = time.monotonic()
    # A shell lets what runs in its background ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            desk.lake.sql(
                "SELECT count(*) FROM candles a, candles b, candles c, candles d "
                "WHERE a.close + b.close > c.close + d.close",
                timeout_seconds=60,
            )
    finally:
        signal.signal(signal.SIGINT, before)

    assert time.monotonic() - started < 15
    assert desk.lake.sql("SELECT 1 AS one")["one"].to_pylist() == [1]


def test_storage_commands_tell_move_and_verify(empty_desk: Desk) -> None:
    """Status, archive, verify, restore and scrub as a script uses them."""
    for day in DAYS[:2]:
        partition = partition_of("candles", "KRX", "1m", day)
        empty_desk.hot.transit.stage(partition, bars(day))
        empty_desk.hot.transit.admit(partition)
    before = json.loads(empty_desk.jts("storage", "status", "--json").stdout)
    moved = json.loads(empty_desk.jts("storage", "archive", "--json").stdout)
    after = json.loads(empty_desk.jts("storage", "status", "--json").stdout)
    verified = empty_desk.jts("storage", "verify", "--json")
    unknown = empty_desk.jts("storage", "verify", "KRX/1m/1999-01-04")
    restored = empty_desk.jts("storage", "restore", "KRX/1m/2024-01-01", "--to", "hot", "--json")
    sized = json.loads(empty_desk.jts("storage", "plan", "--symbols", "1800", "--json").stdout)
    file = next((empty_desk.home / "warm").rglob("*period=2024-03-01/*.parquet"))
    file.write_bytes(file.read_bytes()[:-1])
    damaged = empty_desk.jts("storage", "verify", "--json")
    scrubbed = empty_desk.jts("storage", "scrub", "--all", "--json")

    assert before["tiers"]["hot"]["rows"] == 400
    assert [move["action"] for move in before["due"]].count("export") == 2
    assert len(moved["moves"]) == 6
    assert unknown.returncode == 2
    assert "KRX/1m/1999-01-04: no tier has a copy of it" in unknown.stderr.decode()
    assert {tier: total["rows"] for tier, total in after["tiers"].items()} == {
        "hot": 0,
        "warm": 200,
        "cold": 200,
    }
    assert after["due"] == []
    assert (verified.returncode, json.loads(verified.stdout)["verified"]) == (0, 2)
    assert json.loads(restored.stdout)["rows"] == 200
    assert sized["tiers"]["cold"]["bytes"] > 0
    assert damaged.returncode == 1
    assert json.loads(damaged.stdout)["problems"][0]["partition"] == "candles/KRX/1m/2024-03-01"
    assert (scrubbed.returncode, json.loads(scrubbed.stdout)["damaged"]) == (1, 1)
