"""Faults that a simulator commits on purpose, read from a file; counted, so they repeat exactly.

    {"faults": [{"kind": "disconnect", "at": 100}, {"kind": "timeout_after", "at": 2}]}

`at` counts from 1: data frames for faults of the stream, order requests for time-outs and
`html_after` (the order is taken, the answer is a gateway's page), requests of any kind for
`rate_limit` and `token_expired`.
"""

from collections import Counter
from enum import StrEnum
from pathlib import Path

import msgspec

from jts_trading.domain.errors import TerminalError


class FaultFileError(TerminalError):
    """A fault file that cannot be read; the message says where."""


class FaultKind(StrEnum):
    """What goes wrong."""

    DISCONNECT = "disconnect"
    SILENCE = "silence"
    LOSS = "loss"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    INVALID_UTF8 = "invalid_utf8"
    HTML = "html"
    UNKNOWN_TR = "unknown_tr"
    WIDE = "wide"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    HTML_AFTER = "html_after"
    RATE_LIMIT = "rate_limit"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - the name of a fault


class Stage(StrEnum):
    """What `at` counts."""

    FRAME = "frame"
    ORDER = "order"
    REQUEST = "request"


_STAGES = {
    FaultKind.TIMEOUT_BEFORE: Stage.ORDER,
    FaultKind.TIMEOUT_AFTER: Stage.ORDER,
    FaultKind.HTML_AFTER: Stage.ORDER,
    FaultKind.RATE_LIMIT: Stage.REQUEST,
    FaultKind.TOKEN_EXPIRED: Stage.REQUEST,
}


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault.

    Attributes:
        at: The first event that it meets, counted from 1.
        count: How many events in a row it meets.
        seconds: Length of a silence; the stream then goes on without loss.
    """

    kind: FaultKind
    at: int
    count: int = 1
    seconds: float = 0.0

    @property
    def stage(self) -> Stage:
        """What `at` counts."""
        return _STAGES.get(self.kind, Stage.FRAME)


class _FaultFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    faults: list[Fault]


class FaultPlan:
    """Says at each event which fault is due.

    Args:
        faults: In any order; the first of two due at one event wins.
    """

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._faults = faults
        self.met: Counter[FaultKind] = Counter()
        self._seen: Counter[Stage] = Counter()

    def next(self, stage: Stage) -> Fault | None:
        """Count one event of a stage and return the fault that it meets."""
        self._seen[stage] += 1
        seen = self._seen[stage]
        for fault in self._faults:
            if fault.stage is stage and fault.at <= seen < fault.at + fault.count:
                self.met[fault.kind] += 1
                return fault
        return None


def read_faults(path: Path) -> FaultPlan:
    """Read a fault file (JSON).

    Raises:
        FaultFileError: The file is missing or not of the form above.
    """
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_FaultFile)
    except (OSError, msgspec.DecodeError) as error:
        raise FaultFileError(f"{path}: not a fault file: {error}") from error
    wrong = [fault for fault in file.faults if fault.at < 1 or fault.count < 1]
    if wrong:
        raise FaultFileError(f"{path}: {wrong[0]}: `at` and `count` start at 1")
    return FaultPlan(tuple(file.faults))
