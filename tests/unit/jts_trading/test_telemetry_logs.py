"""Promises of the log: one JSON line each, in UTC, and no secret by any way in."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
import pytest
import structlog

from jts_trading.config.logs import LoggingSettings
from jts_trading.telemetry.logs import LogHandler, configure_logging
from jts_trading.telemetry.secrets import MASK, Redactor, Secret

CANARY = "canary-7f3a91c2-value"


class Credentials(msgspec.Struct):
    """A struct as brokers have them."""

    account: str
    app_key: str


class Log:
    """What was written, and the redactor in force."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.redactor = Redactor()
        self.handler = configure_logging(
            LoggingSettings(level="debug"), self.redactor, self.stream
        )

    @property
    def text(self) -> str:
        """All lines."""
        return self.stream.getvalue()

    def only(self) -> dict[str, object]:
        """The one line, parsed."""
        lines = self.text.splitlines()
        assert len(lines) == 1, lines
        return json.loads(lines[0])


@pytest.fixture
def log() -> Iterator[Log]:
    """A configured log, taken away again afterwards."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    made = Log()
    yield made
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_log_when_an_event_is_written_then_is_one_json_line_in_utc(log: Log):
    """An event is an object with level, name, fields and a UTC instant."""
    structlog.get_logger("jts.test").info("order_refused", reason="limit", quantity=3)
    line = log.only()

    assert {"event": "order_refused", "reason": "limit", "quantity": 3}.items() <= line.items()
    assert (line["level"], line["logger"]) == ("info", "jts.test")
    assert datetime.fromisoformat(str(line["timestamp"])).utcoffset() == timedelta(0)


def test_log_when_level_is_warning_then_information_is_left_out(log: Log):
    """The level comes from the settings."""
    stream = io.StringIO()
    configure_logging(LoggingSettings(level="warning"), log.redactor, stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]
    assert log.text == ""


def test_log_when_the_format_is_text_then_one_line_for_people_and_no_secret(log: Log):
    """The same event reads from left to right; a line break cannot be forged there either."""
    log.redactor.register(Secret(CANARY))
    configure_logging(LoggingSettings(format="text"), log.redactor, log.stream)
    structlog.get_logger("jts.test").info("moved\non", partition="2024-01", text=f"x {CANARY}")
    (line,) = log.text.splitlines()

    assert " info moved\\non " in line
    assert 'partition="2024-01"' in line
    assert f'text="x {MASK}"' in line


def test_log_when_configured_twice_then_writes_each_line_once(log: Log):
    """The second call replaces the first."""
    configure_logging(LoggingSettings(), log.redactor, log.stream)
    structlog.get_logger().info("once")

    assert log.only()["event"] == "once"
    assert sum(isinstance(h, LogHandler) for h in logging.getLogger().handlers) == 1


def test_log_when_context_is_bound_then_every_line_carries_it(log: Log):
    """A correlation id is bound once."""
    structlog.contextvars.bind_contextvars(correlation_id="c-1")
    logging.getLogger("library").warning("said %s", "this")
    line = log.only()

    assert (line["correlation_id"], line["event"]) == ("c-1", "said this")


@pytest.mark.parametrize("forged", ["a\nb", "a\r\nb", "a\u2028b", "a\u2029b", "a\x85b", "a\x0bb"])
def test_log_when_a_value_holds_a_line_break_then_stays_one_line(log: Log, forged: str):
    """Nobody forges a line, and the value survives."""
    structlog.get_logger().info("frame", text=forged)

    assert log.only()["text"] == forged


def _fail(text: str) -> None:
    raise ValueError(text)


def _log_exception() -> None:
    try:
        _fail(f"token {CANARY} expired")
    except ValueError:
        structlog.get_logger().exception("login_failed")


def _log_foreign_exception() -> None:
    try:
        _fail(f"token {CANARY} expired")
    except ValueError:
        logging.getLogger("library").exception("request to %s failed", f"/x?key={CANARY}")


BY_VALUE = {
    "message": lambda: structlog.get_logger().info(f"sent {CANARY}"),
    "field": lambda: structlog.get_logger().info("sent", text=f"header {CANARY}"),
    "field_name": lambda: structlog.get_logger().info("sent", **{CANARY: 1}),
    "nested": lambda: structlog.get_logger().info("sent", a={"b": [{"c": (CANARY,)}]}),
    "bytes": lambda: structlog.get_logger().info("sent", frame=CANARY.encode()),
    "object": lambda: structlog.get_logger().info("sent", error=ValueError(CANARY)),
    "exception": _log_exception,
    "library_message": lambda: logging.getLogger("library").error("sent %s", CANARY),
    "library_exception": _log_foreign_exception,
    "context": lambda: structlog.get_logger().bind(text=CANARY).info("sent"),
}


@pytest.mark.parametrize("way", BY_VALUE)
def test_log_when_a_registered_value_takes_any_way_in_then_is_masked(log: Log, way: str):
    """A planted secret comes out by none of them."""
    log.redactor.register(Secret(CANARY))
    BY_VALUE[way]()

    assert MASK in json.dumps(log.only())
    assert CANARY not in log.text


BY_NAME = {
    "field": {"app_secret": CANARY},
    "nested": {"request": {"headers": [{"Authorization": f"Bearer {CANARY}"}]}},
    "container": {"tokens": [CANARY, CANARY]},
    "struct": {"settings": Credentials(account="50", app_key=CANARY)},
    "secret": {"value": Secret(CANARY)},
    "secret_in_list": {"values": [Secret(CANARY)]},
    "url": {"dsn": f"redis://jts:{CANARY}@store:6379/0"},
}


@pytest.mark.parametrize("way", BY_NAME)
def test_log_when_a_field_is_secret_by_name_then_is_masked_unregistered(log: Log, way: str):
    """Names protect what nobody registered."""
    structlog.get_logger().info("request_sent", **BY_NAME[way])

    assert MASK in json.dumps(log.only())
    assert CANARY not in log.text


def test_log_when_a_library_passes_wrong_arguments_then_says_so_without_them(
    log: Log, capsys: pytest.CaptureFixture[str]
):
    """A line that cannot be formatted does not fall back to an unmasked dump."""
    log.redactor.register(Secret(CANARY))
    arguments = (CANARY,)
    log.handler.handle(
        logging.LogRecord("library", logging.ERROR, "", 0, "only %s and %s", arguments, None)
    )
    captured = capsys.readouterr()

    assert log.only() == {"event": "log_failed", "logger": "library"}
    assert CANARY not in captured.err + captured.out + log.text


CRASHING = """
import sys, threading
from jts_trading.config.logs import LoggingSettings
from jts_trading.telemetry.logs import configure_logging, log_uncaught
from jts_trading.telemetry.secrets import Redactor, Secret

redactor = Redactor()
redactor.register(Secret(sys.argv[1]))
configure_logging(LoggingSettings(), redactor)
log_uncaught()

def fail():
    raise RuntimeError(f"refused: {sys.argv[1]}")

thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


def test_process_when_it_crashes_then_its_last_words_are_masked():
    """An exception that nobody catches is a masked log line, in a thread and at the end."""
    answer = subprocess.run(
        [sys.executable, "-c", CRASHING, CANARY], capture_output=True, text=True, check=False
    )
    lines = [json.loads(line) for line in answer.stderr.splitlines()]

    assert answer.returncode == 1
    assert [line["event"] for line in lines] == ["crashed", "crashed"]
    assert all(f"refused: {MASK}" in line["exception"] for line in lines)
    assert CANARY not in answer.stderr + answer.stdout


def test_log_when_the_stream_is_closed_then_logging_does_not_raise(log: Log):
    """The end of a pipe does not stop the program that logs."""
    log.stream.close()
    structlog.get_logger().info("late")

    assert log.stream.closed


def test_log_when_a_value_is_deeply_nested_then_ends(log: Log):
    """A structure that holds itself does not hang the log."""
    loop: list[object] = []
    loop.append(loop)
    structlog.get_logger().info("odd", loop=loop)

    assert "..." in log.text


def test_log_when_text_is_korean_then_stays_readable(log: Log):
    """Names of instruments are not escaped."""
    structlog.get_logger().info("listed", name="삼성전자")

    assert "삼성전자" in log.text
