"""Health over HTTP while the gateway does not exist."""

import json
import os
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from jts_pipelines.cli import procfs
from jts_pipelines.cli.record import Health, InstanceRecord, PartRecord, write_record
from jts_pipelines.cli.status_server import StatusServer, answer
from jts_trading.config.instance import InstanceSettings


def _record(*parts: PartRecord) -> InstanceRecord:
    return InstanceRecord(
        pid=os.getpid(),
        started_ticks=procfs.started_ticks(os.getpid()),
        home="/h",
        is_lasting=True,
        parts=parts,
    )


_WELL = PartRecord(name="redis", state=Health.HEALTHY, restarts=2)
_ILL = PartRecord(name="clickhouse", state=Health.CRITICAL, reason="ended by signal 9")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, InstanceSettings]]:
    """A running status server of a home with nothing in it: its URL and the instance."""
    instance = InstanceSettings(home=str(tmp_path))
    instance.run_directory.mkdir()
    with StatusServer(0, instance) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", instance
        listening.shutdown()
        thread.join()


def _get(url: str) -> tuple[int, bytes]:
    response = httpx.get(url, timeout=5, trust_env=False)
    return response.status_code, response.content


def test_readyz_when_all_parts_are_healthy_then_it_is_ready() -> None:
    """200 and no reasons."""
    code, _, body = answer("/readyz", _record(_WELL))
    assert (code, json.loads(body)) == (HTTPStatus.OK, {"is_ready": True, "reasons": {}})


def test_readyz_when_a_part_is_ill_then_it_names_part_state_and_reason() -> None:
    """503, and only what is not healthy."""
    code, _, body = answer("/readyz", _record(_WELL, _ILL))
    assert code is HTTPStatus.SERVICE_UNAVAILABLE
    assert json.loads(body)["reasons"] == {"clickhouse": "critical: ended by signal 9"}


def test_metrics_when_scraped_then_each_part_is_in_exactly_one_of_four_states() -> None:
    """The four states are exposed as one gauge per state; restarts are a counter."""
    _, content_type, body = answer("/metrics", _record(_WELL, _ILL))
    lines = body.decode().splitlines()
    assert content_type.startswith("text/plain; version=0.0.4")
    assert sum(line.startswith('jts_part_state{part="redis"') for line in lines) == 4
    assert 'jts_part_state{part="redis",state="healthy"} 1' in lines
    assert 'jts_part_state{part="clickhouse",state="critical"} 1' in lines
    assert sum(line.endswith(" 1") for line in lines if "jts_part_state{" in line) == 2
    assert 'jts_part_restarts_total{part="redis"} 2' in lines


def test_server_when_nothing_runs_then_it_is_not_alive(
    server: tuple[str, InstanceSettings],
) -> None:
    """Without a living supervisor `/healthz` and `/readyz` are 503 and `jts_up` is 0."""
    url, _ = server
    assert _get(f"{url}/healthz") == (503, b'{"is_alive":false}')
    assert _get(f"{url}/readyz")[0] == 503
    assert b"\njts_up 0\n" in _get(f"{url}/metrics")[1]


def test_server_when_the_record_changes_then_the_next_answer_follows(
    server: tuple[str, InstanceSettings],
) -> None:
    """Nothing is kept between two requests; a query string changes nothing."""
    url, instance = server
    write_record(instance, _record(_WELL))
    assert _get(f"{url}/healthz?from=probe") == (200, b'{"is_alive":true}')
    assert _get(f"{url}/readyz")[0] == 200
    write_record(instance, _record(_WELL, _ILL))
    assert _get(f"{url}/readyz")[0] == 503
    dead = InstanceRecord(pid=os.getpid(), started_ticks=1, home="/h", is_lasting=True, parts=())
    write_record(instance, dead)
    assert _get(f"{url}/healthz")[0] == 503


def test_server_when_the_path_is_unknown_then_it_says_what_there_is(
    server: tuple[str, InstanceSettings],
) -> None:
    """404 names the three paths."""
    code, body = _get(f"{server[0]}/")
    assert code == 404
    assert b"/healthz, /readyz, /metrics" in body
