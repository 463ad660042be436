"""The shared files load with the counts that their own description gives."""

import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import polars as pl
import pytest

from jts_pipelines.ingest.load import IngestOptions, ingest_file
from jts_pipelines.ingest.report import IngestReport
from storage.hot.store import HotStore

pytestmark = pytest.mark.integration

RECEIVED_AT_NS = 1_780_000_000_000_000_000


@pytest.fixture
def load(clickhouse_url: str, tmp_path: Path, test_data: Path) -> Iterator[Any]:
    """Load one file of the shared set into a database of its own."""
    database = f"t_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE {database}")
        hot = HotStore(f"{clickhouse_url}/{database}")

        def loaded(name: str, venue: str, interval: str) -> IngestReport:
            return ingest_file(
                test_data / name,
                IngestOptions(venue=venue, interval=interval),
                hot=hot,
                home=tmp_path,
                received_at_ns=RECEIVED_AT_NS,
            )

        loaded.hot = hot  # type: ignore[attr-defined] - tests look at what was stored
        yield loaded
        hot.close()
        admin.command(f"DROP DATABASE {database}")


def test_krx_panel_when_loaded_then_halts_are_kept_and_only_bad_order_is_refused(
    load: Any,
) -> None:
    """489,945 rows: 14,135 halted sessions stay; 38 rows whose high is below the body go."""
    report = load("krx/krx_1d_2023-12_2025-06.parquet", "KRX", "1d")

    assert (report.rows, report.accepted, report.duplicates) == (489_945, 489_907, 0)
    assert report.reasons == {"ohlc_order": 38}
    assert report.statuses == {"traded": 475_245, "halted": 14_135, "synthetic": 527}
    assert (report.symbols, len(report.partitions)) == (1_367, 19)


def test_creon_minutes_when_loaded_then_every_bar_is_there(load: Any) -> None:
    """10,000 bars of 27 sessions, one partition each."""
    report = load("krx/krx_1m_creon_005930_2018-01_2018-02.parquet", "KRX", "1m")

    assert (report.rows, report.accepted, len(report.partitions)) == (10_000, 10_000, 27)


def test_rltrader_when_loaded_then_blank_rows_go_and_saturdays_stay(load: Any) -> None:
    """176 rows without a date are refused; Saturday sessions before 1999 are sessions."""
    report = load("krx/krx_1d_rltrader_v1.parquet", "KRX", "1d")

    assert (report.rows, report.accepted, report.duplicates) == (49_739, 49_563, 0)
    assert report.reasons == {"null_value": 176}
    assert report.doubts == {"price_jump": 3}


def test_fdr_when_loaded_then_five_rows_are_out_of_order(load: Any) -> None:
    """A small set with halts as zeros and five highs below the body."""
    report = load("krx/krx_1d_fdr_2018_2026-05.parquet", "KRX", "1d")

    assert (report.rows, report.reasons) == (14_301, {"ohlc_order": 5})
    assert report.statuses["halted"] == 15


def test_yahoo_when_loaded_then_no_dirty_row_passes(load: Any) -> None:
    """The deliberately dirty set: fractional won, zero closes, mixed scales, false sessions."""
    report = load("krx/kospi_1d_yahoo_2000_2017.parquet", "KRX", "1d")

    assert (report.rows, report.accepted + report.quarantined) == (781_739, 781_739)
    kept = pl.read_parquet(report.quarantine_file)
    assert kept.filter(pl.col("reasons").str.contains("nonpositive_price")).height == 41_691
    # 151,904 closes are fractional; with open, high and low that makes 203,885 rows.
    assert kept.filter(pl.col("reasons").str.contains("off_scale")).height == 203_885
    assert set(report.reasons) == {
        "mixed_scale", "nonpositive_price", "off_scale", "off_session", "ohlc_order",
    }  # fmt: skip


def test_upbit_when_loaded_then_eight_decimals_are_exact(load: Any, test_data: Path) -> None:
    """Every price and volume is the decimal that the source wrote, to the last place."""
    name = "crypto/upbit_1m_2025-09.parquet"
    report = load(name, "UPBIT", "1m")

    assert (report.rows, report.accepted, report.quarantined) == (142_797, 142_797, 0)
    sums = load.hot.query_arrow(
        "SELECT toString(sum(close)) AS close, toString(sum(volume)) AS volume FROM candles FINAL"
    ).to_pylist()[0]
    source = pl.read_parquet(test_data / name)
    for column in ("close", "volume"):
        assert Decimal(sums[column]) == sum(Decimal(repr(value)) for value in source[column])


def test_us_minutes_when_loaded_then_extended_hours_belong_to_their_day(load: Any) -> None:
    """Seven days of New York, the evening of a day not in the next one."""
    report = load("us/us_1m_lean.parquet", "US", "1m")

    assert (report.rows, report.accepted, len(report.partitions)) == (11_810, 11_810, 7)
