"""`jts up` with simulators and roles, as a user runs it, and one role by hand beside it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from jts_pipelines.cli import parts
from jts_pipelines.cli.record import read_record
from jts_trading.config import procfs
from jts_trading.config.instance import InstanceSettings
from jts_trading.config.settings import load_settings
from jts_trading.config.source import read

pytestmark = pytest.mark.e2e

# How soon it has to be ready is asked in `test_up_instance.py`.
READY_SECONDS = 180
BACK_SECONDS = 30
_OURS = tuple(part.name for part in parts.trading_parts(load_settings(read({}))))


def _wait(is_so: Callable[[], bool], seconds: float, told: Callable[[], object] = str) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() >= deadline:
            pytest.fail(f"not within {seconds:g} s: {told()}")
        time.sleep(0.05)


def _free_base() -> int:
    for base in range(40_000 + os.getpid() % 500 * 20, 60_000, 20):
        try:
            for port in range(base, base + 20):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


class Desk:
    """A running `jts up` in a home of its own."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.cwd = place / "cwd"
        self.cwd.mkdir()
        self.base = _free_base()
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JTS_")},
            "JTS_HOME": str(self.home),
            "JTS_PORT_BASE": str(self.base),
        }
        with (place / "up.err").open("ab") as errors:
            self.up = subprocess.Popen(
                self.argv("up", "--json"),
                cwd=self.cwd,
                env=self.environ,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )

    def argv(self, *words: str) -> list[str]:
        """The command line of a jts command."""
        return [sys.executable, "-P", "-m", "jts_pipelines.cli", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.argv(*words), cwd=self.cwd, env=self.environ, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """Every part by its name, as the supervisor keeps it written down."""
        record = read_record(InstanceSettings(home=str(self.home)))
        return {p.name: msgspec.to_builtins(p) for p in record.parts} if record else {}

    def is_healthy(self) -> bool:
        """Whether all parts of trading do their work."""
        return all(self.parts.get(n, {}).get("state") == "healthy" for n in _OURS)

    def told(self) -> dict[str, str]:
        """Why parts are not healthy."""
        return {n: p["reason"] for n, p in self.parts.items() if p["state"] != "healthy"}

    def family(self) -> list[tuple[int, int]]:
        """Pid and start of every process of the instance."""
        ticks = procfs.started_ticks(self.up.pid)
        return [(pid, procfs.started_ticks(pid)) for pid in procfs.family(self.up.pid, ticks)]


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """One instance for all tests; Ctrl-C at the end leaves nothing behind."""
    # Directly under /tmp: the paths of sockets must stay short.
    place = Path(tempfile.mkdtemp(prefix="jt-", dir="/tmp"))
    desk = Desk(place)
    try:
        yield desk
        family = desk.family()
        started = time.monotonic()
        desk.up.send_signal(signal.SIGINT)
        assert desk.up.wait(30) == 0
        assert time.monotonic() - started < 10
        assert [pid for pid, ticks in family if procfs.is_running(pid, ticks)] == []
        assert not (desk.home / "run" / "roles").exists()
        assert not (desk.home / "run" / "instance.json").exists()
    finally:
        desk.up.kill()
        if desk.up.stdout is not None:
            desk.up.stdout.close()
        shutil.rmtree(place, ignore_errors=True)


def test_up_when_trading_is_on_then_simulators_and_roles_are_healthy(desk: Desk) -> None:
    """Whatever the hour: a closed market is told, and is no defect."""
    _wait(desk.is_healthy, READY_SECONDS, desk.told)
    done = desk.run("status", "--json")
    status = json.loads(done.stdout)
    assert [role["role"] for role in status["roles"]] == list(parts.ROLES)
    assert all(role["is_ready"] for role in status["roles"]), status["roles"]
    assert status["trading"]["may_trade"], status["trading"]
    url = f"http://127.0.0.1:{desk.base}"
    metrics = httpx.get(f"{url}/metrics", trust_env=False).text
    for role in parts.ROLES:
        assert f'jts_role_ready{{role="{role}"}} 1' in metrics
    ill = httpx.get(f"{url}/readyz", trust_env=False).json()["reasons"]
    assert not ill.keys() & set(_OURS)


def test_up_when_every_role_is_killed_then_all_come_back(desk: Desk) -> None:
    """Start-up is recovery: SIGKILL to all of them at once, and nobody has to do anything."""
    _wait(desk.is_healthy, READY_SECONDS, desk.told)
    before = {name: desk.parts[name] for name in parts.ROLES}
    for part in before.values():
        os.kill(part["pid"], signal.SIGKILL)

    def are_back() -> bool:
        return desk.is_healthy() and all(
            desk.parts[name]["restarts"] > before[name]["restarts"] for name in parts.ROLES
        )

    _wait(are_back, BACK_SECONDS, desk.told)


def test_run_when_the_role_runs_already_then_it_leaves_with_3(desk: Desk) -> None:
    """One process at a time runs a role in a home; it goes on."""
    _wait(desk.is_healthy, READY_SECONDS, desk.told)
    done = desk.run("run", parts.ROLES[0])
    assert done.returncode == 3
    last = done.stderr.strip().splitlines()[-1]
    assert f"owned by process {desk.parts[parts.ROLES[0]]['pid']}" in last


def test_kill_switch_when_latched_then_status_says_so_until_it_is_released(desk: Desk) -> None:
    """The command asks no role; the executor tells, and takes its work up again after release."""
    _wait(desk.is_healthy, READY_SECONDS, desk.told)
    assert desk.run("kill", "--why", "testing").returncode == 0
    _wait(lambda: "executor" in desk.told(), 15, desk.told)
    status = json.loads(desk.run("status", "--json").stdout)
    assert (status["kill_switch"]["why"], status["trading"]["may_trade"]) == ("testing", False)
    code = json.loads(desk.run("unkill", "--json").stdout)["code"]
    assert desk.run("unkill", "--code", code, "--why", "tested").returncode == 0
    _wait(desk.is_healthy, 15, desk.told)
