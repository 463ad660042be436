"""What a request asks for, read from its URL, headers and body.

URL parameters are query settings unless they are named here; `param_x` binds `{x:Type}`.
"""

import email.parser
import email.policy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import parse_qsl, urlsplit

from storage.embedded.clickhouse.engine import engine_error
from storage.embedded.clickhouse.statement import InsertHead, insert_head

# Parameters of the interface itself, and settings that only steer a real server's HTTP answer.
_NOT_SETTINGS = frozenset(
    {
        "query", "database", "default_format", "query_id", "session_id", "session_timeout",
        "session_check", "close_session", "user", "password", "quota_key", "compress",
        "decompress",
        "wait_end_of_query", "buffer_size", "client_protocol_version", "role", "stacktrace",
        "send_progress_in_http_headers", "http_headers_progress_interval_ms",
        "enable_http_compression", "http_zlib_compression_level",
        "cancel_http_readonly_queries_on_client_close",
    }
)  # fmt: skip
# An INSERT statement is far shorter than this; the data behind it may have any size.
HEAD_BYTES_MAX = 1 << 20
TEXT_BYTES_MAX = 256 << 20
_FORMAT = re.compile(r"[A-Za-z0-9]+\Z")
_EXTERNAL = re.compile(r"(?P<table>\w+)_(?P<part>structure|types|format)\Z")


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """A table that comes with the request: its columns ("a UInt8, b String"), format and data."""

    name: str
    structure: str
    format: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """A statement and how to run it.

    Attributes:
        sql: The statement; without FORMAT clause and data if `insert` is set.
        insert: Where an INSERT with data keeps them; the data follow in `data`, which is rewound
            to their beginning.
    """

    sql: str
    insert: InsertHead | None
    data: IO[bytes] | None
    database: str
    output: str
    query_id: str
    settings: Mapping[str, str] = field(default_factory=dict)
    external: tuple[ExternalTable, ...] = ()


def url_parameters(target: str) -> dict[str, str]:
    """Return the parameters of a request target; the last of equal names counts."""
    query = urlsplit(target).query
    return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=10_000))


def read_request(
    parameters: dict[str, str], headers: Mapping[str, str], body: IO[bytes], query_id: str
) -> Request:
    """Read a request whose body has arrived.

    Args:
        parameters: Parameters of the URL.
        headers: Headers under their lower-case names.
        body: The body, expanded and rewound.
        query_id: The mark under which the request runs.

    Raises:
        EngineError: There is no statement, it is too long, or the format is no name.
    """
    external: tuple[ExternalTable, ...] = ()
    if headers.get("content-type", "").lower().startswith("multipart/form-data"):
        parameters, external = _read_form(parameters, headers["content-type"], body)
    sql, insert, data = _split(parameters.get("query", ""), body)
    tables = {table.name for table in external}
    output = (
        parameters.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated"
    )
    if not _FORMAT.match(output):
        raise engine_error(73, "Unknown default format", "UNKNOWN_FORMAT")
    return Request(
        sql=sql,
        insert=insert,
        data=data,
        database=parameters.get("database") or headers.get("x-clickhouse-database") or "",
        output=output,
        query_id=query_id,
        settings={
            name: value
            for name, value in parameters.items()
            if name not in _NOT_SETTINGS and not _belongs_to(name, tables)
        },
        external=external,
    )


def _belongs_to(name: str, tables: set[str]) -> bool:
    found = _EXTERNAL.match(name)
    return found is not None and found["table"] in tables


def _split(query: str, body: IO[bytes]) -> tuple[str, InsertHead | None, IO[bytes] | None]:
    """Separate SQL and data: the statement is the URL's query followed by the body."""
    text = query.encode()
    insert = insert_head(text) if text else None
    if insert is not None and insert.data_offset >= len(text):
        return insert.sql, insert, body
    prefix = text + b"\n" if text else b""
    head = prefix + body.read(HEAD_BYTES_MAX)
    insert = insert_head(head)
    if insert is not None:
        body.seek(insert.data_offset - len(prefix))
        return insert.sql, insert, body
    rest = body.read(TEXT_BYTES_MAX)
    if body.read(1):
        raise engine_error(
            62, f"A statement is larger than {TEXT_BYTES_MAX} bytes", "QUERY_IS_TOO_LARGE"
        )
    whole = head + rest
    if not whole.strip():
        raise engine_error(62, "Empty query", "SYNTAX_ERROR")
    try:
        return whole.decode(), None, None
    except UnicodeDecodeError as error:
        raise engine_error(62, f"The statement is not UTF-8: {error}", "SYNTAX_ERROR") from error


def _read_form(
    parameters: dict[str, str], content_type: str, body: IO[bytes]
) -> tuple[dict[str, str], tuple[ExternalTable, ...]]:
    """Read a multipart form: plain fields are parameters, files are external tables."""
    content = body.read(TEXT_BYTES_MAX)
    header = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(header + content)
    fields = dict(parameters)
    files: list[tuple[str, bytes]] = []
    for part in form.iter_parts():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(value, bytes):
            raise engine_error(36, "A field of the form has no name", "BAD_ARGUMENTS")
        if part.get_filename() is None:
            fields[name] = value.decode()
        else:
            files.append((name, value))
    body.seek(0)
    body.truncate()
    return fields, tuple(_external(name, value, fields) for name, value in files)


def _external(name: str, content: bytes, fields: Mapping[str, str]) -> ExternalTable:
    structure = fields.get(f"{name}_structure")
    if structure is None and (types := fields.get(f"{name}_types")):
        columns = enumerate(types.split(","), start=1)
        structure = ", ".join(f"_{number} {type_name}" for number, type_name in columns)
    if structure is None:
        raise engine_error(36, f"External table {name} has no {name}_structure", "BAD_ARGUMENTS")
    return ExternalTable(name, structure, fields.get(f"{name}_format", "TabSeparated"), content)
