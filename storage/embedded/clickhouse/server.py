"""ClickHouse's HTTP interface on a loopback port, one thread per connection.

Statements run inside the engine, which releases the interpreter, so `/ping` answers while a long
query runs. A stopped server first refuses new requests, then cancels what still runs.
"""

import base64
import binascii
import hmac
import ipaddress
import json
import socket
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from storage.embedded.clickhouse.answer import Answer, run
from storage.embedded.clickhouse.body import ACCEPTED_ENCODINGS, READ_BYTES, BodyError, receive
from storage.embedded.clickhouse.departures import Departures
from storage.embedded.clickhouse.engine import Engine, EngineError, engine_error, quote
from storage.embedded.clickhouse.request import read_request, url_parameters

CONNECTIONS_MAX = 256
IDLE_SECONDS = 600
BODY_BYTES_MAX = 16 << 30
# What ClickHouse answers for its own errors (its exception-to-status table); 500 for all others.
_STATUS = {
    194: 401, 192: 403, 193: 403, 497: 403, 516: 403, 164: 403,
    27: 400, 6: 400, 38: 400, 41: 400, 53: 400, 62: 400, 70: 400, 72: 400, 117: 400, 33: 400,
    36: 400, 43: 400, 69: 400, 130: 400,
    16: 404, 46: 404, 47: 404, 50: 404, 60: 404, 73: 404, 81: 404, 115: 404, 135: 404,
    48: 501, 57: 500, 202: 500, 159: 408, 209: 503,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask: user `default`, with this password unless it is empty."""

    password: str = ""

    def check(self, headers: Mapping[str, str], parameters: Mapping[str, str]) -> None:
        """Let a request pass or refuse it.

        Raises:
            EngineError: The user or the password is wrong.
        """
        user, password = _credentials(headers, parameters)
        if user not in {"", "default"} or not hmac.compare_digest(
            password.encode(), self.password.encode()
        ):
            # An empty password in front of none set is what clients send by default.
            raise engine_error(
                516,
                f"{user or 'default'}: Authentication failed: password is incorrect, or there is "
                "no user with such name",
                "AUTHENTICATION_FAILED",
            )


def _credentials(headers: Mapping[str, str], parameters: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "?", ""
        return user, password
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", ""), headers.get("x-clickhouse-key", "")
    return parameters.get("user", ""), parameters.get("password", "")


class ClickHouseServer(ThreadingHTTPServer):
    """The listening socket, its connections and the requests that run."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    engine: Engine

    def __init__(self, address: tuple[str, int], access: Access) -> None:
        """Take the port; connections are accepted after `attach`.

        Args:
            address: IP address and port; port 0 takes a free one.
            access: Who may ask.

        Raises:
            OSError: The port is taken.
        """
        self.access = access
        self.is_loopback = ipaddress.ip_address(address[0]).is_loopback
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.is_stopping = False
        self._slots = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._running: set[str] = set()
        self._idle = threading.Condition()
        self.departures = Departures(self._cancel_read)
        super().__init__(address, Exchange, bind_and_activate=False)
        try:
            self.server_bind()
        except OSError:
            self.server_close()
            raise

    def attach(self, engine: Engine) -> None:
        """Accept connections and answer them from this engine."""
        self.engine = engine
        self.server_activate()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own, or close it if there are too many."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer the requests of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error of ours on stderr; a connection that broke concerns its client only."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def enter(self, query_id: str) -> None:
        """Count a request as running."""
        with self._idle:
            self._running.add(query_id)

    def leave(self, query_id: str) -> None:
        """Count a request as done."""
        with self._idle:
            self._running.discard(query_id)
            self._idle.notify_all()

    def _cancel_read(self, mark: str) -> None:
        self.engine.cancel(f"Settings['log_comment'] = {quote(mark)} AND query_kind = 'Select'")

    def cancel_all(self, seconds: float) -> bool:
        """Cancel the running requests and wait for their end; False if some are left."""
        self.is_stopping = True
        with self._idle:
            marks = sorted(self._running)
        if marks:
            listed = ", ".join(quote(mark) for mark in marks)
            self.engine.cancel(f"Settings['log_comment'] IN ({listed})")
        with self._idle:
            return self._idle.wait_for(lambda: not self._running, seconds)


class Exchange(BaseHTTPRequestHandler):
    """One connection: requests come one after the other, each is answered completely."""

    server: ClickHouseServer
    protocol_version = "HTTP/1.1"
    server_version = "JTS-ClickHouse"
    sys_version = ""
    timeout = IDLE_SECONDS
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    _unread: bool = False

    def do_GET(self) -> None:
        """Answer a query that reads, or a probe."""
        path = urlsplit(self.path)
        if path.path in {"/ping", "/replicas_status"} or (path.path == "/" and not path.query):
            self._send_text(200, "Ok.\n")
            return
        self._answer(reads_only=True)

    def do_HEAD(self) -> None:
        """Answer a probe."""
        self._send_text(200, "Ok.\n")

    def do_POST(self) -> None:
        """Answer a query, a command or an insert."""
        self._answer(reads_only=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Stay silent: a failed statement is told to its client."""

    def _answer(self, *, reads_only: bool) -> None:
        parameters = url_parameters(self.path)
        query_id = parameters.get("query_id", "")
        if not query_id or not query_id.isascii() or not query_id.isprintable():
            # It goes into a header, which a line end would split.
            query_id = str(uuid.uuid4())
        mark = str(uuid.uuid4())
        self.server.enter(mark)
        try:
            with ExitStack() as stack:
                self._answer_once(parameters, query_id, mark, stack, reads_only=reads_only)
        except EngineError as error:
            self._send_error(error, query_id)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except BodyError as error:
            refusal = engine_error(36, str(error), "BAD_ARGUMENTS")
            self.close_connection = True
            self._send_error(refusal, query_id, status=error.status)
        finally:
            self.server.leave(mark)

    def _answer_once(
        self,
        parameters: dict[str, str],
        query_id: str,
        mark: str,
        stack: ExitStack,
        *,
        reads_only: bool,
    ) -> None:
        self._unread = True
        self._refuse_web_pages()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.access.check(headers, parameters)
        spool = receive(
            self._parts(),
            self.headers.get("Content-Encoding", ""),
            self.server.engine.spool,
            BODY_BYTES_MAX,
        )
        stack.callback(spool.close)
        self._unread = False
        request = read_request(parameters, headers, spool, mark)
        if parameters.get("cancel_http_readonly_queries_on_client_close") == "1":
            self.server.departures.watch(mark, self.connection)
            stack.callback(self.server.departures.forget, mark)
        answer = run(self.server.engine, request, stack, reads_only=reads_only)
        self._send_answer(answer, query_id)

    def _refuse_web_pages(self) -> None:
        """A page in a browser on this machine can reach loopback; it has no business here."""
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        is_foreign = self.server.is_loopback and host not in {"", "localhost", "127.0.0.1", "::1"}
        is_page = self.headers.get("Sec-Fetch-Site", "none") in {"cross-site", "same-site"}
        if "Origin" in self.headers or is_page or is_foreign:
            raise engine_error(497, f"Requests for {host} or of web pages", "ACCESS_DENIED")

    def _parts(self) -> Iterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            BodyError: The connection ended before the body did.
        """
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            yield from self._chunked_parts()
            return
        try:
            left = int(self.headers.get("Content-Length") or 0)
        except ValueError as error:
            raise BodyError(400, "Content-Length is no number") from error
        while left:
            yield (part := self._read(min(left, READ_BYTES)))
            left -= len(part)

    def _chunked_parts(self) -> Iterator[bytes]:
        while size := self._chunk_size():
            while size:
                yield (part := self._read(min(size, READ_BYTES)))
                size -= len(part)
            self.rfile.readline(8)
        while self.rfile.readline(8192).strip():
            pass  # trailers

    def _chunk_size(self) -> int:
        line = self.rfile.readline(64)
        try:
            return int(line.split(b";")[0], 16)
        except ValueError as error:
            raise BodyError(400, "the body ended before its last chunk") from error

    def _read(self, size: int) -> bytes:
        part = self.rfile.read(size)
        if len(part) < size:
            raise BodyError(400, "the body ended before its announced length")
        return part

    def _send_answer(self, answer: Answer, query_id: str) -> None:
        """Send an answer in chunks; an error in the middle ends it in ClickHouse's way."""
        tag = uuid.uuid4().hex[:16]
        # Two blocks are looked at: an answer that fits into one has a length, not chunks.
        first, second = next(answer.chunks, b""), next(answer.chunks, None)
        self.send_response(200)
        self._send_answer_headers(query_id, answer.summary)
        if answer.format is not None:
            self.send_header("X-ClickHouse-Format", answer.format)
            self.send_header("X-ClickHouse-Exception-Tag", tag)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        if second is None:
            self.send_header("Content-Length", str(len(first)))
            self.end_headers()
            self.wfile.write(first)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in chain((first, second), answer.chunks):
                self._write_chunk(chunk)
        except EngineError as error:
            self._write_chunk(_tagged(error.text, tag))
            # No last chunk: clients that do not know the tag see a broken body.
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def _write_chunk(self, chunk: bytes) -> None:
        if chunk:
            self.wfile.write(b"%x\r\n" % len(chunk))
            self.wfile.write(chunk)
            self.wfile.write(b"\r\n")

    def _send_answer_headers(self, query_id: str, summary: Mapping[str, str]) -> None:
        self.send_header("X-ClickHouse-Server-Display-Name", "embedded")
        self.send_header("X-ClickHouse-Query-Id", query_id)
        self.send_header("X-ClickHouse-Timezone", self.server.engine.timezone)
        self.send_header("X-ClickHouse-Summary", json.dumps(dict(summary)))
        self.send_header("Accept-Encoding", ACCEPTED_ENCODINGS)
        self.send_header("Keep-Alive", f"timeout={IDLE_SECONDS}")

    def _send_error(self, error: EngineError, query_id: str, status: int | None = None) -> None:
        text = f"{error.text} (version {self.server.engine.version} (embedded))\n"
        if self._unread:
            # What was not read would be taken for the next request.
            self.close_connection = True
        content = text.encode()
        with suppress(OSError):
            self.send_response(status or _STATUS.get(error.code, 500))
            self._send_answer_headers(query_id, {})
            self.send_header("X-ClickHouse-Exception-Code", str(error.code))
            self.send_header("Content-Type", "text/plain; charset=UTF-8")
            self.send_header("Content-Length", str(len(content)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

    def _send_text(self, status: int, text: str) -> None:
        content = text.encode()
        self.send_response(503 if self.server.is_stopping else status)
        self.send_header("Content-Type", "text/html; charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _tagged(text: str, tag: str) -> bytes:
    """Frame an error that occurs after the headers, as X-ClickHouse-Exception-Tag announces."""
    message = text.encode() + b"\n"
    mark = tag.encode()
    size = str(len(message)).encode()
    return b"\r\n__exception__\r\n%s\r\n%s%s %s\r\n__exception__\r\n" % (mark, message, size, mark)
