"""Readiness of the embedded servers: ask over the real protocol until one answers, or a deadline.

A probe asks again after a short pause, and gives up early when the process that it waits for has
ended, because nobody will ever answer then.
"""

import socket
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from storage.errors import StorageError

_PAUSE_SECONDS = 0.02
_ANSWER_SECONDS = 2.0


class NotReadyError(StorageError):
    """A server did not answer before the deadline, or ended while it was waited for."""


def wait_until(
    what: str,
    is_ready: Callable[[], bool],
    *,
    seconds: float,
    is_running: Callable[[], bool] = lambda: True,
) -> float:
    """Ask until the answer is yes.

    Args:
        what: Whom is asked, for the message.
        is_ready: Asks once; takes at most a few seconds.
        seconds: How long to go on.
        is_running: False once there is nobody left to answer.

    Returns:
        Seconds until the first yes.

    Raises:
        NotReadyError: The deadline passed or the process ended.
    """
    started = time.monotonic()
    pause = threading.Event()
    while True:
        was_running = is_running()
        if is_ready():
            return time.monotonic() - started
        if not was_running:
            raise NotReadyError(f"{what}: the process ended before it answered")
        if time.monotonic() - started > seconds:
            raise NotReadyError(f"{what}: no answer within {seconds:g} s")
        pause.wait(_PAUSE_SECONDS)


def answers_clickhouse(url: str, seconds: float = _ANSWER_SECONDS) -> bool:
    """Ask `/ping` of ClickHouse's HTTP interface at `http://host:port`."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 8123, timeout=seconds)
    try:
        connection.request("GET", "/ping")
        response = connection.getresponse()
        return response.status == 200 and response.read().startswith(b"Ok.")
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def answers_postgres(dsn: str, seconds: float = _ANSWER_SECONDS) -> bool:
    """Connect to PostgreSQL and run a statement; the DSN is in libpq's form or a URL."""
    import psycopg2

    from storage.embedded.dsn import libpq_url

    try:
        connection = psycopg2.connect(libpq_url(dsn), connect_timeout=max(2, int(seconds)))
    except psycopg2.OperationalError:
        return False
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))
    except psycopg2.Error:
        return False
    finally:
        connection.close()


def answers_redis(path: Path, seconds: float = _ANSWER_SECONDS) -> bool:
    """Send PING to the Redis behind a Unix socket; False also while it still loads its data."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
            connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
