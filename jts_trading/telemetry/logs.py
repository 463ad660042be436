"""Structured logs: one JSON object a line, UTC, secrets masked, to stderr.

Both structlog's loggers and those of libraries end in one handler, so nothing reaches the stream
past the redaction. A line is masked twice: fields by their name before they are written, and the
finished line by the values that the `Redactor` knows, which also catches texts of exceptions and
reprs. JSON escapes CR and LF; the other line separators of Unicode are escaped here, so that no
value can forge a line.

Only the composition root calls `configure_logging`; a logger is `structlog.get_logger()`.
"""

import contextlib
import json
import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from jts_trading.config.logs import LoggingSettings
from jts_trading.telemetry.secrets import MASK, Redactor, Secret, is_secret_name

_SEPARATORS = {ord(c): f"\\u{ord(c):04x}" for c in "\u0085\u2028\u2029\u007f"}
_DEPTH_MAX = 12
_FIRST = ("timestamp", "level", "event")
_TEXT = (str, bytes, bytearray)
# Libraries that tell of every request or connection: what we log of them has a name of ours.
_TALKATIVE = ("httpx", "httpcore", "websockets")


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes lines; a line that fails to format says only that it failed."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging names it
        """Report the failure without the record, whose arguments are not masked."""
        # A closed pipe at the end of a process is no reason to fail where something was logged.
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(f'{{"event": "log_failed", "logger": {json.dumps(record.name)}}}\n')


def configure_logging(
    settings: LoggingSettings, redactor: Redactor, stream: TextIO | None = None
) -> LogHandler:
    """Send every log line of the process to one stream.

    Calling it again replaces the handler of the earlier call.

    Args:
        settings: Section `logging`.
        redactor: Knows the values to mask; may learn more later.
        stream: Where lines go; stderr when None.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = LogHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                mask_named_fields,
                LineRenderer(redactor, as_text=settings.format == "text"),
            ],
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, LogHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    for name in _TALKATIVE:
        quiet = logging.DEBUG if settings.level == "debug" else logging.WARNING
        logging.getLogger(name).setLevel(quiet)
    return handler


def log_uncaught() -> None:
    """Write exceptions that end a thread or the process as masked log lines.

    The interpreter would print them with their texts as they are. Ctrl-C stays silent.
    """

    def crashed(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            structlog.get_logger(__name__).critical("crashed", exc_info=(kind, error, at))

    def thread_crashed(crash: threading.ExceptHookArgs) -> None:
        if crash.exc_value is not None:
            crashed(crash.exc_type, crash.exc_value, crash.exc_traceback)

    sys.excepthook = crashed
    threading.excepthook = thread_crashed


def mask_named_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask every field, at any depth, whose name says that it holds a secret."""
    return {name: _masked(name, value, 0) for name, value in event.items()}


def _masked(name: object, value: Any, depth: int) -> Any:
    if isinstance(value, Secret) or (isinstance(name, str) and is_secret_name(name)):
        return MASK
    if depth >= _DEPTH_MAX:
        return "..."
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _masked(key, inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, Sequence | AbstractSet) and not isinstance(value, _TEXT):
        return [_masked(None, inner, depth + 1) for inner in value]
    return value


class LineRenderer:
    """The last processor: a dictionary becomes one masked line.

    Args:
        redactor: Knows the values to mask.
        as_text: Write `timestamp level event name=value ...` for people instead.
    """

    def __init__(self, redactor: Redactor, *, as_text: bool = False) -> None:
        self._redactor = redactor
        self._write = _as_text if as_text else _as_json

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        """Return the line, without a line break in it."""
        ordered = {key: event[key] for key in _FIRST if key in event}
        line = self._write({**ordered, **event})
        return self._redactor.text(line).translate(_SEPARATORS)


def _as_json(event: EventDict) -> str:
    return json.dumps(event, ensure_ascii=False, default=repr)


def _as_text(event: EventDict) -> str:
    # Fields are quoted as in JSON, so that no value can look like another field or line.
    first = (str(event[key]) for key in _FIRST if key in event)
    rest = (f"{key}={_as_json(value)}" for key, value in event.items() if key not in _FIRST)
    return " ".join((*(json.dumps(text, ensure_ascii=False)[1:-1] for text in first), *rest))
