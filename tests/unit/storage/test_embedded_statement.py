"""Where the SQL of a request ends and its data begin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.embedded.clickhouse.statement import insert_head, output_format


def test_insert_head_when_data_follow_the_format_then_both_parts_are_found() -> None:
    """The statement loses its FORMAT clause; the data begin behind one line end."""
    text = b"INSERT INTO t (a, b) FORMAT Native\n\x01\x02\n"

    head = insert_head(text)

    assert head is not None
    assert head.sql == "INSERT INTO t (a, b) "
    assert head.format == "Native"
    assert text[head.data_offset :] == b"\x01\x02\n"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SELECT 1 FORMAT Native",
        b"INSERT INTO t VALUES (1) -- FORMAT CSV",
        b"INSERT INTO t FORMAT Values (1)",
        b"INSERT INTO t SELECT * FROM u FORMAT Null",
        b"INSERT INTO t WITH 1 AS x SELECT x",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"INSERT INTO t",
        b"INSERT INTO t FORMAT",
        b"CREATE TABLE format (a String DEFAULT 'INSERT') ENGINE = Log",
    ],
)
def test_insert_head_when_no_data_follow_then_none(text: bytes) -> None:
    """Only an INSERT whose FORMAT is followed by data is split."""
    assert insert_head(text) is None


@pytest.mark.parametrize(
    "prefix",
    [
        b"/* FORMAT CSV */ INSERT INTO t ",
        b"-- FORMAT CSV\ninsert into `FORMAT` ",
        b'INSERT INTO t ("FORMAT", `a\'b`) ',
        b"INSERT INTO FUNCTION file('a FORMAT b', 'CSV') ",
        b"INSERT INTO t SETTINGS log_comment = 'it''s \\' FORMAT' ",
    ],
)
def test_insert_head_when_the_word_is_quoted_or_commented_then_it_is_passed_over(
    prefix: bytes,
) -> None:
    """FORMAT counts only as a word of the statement itself."""
    head = insert_head(prefix + b"FORMAT TSV\n1\t2\n")

    assert head is not None
    assert (head.sql + head.settings).encode() == prefix
    assert head.format == "TSV"


@given(
    data=st.binary(max_size=200).filter(lambda d: d[:1] not in {b";", b"\n", b" ", b"\t", b"\r"})
)
def test_insert_head_when_any_data_follow_then_they_are_kept(data: bytes) -> None:
    """No byte behind the FORMAT clause is lost or taken for SQL."""
    text = b"INSERT INTO t (a) FORMAT RowBinary\n" + data

    head = insert_head(text)

    assert head is not None
    assert text[head.data_offset :] == data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"SELECT 1 FORMAT JSON", "JSON"),
        (b"select 1\n format Arrow ;", "Arrow"),
        (b"SELECT 1 FORMAT Native SETTINGS max_threads = 1", "Native"),
        (b"SELECT format FROM t", None),
        (b"SELECT 'FORMAT CSV'", None),
        (b"SELECT 1 -- FORMAT CSV", None),
        (b"SELECT * FROM (SELECT 1 FORMAT CSV)", None),
        (b"SELECT 1", None),
    ],
)
def test_output_format_when_it_ends_the_query_then_it_is_named(
    text: bytes, expected: str | None
) -> None:
    """A FORMAT clause counts at the end of a query, where only SETTINGS may follow."""
    found = output_format(text)

    assert (found.name if found else None) == expected


@given(st.binary(max_size=300))
def test_statement_when_it_is_any_bytes_then_nothing_is_raised(text: bytes) -> None:
    """What is no SQL is the engine's to refuse, not ours to stumble over."""
    head = insert_head(text)
    clause = output_format(text)

    assert head is None or 0 < head.data_offset <= len(text)
    assert clause is None or 0 <= clause.begin < clause.end <= len(text)
