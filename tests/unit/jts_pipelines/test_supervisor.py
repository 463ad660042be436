"""The supervisor with real, small programs."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jts_pipelines.cli import probes
from jts_pipelines.cli.part import AliveReason, LastingReason, Part, levels
from jts_pipelines.cli.record import Health, PartRecord
from jts_pipelines.cli.spawned import Child, stop_together
from jts_pipelines.cli.supervisor import PAUSE_MAX_S, Supervisor, pause_s
from jts_trading.config import procfs

# Listens on a port, and says on each end by SIGTERM so in a file.
_SERVER = """
import pathlib, signal, socket, sys, time
port, ends, name = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
def stop(*_):
    with ends.open("a") as file:
        file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
with socket.create_server(("127.0.0.1", port)) as server:
    while True:
        server.accept()[0].close()
"""
_STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"

Turn = Callable[[Supervisor, Callable[[], bool]], None]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(is_so: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.02)


def _turn_until(supervisor: Supervisor, is_so: Callable[[], bool], seconds: float = 15.0) -> None:
    def turned() -> bool:
        supervisor.turn()
        return is_so()

    _wait(turned, seconds)


def _record(supervisor: Supervisor, name: str) -> PartRecord:
    return next(record for record in supervisor.records() if record.name == name)


class Workshop:
    """Makes parts and supervisors that end with the test."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.events: list[tuple[str, str]] = []
        self.supervisors: list[Supervisor] = []

    @property
    def ends(self) -> list[str]:
        """The names of servers in the order in which SIGTERM reached them."""
        file = self.home / "ends"
        return file.read_text().split() if file.exists() else []

    def server(
        self, name: str, *, parents: tuple[str, ...] = (), hung_after_s: float = 60
    ) -> Part:
        """A part that listens on a port."""
        port = _free_port()
        words = (str(port), str(self.home / "ends"), name)
        return Part(
            name=name,
            argv=(sys.executable, "-c", _SERVER, *words),
            environment=dict(os.environ),
            directory=self.home,
            probe=lambda _age_s: probes.listens(port),
            parents=parents,
            port=port,
            hung_after_s=hung_after_s,
            probe_every_s=0.1,
        )

    def supervise(self, *parts: Part) -> Supervisor:
        """A supervisor of some parts, open."""
        supervisor = Supervisor(
            parts,
            logs=self.home / "logs",
            tell=lambda part, event: self.events.append((part, event)),
        )
        self.supervisors.append(supervisor)
        supervisor.open()
        return supervisor


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    """Parts and supervisors; whatever still runs at the end of the test is stopped."""
    made = Workshop(tmp_path)
    yield made
    for supervisor in made.supervisors:
        supervisor.stop()


def test_turn_when_a_part_has_parents_then_it_starts_after_they_are_ready(
    workshop: Workshop,
) -> None:
    """Start order follows readiness, not the order of the list."""
    child = workshop.server("child", parents=("parent",))
    supervisor = workshop.supervise(child, workshop.server("parent"))
    supervisor.turn()
    waiting = _record(supervisor, "child")
    assert (waiting.state, waiting.reason) == (Health.NOT_STARTED, "waits for parent")
    _turn_until(supervisor, supervisor.is_ready)
    told = [(part, event.split()[0]) for part, event in workshop.events]
    assert told == [
        ("parent", "started"), ("parent", "ready"), ("child", "started"), ("child", "ready"),
    ]  # fmt: skip


def test_stop_when_parts_run_then_children_end_before_their_parents(workshop: Workshop) -> None:
    """The reverse of the start order, and nothing runs afterwards."""
    parts = (
        workshop.server("store"),
        workshop.server("code", parents=("store",)),
        workshop.server("web", parents=("code",)),
    )
    supervisor = workshop.supervise(*parts)
    _turn_until(supervisor, supervisor.is_ready)
    pids = [(record.pid or 0, record.started_ticks) for record in supervisor.records()]
    assert supervisor.stop() == []
    assert workshop.ends == ["web", "code", "store"]
    assert [procfs.family(*pid) for pid in pids] == [[], [], []]
    assert {record.reason for record in supervisor.records()} == {"stopped"}


def test_turn_when_a_part_is_killed_then_it_is_started_again(workshop: Workshop) -> None:
    """After SIGKILL the part answers again, as another process, and the restart is counted."""
    supervisor = workshop.supervise(workshop.server("store"))
    _turn_until(supervisor, supervisor.is_ready)
    before = _record(supervisor, "store")
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    _turn_until(supervisor, lambda: not supervisor.is_ready())
    ended = _record(supervisor, "store")
    assert ended.state is Health.CRITICAL
    assert ended.reason == "ended by signal 9; next start in 0.5 s"
    _turn_until(supervisor, supervisor.is_ready)
    after = _record(supervisor, "store")
    assert (after.restarts, after.state) == (1, Health.HEALTHY)
    assert after.pid != before.pid


def test_turn_when_a_part_keeps_ending_then_the_pauses_double(workshop: Workshop) -> None:
    """A part that cannot run is tried again and again, but less and less often."""
    broken = Part(
        name="broken",
        argv=(sys.executable, "-c", "import sys; print('cannot'); sys.exit(5)"),
        environment=dict(os.environ),
        directory=workshop.home,
        probe=lambda _age_s: "never",
    )
    supervisor = workshop.supervise(broken)
    ended: list[str] = []

    def has_ended_thrice() -> bool:
        ended[:] = [event for _, event in workshop.events if event.startswith("ended")]
        return len(ended) == 3

    _turn_until(supervisor, has_ended_thrice)
    end = "ended with exit code 5 (cannot)"
    assert ended == [f"{end}; next start in {s} s" for s in ("0.5", "1", "2")]
    assert "cannot" in (workshop.home / "logs" / "broken.log").read_text()


def test_turn_when_a_part_ends_without_a_word_then_older_words_are_not_its_reason(
    workshop: Workshop,
) -> None:
    """The reason is what this process wrote last, never what an earlier one left in the log."""
    log = workshop.home / "logs" / "silent.log"
    log.parent.mkdir()
    log.write_text("all was well yesterday\n")
    silent = Part(
        name="silent",
        argv=(sys.executable, "-c", "import sys; sys.exit(5)"),
        environment=dict(os.environ),
        directory=workshop.home,
        probe=lambda _age_s: "never",
    )
    supervisor = workshop.supervise(silent)
    _turn_until(supervisor, lambda: len(workshop.events) > 1)
    assert workshop.events[1] == ("silent", "ended with exit code 5; next start in 0.5 s")


def test_has_lasting_reason_when_waiting_will_not_help_then_it_is_true(
    workshop: Workshop,
) -> None:
    """A reason that somebody has to remove is told apart from one that may pass."""
    answers: list[str] = ["port 1: Connection refused"]
    part = Part(name="web", argv=(), directory=workshop.home, probe=lambda _age_s: answers[0])
    supervisor = workshop.supervise(part)
    _turn_until(supervisor, lambda: _record(supervisor, "web").reason == answers[0])
    assert not supervisor.has_lasting_reason()
    answers[0] = LastingReason("code location jts failed to load")
    _turn_until(supervisor, supervisor.has_lasting_reason)
    assert type(_record(supervisor, "web").reason) is str


def test_pause_s_when_failures_grow_then_it_doubles_up_to_its_bound() -> None:
    """Never shorter than before, never above the bound, whatever the count."""
    pauses = [pause_s(failures) for failures in range(1, 200)]
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSE_MAX_S


def test_turn_when_a_part_hangs_then_it_is_killed_and_started_again(workshop: Workshop) -> None:
    """A stopped process answers nobody: after its time it is replaced."""
    part = workshop.server("store", hung_after_s=0.5)
    # SIGSTOP leaves the kernel's backlog accepting, so this one is asked for an answer.
    part = _asking(part)
    supervisor = workshop.supervise(part)
    _turn_until(supervisor, supervisor.is_ready)
    pid = _record(supervisor, "store").pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    _turn_until(supervisor, lambda: _record(supervisor, "store").restarts == 1)
    assert ("store", "did not answer for 0.5 s; next start in 0.5 s") in workshop.events
    _turn_until(supervisor, supervisor.is_ready)


def _asking(part: Part) -> Part:
    port = part.port
    assert port is not None

    def closes(_age_s: float) -> str | None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=0.2) as connection:
                return None if connection.recv(1) == b"" else "unexpected bytes"
        except OSError as error:
            return str(error)

    return Part(
        name=part.name,
        argv=part.argv,
        environment=part.environment,
        directory=part.directory,
        probe=closes,
        port=port,
        hung_after_s=part.hung_after_s,
        probe_every_s=0.1,
    )


def test_turn_when_a_program_does_not_exist_then_the_others_run_on(workshop: Workshop) -> None:
    """One part that cannot start is critical; it takes nobody with it."""
    gone = Part(
        name="gone",
        argv=("/no/such/program",),
        environment={},
        directory=workshop.home / "no-such-directory",
        probe=lambda _age_s: "never",
    )
    supervisor = workshop.supervise(gone, workshop.server("store"))
    _turn_until(supervisor, lambda: _record(supervisor, "store").state is Health.HEALTHY)
    assert _record(supervisor, "gone").state is Health.CRITICAL
    assert "No such file or directory" in _record(supervisor, "gone").reason


def test_turn_when_a_probe_raises_then_the_part_is_not_well(workshop: Workshop) -> None:
    """A probe that breaks is a warning with its reason, not the end of the supervisor."""

    def broken(_age_s: float) -> str | None:
        raise RuntimeError("probe broke")

    external = Part(name="server", argv=(), directory=workshop.home, probe=broken)
    supervisor = workshop.supervise(external)
    reason = "RuntimeError: probe broke"
    _turn_until(supervisor, lambda: _record(supervisor, "server").reason == reason)
    assert _record(supervisor, "server").state is Health.WARNING


def test_levels_when_parts_wait_for_each_other_then_they_are_named(tmp_path: Path) -> None:
    """A circle among parents is refused before anything starts."""

    def part(name: str, *parents: str) -> Part:
        return Part(
            name=name, argv=(), directory=tmp_path, probe=lambda _age_s: None, parents=parents
        )

    with pytest.raises(ValueError, match="parts that can never start: a, b"):
        levels((part("a", "b"), part("b", "a"), part("c")))


def test_stop_together_when_one_ignores_sigterm_then_it_and_its_children_are_killed(
    tmp_path: Path,
) -> None:
    """After the grace the whole family is gone, grandchildren included."""
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_STUBBORN!r}])"
    child = Child(
        (sys.executable, "-c", f"{_STUBBORN.replace('signal.pause()', '')}\n{parent}"),
        environment=dict(os.environ),
        log=tmp_path / "log",
        directory=tmp_path,
    )
    _wait(lambda: len(child.family()) == 2)
    assert stop_together([child], grace_s=0.3) == [child]
    assert child.family() == []
    assert child.exit_code() == -signal.SIGKILL


def test_child_when_its_supervisor_is_killed_then_it_ends_too(tmp_path: Path) -> None:
    """No part outlives a supervisor that was killed hard."""
    program = textwrap.dedent(
        f"""
        import os, sys
        from pathlib import Path
        from jts_pipelines.cli.spawned import Child
        here = Path({str(tmp_path)!r})
        sleeper = (sys.executable, "-c", "import signal; signal.pause()")
        child = Child(sleeper, environment=dict(os.environ), log=here / "log", directory=here)
        print(child.pid, child.started_ticks, flush=True)
        child._popen.wait()
        """
    )
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid, ticks = map(int, supervisor.stdout.readline().split())
        # Not before the child became its program, which is what the promise is about.
        _wait(lambda: b"signal.pause" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2])
        supervisor.kill()
    _wait(lambda: not procfs.is_running(pid, ticks))


def test_child_when_started_in_the_background_then_signals_are_reset(tmp_path: Path) -> None:
    """A shell starts background jobs with SIGINT ignored; a part must not inherit that."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = Child(
            (sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT))"),
            environment=dict(os.environ),
            log=tmp_path / "log",
            directory=tmp_path,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    _wait(lambda: child.exit_code() == 0)
    assert "default_int_handler" in (tmp_path / "log").read_text()


def test_turn_when_a_step_ends_well_then_it_is_ready_and_stays_so(workshop: Workshop) -> None:
    """A step runs once, its children start after it, and nothing starts it again."""
    step = Part(
        name="step",
        argv=(sys.executable, "-c", "pass"),
        environment=dict(os.environ),
        directory=workshop.home,
        probe=lambda _age_s: "under way",
        is_step=True,
    )
    supervisor = workshop.supervise(step, workshop.server("child", parents=("step",)))
    _turn_until(supervisor, supervisor.is_ready)
    record = _record(supervisor, "step")
    assert (record.state, record.pid, record.restarts) == (Health.HEALTHY, None, 0)
    assert ("step", "done") in workshop.events


def test_turn_when_a_step_fails_then_its_reason_is_told_and_it_is_tried_again(
    workshop: Workshop,
) -> None:
    """Exit code 2 is a mistake in the configuration: waiting will not help, and says so."""
    program = "import sys; print('jts: jts.toml: unknown key x', file=sys.stderr); sys.exit(2)"
    step = Part(
        name="step",
        argv=(sys.executable, "-c", program),
        environment=dict(os.environ),
        directory=workshop.home,
        probe=lambda _age_s: "under way",
        is_step=True,
    )
    supervisor = workshop.supervise(step, workshop.server("child", parents=("step",)))
    _turn_until(supervisor, supervisor.has_lasting_reason)
    assert "jts: jts.toml: unknown key x" in _record(supervisor, "step").reason
    assert _record(supervisor, "child").state is Health.NOT_STARTED
    _turn_until(supervisor, lambda: _record(supervisor, "step").restarts >= 1)


def test_turn_when_a_part_says_that_it_is_alive_then_it_is_not_started_again(
    workshop: Workshop,
) -> None:
    """A latched kill switch, say, is no reason to restart a role."""
    server = workshop.server("role", hung_after_s=0.3)
    asked = []

    def probe(_age_s: float) -> str | None:
        asked.append(1)
        return AliveReason("kill switch latched")

    supervisor = workshop.supervise(replace(server, probe=probe))
    _turn_until(supervisor, lambda: len(asked) > 5)
    record = _record(supervisor, "role")
    assert (record.restarts, record.reason) == (0, "kill switch latched")
    assert record.state is Health.WARNING
