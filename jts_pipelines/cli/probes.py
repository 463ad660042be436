"""Ask a part whether it answers: each probe returns None, or the reason why not.

A probe waits at most `PROBE_SECONDS` and never raises for what a dead or starting server does.
"""

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jts_pipelines.cli.part import AliveReason, LastingReason
from jts_trading.ports.clock import SystemClock
from jts_trading.telemetry.health import read_health
from storage.embedded.dsn import libpq_url

PROBE_SECONDS = 2.0
HEARTBEAT_SECONDS = 5.0
_NS_PER_S = 1_000_000_000

_LOCATIONS = """{ workspaceOrError { __typename ... on Workspace { locationEntries {
  name loadStatus locationOrLoadError { __typename ... on PythonError {
    message cause { message } } } } } } }"""
_DAEMONS = """{ instance { daemonHealth { allDaemonStatuses {
  daemonType required healthy lastHeartbeatTime } } } }"""

# A proxy of the environment is for the world outside, not for our own loopback addresses.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def clickhouse(dsn: str) -> str | None:
    """Probe a ClickHouse HTTP interface."""
    parts = urlsplit(dsn)
    address = f"{parts.scheme}://{parts.hostname}:{parts.port or 8123}/ping"
    answer = _get(address)
    return None if answer == b"Ok.\n" else _refusal(answer)


def postgres(dsn: str) -> str | None:
    """Probe a PostgreSQL server with one query."""
    import psycopg2

    try:
        connection = psycopg2.connect(libpq_url(dsn), connect_timeout=int(PROBE_SECONDS))
    except psycopg2.Error as error:
        return _first_line(error)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error as error:
        return _first_line(error)
    finally:
        connection.close()
    return None


def redis(dsn: str) -> str | None:
    """Probe a Redis server with PING."""
    from redis import Redis, RedisError

    client: Redis = Redis.from_url(
        dsn, socket_connect_timeout=PROBE_SECONDS, socket_timeout=PROBE_SECONDS
    )
    try:
        client.ping()
    except RedisError as error:
        return _first_line(error)
    finally:
        client.close()
    return None


def listens(port: int) -> str | None:
    """Probe that something accepts connections on a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PROBE_SECONDS).close()
    except OSError as error:
        return f"port {port}: {error.strerror or error}"
    return None


def answers(url: str) -> str | None:
    """Probe that a URL answers a GET with 200."""
    answer = _get(url)
    return None if isinstance(answer, bytes) else answer


def dagster_loaded(url: str, location: str) -> str | None:
    """Probe that Dagster's web server answers and has loaded a code location.

    Returns:
        A `LastingReason` when the definitions raise: they will again until somebody edits them.
    """
    answer = _get(f"{url}/server_info")
    if not isinstance(answer, bytes):
        return answer
    document = _ask(url, _LOCATIONS)
    if isinstance(document, str):
        return document
    entries = document.get("workspaceOrError", {}).get("locationEntries", [])
    entry = next((entry for entry in entries if entry["name"] == location), None)
    if entry is None or entry["loadStatus"] != "LOADED":
        return f"code location {location} is loading"
    found = entry["locationOrLoadError"] or {}
    if found.get("__typename") != "RepositoryLocation":
        # Dagster's own message only says where; what the definitions raised is its cause.
        message = (found.get("cause") or found).get("message") or "no reason given"
        return LastingReason(f"code location {location} failed to load: {_shorten(message)}")
    return None


def dagster_daemons(url: str, age_s: float) -> str | None:
    """Probe, through the web server, that every required Dagster daemon has a fresh heartbeat.

    Args:
        url: Of the web server.
        age_s: Seconds since the daemon's process started: an older heartbeat is of an earlier one.
    """
    document = _ask(url, _DAEMONS)
    if isinstance(document, str):
        return f"unknown: {document}"
    since_s = SystemClock().now_ns() / _NS_PER_S - age_s
    silent = [
        status["daemonType"]
        for status in document["instance"]["daemonHealth"]["allDaemonStatuses"]
        if status["required"]
        and not (status["healthy"] and (status["lastHeartbeatTime"] or 0.0) >= since_s)
    ]
    return f"no heartbeat of {', '.join(silent)}" if silent else None


def role(run_directory: Path, name: str, age_s: float) -> str | None:
    """Probe a daemon role by its heartbeat.

    Args:
        run_directory: `<home>/run`.
        name: Of the role.
        age_s: Seconds since its process started: an older heartbeat is of an earlier one.

    Returns:
        An `AliveReason` when the heart beats and the role says why it does not do its work.
    """
    health = read_health(run_directory, name)
    now_ns = SystemClock().now_ns()
    if health is None or health.real_ns < now_ns - age_s * _NS_PER_S:
        return "no heartbeat yet"
    silent_s = (now_ns - health.real_ns) / _NS_PER_S
    if silent_s > HEARTBEAT_SECONDS:
        return f"no heartbeat for {silent_s:.0f} s"
    if health.is_ready:
        return None
    return AliveReason(_shorten("; ".join(health.reasons)))


def _ask(url: str, query: str) -> dict[str, Any] | str:
    body = json.dumps({"query": query}).encode()
    answer = _get(f"{url}/graphql", body)
    if not isinstance(answer, bytes):
        return answer
    document = json.loads(answer)
    if document.get("data") is None:
        return _shorten(str(document.get("errors", "no answer")))
    found: dict[str, Any] = document["data"]
    return found


def _get(url: str, body: bytes | None = None) -> bytes | str:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - our own http addresses
    try:
        with _OPENER.open(request, timeout=PROBE_SECONDS) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code} from {url}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return _shorten(str(reason))


def _refusal(answer: bytes | str) -> str:
    return answer if isinstance(answer, str) else f"unexpected answer {answer[:40]!r}"


def _first_line(error: Exception) -> str:
    return _shorten(str(error).strip().partition("\n")[0] or type(error).__name__)


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else f"{line[:157]}..."
