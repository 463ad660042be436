"""`jts run ROLE`: every role is wired, lives without its stores, and ends when it is asked to."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jts_trading.bootstrap.roles import NAMES, build_role
from jts_trading.bootstrap.settings import load_daemon
from jts_trading.config.source import read
from jts_trading.telemetry.health import health_file, read_health

pytestmark = pytest.mark.integration


def _environ(home: Path) -> dict[str, str]:
    """A home of its own whose stores are nowhere."""
    return {
        "JTS_HOME": str(home),
        "JTS_PORT_BASE": "1044",
        "JTS_HOT__DSN": "http://127.0.0.1:1/jts",
        "JTS_POSTGRES__DSN": "postgresql://127.0.0.1:1/jts",
        "JTS_REDIS__DSN": "redis://127.0.0.1:1",
    }


@pytest.mark.parametrize("name", NAMES)
def test_build_role_when_asked_then_each_role_is_wired_with_real_ports(
    name: str, tmp_path: Path
) -> None:
    """Building asks no store; the role has its name, reasons and metrics, and closes again."""

    async def scenario() -> None:
        daemon = load_daemon(read(_environ(tmp_path)))
        async with asyncio.timeout(20), build_role(name, daemon) as role:
            assert role.name == name
            assert all(isinstance(reason, str) for reason in role.readiness())
            assert all(isinstance(value, int | float) for value in role.metrics().values())

    asyncio.run(scenario())


def _start(name: str, home: Path) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JTS_")}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "jts_trading", "run", name],
        env={**kept, **_environ(home)},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _wait_for_beat(role: subprocess.Popen[str], home: Path, name: str) -> None:
    deadline = time.monotonic() + 30
    while read_health(home / "run", name) is None:
        assert role.poll() is None, role.communicate()[0]
        assert time.monotonic() < deadline, "no heartbeat"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_when_stores_are_away_then_roles_say_so_and_end_when_asked(
    number: signal.Signals, tmp_path: Path
) -> None:
    """A role waits for its stores; a signal ends it at once with 0 and nothing stays behind."""
    role = _start("all", tmp_path)
    try:
        for name in NAMES:
            _wait_for_beat(role, tmp_path, name)
        role.send_signal(number)
        said, _ = role.communicate(timeout=20)
        # Had it taken longer than 2.2 s, it would have left itself behind with 1.
        assert role.returncode == 0, said
        assert '"roles_ended"' in said
        assert not any(health_file(tmp_path / "run", name).exists() for name in NAMES)
    finally:
        role.kill()


@pytest.mark.parametrize(
    ("environ", "code", "says"),
    [
        ({"JTS_TRADING__MODE": "live"}, 2, "trading.mode is 'live'; accepted: paper"),
        ({"JTS_RECORDER__BATCH": "1"}, 2, "unknown key recorder.batch"),
    ],
)
def test_run_when_the_configuration_is_wrong_then_one_line_says_so(
    environ: dict[str, str], code: int, says: str, tmp_path: Path
) -> None:
    """Exit code 2 at once: no restart helps."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JTS_")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "jts_trading", "run", "recorder"],
        env={**kept, **_environ(tmp_path), **environ},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr.splitlines()[-1]
