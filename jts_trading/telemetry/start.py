"""Logs of a command or a part: where the composition root starts them.

Every line goes to stderr, masked: the terminal for a command, `run/logs/<part>.log` for a part,
because the supervisor keeps its stderr there.
"""

import re
from urllib.parse import unquote

from jts_trading.config.logs import LoggingSettings
from jts_trading.config.settings import Settings, load_settings
from jts_trading.config.source import ConfigError
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
        settings = load_settings()
    except ConfigError:
        pass
    else:
        logging = settings.logging
        _hide_passwords(settings)
    configure_logging(logging, console.REDACTOR)
    log_uncaught()


def _hide_passwords(settings: Settings) -> None:
    for section in (settings.hot, settings.postgres, settings.redis, settings.dagster):
        found = _PASSWORD.search(section.dsn)
        if found is not None:
            for spelling in {found["password"], unquote(found["password"])}:
                console.REDACTOR.register(Secret(spelling))
