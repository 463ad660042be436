"""What a review finds: each check with its figures, and the decision. Journalled as it is."""

from dataclasses import dataclass

import msgspec

from jts_trading.risk.approval import ApprovedOrder

NOTE_TOPIC = "risk_verdict"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one check.

    Attributes:
        check: Such as R01.
        reason: Why it failed; empty when it passed.
        figures: What was compared with what, as exact text.
    """

    check: str
    is_passed: bool
    reason: str = ""
    figures: dict[str, str] = {}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The whole review of one order.

    Attributes:
        payload_hash: Of exactly the order that was judged.
        limits_version: Of the trading inputs whose limits were applied.
        check: The first check that failed; empty when the order is allowed.
        reason: Why it failed, likewise.
        reduces: Whether it was judged as an order that makes a position smaller.
        findings: Every check, in the order of the table.
    """

    order_id: str
    client_order_id: str
    payload_hash: str
    limits_version: int
    reviewed_ns: int
    is_allowed: bool
    check: str
    reason: str
    reduces: bool
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Denial:
    """The order may not be sent."""

    check: str
    reason: str


@dataclass(frozen=True, slots=True)
class Review:
    """The decision with its verdict; only an allowed order carries an ApprovedOrder."""

    outcome: ApprovedOrder | Denial
    verdict: Verdict
