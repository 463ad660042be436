"""Every section that the daemon needs, typed and checked together.

Paper mode is closed: orders can only reach a simulator on this machine. Addresses that are not
configured are those of the simulators of this instance, keys are the simulator's public ones, and
an address that is not on loopback is refused for every broker that takes orders.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from jts_trading.brokers.binance.settings import BinanceSettings
from jts_trading.brokers.binance.simulator.settings import (
    SimulatorSettings as BinanceSimulatorSettings,
)
from jts_trading.brokers.kis.settings import Environment, KisKeys, KisSettings
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings as KisSimulatorSettings
from jts_trading.brokers.paper.settings import PaperSettings
from jts_trading.config.settings import Settings, load_settings
from jts_trading.config.source import ConfigError, ConfigSource, read
from jts_trading.telemetry.secrets import Secret

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """What the composition root wires.

    Attributes:
        settings: Sections of the installation.
        source: What was read; the sections of roles are loaded from it where they are built.
        kis: The account at KIS, every address filled in.
        kis_keys: Of that account; the simulator's in paper mode.
        sim_kis: The simulated KIS of this instance.
        binance: Public market data of Binance, every address filled in.
        sim_binance: The simulated Binance of this instance.
        paper: The paper account.
    """

    settings: Settings
    source: ConfigSource
    kis: KisSettings
    kis_keys: KisKeys
    sim_kis: KisSimulatorSettings
    binance: BinanceSettings
    sim_binance: BinanceSimulatorSettings
    paper: PaperSettings


def load_daemon(source: ConfigSource | None = None) -> DaemonSettings:
    """Read the configuration and type every section of the daemon.

    Args:
        source: What was read; the file and the environment of this run when None.

    Raises:
        ConfigError: A section cannot be used, or an address leads out of this machine.
    """
    source = source or read()
    settings = load_settings(source)
    sim_kis, sim_binance = _sim_kis(source, settings), _sim_binance(source, settings)
    return DaemonSettings(
        settings=settings,
        source=source,
        kis=_kis(source, settings, sim_kis),
        kis_keys=KisKeys(Secret(sim_kis.app_key), Secret(sim_kis.app_secret)),
        sim_kis=sim_kis,
        binance=_binance(source, sim_binance),
        sim_binance=sim_binance,
        paper=source.load(PaperSettings, "brokers.paper"),
    )


def require_loopback(source: ConfigSource, key: str, url: str) -> None:
    """Refuse an address outside this machine.

    Raises:
        ConfigError: Its host is neither `localhost` nor a loopback address.
    """
    host = urlsplit(url).hostname or ""
    if not _is_loopback(host):
        raise ConfigError(
            f"{source.origin(key)}: {key} is {url}; accepted in paper mode: a simulator on this "
            f"machine, such as http://{_HOST}:8801 (real venues are not built yet)"
        )


def _sim_kis(source: ConfigSource, settings: Settings) -> KisSimulatorSettings:
    """Return the simulator's section with the ports of this instance where it names none."""
    section = source.load(KisSimulatorSettings, "sim.kis")
    instance = settings.instance
    return msgspec.structs.replace(
        section,
        rest_port=section.rest_port or instance.port("sim_kis_rest"),
        stream_port=section.stream_port or instance.port("sim_kis_stream"),
    )


def _sim_binance(source: ConfigSource, settings: Settings) -> BinanceSimulatorSettings:
    section = source.load(BinanceSimulatorSettings, "sim.binance")
    instance = settings.instance
    return msgspec.structs.replace(
        section,
        rest_port=section.rest_port or instance.port("sim_binance_rest"),
        stream_port=section.stream_port or instance.port("sim_binance_stream"),
    )


def _binance(source: ConfigSource, sim: BinanceSimulatorSettings) -> BinanceSettings:
    """Return the section with the simulator's addresses where it names none.

    The venue's own hosts may be named: they are public, no key goes there and no order can.
    """
    section = source.load(BinanceSettings, "brokers.binance")
    return msgspec.structs.replace(
        section,
        rest_url=section.rest_url or f"http://{_HOST}:{sim.rest_port}",
        stream_url=section.stream_url or f"ws://{_HOST}:{sim.stream_port}",
    )


def _kis(source: ConfigSource, settings: Settings, sim: KisSimulatorSettings) -> KisSettings:
    section = source.load(KisSettings, "brokers.kis")
    if section.environment is not Environment.PAPER:
        raise ConfigError(
            f"{source.origin('brokers.kis.environment')}: brokers.kis.environment is "
            f"{section.environment}; accepted: paper (real money is not built yet)"
        )
    filled = msgspec.structs.replace(
        section,
        rest_url=section.rest_url or f"http://{_HOST}:{sim.rest_port}",
        stream_url=section.stream_url or f"ws://{_HOST}:{sim.stream_port}",
        account=section.account or sim.account,
        product=section.product or sim.product,
        user_id=section.user_id or sim.user_id,
        calls_per_s=section.calls_per_s or sim.calls_per_s,
        ledger_calls_per_s=section.ledger_calls_per_s or sim.ledger_calls_per_s,
        token_path=section.token_path or str(settings.instance.root / "trading/kis-token.json"),
    )
    require_loopback(source, "brokers.kis.rest_url", filled.rest_url)
    require_loopback(source, "brokers.kis.stream_url", filled.stream_url)
    return filled


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
