"""What `jts doctor` asks about trading: what is traded, the simulators' ports, the kill switch."""

from collections.abc import Callable, Iterator

from jts_pipelines.cli.finding import Finding
from jts_pipelines.cli.parts import SIMULATORS
from jts_pipelines.cli.record import read_record
from jts_pipelines.cli.roles import read_kill_switch
from jts_trading.config import procfs
from jts_trading.config.instance import InstanceSettings
from jts_trading.config.settings import Settings
from jts_trading.config.source import ConfigError, ConfigSource
from jts_trading.ports.inputs import configured_inputs, require_releases


def examine_trading(
    settings: Settings, source: ConfigSource, is_free: Callable[[int], bool]
) -> Iterator[Finding]:
    """Answer the questions about trading; one only when it is switched off.

    Args:
        settings: Of the installation.
        source: What they were read from.
        is_free: Whether a loopback port is free.
    """
    if not settings.trading.enabled:
        found = "off: trading.enabled is false"
        yield Finding(question="trading", passed=True, found=found)
        return
    yield _inputs(settings, source)
    yield from _ports(settings.instance, is_free)
    yield _kill_switch(settings.instance)


def _inputs(settings: Settings, source: ConfigSource) -> Finding:
    try:
        inputs = configured_inputs(source, version=1, created_ns=0)
        require_releases(settings.instance.root, source, inputs)
    except ConfigError as error:
        return Finding(question="trading", passed=False, found=" ".join(str(error).split()))
    told = (
        f"{each.instance} ({each.release} on {', '.join(each.instrument_ids)} {each.interval} "
        f"through {each.broker}, {each.allocation:,} {each.currency})"
        for each in inputs.instances
    )
    found = f"mode {settings.trading.mode}: {'; '.join(told) or 'no instances'}"
    return Finding(question="trading", passed=True, found=found)


def _ports(instance: InstanceSettings, is_free: Callable[[int], bool]) -> Iterator[Finding]:
    record = read_record(instance)
    is_up = record is not None and record.is_alive
    for name in SIMULATORS:
        ports = [instance.port(f"sim_{name}_{kind}") for kind in ("rest", "stream")]
        taken = [port for port in ports if not is_free(port)]
        words = ", ".join(map(str, ports))
        if not taken:
            state = "free"
        elif is_up:
            state = "used by this instance"
        else:
            owners = ", ".join(f"{port} by {procfs.port_owner(port) or '?'}" for port in taken)
            state = f"taken: {owners}; stop that, or set JTS_PORT_BASE"
        yield Finding(
            question=f"ports sim-{name}", passed=not taken or is_up, found=f"{words}: {state}"
        )


def _kill_switch(instance: InstanceSettings) -> Finding:
    kill = read_kill_switch(instance)
    if kill is None:
        return Finding(question="kill switch", passed=True, found="not latched")
    found = f"latched at level {kill.level} by {kill.who or '?'}: {kill.why}; see: jts unkill"
    return Finding(question="kill switch", passed=False, found=found)
