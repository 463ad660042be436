"""`./jts` itself: a POSIX shell script, run with a stand-in for Python, so that nothing is loaded.

The stand-in answers what the script asks of a Python (its version, `-m venv`) and makes a venv
whose Python notes each call in a file. That the real lock file installs is shown by every run of
this suite from a fresh clone.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

_ROOT = Path(__file__).resolve().parents[2]

# Runs -c programs with the real Python; `-m venv DIR` puts the venv's stand-in there.
# What waits notes its call itself: a shell that is interrupted between starting it and waiting for
# it would lose the signal.
_PYTHON = """#!/bin/sh
case "$1" in
-c) exec "{real}" "$@" ;;
--version) echo "Python 3.12.0" ;;
-m) echo venv >>"{calls}"; mkdir -p "$3/bin"; cp "{venv_python}" "$3/bin/python"; echo "made $3" ;;
esac
"""
_VENV_PYTHON = """#!/bin/sh
case "$*" in
*pip*requirements.lock*)
    sh -c 'echo install >>"{calls}"; exec sleep "${{PIP_SECONDS:-0}}"'; echo pip-noise
    exit "${{PIP_EXIT:-0}}" ;;
*pip*-e*) echo editable >>"{calls}"; echo pip-noise ;;
--version) echo "Python {version}.0" ;;
*jts_pipelines.cli*) echo run "$@" >>"{calls}"; echo '{{"ran":true}}'; exit "${{RUN_EXIT:-0}}" ;;
esac
"""


class Clone:
    """A directory with the start script, a lock file and a stand-in for Python."""

    def __init__(self, home: Path, version: str = "3.12") -> None:
        self.root = home / "a clone"
        self.root.mkdir()
        shutil.copy(_ROOT / "jts", self.root)
        (self.root / "requirements.lock").write_text("dagster==1.0\nclick==8.0\n")
        (self.root / "pyproject.toml").write_text("[project]\n")
        self.calls_file = home / "calls"
        venv_python = self._program(
            home / "venv-python", _VENV_PYTHON.format(calls=self.calls_file, version=version)
        )
        python = _PYTHON.format(
            real=sys.executable, calls=self.calls_file, venv_python=venv_python
        )
        self.python = self._program(home / "python", python)
        # No uv, and no other Python by its usual names.
        tools = home / "tools"
        tools.mkdir()
        for name in ("sh", "cat", "cksum", "tr", "dirname", "readlink", "grep", "date", "rm",
                     "mkdir", "cp", "sleep", "env"):  # fmt: skip
            found = shutil.which(name)
            assert found is not None
            (tools / name).symlink_to(found)
        self.tools = tools
        self.environ = {"PATH": str(tools), "JTS_PYTHON": str(self.python)}

    @staticmethod
    def _program(path: Path, text: str) -> Path:
        path.write_text(text)
        path.chmod(0o755)
        return path

    @property
    def calls(self) -> list[str]:
        """What was asked of the stand-ins, in order."""
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """Start `./jts` in a process group of its own."""
        return subprocess.Popen(
            [str(self.root / "jts"), *words],
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run `./jts` to its end."""
        with self.start(*words, **environ) as started:
            out, err = started.communicate(timeout=60)
        return subprocess.CompletedProcess(words, started.returncode, out, err)

    def wait_for(self, call: str) -> None:
        """Wait until the stand-ins were asked something."""
        deadline = time.monotonic() + 20
        while call not in self.calls:
            assert time.monotonic() < deadline, f"{call} not in {self.calls}"
            time.sleep(0.02)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A fresh clone."""
    return Clone(tmp_path)


def test_jts_when_it_is_the_first_start_then_it_installs_and_stdout_is_the_command(
    clone: Clone,
) -> None:
    """Everything about the set-up goes to stderr; stdout is one document of the command."""
    done = clone.run("status", "--json")
    assert (done.returncode, done.stdout) == (0, '{"ran":true}\n')
    assert "making .venv with Python 3.12.0 and 2 packages" in done.stderr
    assert "pip-noise" in done.stderr
    assert clone.calls == [
        "venv", "install", "editable", "run -P -m jts_pipelines.cli status --json",
    ]  # fmt: skip


def test_jts_when_it_is_the_second_start_then_it_only_runs(clone: Clone) -> None:
    """No installation, not a word on stderr, and the exit code is that of the command."""
    clone.run("status")
    done = clone.run("sql", "SELECT 'a b'", RUN_EXIT="5")
    assert (done.returncode, done.stderr) == (5, "")
    assert clone.calls[-1] == "run -P -m jts_pipelines.cli sql SELECT 'a b'"
    assert clone.calls.count("install") == 1


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_jts_when_the_inputs_changed_then_it_installs_again(clone: Clone, name: str) -> None:
    """A pull that changes packages or packaging is noticed; .venv is changed in place."""
    clone.run("status")
    with (clone.root / name).open("a") as file:
        file.write("# changed\n")
    clone.run("status")
    assert clone.calls.count("install") == 2
    assert clone.calls.count("venv") == 1


def test_jts_when_the_clone_was_moved_then_it_installs_again(clone: Clone) -> None:
    """A .venv points to where it was made; a moved one would run the old place's code."""
    clone.run("status")
    clone.root = clone.root.rename(clone.root.with_name("moved"))
    assert clone.run("status").returncode == 0
    assert clone.calls.count("install") == 2


def test_jts_when_the_installation_fails_then_it_leaves_with_2_and_keeps_nothing(
    clone: Clone,
) -> None:
    """One clear line after pip's own; the next start begins anew."""
    done = clone.run("status", PIP_EXIT="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("jts: installing from requirements.lock failed")
    assert not (clone.root / ".venv").exists()
    assert clone.run("status").returncode == 0


def test_jts_when_it_was_killed_while_installing_then_the_next_start_makes_it_anew(
    clone: Clone,
) -> None:
    """An unfinished .venv is not taken for a finished one, and no lock has to be removed."""
    with clone.start("status", PIP_SECONDS="60") as first:
        clone.wait_for("install")
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate(timeout=20)
    assert (clone.root / ".venv").exists()
    done = clone.run("status")
    assert (done.returncode, done.stdout) == (0, '{"ran":true}\n')
    assert clone.calls.count("venv") == 2
    assert sorted(path.name for path in clone.root.iterdir()) == [
        ".venv", "jts", "pyproject.toml", "requirements.lock",
    ]  # fmt: skip


def test_jts_when_two_start_at_once_then_one_installs_and_the_other_waits(clone: Clone) -> None:
    """The second says that it waits, and both run their command."""
    with clone.start("status", PIP_SECONDS="1") as first:
        clone.wait_for("install")
        second = clone.run("doctor")
        out, _ = first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert out == second.stdout == '{"ran":true}\n'
    assert "another process is making .venv; waiting" in second.stderr
    assert clone.calls.count("install") == 1


def test_jts_when_interrupted_while_installing_then_it_ends_with_130(clone: Clone) -> None:
    """Ctrl-C reaches the whole foreground group; no traceback is shown."""
    with clone.start("status", PIP_SECONDS="60") as first:
        clone.wait_for("install")
        os.killpg(first.pid, signal.SIGINT)
        out, err = first.communicate(timeout=20)
    assert first.returncode in {130, -signal.SIGINT}
    assert "Traceback" not in err
    assert out == ""


def test_jts_when_no_python_is_usable_then_it_says_what_to_install(clone: Clone) -> None:
    """Exit code 2 and one line."""
    done = clone.run("status", JTS_PYTHON="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("jts: no usable Python found: install Python 3.11 or 3.12")
    assert done.stderr.count("\n") == 1


def test_jts_when_the_named_python_is_unusable_then_it_is_named(clone: Clone) -> None:
    """A Python that was named is used or refused, never silently replaced by another."""
    (clone.tools / "python3.12").symlink_to(clone.python)
    done = clone.run("status", JTS_PYTHON="/no/python")
    assert done.returncode == 2
    assert done.stderr.startswith("jts: JTS_PYTHON is /no/python, which is no Python 3.11 to 3.13")


def test_jts_when_called_through_a_link_then_it_finds_its_checkout(
    clone: Clone, tmp_path: Path
) -> None:
    """A link in `~/bin` works, from any directory."""
    link = tmp_path / "link"
    link.symlink_to(clone.root / "jts")
    done = subprocess.run(
        [str(link), "status"],
        env=clone.environ, cwd="/", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, '{"ran":true}\n')


def test_jts_when_python_is_3_13_then_it_says_what_redis_needs(tmp_path: Path) -> None:
    """No wheel of the embedded Redis exists there: the way out is named once."""
    clone = Clone(tmp_path, version="3.13")
    done = clone.run("status")
    assert done.returncode == 0
    assert "no wheel of the embedded Redis exists for Python 3.13" in done.stderr
    assert "redis-server or valkey-server on PATH, or set redis.dsn" in done.stderr


def test_jts_when_uv_fails_then_pip_installs(clone: Clone) -> None:
    """Quicker where it works, uv is never needed."""
    Clone._program(clone.tools / "uv", f'#!/bin/sh\necho uv >>"{clone.calls_file}"\nexit 1\n')
    done = clone.run("status")
    assert done.returncode == 0
    assert clone.calls[:4] == ["venv", "uv", "install", "editable"]
