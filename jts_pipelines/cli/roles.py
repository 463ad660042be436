"""How the daemon's roles are, read from their heartbeats and the kill switch's file.

Nothing is asked of a role: what it says about itself every second is in `run/roles/`, and the
latched kill switch is `run/KILL`.
"""

from collections.abc import Iterable

import msgspec

from jts_pipelines.cli.parts import ROLES
from jts_pipelines.cli.probes import HEARTBEAT_SECONDS
from jts_trading.config.instance import InstanceSettings
from jts_trading.ports.clock import SystemClock
from jts_trading.telemetry.health import read_health
from jts_trading.telemetry.metrics import with_label

_NS_PER_S = 1_000_000_000


class RoleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One role as its newest heartbeat says.

    Attributes:
        role: Its name.
        is_alive: Whether the heartbeat is fresh.
        is_ready: Whether it does its work; a closed session is no defect.
        reasons: Why not, or that its market sleeps.
        age_s: Real seconds since the heartbeat.
        metrics: Its counters and gauges by sample name.
    """

    role: str
    is_alive: bool
    is_ready: bool
    reasons: tuple[str, ...]
    age_s: float
    metrics: dict[str, float]


class KillStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The latched kill switch.

    Attributes:
        level: 1 stops entries, 2 stops everything but cancels.
        who: Who latched it.
        why: The reason given.
    """

    level: int
    who: str = ""
    why: str = ""


class Trading(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the daemon may trade, and why not.

    Attributes:
        may_trade: Every role does its work and the kill switch is not latched.
        why_not: Role or `kill_switch` to what stands against it: defects, and markets that are
            closed now.
    """

    may_trade: bool
    why_not: dict[str, tuple[str, ...]]


def read_roles(instance: InstanceSettings) -> tuple[RoleStatus, ...]:
    """Return every role that has a heartbeat, in start order."""
    now_ns = SystemClock().now_ns()
    found = []
    for name in ROLES:
        health = read_health(instance.run_directory, name)
        if health is not None:
            age_s = max(0.0, (now_ns - health.real_ns) / _NS_PER_S)
            is_alive = age_s <= HEARTBEAT_SECONDS
            found.append(
                RoleStatus(
                    role=name,
                    is_alive=is_alive,
                    is_ready=is_alive and health.is_ready,
                    reasons=health.reasons if is_alive else (f"no heartbeat for {age_s:.0f} s",),
                    age_s=round(age_s, 3),
                    metrics=health.metrics,
                )
            )
    return tuple(found)


def read_kill_switch(instance: InstanceSettings) -> KillStatus | None:
    """Return the latched kill switch, or None; a file that cannot be read counts as latched."""
    try:
        content = (instance.run_directory / "KILL").read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return KillStatus(level=2, why=f"its file cannot be read: {error.strerror}")
    try:
        return msgspec.json.decode(content, type=KillStatus)
    except msgspec.DecodeError:
        return KillStatus(level=2, why="its file says nothing readable")


def trading_of(roles: Iterable[RoleStatus], kill: KillStatus | None) -> Trading:
    """Return whether the daemon may trade in a market that is open, and what stands against it."""
    by_name = {role.role: role for role in roles}
    why_not = {
        name: by_name[name].reasons if name in by_name else ("does not run",)
        for name in ROLES
        if name not in by_name or by_name[name].reasons
    }
    if kill is not None:
        why_not["kill_switch"] = (f"latched at level {kill.level} by {kill.who}: {kill.why}",)
    are_ready = all(name in by_name and by_name[name].is_ready for name in ROLES)
    return Trading(may_trade=are_ready and kill is None, why_not=why_not)


def metric_lines(roles: Iterable[RoleStatus]) -> list[str]:
    """Return what the roles measure in Prometheus' text form, one family after the other."""
    families: dict[str, list[str]] = {"jts_role_ready": [], "jts_role_heartbeat_age_seconds": []}
    for role in roles:
        label = f'{{role="{role.role}"}}'
        families["jts_role_ready"].append(f"jts_role_ready{label} {int(role.is_ready)}")
        families["jts_role_heartbeat_age_seconds"].append(
            f"jts_role_heartbeat_age_seconds{label} {role.age_s}"
        )
        # What a silent role measured last is no measurement of now.
        for sample, value in role.metrics.items() if role.is_alive else ():
            name = f"jts_{sample.partition('{')[0]}"
            line = f"jts_{with_label(sample, 'role', role.role)} {value!r}"
            families.setdefault(name, []).append(line)
    lines = []
    for name, samples in families.items():
        kind = "counter" if name.endswith(("_total", "_count")) else "gauge"
        lines += [f"# TYPE {name} {kind}", *samples]
    return lines
