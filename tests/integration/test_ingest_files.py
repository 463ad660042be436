"""Whole loads over a real engine: counts, quarantine, idempotence, corrections."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import clickhouse_connect
import msgspec
import polars as pl
import pytest

from jts_pipelines.ingest.generated import write_generated
from jts_pipelines.ingest.load import IngestOptions, IngestReport, ingest_file
from jts_pipelines.ingest.report import decode_report
from storage.errors import InputError, StorageError
from storage.hot.store import HotStore
from storage.lake.lake import Lake
from storage.manifest.chain import Manifests
from storage.moves.mover import Mover
from storage.schema.partitions import partition_of
from storage.schema.tiers import default_settings

pytestmark = pytest.mark.integration

DAILY = IngestOptions(venue="KRX", interval="1d")
RECEIVED_AT_NS = int(datetime(2025, 7, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
DAY_MS = 86_400_000
JAN_2_MS = 1_704_121_200_000  # 2024-01-02 00:00 in Seoul


@pytest.fixture
def hot(clickhouse_url: str) -> Iterator[HotStore]:
    """A hot store in a database of its own."""
    database = f"t_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE {database}")
        store = HotStore(f"{clickhouse_url}/{database}")
        yield store
        store.close()
        admin.command(f"DROP DATABASE {database}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The data root of an instance."""
    return tmp_path / "home"


def ingest(path: Path, hot: HotStore, home: Path, **changes: Any) -> IngestReport:
    """Load a file as daily bars of KRX, some options changed."""
    options = replace(DAILY, **changes)
    return ingest_file(path, options, hot=hot, home=home, received_at_ns=RECEIVED_AT_NS)


def panel(*changes: dict[str, Any]) -> pl.DataFrame:
    """Return one symbol's bars of January 2024, a session each, some values changed."""
    days = (0, 1, 2, 3, 6, 7, 8, 9, 10)
    rows = [
        {
            "timestamp": JAN_2_MS + day * DAY_MS,
            "symbol": "005930",
            "broker": "krx",
            "interval": "1d",
            "open": 100.0,
            "high": 120.0,
            "low": 90.0,
            "close": 110.0,
            "volume": 5.0,
        }
        | change
        for day, change in zip(days, changes, strict=False)
    ]
    return pl.DataFrame(rows).with_columns(
        pl.from_epoch("timestamp", "ms").dt.replace_time_zone("UTC")
    )


def written(frame: pl.DataFrame, path: Path) -> Path:
    """Write a frame as the format that the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


def closes(hot: HotStore) -> list[tuple[str, int]]:
    """Return date and close of every valid row."""
    rows = hot.query_arrow("SELECT toString(trade_date) AS day, toInt64(close) AS close"
                           " FROM candles FINAL ORDER BY day")  # fmt: skip
    return [(row["day"], row["close"]) for row in rows.to_pylist()]


def test_ingest_when_data_are_generated_then_every_row_is_accounted_for(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """Both generated files load whole, halts as halts, in the partitions of their days."""
    files = write_generated(tmp_path, symbols=8)

    daily = ingest(files.daily, hot, home)
    minute = ingest(files.minute, hot, home, interval="1m")

    frame = pl.read_parquet(files.daily)
    assert (daily.rows, daily.quarantined, daily.duplicates) == (frame.height, 0, 0)
    assert daily.statuses["halted"] == frame.filter(pl.col("open") == 0).height > 0
    assert (daily.symbols, len(daily.partitions)) == (8, 19)
    assert (minute.rows, minute.accepted, len(minute.partitions)) == (10_287, 10_287, 27)
    counted = hot.query_arrow("SELECT count() AS n FROM candles FINAL")["n"][0].as_py()
    assert counted == daily.rows + minute.rows


def test_ingest_when_stored_then_columns_say_when_and_whence(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """Trade date by the calendar, known from the close on, received at the instance time."""
    report = ingest(written(panel({}), tmp_path / "f.parquet"), hot, home)

    row = hot.read(partition_of("candles", "KRX", "1d", date(2024, 1, 2))).to_pylist()[0]
    assert row["trade_date"] == date(2024, 1, 2)
    # The first session of a year opens at ten and closes at 15:30.
    assert row["available_at"] == datetime(2024, 1, 2, 6, 30, tzinfo=UTC)
    assert row["received_at"] == datetime(2025, 7, 1, tzinfo=UTC)
    assert (row["revision"], row["ingest_id"]) == (1, report.ingest_id)


def test_ingest_when_file_comes_again_then_the_first_report_is_shown(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """The same bytes with the same options load nothing, under any name."""
    frame = panel({}, {"close": 500.0})
    first = ingest(written(frame, tmp_path / "f.parquet"), hot, home)

    again = ingest(written(frame, tmp_path / "g.parquet"), hot, home)

    assert again == msgspec.structs.replace(first, already=True)
    assert len(closes(hot)) == 1


def test_ingest_when_rows_are_bad_then_quarantine_holds_them_as_they_were(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """Row number, reasons and every original value, beside the good rows."""
    bad = written(
        panel({}, {"close": 110.5}, {"high": 80.0, "volume": -1.0}, {"close": -3.0}),
        tmp_path / "f.parquet",
    )

    report = ingest(bad, hot, home)

    assert (report.rows, report.accepted, report.quarantined) == (4, 1, 3)
    assert report.reasons == {"negative_volume": 1, "nonpositive_price": 1, "off_scale": 1}
    kept = pl.read_parquet(report.quarantine_file)
    assert kept.select("row", "reason", "reasons").rows() == [
        (2, "off_scale", "off_scale"),
        (3, "negative_volume", "negative_volume,ohlc_order"),
        (4, "nonpositive_price", "nonpositive_price"),
    ]
    assert msgspec.json.decode(kept["original"][0])["close"] == "110.5"
    assert kept["file"].to_list() == [str(bad)] * 3
    assert Path(report.quarantine_file) == home / "quarantine/candles" / (
        f"{report.ingest_id}.parquet"
    )


def test_ingest_when_file_repeats_rows_then_duplicates_are_counted(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """Equal rows once; rows of one key that differ: the first, in doubt."""
    day = panel({})
    path = written(pl.concat([day, day, panel({"close": 111.0})]), tmp_path / "f.parquet")

    report = ingest(path, hot, home)

    assert (report.accepted, report.duplicates, report.quarantined) == (1, 1, 1)
    assert (report.reasons, report.doubts) == ({"duplicate_conflict": 1}, {"disputed": 1})


def test_ingest_when_file_overlaps_the_store_then_only_news_is_stored(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """Known rows are duplicates, other values for a known key are refused."""
    ingest(written(panel({}, {}), tmp_path / "one.parquet"), hot, home)

    report = ingest(written(panel({}, {"close": 111.0}, {}), tmp_path / "two.parquet"), hot, home)

    assert (report.accepted, report.duplicates, report.quarantined) == (1, 1, 1)
    assert report.reasons == {"conflicts_with_stored": 1}
    assert closes(hot) == [("2024-01-02", 110), ("2024-01-03", 110), ("2024-01-04", 110)]


def test_ingest_when_load_is_a_correction_then_the_new_value_is_served(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """A reason turns a conflict into the next revision; the old one is not edited."""
    ingest(written(panel({}, {}), tmp_path / "one.parquet"), hot, home)

    report = ingest(
        written(panel({}, {"close": 111.0}), tmp_path / "two.parquet"),
        hot,
        home,
        correct="vendor fixed the close",
    )

    assert (report.accepted, report.corrected, report.duplicates) == (1, 1, 1)
    kept = {record.ingest_id: record.report for record in hot.loads.records()}
    assert decode_report(kept[report.ingest_id]).correction == "vendor fixed the close"
    assert closes(hot) == [("2024-01-02", 110), ("2024-01-03", 111)]


class Tiers:
    """Hot and warm of one home, on a day when January 2024 has long been in warm."""

    def __init__(self, hot: HotStore, home: Path) -> None:
        hot.ensure_schema()
        manifests = Manifests(home / "manifests")
        self.lake = Lake(hot, manifests, default_settings(), home)
        self.mover = Mover(
            hot,
            manifests,
            default_settings(),
            home,
            now=lambda: datetime(2024, 3, 1, tzinfo=UTC),
            today=lambda _: date(2024, 3, 1),
        )

    def archive(self) -> None:
        """Make every move that is due."""
        list(self.mover.archive())

    def closes(self) -> list[tuple[date, int, str]]:
        """Return date, close and serving tier of every row."""
        frame = self.lake.read(columns=["trade_date", "close"], with_tier=True)
        rows = frame.sort("trade_date").with_columns(pl.col("close").cast(pl.Int64))
        return rows.select("trade_date", "close", "tier").rows()


def test_ingest_when_rows_have_left_hot_then_they_still_count_as_stored(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """Evicted rows are duplicates or conflicts like any others, and are never stored twice."""
    tiers = Tiers(hot, home)
    ingest(written(panel({}, {}), tmp_path / "one.parquet"), hot, home)
    tiers.archive()
    assert hot.partitions() == []

    report = ingest_file(
        written(panel({}, {"close": 111.0}, {}), tmp_path / "two.parquet"),
        DAILY,
        hot=hot,
        home=home,
        received_at_ns=RECEIVED_AT_NS,
        stored=tiers.lake,
    )

    assert (report.accepted, report.duplicates) == (1, 1)
    assert report.reasons == {"conflicts_with_stored": 1}
    assert tiers.closes() == [
        (date(2024, 1, 2), 110, "warm"),
        (date(2024, 1, 3), 110, "warm"),
        (date(2024, 1, 4), 110, "hot"),
    ]


def test_ingest_when_corrected_rows_have_left_hot_then_the_correction_is_served(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """A correction is served from hot until the next archival takes it into the files."""
    tiers = Tiers(hot, home)
    ingest(written(panel({}, {}), tmp_path / "one.parquet"), hot, home)
    tiers.archive()

    ingest_file(
        written(panel({}, {"close": 111.0}), tmp_path / "two.parquet"),
        replace(DAILY, correct="vendor fixed the close"),
        hot=hot,
        home=home,
        received_at_ns=RECEIVED_AT_NS,
        stored=tiers.lake,
    )

    assert tiers.closes() == [(date(2024, 1, 2), 110, "warm"), (date(2024, 1, 3), 111, "hot")]
    tiers.archive()
    assert tiers.closes() == [(date(2024, 1, 2), 110, "warm"), (date(2024, 1, 3), 111, "warm")]


def test_ingest_when_csv_is_korean_then_it_needs_only_a_symbol(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """A pykrx export: Korean names, dates, thousands separators."""
    path = tmp_path / "005930.csv"
    path.write_text(
        "날짜,시가,고가,저가,종가,거래량\n"
        '2024-01-02,"78,200","79,800","78,200","79,600","17,142,847"\n'
        "2024-01-03,78500,78800,77000,77000,21753644\n"
        "2024-01-04,0,0,0,77000,0\n",
        encoding="utf-8",
    )

    report = ingest(path, hot, home, symbol="005930", broker="pykrx")

    assert (report.accepted, report.statuses) == (3, {"traded": 2, "halted": 1})
    assert closes(hot) == [("2024-01-02", 79_600), ("2024-01-03", 77_000), ("2024-01-04", 77_000)]


def test_ingest_when_csv_value_is_no_number_then_the_row_is_refused(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """A wrong type concerns its row, not the file."""
    path = tmp_path / "f.csv"
    path.write_text(
        "timestamp,symbol,open,high,low,close,volume\n"
        "2024-01-02,005930,100,120,90,110,5\n"
        "2024-01-03,005930,100,120,90,n/a,5\n"
        "soon,005930,100,120,90,110,5\n"
        "2024-01-05,5930,100,120,90,110,5\n"
        "2024-01-06,005930,100,120,90,110,5\n"
    )

    report = ingest(path, hot, home)

    assert report.reasons == {"wrong_type": 2, "bad_symbol": 1, "off_session": 1}
    assert report.accepted == 1


def test_ingest_when_scales_are_mixed_then_the_minority_is_refused(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """Some rows of a symbol x100: they, and only they, go to quarantine."""
    hundredfold = {"open": 10_000.0, "high": 12_000.0, "low": 9_000.0, "close": 11_000.0}
    path = written(panel({}, {}, {}, hundredfold, {}, {}, {}), tmp_path / "f.parquet")

    report = ingest(path, hot, home)

    assert report.reasons == {"mixed_scale": 1}
    assert pl.read_parquet(report.quarantine_file)["row"].to_list() == [4]


@pytest.mark.parametrize("batch_rows", [1, 3, 1_000])
def test_ingest_when_batches_differ_then_the_result_is_the_same(
    hot: HotStore, home: Path, tmp_path: Path, batch_rows: int
) -> None:
    """The size of a batch decides memory, never the outcome."""
    path = written(panel({}, {"close": 110.5}, {}, {}, {}), tmp_path / "f.parquet")

    report = ingest_file(
        path, DAILY, hot=hot, home=home, received_at_ns=RECEIVED_AT_NS, batch_rows=batch_rows
    )

    assert (report.accepted, report.reasons) == (4, {"off_scale": 1})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"venue": "NYSE"}, "unknown venue 'NYSE'; known: KRX, NXT, US, UPBIT, BINANCE"),
        ({"interval": "2d"}, "unknown interval '2d'; known: 1m"),
        ({"dataset": "ticks"}, "unknown dataset 'ticks'; known: candles"),
        ({"interval": "1m"}, "row 1 has interval '1d', but it is loaded as 1m"),
        ({"mapping": {"close": "x"}}, "mapping close=x: no such column; found: timestamp"),
        ({"correct": " "}, "a correction needs its reason"),
        ({"timezone": "Seoul/Asia"}, "unknown time zone 'Seoul/Asia'"),
        ({"broker": "../x"}, "broker '../x': accepted are up to 32 letters"),
    ],
)
def test_ingest_when_an_option_is_wrong_then_one_line_says_so(
    hot: HotStore, home: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Wrong options are refused, and nothing is left of the load."""
    path = written(panel({}), tmp_path / "f.parquet")

    with pytest.raises(InputError, match=message) as caught:
        ingest(path, hot, home, **changes)

    assert "\n" not in str(caught.value)
    hot.ensure_schema()
    assert closes(hot) == []


@pytest.mark.parametrize("name", ["close", "symbol", "timestamp"])
def test_ingest_when_a_needed_column_holds_lists_then_one_line_says_so(
    hot: HotStore, home: Path, tmp_path: Path, name: str
) -> None:
    """A file of another shape is refused as a whole."""
    path = written(
        panel({}).with_columns(pl.concat_list(name).alias(name)), tmp_path / "f.parquet"
    )

    with pytest.raises(InputError, match=f"column '{name}' for {name} holds List"):
        ingest(path, hot, home)


def test_ingest_when_a_refused_row_holds_lists_or_bytes_then_quarantine_keeps_them(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """Columns that nobody asked for may be anything."""
    frame = panel({"close": -1.0}).with_columns(
        tags=pl.lit(["a", "b"]), raw=pl.lit(b"\xff\x00"), pair=pl.struct("open", "high")
    )
    report = ingest(written(frame, tmp_path / "f.parquet"), hot, home)
    kept = pl.read_parquet(report.quarantine_file)["original"].str.json_decode(
        pl.Struct({"tags": pl.List(pl.String), "raw": pl.String})
    )

    assert kept.to_list() == [{"tags": ["a", "b"], "raw": "ff00"}]


def test_ingest_when_times_are_naive_then_nothing_is_loaded(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """Minute bars without a zone are refused; with one they are loaded."""
    frame = panel({}).with_columns(
        interval=pl.lit("1m"),
        timestamp=pl.Series([datetime(2024, 1, 2, 10, 5)]),  # noqa: DTZ001 - naive on purpose
    )
    path = written(frame, tmp_path / "f.parquet")

    with pytest.raises(InputError, match="have no zone"):
        ingest(path, hot, home, interval="1m")

    assert ingest(path, hot, home, interval="1m", timezone="Asia/Seoul").accepted == 1


def test_ingest_when_all_times_are_seconds_then_the_file_is_refused(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """Seconds in a millisecond column: one line, nothing loaded."""
    frame = panel({}, {}).with_columns(
        timestamp=pl.from_epoch(pl.col("timestamp").dt.epoch("s"), "ms").dt.replace_time_zone(
            "UTC"
        )
    )

    with pytest.raises(InputError, match="seconds stored as milliseconds"):
        ingest(written(frame, tmp_path / "f.parquet"), hot, home)


def test_ingest_when_some_times_are_seconds_then_those_rows_are_refused(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """A unit that changes within a file concerns its rows."""
    path = written(panel({}, {}, {"timestamp": JAN_2_MS // 1_000}), tmp_path / "f.parquet")

    assert ingest(path, hot, home).reasons == {"timestamp_unit": 1}


def test_ingest_when_session_date_differs_then_the_row_is_refused(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """The file's own date has to agree with the calendar's."""
    frame = panel({}, {}).with_columns(session_date=pl.lit(date(2024, 1, 2)))

    report = ingest(written(frame, tmp_path / "f.parquet"), hot, home)

    assert (report.accepted, report.reasons) == (1, {"trade_date_differs": 1})


def test_ingest_when_session_is_still_open_then_its_bar_is_refused(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """A bar is final at the close: one loaded at noon is not one yet, the next day it is."""
    path = written(panel({}, {}), tmp_path / "f.parquet")
    noon = int(datetime(2024, 1, 3, 3, tzinfo=UTC).timestamp()) * 1_000_000_000

    early = ingest_file(path, DAILY, hot=hot, home=home, received_at_ns=noon)

    assert (early.accepted, early.reasons) == (1, {"not_closed": 1})

    later = ingest(path, hot, home)

    assert (later.accepted, later.duplicates, later.already) == (1, 1, False)


def test_ingest_when_every_row_is_bad_then_the_report_says_so(
    hot: HotStore, home: Path, tmp_path: Path
) -> None:
    """A file without one good row is loaded as nothing, not as an error."""
    report = ingest(written(panel({"close": -1.0}), tmp_path / "f.parquet"), hot, home)

    assert (report.accepted, report.quarantined, report.partitions) == (0, 1, [])


def test_ingest_when_store_is_not_there_then_error_names_it(home: Path, tmp_path: Path) -> None:
    """No server: one line, exit class of storage."""
    path = written(panel({}), tmp_path / "f.parquet")

    with pytest.raises(StorageError, match=r"hot store 127\.0\.0\.1:9"):
        ingest(path, HotStore("http://127.0.0.1:9"), home)
