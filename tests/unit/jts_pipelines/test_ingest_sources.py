"""Files that cannot be read are refused before anything is loaded, in one line each."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jts_pipelines.ingest.sources import ROW, open_source
from storage.errors import InputError


def refusal(path: Path) -> str:
    """Return the one line with which a file is refused."""
    with pytest.raises(InputError) as caught:
        list(open_source(path).batches(10))
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def test_open_when_file_is_missing_then_it_says_so(tmp_path: Path) -> None:
    """A path with a typing error."""
    assert refusal(tmp_path / "none.parquet").endswith("no such file")


def test_open_when_path_is_a_directory_then_its_files_are_asked_for(tmp_path: Path) -> None:
    """It is there, so "no such file" would mislead."""
    assert "a directory; name its files" in refusal(tmp_path)


def test_open_when_name_is_too_long_then_one_line_says_so(tmp_path: Path) -> None:
    """No system call may surprise."""
    with pytest.raises(InputError, match="File name too long"):
        open_source(tmp_path / f"{'x' * 300}.csv")


def test_open_when_format_is_unknown_then_accepted_ones_are_named(tmp_path: Path) -> None:
    """Only what can be read is read."""
    path = tmp_path / "bars.xlsx"
    path.write_bytes(b"PK")

    assert refusal(path).endswith("accepted: .parquet, .pq, .csv")


@pytest.mark.parametrize("name", ["bars.parquet", "bars.csv"])
def test_open_when_file_is_empty_then_it_says_so(tmp_path: Path, name: str) -> None:
    """Zero bytes."""
    path = tmp_path / name
    path.touch()

    assert refusal(path).endswith("the file is empty (0 bytes)")


@pytest.mark.parametrize("name", ["bars.parquet", "bars.csv"])
def test_open_when_file_has_no_rows_then_it_says_so(tmp_path: Path, name: str) -> None:
    """A header alone is no data."""
    path = tmp_path / name
    empty = pl.DataFrame(schema={"close": pl.Float64})
    if path.suffix == ".csv":
        empty.write_csv(path)
    else:
        empty.write_parquet(path)

    assert refusal(path).endswith("columns but no rows")


def test_open_when_parquet_is_truncated_then_it_says_so(tmp_path: Path) -> None:
    """The footer of a Parquet file is at its end."""
    path = tmp_path / "bars.parquet"
    pl.DataFrame({"close": range(1_000)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])

    assert "not a readable Parquet file" in refusal(path)


def test_open_when_text_is_named_parquet_then_it_says_so(tmp_path: Path) -> None:
    """The name does not make the format."""
    path = tmp_path / "bars.parquet"
    path.write_text("close\n1\n")

    assert "not a readable Parquet file" in refusal(path)


def test_batches_when_a_bit_is_flipped_then_page_checksum_finds_it(tmp_path: Path) -> None:
    """Where the writer left page checksums, a damaged page is no silent number."""
    path = tmp_path / "bars.parquet"
    table = pa.table({"close": [float(at) for at in range(5_000)]})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[2_000] ^= 1
    path.write_bytes(content)

    assert "damaged Parquet file" in refusal(path)


def test_open_when_csv_is_ragged_then_it_says_so(tmp_path: Path) -> None:
    """A row with more fields than the header is refused with its file."""
    path = tmp_path / "bars.csv"
    path.write_text("a,b\n1,2\n1,2,3\n")

    assert "not a readable CSV file" in refusal(path)


def test_open_when_csv_is_cp949_then_it_is_read(tmp_path: Path) -> None:
    """Korean spreadsheets and the exchange's portal export CP949."""
    path = tmp_path / "bars.csv"
    path.write_bytes("날짜,종목명\n2024-01-02,삼성전자\n".encode("cp949"))

    source = open_source(path)

    assert source.columns == ("날짜", "종목명")
    assert pl.concat(source.batches(10))["종목명"].to_list() == ["삼성전자"]


@pytest.mark.parametrize("later", [b"", b"2024-01-02,1\n" * 200_000])
def test_open_when_csv_is_of_no_known_encoding_then_it_says_so(
    tmp_path: Path, later: bytes
) -> None:
    """Neither UTF-8 nor CP949, wherever it shows."""
    path = tmp_path / "bars.csv"
    path.write_bytes("날짜,종가\n".encode("cp949") + later + b"\xff\xff,1\n")

    assert "not UTF-8 at byte 0 and not CP949 at byte" in refusal(path)


@pytest.mark.parametrize("name", ["bars.parquet", "bars.csv"])
def test_batches_when_read_then_rows_are_numbered_in_order(tmp_path: Path, name: str) -> None:
    """Row numbers go on from batch to batch, so a refused row can be found again."""
    path = tmp_path / name
    frame = pl.DataFrame({"close": [f"{at}" for at in range(25)]})
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)

    read = pl.concat(open_source(path).batches(10))

    assert read[ROW].to_list() == list(range(1, 26))
    assert read["close"].to_list() == frame["close"].to_list()


def test_digest_when_one_byte_differs_then_it_differs(tmp_path: Path) -> None:
    """The same file is known again by its bytes, not by its name."""
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("a\n1\n")
    two.write_text("a\n2\n")

    assert open_source(one).digest != open_source(two).digest
