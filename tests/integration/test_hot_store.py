"""The hot store over a real engine: what goes in comes out, staged, summed and moved whole."""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import clickhouse_connect
import pyarrow as pa
import pytest

from storage.errors import HotStoreError, InputError
from storage.hot.loads import LoadRecord, LoadState
from storage.hot.store import HotStore
from storage.manifest.summaries import summarise
from storage.schema.arrow import file_schema
from storage.schema.datasets import CANDLES
from storage.schema.partitions import Partition, partition_of

pytestmark = pytest.mark.integration

JANUARY = partition_of("candles", "KRX", "1d", date(2024, 1, 2))
FEBRUARY = partition_of("candles", "KRX", "1d", date(2024, 2, 1))


@pytest.fixture
def hot(clickhouse_url: str) -> Iterator[HotStore]:
    """A hot store in a database of its own."""
    database = f"t_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE {database}")
        store = HotStore(f"{clickhouse_url}/{database}")
        store.ensure_schema()
        yield store
        store.close()
        admin.command(f"DROP DATABASE {database}")


def bars(*days: date, close: int = 100, revision: int = 1, symbol: str = "005930") -> pa.Table:
    """Return one bar a day; every second one is halted."""
    rows = [
        {
            "timestamp": datetime(day.year, day.month, day.day, tzinfo=UTC),
            "venue": "KRX",
            "symbol": symbol,
            "broker": "krx",
            "interval": "1d",
            **dict.fromkeys(("open", "high", "low"), None if at % 2 else Decimal(close)),
            "close": Decimal(close),
            "volume": Decimal(0 if at % 2 else 7),
            "bid": None,
            "ask": None,
            "trade_date": day,
            "received_at": datetime(2024, 3, 1, tzinfo=UTC),
            "available_at": datetime(day.year, day.month, day.day, 7, tzinfo=UTC),
            "revision": revision,
            "status": "halted" if at % 2 else "traded",
            "quality": "ok",
            "ingest_id": "x1",
        }
        for at, day in enumerate(days)
    ]
    return pa.Table.from_pylist(rows, schema=file_schema(CANDLES, "KRX"))


def record(ingest_id: str, owner: str = "here") -> LoadRecord:
    """Return a load that begins."""
    return LoadRecord(
        ingest_id=ingest_id,
        owner=owner,
        dataset="candles",
        venue="KRX",
        state=LoadState.LOADING,
        path="f.parquet",
        file_digest="f",
        options_digest="o",
        received_at_ms=1,
    )


def stored(hot: HotStore, rows: pa.Table) -> None:
    """Load and publish rows."""
    load = hot.loads.open(record(rows["ingest_id"][0].as_py()), CANDLES)
    load.append(rows)
    load.publish("{}")


def with_ingest_id(rows: pa.Table, ingest_id: str) -> pa.Table:
    """Return the rows as of another load."""
    at = rows.schema.get_field_index("ingest_id")
    return rows.set_column(at, rows.schema.field(at), pa.repeat(ingest_id, rows.num_rows))


def test_read_when_rows_were_published_then_they_come_back_as_a_file_holds_them(
    hot: HotStore,
) -> None:
    """Types, order, nulls and decimals are those of the file schema."""
    rows = bars(date(2024, 1, 3), date(2024, 1, 2), date(2024, 1, 4))

    stored(hot, rows)

    assert hot.read(JANUARY).equals(rows.sort_by("timestamp"))
    assert hot.rows(JANUARY) == 3


def test_summary_when_computed_by_server_then_it_equals_that_of_the_rows(hot: HotStore) -> None:
    """The sums of the engine and of Arrow are the same numbers."""
    rows = bars(date(2024, 1, 2), date(2024, 1, 3), close=123_456)
    stored(hot, rows)

    assert hot.summary(JANUARY) == summarise(rows, CANDLES)
    assert hot.summary(JANUARY).nulls["open"] == 1


def test_summary_when_partition_is_empty_then_it_is_zero(hot: HotStore) -> None:
    """No rows is an answer."""
    assert hot.summary(JANUARY).rows == 0
    assert hot.summary(JANUARY).min_timestamp_ms is None


def test_partitions_when_months_differ_then_each_is_listed_with_its_size(hot: HotStore) -> None:
    """Valid rows, bytes and parts by partition, sorted."""
    stored(hot, bars(date(2024, 2, 1), date(2024, 1, 2), date(2024, 1, 3)))

    found = hot.partitions()

    assert [(hot_.partition, hot_.rows) for hot_ in found] == [(JANUARY, 2), (FEBRUARY, 1)]
    assert all(hot_.bytes_on_disk > 0 and len(hot_.parts) == 1 for hot_ in found)


def test_read_when_a_row_has_revisions_then_the_highest_is_valid(hot: HotStore) -> None:
    """One row per key, whatever has been merged so far; the fence sees the change."""
    stored(hot, bars(date(2024, 1, 2)))
    before = hot.fence(JANUARY)

    stored(hot, with_ingest_id(bars(date(2024, 1, 2), close=101, revision=2), "x2"))

    assert hot.read(JANUARY)["close"].to_pylist() == [Decimal(101)]
    assert hot.rows(JANUARY) == 1
    assert hot.fence(JANUARY) != before


def test_fence_when_parts_are_merged_then_it_is_the_same(hot: HotStore) -> None:
    """Background merges are no change of content."""
    stored(hot, bars(date(2024, 1, 2)))
    stored(hot, with_ingest_id(bars(date(2024, 1, 3)), "x2"))
    before = hot.fence(JANUARY)

    hot.query_arrow("SELECT 1")
    hot._connection.command("OPTIMIZE TABLE candles FINAL")

    assert hot.fence(JANUARY) == before


def test_scan_when_columns_are_named_then_only_they_come(hot: HotStore) -> None:
    """A scan pushes columns and condition down and keeps the venue's scale."""
    stored(hot, bars(date(2024, 1, 2), date(2024, 1, 3)))

    batches = list(
        hot.scan(
            CANDLES,
            "KRX",
            columns=["symbol", "close"],
            where="trade_date = %(day)s",
            parameters={"day": "2024-01-03"},
        )
    )

    assert pa.Table.from_batches(batches).to_pylist() == [
        {"symbol": "005930", "close": Decimal(100)}
    ]


def test_load_when_not_published_then_nothing_is_visible(hot: HotStore) -> None:
    """Rows on their way are not rows; abandoned, they are gone."""
    load = hot.loads.open(record("a1"), CANDLES)
    load.append(bars(date(2024, 1, 2)))

    assert hot.rows(JANUARY) == 0

    load.abandon()

    assert [entry.state for entry in hot.loads.records()] == [LoadState.ABANDONED]
    assert staging_tables(hot) == []


def test_publish_when_server_lost_rows_then_it_is_refused(hot: HotStore) -> None:
    """What the server holds is compared with what was sent before anything is visible."""
    load = hot.loads.open(record("a2"), CANDLES)
    load.append(bars(date(2024, 1, 2), date(2024, 1, 3)))
    hot._connection.command("ALTER TABLE candles_load_a2 DELETE WHERE volume = 0"
                            " SETTINGS mutations_sync = 2")  # fmt: skip

    with pytest.raises(HotStoreError, match="holds 1 rows, sent were 2"):
        load.publish("{}")

    assert hot.rows(JANUARY) == 0
    assert staging_tables(hot) == []


def test_recover_when_attach_was_cut_short_then_the_rest_is_attached(hot: HotStore) -> None:
    """A server that died inside the publishing statement left some partitions: all come."""
    rows = with_ingest_id(bars(date(2024, 1, 2), date(2024, 2, 1)), "a3")
    load = hot.loads.open(record("a3"), CANDLES)
    load.append(rows)
    hot.loads._write(record_in(LoadState.PUBLISHING, "a3"))
    partition_id = hot.query_arrow("SELECT min(_partition_id) AS id FROM candles_load_a3")["id"][
        0
    ].as_py()
    hot._connection.command(
        f"ALTER TABLE candles ATTACH PARTITION ID '{partition_id}' FROM candles_load_a3"
    )
    assert hot.rows(JANUARY) + hot.rows(FEBRUARY) == 1

    found = hot.loads.recover("here")

    assert [entry.ingest_id for entry in found] == ["a3"]
    assert hot.rows(JANUARY) + hot.rows(FEBRUARY) == 2
    assert hot.query_arrow("SELECT count() AS n FROM candles")["n"].to_pylist() == [2]
    assert hot.loads.recover("here") == []
    assert staging_tables(hot) == []


def test_recover_when_load_belongs_to_another_then_it_is_left_alone(hot: HotStore) -> None:
    """Another home on the same server may be loading right now."""
    load = hot.loads.open(record("a4", owner="there"), CANDLES)
    load.append(with_ingest_id(bars(date(2024, 1, 2)), "a4"))

    assert hot.loads.recover("here") == []

    load.publish("{}")
    assert hot.rows(JANUARY) == 1


def record_in(state: LoadState, ingest_id: str) -> LoadRecord:
    """Return a load in a later state."""
    begun = record(ingest_id)
    return LoadRecord(
        **{name: getattr(begun, name) for name in begun.__slots__} | {"state": state}
    )


def staging_tables(hot: HotStore) -> list[str]:
    """Return the staging tables that exist."""
    found = hot.query_arrow(
        "SELECT name FROM system.tables WHERE database = currentDatabase()"
        " AND name LIKE 'candles_load_%'"
    )
    return [str(name) for name in found["name"].to_pylist()]


def test_query_when_it_is_wrong_then_error_is_one_line_with_the_server(hot: HotStore) -> None:
    """What the server says arrives as one line that names it."""
    with pytest.raises(HotStoreError, match=rf"hot store {hot.server}: .*nonsense") as caught:
        hot.query_arrow("SELECT nonsense")

    assert "\n" not in str(caught.value)


def test_query_when_nobody_listens_then_error_names_the_server() -> None:
    """A server that is not there is a storage error, not a stack trace."""
    with pytest.raises(HotStoreError, match=r"hot store 127\.0\.0\.1:9") as caught:
        HotStore("http://127.0.0.1:9").query_arrow("SELECT 1")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dsn", ["", "tcp://127.0.0.1:9000", "127.0.0.1:8123", "clickhouse"])
def test_store_when_dsn_is_wrong_then_accepted_form_is_named(dsn: str) -> None:
    """A wrong DSN is bad input and says what is right."""
    with pytest.raises(InputError, match="accepted is http://user:password@host:8123/database"):
        HotStore(dsn)


def test_store_when_dsn_is_wrong_then_its_password_is_not_shown() -> None:
    """Messages end up in logs."""
    with pytest.raises(InputError) as caught:
        HotStore("tcp://me:canary@host:9000/x")

    assert "canary" not in str(caught.value)


def test_partition_when_key_is_minute_day_then_day_is_one_partition(hot: HotStore) -> None:
    """Finer bars are partitioned by day."""
    rows = bars(date(2024, 1, 2), date(2024, 1, 3))
    at = rows.schema.get_field_index("interval")
    stored(hot, rows.set_column(at, rows.schema.field(at), pa.repeat("1m", 2)))

    assert [found.partition for found in hot.partitions()] == [
        Partition("candles", "KRX", "1m", day, day) for day in (date(2024, 1, 2), date(2024, 1, 3))
    ]
