"""As much of HTTP/1.1 over TCP as REST of a venue needs: requests with a length, kept alive."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

HEAD_BYTES_MAX = 16_384
BODY_BYTES_MAX = 1_048_576
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    418: "Banned",
    429: "Too Many Requests",
    500: "Error",
}


class Request(NamedTuple):
    """One request; names of headers are lower case, of parameters as `serve_connection` says."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """One answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


# None is no answer at all: the connection hangs until the client gives up.
Answerer = Callable[[Request], Reply | None]


async def serve_connection(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Answerer,
    *,
    name_of: Callable[[str], str] = str,
) -> None:
    """Answer the requests of one connection until it ends.

    Args:
        reader: What the client says.
        writer: What it is told.
        answer: Answers one request.
        name_of: Spells names of query parameters as `answer` expects them.
    """
    try:
        while (request := await _read(reader, name_of)) is not None:
            reply = answer(request)
            if reply is None:
                await reader.read()
                break
            writer.write(_encode(reply))
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        # Whoever speaks no HTTP, or goes away, is not answered.
        return
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader, name_of: Callable[[str], str]) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    # Some clients begin a path with two slashes, which would make it a host.
    target = urlsplit("/" + rest.rpartition(" ")[0].lstrip("/"))
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:] if line)
    }
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > BODY_BYTES_MAX:
        return None
    query = {
        name_of(name): value for name, value in parse_qsl(target.query, keep_blank_values=True)
    }
    return Request(method, target.path, query, headers, await reader.readexactly(int(length)))


def _encode(reply: Reply) -> bytes:
    head = [f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Unknown')}"]
    head.append("content-type: application/json; charset=utf-8")
    head.append(f"content-length: {len(reply.body)}")
    head += [f"{name}: {value}" for name, value in reply.headers.items()]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + reply.body
