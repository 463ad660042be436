"""The kill switch stops with everything else dead, lasts, and is released in two steps only."""

import os
from pathlib import Path

import pytest

from jts_trading.guards.audit_trail import AuditTrail
from jts_trading.guards.kill_switch import (
    AUDIT_NAME,
    FILE_NAME,
    KillLevel,
    KillRefusedError,
    KillSwitch,
)
from jts_trading.guards.sole_owner import SoleOwner


@pytest.fixture
def switch(tmp_path: Path) -> KillSwitch:
    """A switch whose time stands."""
    return KillSwitch(tmp_path, lambda: 5)


def test_switch_when_never_touched_then_nothing_is_stopped(switch: KillSwitch) -> None:
    """No file, no stop."""
    assert switch.level() is KillLevel.NONE
    assert switch.record() is None
    with pytest.raises(KillRefusedError, match="not latched"):
        switch.release_code()


def test_switch_when_latched_then_another_process_and_a_restart_see_it(
    switch: KillSwitch, tmp_path: Path
) -> None:
    """The file is the switch: whoever looks later sees who did it and why."""
    watching = KillSwitch(tmp_path)
    assert watching.level() is KillLevel.NONE
    switch.latch(KillLevel.ENTRIES, who="kim", why="looks wrong")

    assert watching.level() is KillLevel.ENTRIES
    record = KillSwitch(tmp_path).record()
    assert record is not None
    assert (record.who, record.why, record.at_ns) == ("kim", "looks wrong", 5)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


def test_switch_when_latched_again_then_the_level_only_rises(switch: KillSwitch) -> None:
    """A weaker latch after a stronger one does not weaken it."""
    switch.latch(KillLevel.ALL, who="kim", why="stop")
    switch.latch(KillLevel.ENTRIES, who="lee", why="slow down")

    assert switch.level() is KillLevel.ALL


def test_switch_when_released_then_only_with_the_code_of_this_latch(
    switch: KillSwitch, tmp_path: Path
) -> None:
    """Two steps; a latch in between, or no reason, refuses; all of it is in the audit file."""
    switch.latch(KillLevel.ENTRIES, who="kim", why="one")
    code = switch.release_code()
    switch.latch(KillLevel.ALL, who="lee", why="two")
    with pytest.raises(KillRefusedError, match="ask again"):
        switch.release(code, who="kim", why="fine now")
    with pytest.raises(KillRefusedError, match="say why"):
        switch.release(switch.release_code(), who="kim", why=" ")
    watching = KillSwitch(tmp_path)
    assert watching.level() is KillLevel.ALL
    stood = switch.release(switch.release_code(), who="kim", why="fine now")

    assert stood.level is KillLevel.ALL
    assert switch.level() is watching.level() is KillLevel.NONE
    trail = AuditTrail(tmp_path / AUDIT_NAME)
    assert [line.action for line in trail.lines()] == ["latch", "latch", "refused", "release"]
    assert trail.first_bad_line() is None


def test_i16_switch_when_the_file_is_removed_by_hand_then_a_start_latches_again(
    switch: KillSwitch, tmp_path: Path
) -> None:
    """Only a release ends a latch: the audit file remembers it."""
    switch.latch(KillLevel.ALL, who="kim", why="stop")
    (tmp_path / FILE_NAME).unlink()
    later = KillSwitch(tmp_path)
    record = later.restore()

    assert record is not None
    assert "kim: stop" in record.why
    assert later.level() is KillLevel.ALL
    later.release(later.release_code(), who="kim", why="over")
    assert KillSwitch(tmp_path).restore() is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b'{"level": 9}'])
def test_switch_when_the_file_is_unreadable_then_entries_are_stopped(
    switch: KillSwitch, tmp_path: Path, content: bytes
) -> None:
    """A damaged file was written by somebody who wanted to stop."""
    (tmp_path / FILE_NAME).write_bytes(content)

    assert switch.level() is KillLevel.ENTRIES
    switch.release(switch.release_code(), who="kim", why="looked at it")
    assert switch.level() is KillLevel.NONE


def test_switch_when_the_run_directory_is_gone_then_entries_are_stopped(tmp_path: Path) -> None:
    """A volume that is not there says nothing, least of all that all is well."""
    assert KillSwitch(tmp_path / "gone").level() is KillLevel.ENTRIES


def test_switch_when_tripped_then_this_process_stops_before_any_file(
    switch: KillSwitch, tmp_path: Path
) -> None:
    """A signal needs no disk; once latched, a release by another process is heard."""
    switch.trip(KillLevel.ALL)
    assert switch.level() is KillLevel.ALL
    assert not (tmp_path / FILE_NAME).exists()
    switch.latch(KillLevel.ALL, who="signal", why="SIGUSR1")
    other = KillSwitch(tmp_path)
    other.release(other.release_code(), who="kim", why="over")

    assert switch.level() is KillLevel.NONE


def test_f47_switch_when_the_disk_is_full_then_it_stops_all_the_same(
    switch: KillSwitch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the audit file nor the record can be written; an empty file still counts."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    switch.latch(KillLevel.ALL, who="kim", why="stop")

    assert KillSwitch(tmp_path).level() >= KillLevel.ENTRIES
    assert switch.level() >= KillLevel.ENTRIES


def test_trail_when_a_line_is_changed_or_cut_then_the_first_bad_one_is_named(
    tmp_path: Path,
) -> None:
    """The chain shows what was done to the file, and goes on after a crash."""
    trail = AuditTrail(tmp_path / "a.jsonl")
    for number in range(3):
        trail.append(at_ns=number, action="latch", subject="s", who="w", why="y")
    path = tmp_path / "a.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"at_ns":1', b'"at_ns":9'))
    assert trail.first_bad_line() == 3
    path.write_bytes(whole[:-5])
    assert trail.first_bad_line() == 3
    trail.append(at_ns=9, action="latch", subject="s", who="w", why="y")

    assert [line.at_ns for line in trail.lines()] == [0, 1, 9]


def test_lock_when_held_then_nobody_else_gets_it_until_it_is_given_back(tmp_path: Path) -> None:
    """One process; the lock is free again afterwards."""
    first, second = (SoleOwner(tmp_path / "run" / "executor.lock") for _ in range(2))
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    first.give_back()

    assert not first.is_held
    assert second.acquire()
    second.give_back()
