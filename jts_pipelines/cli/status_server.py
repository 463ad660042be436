"""`python -m jts_pipelines.cli.status_server`: health of the instance over HTTP, read-only.

It stands on the gateway's port until the gateway exists. `/healthz` says that the supervisor
lives, `/readyz` that every part does its work, else why not, and whether the daemon may trade;
`/metrics` is in Prometheus' text form. It reads the supervisor's record and the heartbeats of the
roles for each request and keeps nothing.
"""

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import click
import msgspec

from jts_pipelines.cli.record import Health, InstanceRecord, read_record
from jts_pipelines.cli.roles import (
    KillStatus,
    RoleStatus,
    Trading,
    metric_lines,
    read_kill_switch,
    read_roles,
    trading_of,
)
from jts_pipelines.cli.status import measured
from jts_trading.config.instance import InstanceSettings
from jts_trading.config.settings import load_settings
from jts_trading.telemetry.start import start_logs

_JSON = "application/json"
_TEXT = "text/plain; version=0.0.4; charset=utf-8"

Answer = tuple[HTTPStatus, str, bytes]


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `/readyz`.

    Attributes:
        is_ready: True when every part is healthy.
        reasons: Part name to why it is not.
        trading: Whether the daemon may trade now: a closed session or a latched kill switch is a
            reason not to trade, and only the latter makes a part unready.
    """

    is_ready: bool
    reasons: dict[str, str]
    trading: Trading


def answer(
    path: str,
    record: InstanceRecord | None,
    roles: tuple[RoleStatus, ...] = (),
    kill: KillStatus | None = None,
) -> Answer:
    """Return status, content type and body of one request.

    Args:
        path: Without its query.
        record: What the supervisor wrote last, if it lives.
        roles: Of the daemon, those that have a heartbeat.
        kill: The latched kill switch, or None.
    """
    match path:
        case "/healthz" if record is not None:
            return HTTPStatus.OK, _JSON, b'{"is_alive":true}'
        case "/healthz":
            return HTTPStatus.SERVICE_UNAVAILABLE, _JSON, b'{"is_alive":false}'
        case "/readyz":
            return _readiness(record, trading_of(roles, kill))
        case "/metrics":
            return HTTPStatus.OK, _TEXT, _metrics(record, roles, kill).encode()
        case _:
            known = b'{"error":"not found; known: /healthz, /readyz, /metrics"}'
            return HTTPStatus.NOT_FOUND, _JSON, known


def _readiness(record: InstanceRecord | None, trading: Trading) -> Answer:
    if record is None:
        reasons = {"supervisor": "does not run"}
    else:
        ill = (part for part in record.parts if part.state is not Health.HEALTHY)
        reasons = {part.name: f"{part.state}: {part.reason}" for part in ill}
    readiness = Readiness(is_ready=not reasons, reasons=reasons, trading=trading)
    document = msgspec.json.encode(readiness)
    code = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return code, _JSON, document


def _metrics(
    record: InstanceRecord | None, roles: tuple[RoleStatus, ...], kill: KillStatus | None
) -> str:
    lines = ["# TYPE jts_up gauge", f"jts_up {int(record is not None)}"]
    uses = measured(record) if record is not None else ()
    lines.append("# TYPE jts_part_state gauge")
    for use in uses:
        for state in Health:
            labels = f'part="{use.part.name}",state="{state}"'
            lines.append(f"jts_part_state{{{labels}}} {int(use.part.state is state)}")
    for name, kind, values in (
        ("jts_part_restarts_total", "counter", [use.part.restarts for use in uses]),
        ("jts_part_resident_bytes", "gauge", [use.rss_bytes for use in uses]),
        ("jts_part_proportional_bytes", "gauge", [use.pss_bytes for use in uses]),
    ):
        lines.append(f"# TYPE {name} {kind}")
        pairs = zip(uses, values, strict=True)
        lines += [f'{name}{{part="{use.part.name}"}} {value}' for use, value in pairs]
    lines += ["# TYPE jts_kill_switch_level gauge", f"jts_kill_switch_level {_level(kill)}"]
    lines += metric_lines(roles)
    return "\n".join(lines) + "\n"


def _level(kill: KillStatus | None) -> int:
    return 0 if kill is None else kill.level


class StatusServer(ThreadingHTTPServer):
    """Serves the health of one home on a loopback port."""

    daemon_threads = True

    def __init__(self, port: int, instance: InstanceSettings) -> None:
        self.instance = instance
        super().__init__(("127.0.0.1", port), _Request)


class _Request(BaseHTTPRequestHandler):
    server: StatusServer
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        instance = self.server.instance
        record = read_record(instance)
        alive = record if record is not None and record.is_alive else None
        roles, kill = read_roles(instance), read_kill_switch(instance)
        code, content_type, body = answer(self.path.partition("?")[0], alive, roles, kill)
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Stay silent: a line for each scrape helps nobody."""


@click.command()
@click.option("--port", required=True, type=click.IntRange(0, 65_535), help="HTTP port.")
def main(port: int) -> None:
    """Serve /healthz, /readyz and /metrics; SIGTERM stops it."""
    start_logs()
    with StatusServer(port, load_settings().instance) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
