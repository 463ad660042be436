"""Every command that README and tutorial show is run as it stands there.

A document's commands run in order in a working directory and a home of their own. README's table
has words in capitals for what the reader brings; they are filled in here. `jts up`, `jts demo` and
`jts test` need more than running to their end: the table at the end of this file says where.
"""

import ast
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
DAILY = "var/sample/krx/krx_1d_2023-12_2025-06.parquet"
# How soon it has to be ready is asked in `test_up_instance.py`.
READY_SECONDS = 180
STOP_SECONDS = 20

# Commands that other tests of this folder run to their end, with their files.
RUN_ELSEWHERE = {
    "./jts demo": "test_demo.py::test_demo_when_run_without_data_then_everything_adds_up",
    "./jts demo --data DIR --json": "test_demo.py",
    "./jts up": "test_up_instance.py",
    "./jts run ROLE": "test_up_trading.py",
    "./jts sim kis": "test_up_trading.py",
    "./jts kill --why REASON": "test_up_trading.py",
    "./jts reconcile": "../integration/kis/test_kis_reconcile_command.py",
    "./jts why ORDER_ID": "../integration/test_trading_commands.py",
}
# What a reader brings, in commands of README's table.
READERS_WORDS = {
    "QUERY": "SELECT count(*) FROM candles",
    "OUT.html": "var/out.html",
    "DIR": "var/made-up",
}


def _blocks(document: str) -> list[str]:
    """The commands of a document's console blocks, in order, without the prompt."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def _table(document: str) -> list[str]:
    """The commands of README's table."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r"^\| `(\./jts [^`]*)` \|", text, flags=re.MULTILINE)


class Reader:
    """Somebody who follows a document on a machine of their own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        for name in ("jts", "examples"):
            (place / name).symlink_to(ROOT / name)
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JTS_")},
            "JTS_PORT_BASE": str(_free_base()),
            "COLUMNS": "160",
        }

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run one command as it stands in the document."""
        words = shlex.split(command)
        if words[1:] == ["test"]:
            # The whole suite contains this test; a part of it shows that the command works.
            words += ["--only", "tests", "--", str(ROOT / "tests/unit/storage/test_schema.py")]
        return subprocess.run(
            words, cwd=self.place, env=self.environ, capture_output=True, text=True,
            timeout=200, check=False,
        )  # fmt: skip

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command that stays."""
        return subprocess.Popen(
            shlex.split(command), cwd=self.place, env=self.environ, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


def _free_base() -> int:
    for base in range(30_000 + os.getpid() % 500 * 20, 60_000, 20):
        try:
            for port in range(base, base + 4):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A reader with an empty directory; short, because of socket paths."""
    place = Path(tempfile.mkdtemp(prefix="jts-doc-"))
    yield Reader(place)
    shutil.rmtree(place)


@pytest.fixture
def instance(reader: Reader) -> Iterator[subprocess.Popen[str]]:
    """`./jts up` of that reader, ready; stopped afterwards by SIGTERM."""
    up = reader.start("./jts up")
    try:
        deadline = time.monotonic() + READY_SECONDS
        while reader.run("./jts status").returncode != 0:
            assert up.poll() is None, "jts up ended"
            assert time.monotonic() < deadline, f"jts up not ready within {READY_SECONDS} s"
            # Asking without a pause takes the processor from what shall get ready.
            time.sleep(0.5)
        yield up
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(STOP_SECONDS)


def _follow(reader: Reader, commands: list[str]) -> None:
    for command in commands:
        done = reader.run(command)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip() or "--report" in command, f"{command} said nothing"


@pytest.mark.timeout(600)
def test_tutorial_when_followed_in_order_then_every_command_succeeds(reader: Reader) -> None:
    """A reader without a running instance gets to the tear sheet."""
    commands = _blocks("docs/tutorial.md")

    assert len(commands) >= 15
    _follow(reader, commands)
    assert "<svg" in (reader.place / "var/sheet.html").read_text(encoding="utf-8")
    assert (reader.place / "var/fills.csv").stat().st_size > 0


@pytest.mark.timeout(600)
def test_readme_when_followed_beside_a_running_instance_then_every_command_succeeds(
    reader: Reader, instance: subprocess.Popen[str]
) -> None:
    """Blocks and table alike, while `./jts up` keeps running; it stops with exit code 0."""
    commands = [*_blocks("README.md"), *_table("README.md")]
    assert len(commands) >= 15
    _follow(reader, ["./jts sample var/sample --symbols 30"])

    for command in dict.fromkeys(commands):
        if command in RUN_ELSEWHERE:
            continue
        words = [READERS_WORDS.get(word, word) for word in shlex.split(command)]
        file = DAILY if "ingest" in words else "examples/strategies/sma_crossover.jts"
        _follow(reader, [shlex.join(file if word == "FILE" else word for word in words)])

    instance.send_signal(signal.SIGTERM)
    assert instance.wait(STOP_SECONDS) == 0


def test_commands_run_elsewhere_when_named_then_their_tests_exist() -> None:
    """A command is not left out by naming a test that is not there."""
    for where in RUN_ELSEWHERE.values():
        file, _, function = where.partition("::")
        tree = ast.parse((ROOT / "tests/e2e" / file).read_text(encoding="utf-8"))
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert any(name.startswith("test_") for name in names)
        assert not function or function in names
