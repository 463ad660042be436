"""Where one instance lives: its data root, its ports, its clock.

Every path and port of an instance is derived here, so that another `JTS_HOME` with another
`JTS_PORT_BASE` is a second instance beside the first.
"""

import hashlib
import tempfile
from pathlib import Path

import msgspec

from jts_trading.config.source import ConfigError, ConfigSource

# Offsets from `port_base` and the defaults without one: design section 8.
_PORTS = {
    "gateway": (8700, 0),
    "dagster": (3000, 1),
    "code_server": (3001, 2),
    "clickhouse": (8123, 3),
    "sim_kis_rest": (8801, 11),
    "sim_kis_stream": (8802, 12),
    "sim_binance_rest": (8807, 17),
    "sim_binance_stream": (8808, 18),
}


class InstanceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `instance`.

    Attributes:
        home: Data root; relative paths are relative to the working directory.
        port_base: First port of this instance on loopback; the default ports when None.
        gateway_port: Port of the gateway, before the port base and the default.
        dagster_port: Port of Dagster's web server, likewise.
        code_server_port: Port of Dagster's code server, likewise.
        clickhouse_port: HTTP port of the embedded hot store, likewise.
        sim_kis_rest_port: REST of the simulated KIS, likewise.
        sim_kis_stream_port: WebSocket of the simulated KIS, likewise.
        sim_binance_rest_port: REST of the simulated Binance, likewise.
        sim_binance_stream_port: WebSocket of the simulated Binance, likewise.
    """

    home: str = "./var"
    port_base: int | None = None
    gateway_port: int | None = None
    dagster_port: int | None = None
    code_server_port: int | None = None
    clickhouse_port: int | None = None
    sim_kis_rest_port: int | None = None
    sim_kis_stream_port: int | None = None
    sim_binance_rest_port: int | None = None
    sim_binance_stream_port: int | None = None

    @property
    def root(self) -> Path:
        """The data root as an absolute path."""
        return Path(self.home).expanduser().absolute()

    def port(self, part: str) -> int:
        """Return the loopback port of a part, by a name such as `clickhouse` or `sim_kis_rest`."""
        default, offset = _PORTS[part]
        own: int | None = getattr(self, f"{part}_port")
        if own is not None:
            return own
        return default if self.port_base is None else self.port_base + offset

    @property
    def ports(self) -> dict[str, int]:
        """The loopback port of every part that may have one, by its name."""
        return {part: self.port(part) for part in _PORTS}

    @property
    def socket_directory(self) -> Path:
        """A short private directory for Unix sockets, whose paths must stay under 108 bytes."""
        digest = hashlib.sha256(str(self.root).encode()).hexdigest()[:10]
        return Path(tempfile.gettempdir()) / f"jts-{digest}"

    @property
    def postgres_socket_directory(self) -> Path:
        """Directory of the embedded PostgreSQL's socket; its `host` in a DSN."""
        return self.socket_directory / "postgres"

    @property
    def redis_socket(self) -> Path:
        """Unix socket of the embedded Redis."""
        return self.socket_directory / "redis" / "redis.sock"

    @property
    def run_directory(self) -> Path:
        """Pids, states, the shared clock and logs of what runs."""
        return self.root / "run"

    @property
    def log_directory(self) -> Path:
        """One log file per part, and the tracebacks of unexpected errors."""
        return self.run_directory / "logs"

    @property
    def dagster_home(self) -> Path:
        """Dagster's home, where `dagster.yaml` is copied."""
        return self.root / "dagster"


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sections `hot`, `postgres` and `redis`: the DSN of a real server, or the embedded default.

    Attributes:
        dsn: `http://user:password@host:8123/database`, `postgresql://...` or `redis://...`;
            empty for the embedded server.
    """

    dsn: str = ""


class ClockSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `clock`: the affine instance clock, now = epoch + speed x elapsed.

    Attributes:
        epoch: An ISO 8601 instant with its offset, or `system` for the real time.
        speed: Instance seconds per real second; above zero.
    """

    epoch: str = "system"
    speed: float = 1.0


def load_instance(source: ConfigSource) -> InstanceSettings:
    """Load and check the section `instance`.

    Raises:
        ConfigError: The port base leaves no room for the ports of an instance.
    """
    settings = source.load(InstanceSettings, "instance")
    if settings.port_base is not None and not 1024 <= settings.port_base <= 65_500:
        raise ConfigError(f"instance.port_base is {settings.port_base}; accepted: 1024 to 65500")
    for part, port in settings.ports.items():
        if not 1 <= port <= 65_535:
            raise ConfigError(
                f"{source.origin(f'instance.{part}_port')}: instance.{part}_port is "
                f"{port}; accepted: 1 to 65535"
            )
    return settings
