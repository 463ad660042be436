"""Health over HTTP while the gateway does not exist."""

import json
import os
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import msgspec
import pytest

from jts_pipelines.cli.parts import ROLES
from jts_pipelines.cli.record import Health, InstanceRecord, PartRecord, write_record
from jts_pipelines.cli.roles import KillStatus, RoleStatus, read_kill_switch, read_roles
from jts_pipelines.cli.status_server import StatusServer, answer
from jts_trading.config import procfs
from jts_trading.config.instance import InstanceSettings
from jts_trading.domain.feed_messages import RoleHealth
from jts_trading.ports.clock import SystemClock
from jts_trading.telemetry.health import health_file


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


def _role(name: str, *reasons: str) -> RoleStatus:
    return RoleStatus(
        role=name, is_alive=True, is_ready=True, reasons=reasons, age_s=0.1, metrics={}
    )


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
    document = json.loads(body)
    assert (code, document["is_ready"], document["reasons"]) == (HTTPStatus.OK, True, {})


def test_readyz_when_roles_beat_then_it_says_whether_the_daemon_may_trade() -> None:
    """All at work may trade; a closed session, a silent role and the kill switch are told."""
    code, _, body = answer("/readyz", _record(_WELL), tuple(map(_role, ROLES)))
    assert (code, json.loads(body)["trading"]) == (200, {"may_trade": True, "why_not": {}})

    roles = (*map(_role, ROLES[:-2]), _role("reconciler", "session closed, next open 09:00"))
    kill = KillStatus(level=1, who="kim", why="testing")
    code, _, body = answer("/readyz", _record(_WELL), roles, kill)
    assert code == 200
    assert json.loads(body)["trading"] == {
        "may_trade": False,
        "why_not": {
            "reconciler": ["session closed, next open 09:00"],
            "notifier": ["does not run"],
            "kill_switch": ["latched at level 1 by kim: testing"],
        },
    }


def test_metrics_when_roles_beat_then_each_sample_has_its_role_and_families_stand_together() -> (
    None
):
    """Prometheus wants one block per name; a silent role shows its age and nothing else."""
    metrics = {'frames_total{feed="kis-1"}': 5.0, "lag_p99_ms": 0.5}
    silent = msgspec.structs.replace(_role("notifier"), is_alive=False, age_s=99.0)
    roles = (
        msgspec.structs.replace(_role("collector"), metrics=metrics),
        msgspec.structs.replace(_role("trader"), metrics={"frames_total": 2.0}),
        msgspec.structs.replace(silent, metrics=metrics),
    )
    lines = answer("/metrics", _record(_WELL), roles)[2].decode().splitlines()
    at = lines.index("# TYPE jts_frames_total counter")
    assert lines[at + 1 : at + 5] == [
        'jts_frames_total{role="collector",feed="kis-1"} 5.0',
        'jts_frames_total{role="trader"} 2.0',
        "# TYPE jts_lag_p99_ms gauge",
        'jts_lag_p99_ms{role="collector"} 0.5',
    ]
    assert 'jts_role_heartbeat_age_seconds{role="notifier"} 99.0' in lines
    assert "jts_kill_switch_level 0" in lines


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


@pytest.mark.parametrize(
    ("content", "level", "why"),
    [
        (b'{"level":1,"who":"kim","why":"test","at_ns":1,"version":1}', 1, "test"),
        (b"", 2, "its file says nothing readable"),
    ],
)
def test_kill_switch_when_its_file_is_there_then_it_is_latched(
    content: bytes, level: int, why: str, tmp_path: Path
) -> None:
    """Whatever is in the file: nobody can say that it is not latched."""
    instance = InstanceSettings(home=str(tmp_path))
    assert read_kill_switch(instance) is None
    instance.run_directory.mkdir()
    (instance.run_directory / "KILL").write_bytes(content)
    found = read_kill_switch(instance)
    assert found is not None
    assert (found.level, found.why) == (level, why)


def test_read_roles_when_a_heart_stopped_then_the_role_is_not_ready(tmp_path: Path) -> None:
    """What it said last does not count any more."""
    instance = InstanceSettings(home=str(tmp_path))
    health_file(instance.run_directory, "trader").parent.mkdir(parents=True)
    for age_s, is_ready in ((0, True), (60, False)):
        health = RoleHealth(
            role="trader", pid=1, is_ready=True, reasons=(), metrics={"bars": 2.0},
            ts_ns=0, real_ns=SystemClock().now_ns() - age_s * 10**9,
        )  # fmt: skip
        health_file(instance.run_directory, "trader").write_bytes(msgspec.json.encode(health))
        (role,) = read_roles(instance)
        assert (role.role, role.is_alive, role.is_ready) == ("trader", is_ready, is_ready)
    assert role.reasons == ("no heartbeat for 60 s",)
