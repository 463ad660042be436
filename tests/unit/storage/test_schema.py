"""One declaration per dataset; every store's form is derived from it."""

from datetime import date

import pyarrow as pa
import pytest

from storage.errors import InputError
from storage.schema.arrow import file_schema, hot_schema, parquet_options
from storage.schema.clickhouse import create_distributed, create_table
from storage.schema.datasets import CANDLES
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
