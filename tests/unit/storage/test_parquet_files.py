"""A Parquet file is read back whole and trusted by its digest."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from storage.errors import InputError, VerificationError
from storage.manifest.durable import atomic_write, open_read, publish, safe_path, temporary_name
from storage.manifest.summaries import summarise
from storage.parquet.files import compare, file_digest, read_back, write_rows
from storage.schema.arrow import file_schema
from storage.schema.datasets import CANDLES

DAY = date(2024, 1, 2)


def bars(count: int, *, venue: str = "KRX") -> pa.Table:
    """Minute bars of two symbols, in file order."""
    first = datetime(2024, 1, 2, tzinfo=UTC)
    rows = [
        {
            "timestamp": first + timedelta(minutes=minute),
            "venue": venue,
            "symbol": symbol,
            "broker": "kis",
            "interval": "1m",
            "open": None if minute == 0 else 100,
            "high": None if minute == 0 else 103,
            "low": None if minute == 0 else 99,
            "close": 100 + minute % 3,
            "volume": minute,
            "bid": None,
            "ask": None,
            "trade_date": DAY,
            "received_at": first,
            "available_at": first,
            "revision": 1,
            "status": "halted" if minute == 0 else "traded",
            "quality": "ok",
            "ingest_id": "i1",
        }
        for symbol in ("000100", "000200")
        for minute in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=file_schema(CANDLES, venue))


def write(path: Path, rows: pa.Table, *, venue: str = "KRX") -> None:
    """Write with the settings of the warm tier."""
    write_rows(path, rows, CANDLES, venue, level=3, group_rows=64)


@pytest.mark.parametrize("venue", ["KRX", "US", "UPBIT"])
def test_file_when_read_back_holds_every_row_and_sum(tmp_path: Path, venue: str) -> None:
    """Rows, scale, sums and digest come back from the medium exactly."""
    rows = bars(100, venue=venue)
    path = tmp_path / "a.parquet"
    write(path, rows, venue=venue)
    reading = read_back(path, CANDLES, venue)

    assert reading.table.equals(rows)
    assert reading.summary == summarise(rows, CANDLES)
    assert reading.sha256 == file_digest(path)
    assert reading.bytes == path.stat().st_size


def test_summary_counts_nulls_statuses_and_exact_units() -> None:
    """Sums are whole units of the last decimal place, nulls are counted, not summed."""
    summary = summarise(bars(3), CANDLES)

    assert summary.rows == 6
    assert summary.sums["close"] == str(2 * (100 + 101 + 102))
    assert summary.sums["open"] == str(2 * (100 + 100))
    assert summary.nulls["open"] == 2
    assert summary.statuses == {"halted": 2, "traded": 4}
    assert summary.symbols == 2


def test_file_when_any_byte_is_flipped_is_refused(tmp_path: Path) -> None:
    """No single flipped byte of a file passes: checksum, format or digest tells."""
    path = tmp_path / "a.parquet"
    write(path, bars(50))
    entry = read_back(path, CANDLES, "KRX").entry("a.parquet")
    content = path.read_bytes()
    for position in range(0, len(content), 97):
        flipped = bytearray(content)
        flipped[position] ^= 0x10
        path.write_bytes(bytes(flipped))
        with pytest.raises(VerificationError):
            compare(read_back(path, CANDLES, "KRX"), entry, path)


@pytest.mark.parametrize("keep", [0, 3, 1000])
def test_file_when_truncated_is_refused(tmp_path: Path, keep: int) -> None:
    """A truncated or empty file is damaged, in one line."""
    path = tmp_path / "a.parquet"
    write(path, bars(50))
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(VerificationError, match=r"a\.parquet: damaged"):
        read_back(path, CANDLES, "KRX")


def test_file_when_of_another_venue_is_refused(tmp_path: Path) -> None:
    """A file at another scale has other columns."""
    path = tmp_path / "a.parquet"
    write(path, bars(3, venue="US"), venue="US")

    with pytest.raises(VerificationError, match="its columns are not those of candles KRX"):
        read_back(path, CANDLES, "KRX")


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 0, 1]])
def test_file_when_unsorted_or_doubled_is_refused(tmp_path: Path, order: list[int]) -> None:
    """Rows must strictly ascend by symbol, time and broker."""
    path = tmp_path / "a.parquet"
    write(path, bars(3).take(order))

    with pytest.raises(VerificationError, match="row 1 does not follow"):
        read_back(path, CANDLES, "KRX")


def test_file_when_missing_or_a_link_is_refused(tmp_path: Path) -> None:
    """A file that is not there, and a symbolic link in its place, are named."""
    path = tmp_path / "a.parquet"
    write(path, bars(3))
    link = tmp_path / "link.parquet"
    link.symlink_to(path)

    with pytest.raises(VerificationError, match="missing"):
        read_back(tmp_path / "none.parquet", CANDLES, "KRX")
    with pytest.raises(Exception, match=r"link\.parquet: cannot be opened as a plain file"):
        read_back(link, CANDLES, "KRX")


def test_atomic_write_when_the_name_is_taken_keeps_the_first(tmp_path: Path) -> None:
    """Without `replace` an existing file is never overwritten and no draft stays."""
    target = tmp_path / "1.json"
    atomic_write(target, b"first", replace=False)
    with pytest.raises(FileExistsError):
        atomic_write(target, b"second", replace=False)

    assert target.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [target]


def test_publish_when_the_draft_is_ready_replaces_in_one_step(tmp_path: Path) -> None:
    """The draft stands in the target's own directory and takes its name."""
    target = tmp_path / "a.parquet"
    draft = temporary_name(target)
    draft.write_bytes(b"content")
    publish(draft, target)

    assert draft.parent == target.parent
    with open_read(target) as file:
        assert file.read() == b"content"


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a//b",
        "",
        ".hidden",
        "a\0b",
        "x" * 300,
        "a/．．/b",
        "a b",
    ],
)
def test_path_when_a_part_is_not_plain_is_refused(tmp_path: Path, name: str) -> None:
    """No name leads outside the root or to a hidden file."""
    with pytest.raises(InputError, match="path part"):
        safe_path(tmp_path, name)


def test_path_when_a_folder_is_a_link_is_refused(tmp_path: Path) -> None:
    """A symbolic link inside a tier leads nowhere."""
    (tmp_path / "venue=KRX").symlink_to("/etc")

    with pytest.raises(VerificationError, match="symbolic link"):
        safe_path(tmp_path, "venue=KRX/passwd")
