"""One declaration per dataset; every store's form is derived from it."""

from datetime import date

import pyarrow as pa
import pytest

from storage.errors import InputError
from storage.schema.arrow import file_schema, hot_schema, parquet_options
from storage.schema.clickhouse import create_distributed, create_table
from storage.schema.datasets import CANDLES, DATASETS, DECISIONS, FILLS, TICKS, Dataset
from storage.schema.partitions import Partition, parse_partition, partition_of
from storage.schema.tiers import Tier, default_settings

# The column list of the user's document E, section "ClickHouse Schema".
SEED_COLUMNS = ["timestamp", "symbol", "broker", "open", "high", "low", "close", "volume", "bid"]
SEED_COLUMNS.append("ask")


def test_candles_keep_every_column_of_the_users_table() -> None:
    """The table differs from the user's document only by recorded extensions."""
    names = [column.name for column in CANDLES.columns]

    assert [name for name in names if name in SEED_COLUMNS] == SEED_COLUMNS
    assert {
        "venue", "interval", "trade_date", "received_at", "available_at",
        "revision", "status", "quality", "ingest_id",
    } == set(names) - set(SEED_COLUMNS)  # fmt: skip


def test_file_schema_gives_each_venue_its_scale() -> None:
    """Won have no decimals, crypto eight, and shares are whole."""
    assert pa.decimal128(18, 0) == file_schema(CANDLES, "KRX").field("close").type
    assert pa.decimal128(18, 8) == file_schema(CANDLES, "UPBIT").field("close").type
    assert pa.decimal128(38, 8) == file_schema(CANDLES, "UPBIT").field("volume").type
    assert pa.decimal128(18, 8) == hot_schema(CANDLES).field("close").type


def test_file_schema_of_an_unknown_venue_names_the_known() -> None:
    """A typo never becomes a new venue."""
    with pytest.raises(InputError, match="unknown venue 'KRXX'; known: KRX"):
        file_schema(CANDLES, "KRXX")


def test_parquet_options_delta_encode_only_integers() -> None:
    """Wide decimals have no delta encoding in Parquet."""
    krx = parquet_options(CANDLES, "KRX", level=3)
    upbit = parquet_options(CANDLES, "UPBIT", level=3)

    assert krx["column_encoding"]["volume"] == "DELTA_BINARY_PACKED"
    assert "volume" not in upbit["column_encoding"]
    assert krx["write_page_checksum"] is True


def test_create_table_has_a_single_node_and_a_cluster_form() -> None:
    """A cluster is a change of DSN: the statement exists in both forms."""
    assert "ENGINE = ReplacingMergeTree(revision)" in create_table(CANDLES)
    clustered = create_table(CANDLES, cluster="jts")

    assert "ON CLUSTER 'jts'" in clustered
    assert "ReplicatedReplacingMergeTree" in clustered
    assert "Distributed('jts'" in create_distributed(CANDLES, cluster="jts")


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_every_dataset_can_be_partitioned_keyed_and_told_apart(dataset: Dataset) -> None:
    """What partitions, keys, sort orders and lake bounds name are columns, never null ones."""
    names = [column.name for column in dataset.columns]
    needed = {"venue", "symbol", "interval", "timestamp", "trade_date", "available_at"}

    assert len(names) == len(set(names))
    assert needed | {dataset.revision, "ingest_id"} <= set(names)
    assert {"venue", "symbol", "interval", "timestamp"} <= set(dataset.key)
    assert set(dataset.file_sort) == set(dataset.key) - {"venue", "interval"}
    assert not any(dataset.column(name).nullable for name in dataset.key)
    assert all(column.meaning for column in dataset.columns)


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_no_column_needs_quotes_in_sql(dataset: Dataset) -> None:
    """A user writes `SELECT conditions FROM decisions`, in both engines."""
    words = {"values", "end", "order", "from", "to", "group", "table", "check", "default", "all"}

    assert not words & {column.name for column in dataset.columns}


def test_money_has_the_scale_of_prices_and_room_for_billions() -> None:
    """Gross and equity in won exceed ten billion, where eighteen digits end in the hot tier."""
    assert pa.decimal128(38, 0) == file_schema(FILLS, "KRX").field("gross").type
    assert pa.decimal128(38, 8) == file_schema(DECISIONS, "BINANCE").field("equity").type
    assert "`gross` Decimal(38, 8)" in create_table(FILLS)


def test_texts_and_flags_have_types_of_their_own() -> None:
    """Ids and JSON are no dictionaries; a flag is no number."""
    ticks, decisions = create_table(TICKS), create_table(DECISIONS)
    options = parquet_options(DECISIONS, "KRX", level=3)

    assert "`halted` Bool" in ticks
    assert "`conditions` String CODEC" in decisions
    assert pa.bool_() == file_schema(TICKS, "KRX").field("halted").type
    assert "decision_id" not in options["use_dictionary"]
    assert not {"decision_id", "conditions"} & options["column_encoding"].keys()


def test_appended_rows_survive_a_power_cut_in_both_forms() -> None:
    """Their batches are acknowledged to the bus; loads keep their files."""
    assert "fsync_after_insert = 1" in create_table(TICKS)
    assert "fsync_after_insert = 1" in create_table(TICKS, cluster="jts")
    assert "fsync_after_insert" not in create_table(CANDLES)


@pytest.mark.parametrize(
    ("interval", "day", "key", "last"),
    [
        ("1d", date(2024, 2, 10), "2024-02", date(2024, 2, 29)),
        ("1m", date(2024, 2, 10), "2024-02-10", date(2024, 2, 10)),
    ],
)
def test_partition_of_a_day(interval: str, day: date, key: str, last: date) -> None:
    """Daily bars lie in months, finer bars in days, and the key leads back."""
    partition = partition_of("candles", "KRX", interval, day)

    assert key == partition.key
    assert last == partition.to_day
    assert partition == parse_partition("candles", "KRX", interval, key)


@pytest.mark.parametrize("key", ["2024-02-10", "2024-13", "24-01", "", "2024-01/../x"])
def test_parse_partition_refuses_what_is_not_a_month(key: str) -> None:
    """A key is checked before it becomes part of a path."""
    with pytest.raises(InputError):
        parse_partition("candles", "KRX", "1d", key)


@pytest.mark.parametrize(
    ("age", "tier"),
    [(-3, Tier.HOT), (7, Tier.HOT), (8, Tier.WARM), (90, Tier.WARM), (91, Tier.COLD)],
)
def test_target_tier_changes_after_day_7_and_day_90(age: int, tier: Tier) -> None:
    """B24: the boundary days themselves stay in the hotter tier."""
    assert tier == default_settings().target(age)


def test_age_counts_from_the_last_day() -> None:
    """A month is as old as its last day, and open until that day has passed."""
    june = Partition("candles", "KRX", "1d", date(2025, 6, 1), date(2025, 6, 30))

    assert june.age_days(date(2025, 6, 17)) == -13
    assert june.is_open(date(2025, 6, 30))
    assert not june.is_open(date(2025, 7, 1))
