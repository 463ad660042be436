"""Venue codes of KIS and what they mean for us: one table, three classes.

    DecodeError       bytes that are not what the document says (terminal for that frame)
    VenueBusyError    a limit or a fault of the gateway that passes (TransientError)
    TokenError        the access token is expired or unknown (TransientError: get another)
    VenueRefusedError the request is wrong or not allowed (TerminalError)
    UnknownOutcome    of an order only: it may or may not exist

A code that is not in the table is transient for a query and unknown for an order, and is logged
as `kis_code_unknown` so that a person adds it.
"""

from enum import StrEnum
from typing import NamedTuple

import structlog

from jts_trading.domain.errors import JtsError, TerminalError, TransientError, UnknownOutcome


class DecodeError(TerminalError):
    """Bytes of the venue that cannot be read.

    Attributes:
        reason: Short and of a small set, fit for a metric label.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class VenueBusyError(TransientError):
    """The venue refused for now; nothing was done."""


class TokenError(TransientError):
    """The access token is not accepted; nothing was done."""


class VenueRefusedError(TerminalError):
    """The venue refused for good; nothing was done."""


class Outcome(StrEnum):
    """What a code says about the request that it answers."""

    BUSY = "busy"
    TOKEN = "token"  # noqa: S105 - a class of code
    REFUSED = "refused"
    # The gateway broke: harmless for a query, for an order nobody knows.
    BROKEN = "broken"


class Verdict(NamedTuple):
    """The class of a code, and whether the table knows it."""

    outcome: Outcome
    is_known: bool


# brokers/kis sections 3 and 8.1. Codes of success are left out: they vary, rt_cd decides.
CODES: dict[str, tuple[Outcome, str]] = {
    "EGW00001": (Outcome.BROKEN, "temporary fault"),
    "EGW00002": (Outcome.BROKEN, "server fault"),
    "EGW00003": (Outcome.REFUSED, "access denied"),
    "EGW00004": (Outcome.REFUSED, "not authorised"),
    "EGW00103": (Outcome.REFUSED, "app key is not valid"),
    "EGW00105": (Outcome.REFUSED, "app secret is not valid"),
    "EGW00121": (Outcome.TOKEN, "token is not valid"),
    "EGW00122": (Outcome.TOKEN, "token is missing"),
    "EGW00123": (Outcome.TOKEN, "token has expired"),
    "EGW00131": (Outcome.REFUSED, "hash key is not valid"),
    "EGW00133": (Outcome.BUSY, "one token a minute"),
    "EGW00201": (Outcome.BUSY, "calls per second of the app key"),
    "EGW00202": (Outcome.BROKEN, "gateway routing"),
    "EGW00203": (Outcome.BROKEN, "gateway routing"),
    "EGW00213": (Outcome.REFUSED, "not a transaction of the paper host"),
    "EGW00215": (Outcome.BUSY, "calls per second of the account ledger"),
    "EGW00300": (Outcome.BROKEN, "gateway time-out"),
    "EGW00301": (Outcome.BROKEN, "outcome unknown: check the last transaction"),
    "EGW00302": (Outcome.BROKEN, "outcome unknown: check the last transaction"),
    "EGW00303": (Outcome.BROKEN, "gateway time-out"),
    "EGW00304": (Outcome.BROKEN, "gateway time-out"),
    "EGW02004": (Outcome.REFUSED, "key of the other environment"),
    "APBK0656": (Outcome.REFUSED, "symbol is not known"),
    "APBK0918": (Outcome.REFUSED, "closed, or no cash, or nothing to sell: read the text"),
    "APBK0919": (Outcome.REFUSED, "closed, or short of cash: read the text"),
    "APBK0952": (Outcome.REFUSED, "more than the account may order"),
    "40030000": (Outcome.REFUSED, "paper: price is off the tick or beyond the limits"),
    "40250000": (Outcome.REFUSED, "paper: more than the account may order"),
    "40580000": (Outcome.REFUSED, "paper market is closed"),
    "OPSQ0002": (Outcome.REFUSED, "unknown service code"),
    "OPSQ2000": (Outcome.REFUSED, "account is not valid"),
    "OPSQ2001": (Outcome.REFUSED, "market code is not valid"),
    "OPSQ2002": (Outcome.REFUSED, "length of a field"),
}
for _number in (*range(101, 121), *range(124, 133)):
    CODES.setdefault(f"EGW{_number:05d}", (Outcome.REFUSED, "authorisation parameter"))
for _number in range(204, 215):
    CODES.setdefault(f"EGW{_number:05d}", (Outcome.REFUSED, "gateway parameter"))


class StreamOutcome(StrEnum):
    """What to do about an answer on the socket."""

    REGISTERED = "registered"
    REMOVED = "removed"
    RETRY = "retry"
    FULL = "full"
    NEW_KEY = "new_key"
    IN_USE = "in_use"
    PERMANENT = "permanent"


STREAM_CODES: dict[str, StreamOutcome] = {
    "OPSP0000": StreamOutcome.REGISTERED,
    "OPSP0001": StreamOutcome.REMOVED,
    "OPSP0002": StreamOutcome.REGISTERED,
    "OPSP0003": StreamOutcome.REMOVED,
    "OPSP0007": StreamOutcome.RETRY,
    "OPSP0008": StreamOutcome.FULL,
    "OPSP0009": StreamOutcome.RETRY,
    "OPSP0010": StreamOutcome.NEW_KEY,
    "OPSP0011": StreamOutcome.NEW_KEY,
    "OPSP8996": StreamOutcome.IN_USE,
}


def classify(code: str) -> Verdict:
    """Return what a code of REST means; an unknown one counts as a broken gateway."""
    found = CODES.get(code)
    return Verdict(Outcome.BROKEN, is_known=False) if found is None else Verdict(found[0], True)


def classify_stream(code: str) -> StreamOutcome:
    """Return what an answer on the socket means; all that the table lacks is permanent."""
    return STREAM_CODES.get(code, StreamOutcome.PERMANENT)


def error_for(code: str, text: str, *, is_order: bool) -> JtsError:
    """Return the error for a refusal by REST; the caller raises it.

    Args:
        code: The venue's code.
        text: The venue's words.
        is_order: Whether the request changes an order: then doubt is `UnknownOutcome`.
    """
    verdict = classify(code)
    if not verdict.is_known:
        structlog.get_logger().error("kis_code_unknown", code=code, text=text, is_order=is_order)
    message = f"KIS {code}: {text.strip()}"
    match verdict.outcome:
        case Outcome.BUSY:
            return VenueBusyError(message)
        case Outcome.TOKEN:
            return TokenError(message)
        case Outcome.REFUSED:
            return VenueRefusedError(message)
        case Outcome.BROKEN:
            return UnknownOutcome(message) if is_order else VenueBusyError(message)
