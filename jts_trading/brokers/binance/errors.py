"""Venue codes of Binance and what they mean for us: one table, three classes.

    DecodeError       bytes that are not what the document says (terminal for that frame)
    VenueBusyError    a limit or a fault that passes (TransientError)
    VenueRefusedError the request is wrong or not allowed (TerminalError)

Only public queries are asked, so nothing here is ever unknown. A code that is not in the table is
transient and is logged as `binance_code_unknown`, so that a person adds it.
"""

from enum import StrEnum

import structlog

from jts_trading.domain.errors import JtsError, TerminalError, TransientError


class DecodeError(TerminalError):
    """Bytes of the venue that cannot be read.

    Attributes:
        reason: Short and of a small set, fit for a metric label.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class VenueBusyError(TransientError):
    """The venue refused for now; nothing was done.

    Attributes:
        retry_after_s: Seconds in which nothing may be asked, by the venue's word; 0 without one.
    """

    def __init__(self, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class VenueRefusedError(TerminalError):
    """The venue refused for good; nothing was done."""


class Outcome(StrEnum):
    """What a code says about the request that it answers."""

    BUSY = "busy"
    REFUSED = "refused"


# brokers/binance section 6, as far as public queries can meet it.
CODES: dict[int, tuple[Outcome, str]] = {
    -1000: (Outcome.BUSY, "unknown error"),
    -1001: (Outcome.BUSY, "disconnected inside the venue"),
    -1002: (Outcome.REFUSED, "unauthorised"),
    -1003: (Outcome.BUSY, "too many requests"),
    -1006: (Outcome.BUSY, "unexpected response inside the venue"),
    -1007: (Outcome.BUSY, "time-out inside the venue"),
    -1008: (Outcome.BUSY, "server busy"),
    -1016: (Outcome.BUSY, "service shutting down"),
    -1020: (Outcome.REFUSED, "unsupported operation"),
    -1034: (Outcome.BUSY, "too many connections"),
    -1112: (Outcome.BUSY, "no orders on the book"),
    -1120: (Outcome.REFUSED, "invalid interval"),
    -1121: (Outcome.REFUSED, "invalid symbol"),
    -1127: (Outcome.REFUSED, "more than the allowed hours"),
    -1130: (Outcome.REFUSED, "invalid value of a parameter"),
    **dict.fromkeys((*range(-1106, -1099), -1108, -1111), (Outcome.REFUSED, "parameter")),
}


def error_for(code: int, text: str, retry_after_s: float = 0.0) -> JtsError:
    """Return the error for a refusal by REST; the caller raises it."""
    known = CODES.get(code)
    if known is None:
        structlog.get_logger().error("binance_code_unknown", code=code, text=text)
    message = f"Binance {code}: {text}"
    if known is not None and known[0] is Outcome.REFUSED:
        return VenueRefusedError(message)
    return VenueBusyError(message, retry_after_s)
