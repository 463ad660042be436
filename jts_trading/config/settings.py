"""The settings of one installation, composed once.

Whoever starts a command asks `load_settings()` and passes the sections on; nobody else reads the
configuration. Sections are checked here as far as they can be without a server.
"""

import math
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from jts_trading.config.instance import (
    ClockSettings,
    InstanceSettings,
    StoreSettings,
    load_instance,
)
from jts_trading.config.logs import LoggingSettings
from jts_trading.config.running import at_running_ports
from jts_trading.config.source import ConfigError, ConfigSource, read
from jts_trading.config.trading import TradingSettings, load_trading
from storage.embedded.dsn import normalise_dsn, socket_dsn, without_password
from storage.errors import InputError
from storage.schema.tiers import TierSettings, default_values

_SCHEMES = {"hot": ("http", "https"), "redis": ("redis", "rediss", "unix")}


class DagsterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `dagster`.

    Attributes:
        dsn: The PostgreSQL database of Dagster's runs and events; empty for a database `dagster`
            in the embedded server. `JTS_DAGSTER_PG_URL` overrides it.
    """

    dsn: str = ""


class IndicatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `indicators`.

    Attributes:
        folder: Python files with indicators of your own; a relative path is relative to the
            configuration file. Empty for the native ones only.
    """

    folder: str = ""

    @property
    def own(self) -> Path | None:
        """The folder, or None."""
        return Path(self.folder) if self.folder else None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every section, typed and checked.

    Attributes:
        instance: Data root and ports; while `jts up` runs in this home, its ports.
        hot: The hot store; embedded without a DSN.
        postgres: The ledger's store; embedded without a DSN.
        redis: The bus; embedded without a DSN.
        clock: The instance clock.
        tiers: Places and retention of market data.
        dagster: Where Dagster keeps runs and events.
        logging: Level and format of logs.
        trading: What the daemon trades.
        indicators: Where indicators of your own are.
        file: Absolute path of the file that was read, or None.
    """

    instance: InstanceSettings
    hot: StoreSettings
    postgres: StoreSettings
    redis: StoreSettings
    clock: ClockSettings
    tiers: TierSettings
    dagster: DagsterSettings
    logging: LoggingSettings
    trading: TradingSettings
    indicators: IndicatorSettings = IndicatorSettings()
    file: str | None = None

    @property
    def hot_dsn(self) -> str:
        """The hot store as a URL: the configured one, else the embedded server of `jts up`."""
        return self.hot.dsn or f"http://127.0.0.1:{self.instance.port('clickhouse')}"

    @property
    def postgres_dsn(self) -> str:
        """Our PostgreSQL database as SQLAlchemy wants it: the configured one, else embedded."""
        if self.postgres.dsn:
            return normalise_dsn(self.postgres.dsn)
        return socket_dsn(self.instance.postgres_socket_directory, "jts")

    @property
    def redis_dsn(self) -> str:
        """The Redis server as a URL: the configured one, else the embedded server's socket."""
        return self.redis.dsn or f"unix://{self.instance.redis_socket}"

    @property
    def dagster_url(self) -> str:
        """Dagster's database as SQLAlchemy wants it, with the driver that Dagster ships."""
        if self.dagster.dsn:
            return normalise_dsn(self.dagster.dsn)
        return socket_dsn(self.instance.postgres_socket_directory, "dagster")


# Sections that other rooms declare: `jts_trading.bootstrap` types them. A dot is a table within.
ELSEWHERE = (
    *("risk", "brokers.kis", "brokers.binance", "brokers.paper", "sim.kis", "sim.binance"),
    *("collector", "recorder", "trader", "executor", "reconciler", "notifier"),
)
SECTIONS = (*(name for name in Settings.__struct_fields__ if name != "file"), *ELSEWHERE)


def load_settings(source: ConfigSource | None = None, *, to_start: bool = False) -> Settings:
    """Read the configuration and type every section.

    Args:
        source: What was read; the file and the environment of this run when None.
        to_start: False for the ports of the instance that runs in this home, if one does; True
            for the configured ones, as whoever starts an instance needs them.

    Raises:
        ConfigError: A section, key or variable is unknown, or a value cannot be used.
    """
    source = source or read()
    source.require_sections(SECTIONS)
    instance = load_instance(source)
    return Settings(
        instance=instance if to_start else at_running_ports(instance),
        hot=_store(source, "hot"),
        postgres=_store(source, "postgres"),
        redis=_store(source, "redis"),
        clock=_clock(source),
        tiers=_tiers(source),
        dagster=_dagster(source),
        logging=source.load(LoggingSettings, "logging"),
        trading=load_trading(source),
        indicators=_indicators(source),
        file=source.file,
    )


def _store(source: ConfigSource, section: str) -> StoreSettings:
    settings = source.load(StoreSettings, section)
    _check_dsn(source, section, settings.dsn)
    return settings


def _indicators(source: ConfigSource) -> IndicatorSettings:
    settings = source.load(IndicatorSettings, "indicators")
    if not settings.folder:
        return settings
    return IndicatorSettings(folder=str(source.place(settings.folder, "indicators.folder")))


def _dagster(source: ConfigSource) -> DagsterSettings:
    settings = source.load(DagsterSettings, "dagster")
    named = source.dagster_pg_url
    if named:
        settings = DagsterSettings(dsn=named)
    _check_dsn(source, "dagster", settings.dsn)
    return settings


def _check_dsn(source: ConfigSource, section: str, dsn: str) -> None:
    if not dsn:
        return
    origin = source.origin(f"{section}.dsn")
    if section in {"postgres", "dagster"}:
        try:
            normalise_dsn(dsn)
        except InputError as error:
            what = str(error).replace("postgres.dsn", f"{section}.dsn")
            raise ConfigError(f"{origin}: {what}") from error
    elif urlsplit(dsn).scheme not in _SCHEMES[section]:
        accepted = ", ".join(f"{scheme}://" for scheme in _SCHEMES[section])
        raise ConfigError(
            f"{origin}: {section}.dsn is {without_password(dsn)}; "
            f"accepted: {accepted} or empty for the embedded server"
        )


def _clock(source: ConfigSource) -> ClockSettings:
    settings = source.load(ClockSettings, "clock")
    if not (math.isfinite(settings.speed) and settings.speed > 0):
        raise ConfigError(
            f"{source.origin('clock.speed')}: clock.speed is {settings.speed}; "
            "accepted: a finite number above zero"
        )
    if settings.epoch != "system" and not _is_instant(settings.epoch):
        raise ConfigError(
            f"{source.origin('clock.epoch')}: clock.epoch is {settings.epoch!r}; "
            "accepted: system, or an instant with its offset such as 2025-06-30T16:00:00+09:00"
        )
    return settings


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _tiers(source: ConfigSource) -> TierSettings:
    merged = {**default_values(), **source.values.get("tiers", {})}
    return ConfigSource({"tiers": merged}, source.origins).load(TierSettings, "tiers")
