"""Batches that the daemon appends: whole or not at all, once, and no obstacle to readers."""

import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import polars as pl
import pyarrow as pa
import pytest

from storage.errors import HotStoreError, InputError
from storage.hot.appends import BATCH_ROWS_MAX
from storage.hot.store import HotStore
from storage.lake.lake import Lake
from storage.manifest.chain import Manifests
from storage.manifest.summaries import summarise
from storage.schema.arrow import file_schema
from storage.schema.datasets import CANDLES, TICKS
from storage.schema.partitions import partition_of
from storage.schema.tiers import default_settings

pytestmark = pytest.mark.integration
DAY = date(2025, 6, 2)
OPEN = datetime(2025, 6, 2, tzinfo=UTC)
BATCH = 20_000


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


def ticks(first: int, count: int, *, day: date = DAY, step_us: int = 1) -> pa.Table:
    """Trades with numbers from `first` on."""
    numbers = range(first, first + count)
    constant: dict[str, Any] = {
        "venue": "KRX", "symbol": "005930", "broker": "kis", "interval": "tick",
        "price": Decimal(71_500), "quantity": Decimal(3), "aggressor": "buy",
        "cumulative": Decimal(3), "bid": None, "ask": None, "halted": False, "trade_date": day,
        "received_at": OPEN, "available_at": OPEN, "feed": "kis-1", "session": 1, "revision": 1,
        "ingest_id": "t",
    }  # fmt: skip
    schema = file_schema(TICKS, "KRX")
    columns = {
        **{name: pa.repeat(pa.scalar(value, schema.field(name).type), count)
           for name, value in constant.items()},
        "timestamp": pa.array([OPEN + timedelta(microseconds=n * step_us) for n in numbers]),
        "frame": pa.array(numbers),
        "tick": pa.array(numbers),
    }  # fmt: skip
    arrays = [columns[field.name].cast(field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def lake(hot: HotStore, home: Path) -> Lake:
    """A lake whose files are all still to come."""
    return Lake(hot, Manifests(home / "manifests"), default_settings(), home)


def test_append_when_largest_batch_then_it_is_one_part(hot: HotStore) -> None:
    """Only a part is atomic: a batch that became two could be seen by halves."""
    hot.appends.append(TICKS, ticks(0, BATCH_ROWS_MAX))

    parts = hot.query_arrow(
        "SELECT count() AS parts FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'ticks'"
        " AND min_block_number = max_block_number"
    )
    assert parts["parts"].to_pylist() == [1]
    assert hot.rows(partition_of("ticks", "KRX", "tick", DAY)) == BATCH_ROWS_MAX


def test_append_when_rows_are_of_two_days_then_the_server_refuses(hot: HotStore) -> None:
    """Two partitions would be two parts; nothing of it is stored."""
    both = pa.concat_tables([ticks(0, 3), ticks(3, 3, day=date(2025, 6, 3))])

    with pytest.raises(HotStoreError, match="single INSERT block"):
        hot.appends.append(TICKS, both)
    assert hot.partitions("ticks") == []


def test_append_when_rows_come_in_loads_or_are_too_many_then_it_refuses(hot: HotStore) -> None:
    """Candles are loaded and verified as a whole."""
    empty = file_schema(CANDLES, "KRX").empty_table()

    with pytest.raises(InputError, match="candles: rows come in loads only"):
        hot.appends.append(CANDLES, empty)
    with pytest.raises(InputError, match="accepted: 100000"):
        hot.appends.append(TICKS, ticks(0, BATCH_ROWS_MAX + 1))


def test_summary_when_times_are_nanoseconds_then_server_and_rows_agree(hot: HotStore) -> None:
    """A day of ticks can be verified on its way to the archive like a day of bars."""
    rows = ticks(0, 100, step_us=777)
    hot.appends.append(TICKS, rows)

    assert hot.summary(partition_of("ticks", "KRX", "tick", DAY)) == summarise(rows, TICKS)


def test_scan_when_bounds_are_instants_then_the_last_millisecond_is_whole(
    hot: HotStore, tmp_path: Path
) -> None:
    """Bounds have milliseconds, ticks finer times; the columns asked for are the ones fetched."""
    hot.appends.append(TICKS, ticks(0, 50, step_us=300))
    start, end = OPEN + timedelta(milliseconds=3), OPEN + timedelta(milliseconds=6)

    found = lake(hot, tmp_path).read("ticks", venue="KRX", start=start, end=end, columns=["tick"])

    assert sorted(found["tick"].to_list()) == list(range(10, 24))


def test_scan_when_rows_keep_coming_then_it_does_not_wait_for_a_pause(
    hot: HotStore, tmp_path: Path
) -> None:
    """A feed never pauses; each read sees whole batches."""
    hot.appends.append(TICKS, ticks(0, BATCH))
    is_done = threading.Event()

    def record() -> None:
        number = 1
        while not is_done.is_set():
            hot.appends.append(TICKS, ticks(number * BATCH, BATCH, step_us=1))
            number += 1

    writer = threading.Thread(target=record)
    writer.start()
    try:
        counts = [
            lake(hot, tmp_path).scan("ticks").select(pl.len()).collect().item() for _ in range(5)
        ]
    finally:
        is_done.set()
        writer.join()
    assert counts == sorted(counts)
    assert all(count % BATCH == 0 for count in counts)


def test_append_when_the_server_is_killed_then_no_batch_is_half_there(
    launch_server: Callable[..., Any], short_home: Path
) -> None:
    """SIGKILL in the middle of inserts: what was confirmed is there, and whole batches only."""
    options = ("--path", str(short_home / "hot"), "--port", "0")
    confirmed = 0
    for kill in range(3):
        server = launch_server("clickhouse", *options)
        store = HotStore(f"{server.address}/default")
        store.ensure_schema()
        held = store.rows(partition_of("ticks", "KRX", "tick", DAY))
        assert held % BATCH == 0
        assert held >= confirmed
        # What is not known to be there is sent again, whether it is or not.
        number = confirmed // BATCH
        killer = threading.Timer(0.3 + 0.17 * kill, server.popen.send_signal, [signal.SIGKILL])
        killer.start()
        with suppress(HotStoreError):
            while number < 10_000:
                store.appends.append(TICKS, ticks(number * BATCH, BATCH))
                number += 1
        killer.join()
        store.close()
        server.stop()
        confirmed = number * BATCH
    server = launch_server("clickhouse", *options)
    store = HotStore(f"{server.address}/default")
    store.appends.append(TICKS, ticks(confirmed, BATCH))
    found = store.query_arrow("SELECT count() AS rows, uniqExact(tick) AS ticks FROM ticks FINAL")
    store.close()

    assert confirmed > 0
    assert found.to_pylist() == [{"rows": confirmed + BATCH, "ticks": confirmed + BATCH}]
