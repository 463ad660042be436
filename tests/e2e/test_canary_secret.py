"""A secret planted in the configuration comes out nowhere: no output, no log, no file of the home.

The stores of this configuration do not answer, so that every command also has an error to explain.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

pytestmark = pytest.mark.e2e

# People paste passwords as they are; some of these characters mean something in a URL.
CANARIES = {
    "hot": ("http", "canary-7f3a"),
    "postgres": ("postgresql", "can@ry:7f3b"),
    "redis": ("redis", "canary/7f3c"),
    "dagster": ("postgresql", "canary 7f3d"),
}
_ANSWER_SECONDS = 30


class Desk:
    """A home whose configuration file holds a password in every DSN."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.cwd = place / "cwd"
        self.cwd.mkdir()
        # A raw slash would end the place of a URL: whoever has one quotes it.
        sections = [
            f'[{name}]\ndsn = "{scheme}://desk:{quote(canary, safe="@:")}@127.0.0.1:1/jts"'
            for name, (scheme, canary) in CANARIES.items()
        ]
        (self.cwd / "jts.toml").write_text("\n".join(sections))
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JTS_")},
            "JTS_HOME": str(self.home),
            "JTS_PORT_BASE": str(21_000 + os.getpid() % 2_000 * 20),
        }
        self.said: list[str] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "jts_pipelines.cli", *words],
            cwd=self.cwd,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hear(self, started: subprocess.Popen[str]) -> int:
        """Wait for the end of a command, keep what it said and return its exit code."""
        self.said += started.communicate(timeout=60)
        return started.returncode

    def run(self, *words: str) -> int:
        """Run a command to its end."""
        with self.start(*words) as started:
            return self.hear(started)

    @property
    def written(self) -> dict[str, str]:
        """Every file of the home."""
        files = [path for path in self.home.rglob("*") if path.is_file()]
        return {path.name: path.read_text(encoding="utf-8", errors="replace") for path in files}


@pytest.fixture
def place() -> Iterator[Path]:
    """A short place: the paths of sockets must stay short."""
    with tempfile.TemporaryDirectory(prefix="jt-", dir="/tmp") as directory:
        yield Path(directory)


def _reasons(desk: Desk) -> dict[str, str]:
    file = desk.home / "run" / "instance.json"
    parts = json.loads(file.read_bytes())["parts"] if file.exists() else []
    return {part["name"]: part["reason"] for part in parts}


def _wait_until_refused(desk: Desk) -> None:
    deadline = time.monotonic() + _ANSWER_SECONDS
    while "refused" not in _reasons(desk).get("clickhouse", ""):
        assert time.monotonic() < deadline, _reasons(desk)
        time.sleep(0.05)


def test_canary_when_every_dsn_holds_one_then_it_is_said_and_written_nowhere(place: Path) -> None:
    """Commands, their errors and their logs name the address, and `***` for the password."""
    desk = Desk(place)
    with desk.start("up", "--json") as up:
        _wait_until_refused(desk)
        codes = [desk.run("status"), desk.run("doctor", "--json")]
        record = desk.written["instance.json"]
        up.send_signal(signal.SIGTERM)
        assert desk.hear(up) == 0
    codes += [desk.run("sql", "SELECT 1"), desk.run("--debug", "sql", "SELECT 1")]
    assert (codes[0], codes[2:]) == (1, [5, 5])
    texts = [*desk.said, *desk.written.values(), record]
    assert sum("desk:***@127.0.0.1:1" in text for text in texts) >= 4
    spellings = {
        spelling
        for _, canary in CANARIES.values()
        for spelling in (canary, quote(canary, safe=""), quote(canary, safe="@:"))
    }
    assert [text for text in texts if any(spelling in text for spelling in spellings)] == []
