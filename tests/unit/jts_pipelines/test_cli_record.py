"""What `/proc` says about programs and ports, and the record of a running instance."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from jts_pipelines.cli.instance import owned_home, require_free_ports
from jts_pipelines.cli.part import Part
from jts_pipelines.cli.record import (
    Health,
    InstanceRecord,
    PartRecord,
    end_leftovers,
    read_record,
    record_file,
    write_record,
)
from jts_trading.config import procfs
from jts_trading.config.settings import Settings, load_settings
from jts_trading.config.source import read
from jts_trading.telemetry.console import CommandError, exit_code_of
from storage.embedded.private import DirectoryOwnedError


def _settings(home: Path) -> Settings:
    return load_settings(read({"JTS_HOME": str(home)}))


def _record(*parts: PartRecord) -> InstanceRecord:
    ticks = procfs.started_ticks(os.getpid())
    return InstanceRecord(
        pid=os.getpid(), started_ticks=ticks, home="/h", is_lasting=True, parts=parts
    )


def test_port_owner_when_we_listen_then_it_is_us() -> None:
    """The owner of a port is found by the inode of its socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        owner = procfs.port_owner(server.getsockname()[1])
    assert owner is not None
    assert owner.pid == os.getpid()
    assert str(owner).startswith(f"pid {os.getpid()} (")


def test_port_owner_when_nobody_listens_then_there_is_none() -> None:
    """A bound port without a listener has no owner."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert procfs.port_owner(bound.getsockname()[1]) is None


def test_require_free_ports_when_one_is_taken_then_port_part_and_owner_are_named(
    tmp_path: Path,
) -> None:
    """The error line says what to stop; exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        argv = (sys.executable,)
        part = Part(
            name="gateway", argv=argv, directory=tmp_path, probe=lambda _age_s: None, port=port
        )
        with pytest.raises(CommandError) as refused:
            require_free_ports([part])
    assert str(refused.value).startswith(f"port {port} of gateway is held by pid {os.getpid()} (")
    assert exit_code_of(refused.value) == 2


def test_family_when_the_pid_was_reused_then_nobody_of_ours_is_left() -> None:
    """A pid without its start time is no identity."""
    ticks = procfs.started_ticks(os.getpid())
    assert os.getpid() in procfs.family(os.getpid(), ticks)
    assert procfs.family(os.getpid(), ticks - 1) == []
    assert not procfs.is_running(os.getpid(), ticks - 1)


def test_memory_bytes_when_asked_then_proportional_is_at_most_resident() -> None:
    """Shared pages count in part."""
    resident, proportional = procfs.memory_bytes([os.getpid()])
    assert 1_000_000 < proportional <= resident


def test_read_record_when_written_then_it_is_the_same(tmp_path: Path) -> None:
    """The record survives its file; the supervisor that wrote it lives."""
    instance = _settings(tmp_path).instance
    instance.run_directory.mkdir(parents=True)
    part = PartRecord(name="redis", state=Health.WARNING, reason="starting", pid=7)
    write_record(instance, _record(part))
    found = read_record(instance)
    assert found == _record(part)
    assert found.is_alive
    assert [path.name for path in instance.run_directory.iterdir()] == ["instance.json"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 99}', b'{"pid": "x"}'])
def test_read_record_when_it_cannot_be_read_then_there_is_none(
    tmp_path: Path, content: bytes
) -> None:
    """A damaged record is no instance; the next owner removes it."""
    instance = _settings(tmp_path).instance
    instance.run_directory.mkdir(parents=True)
    record_file(instance).write_bytes(content)
    assert read_record(instance) is None
    assert end_leftovers(instance) == []
    assert not record_file(instance).exists()


def test_owned_home_when_a_killed_supervisor_left_a_part_then_it_is_ended(tmp_path: Path) -> None:
    """The next owner ends what still runs; a part whose pid belongs to another is left alone."""
    settings = _settings(tmp_path)
    settings.instance.run_directory.mkdir(parents=True)
    argv = [sys.executable, "-c", "import signal; print(1, flush=True); signal.pause()"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as left:
        assert left.stdout is not None
        left.stdout.read(1)
        ticks = procfs.started_ticks(left.pid)
        ours = PartRecord(name="redis", state=Health.HEALTHY, pid=left.pid, started_ticks=ticks)
        reused = PartRecord(name="status", state=Health.HEALTHY, pid=os.getpid(), started_ticks=1)
        write_record(settings.instance, _record(ours, reused))
        with owned_home(settings):
            assert left.wait(10) == -9
    assert read_record(settings.instance) is None


def test_owned_home_when_it_is_owned_then_a_second_owner_is_refused_by_pid(tmp_path: Path) -> None:
    """Exit code 3 names the process that owns the home; it is free after the first leaves."""
    settings = _settings(tmp_path)
    with owned_home(settings):
        with pytest.raises(
            DirectoryOwnedError, match=f"owned by process {os.getpid()}"
        ) as refused:
            owned_home(settings).__enter__()
        assert exit_code_of(refused.value) == 3
    with owned_home(settings):
        assert settings.instance.socket_directory.stat().st_mode & 0o777 == 0o711
    assert not settings.instance.socket_directory.exists()
