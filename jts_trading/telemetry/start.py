"""Logs of a command or a part: where the composition root starts them.

Every line goes to stderr, masked: the terminal for a command, `run/logs/<part>.log` for a part,
because the supervisor keeps its stderr there. The first one may say that a configured port does
not count, because the instance that runs in this home was started with another.
"""

import re
from urllib.parse import unquote

from jts_trading.config.instance import load_instance
from jts_trading.config.logs import LoggingSettings
from jts_trading.config.settings import Settings, load_settings
from jts_trading.config.source import ConfigError, ConfigSource, read
from jts_trading.telemetry import console
from jts_trading.telemetry.logs import configure_logging, log_uncaught
from jts_trading.telemetry.secrets import Secret

# Up to the last @ of the place: people paste passwords without quoting them for a URL.
_PASSWORD = re.compile(r"://[^:/?#]*:(?P<password>[^?#]*)@")


def start_logs() -> None:
    """Send every log line of this process to stderr, without the secrets of the configuration.

    A configuration that cannot be read is reported by whoever needs it; until then the defaults
    serve, so that `jts strategy check` works beside a broken `jts.toml`.
    """
    logging = LoggingSettings()
    try:
        source = read()
        settings = load_settings(source)
    except ConfigError:
        pass
    else:
        logging = settings.logging
        _hide_passwords(settings)
        _tell_other_ports(source, settings)
    configure_logging(logging, console.REDACTOR)
    log_uncaught()


def _hide_passwords(settings: Settings) -> None:
    for section in (settings.hot, settings.postgres, settings.redis, settings.dagster):
        found = _PASSWORD.search(section.dsn)
        if found is not None:
            for spelling in {found["password"], unquote(found["password"])}:
                console.REDACTOR.register(Secret(spelling))


def _tell_other_ports(source: ConfigSource, settings: Settings) -> None:
    """Say in one line which configured ports wait for the next start; defaults are no wish."""
    asked, used = load_instance(source), settings.instance
    keys = ("port_base", *(f"{part}_port" for part in asked.ports))
    named = next((key for key in keys if getattr(asked, key) is not None), None)
    others = [f"{part} {port}" for part, port in used.ports.items() if port != asked.port(part)]
    if named is None or not others:
        return
    console.note(
        f"jts: {source.origin(f'instance.{named}')}: instance.{named} counts from the next start; "
        f"what runs in {used.root} has {', '.join(others)}"
    )
