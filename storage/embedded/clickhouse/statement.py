"""Where the SQL of a request ends and its data begin.

The engine itself judges what a statement does; this room only finds what the HTTP interface has to
know before: the `FORMAT` at the end of a query, and the place where the data of an `INSERT` begin.
It reads bytes, because the data behind an INSERT are not text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

# One token per match: what cannot contain a keyword is swallowed whole.
_TOKENS = re.compile(
    rb"""
      (?P<space>\s+)
    | (?P<comment>--[^\n]*|\#[!\ ][^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<string>'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*")
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<open>[(\[{])
    | (?P<close>[)\]}])
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_LOCAL_FILES = frozenset({(b"INTO", b"OUTFILE"), (b"FROM", b"INFILE")})
# A query that reads or lists its rows: what follows is SQL to its end.
_ROWS_FOLLOW = frozenset({b"VALUES", b"SELECT", b"WITH", b"INFILE", b"WATCH"})


@dataclass(frozen=True, slots=True)
class InsertHead:
    """The SQL part of an INSERT with data.

    Attributes:
        sql: The statement up to its table and columns.
        settings: Its SETTINGS clause, or nothing.
        format: The input format of the data.
        data_offset: Where the data begin, in bytes from the start of the text.
    """

    sql: str
    settings: str
    format: str
    data_offset: int


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """The FORMAT clause of a query.

    Attributes:
        name: The format.
        begin: Offset of the word FORMAT.
        end: Offset behind the name.
    """

    name: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class _Word:
    upper: bytes
    begin: int
    end: int
    depth: int


def _words(text: bytes) -> Iterator[_Word]:
    """Yield words outside strings and comments with their depth of brackets."""
    depth = 0
    for match in _TOKENS.finditer(text):
        kind = match.lastgroup
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        elif kind == "word":
            yield _Word(match.group().upper(), match.start(), match.end(), depth)


def insert_head(text: bytes) -> InsertHead | None:
    """Split an INSERT whose data follow its FORMAT clause.

    Args:
        text: The whole text, or a beginning of it that is long enough for the statement.

    Returns:
        None if the text is no INSERT, or one whose rows are SQL themselves (VALUES, SELECT, ...).
    """
    words = (word for word in _words(text) if word.depth == 0)
    first = next(words, None)
    if first is None or first.upper != b"INSERT":
        return None
    settings = -1
    for word in words:
        if word.upper in _ROWS_FOLLOW:
            return None
        if word.upper == b"SETTINGS" and settings < 0:
            settings = word.begin
        if word.upper == b"FORMAT":
            return _head_before(text, word, next(words, None), settings)
    return None


def _head_before(text: bytes, word: _Word, name: _Word | None, settings: int) -> InsertHead | None:
    if name is None or name.upper == b"VALUES":
        return None
    middle = settings if settings >= 0 else word.begin
    return InsertHead(
        sql=text[:middle].decode("utf-8", errors="replace"),
        settings=text[middle : word.begin].decode("utf-8", errors="replace"),
        format=text[name.begin : name.end].decode("ascii"),
        data_offset=_skip_to_data(text, name.end),
    )


def _skip_to_data(text: bytes, offset: int) -> int:
    """One run of blanks and at most one line end separate a format from its data."""
    while offset < len(text) and text[offset] in b" \t\r":
        offset += 1
    if offset < len(text) and text[offset] == ord(";"):
        offset += 1
    if offset < len(text) and text[offset] == ord("\n"):
        offset += 1
    return offset


def output_format(text: bytes) -> OutputFormat | None:
    """Find the FORMAT clause that ends a query, behind which only SETTINGS may stand."""
    found: OutputFormat | None = None
    words = list(_words(text))
    for word, name in pairwise(words):
        if word.depth == 0 and word.upper == b"FORMAT" and name.depth == 0:
            between = text[word.end : name.begin]
            if not between.strip():
                found = OutputFormat(
                    text[name.begin : name.end].decode("ascii"), word.begin, name.end
                )
    if found is None:
        return None
    tail = [w.upper for w in words if w.begin >= found.end and w.depth == 0]
    if tail and tail[0] != b"SETTINGS":
        return None
    return found


def names_local_files(text: bytes) -> bool:
    """Tell whether a statement has INTO OUTFILE or FROM INFILE.

    With a real server these are files of the client; here they would be files of the server.
    """
    words = [word.upper for word in _words(text) if word.depth == 0]
    return any(pair in _LOCAL_FILES for pair in pairwise(words))
