"""What a strategy has to show before it may be released, and the record of it; pure of Dagster.

Evidence is written by the run that gathers it and read by the one that releases, so a person can
look in between. Both lie in `<home>/research/releases/<key>/`, beside the text itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from jts_trading.ports.approvals import APPROVAL, RELEASES, text_digest
from storage.errors import InputError

if TYPE_CHECKING:
    from jts_pipelines.backtest.result import BacktestResult
    from jts_pipelines.research.walk_forward import WalkResult

CANDIDATES = Path("strategies")
"""Where texts wait to become candidates, below the home."""

TRADES_MIN = 30

GATES: Mapping[str, str] = {
    "decisions_are_causal": "no decision changed when later bars were cut off",
    "nothing_serious": "no serious warning stands beside the result (docs/research.md)",
    "enough_trades": f"at least {TRADES_MIN} trades were closed",
    "not_luck": "the deflated Sharpe ratio over all trials is at least 0.95",
    "holds_outside": "a walk-forward earned money outside, beyond doubt",
}
"""Checks by name; all of them must pass."""

_OUTSIDE_KEY = re.compile(r"[^\w가-힣-]+")


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was found about a candidate.

    Attributes:
        key: Of the candidate.
        strategy: Name in the text.
        backtest: Name of the run.
        walk_forward: Name of the walk-forward; empty where there was none.
        passed: By gate.
        notes: By gate: what was found.
        gathered_at_ns: Instance time, UTC ns.
    """

    key: str
    strategy: str
    backtest: str
    walk_forward: str
    passed: dict[str, bool]
    notes: dict[str, str]
    gathered_at_ns: int


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A released strategy.

    Attributes:
        evidence: What it was released on.
        overridden: Gates that were closed and opened by hand.
        by: Who did that; empty where nobody had to.
        reason: Why.
        approved_at_ns: Instance time, UTC ns.
    """

    evidence: Evidence
    overridden: tuple[str, ...]
    by: str
    reason: str
    approved_at_ns: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A strategy text that waits for its evidence."""

    key: str
    text: str


def candidate_of(path: Path) -> Candidate:
    """Return the candidate in a file; its key is the file's name with a digest of its text.

    Raises:
        InputError: It is no text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    name = _OUTSIDE_KEY.sub("-", path.stem).strip("-") or "strategy"
    return Candidate(f"{name}@{text_digest(text)}", text)


def waiting_candidates(home: Path) -> list[Candidate]:
    """Return the texts in the folder of candidates, by name.

    Raises:
        InputError: One is no text.
    """
    return [candidate_of(path) for path in sorted((home / CANDIDATES).glob("*.jts"))]


def keep_candidate(home: Path, candidate: Candidate) -> Path:
    """Keep the text of a candidate where nobody edits it; return its path.

    Raises:
        OSError: It cannot be written.
    """
    path = home / RELEASES / candidate.key / "strategy.jts"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(candidate.text, encoding="utf-8")
    return path


def text_of(home: Path, key: str) -> Path:
    """Return where the text of a candidate is kept.

    Raises:
        InputError: There is no such candidate.
    """
    path = home / RELEASES / key / "strategy.jts"
    if not path.is_file():
        raise InputError(f"no candidate {key!r}: put its text into {home / CANDIDATES}")
    return path


def judge(
    key: str,
    result: "BacktestResult",
    walked: "WalkResult | None",
    runs: tuple[str, str],
    at_ns: int,
) -> Evidence:
    """Return the evidence of a candidate.

    Args:
        key: Of the candidate.
        result: Its backtest.
        walked: Its walk-forward; None where the text has no parameters with a range, so that
            nothing was chosen on past data.
        runs: Names of both.
        at_ns: Instance time, UTC ns.
    """
    from jts_pipelines.backtest.cautions import SERIOUS
    from jts_pipelines.research.scoring import Verdict
    from jts_pipelines.research.significance import CONVINCING

    serious = [str(found) for found in result.cautions if found.code in SERIOUS]
    chance = result.deflated_sharpe
    found = {
        "decisions_are_causal": (result.prefix.is_invariant, result.prefix.difference or "none"),
        "nothing_serious": (not serious, "; ".join(serious) or "none"),
        "enough_trades": (result.closed_trades >= TRADES_MIN, f"{result.closed_trades} closed"),
        "not_luck": (
            chance is not None and chance >= CONVINCING,
            f"{chance if chance is None else round(chance, 4)} after {result.trials} trials",
        ),
        "holds_outside": (
            walked is None or walked.verdict is Verdict.CONVINCING,
            "nothing was chosen: the text has no ranges" if walked is None else walked.verdict,
        ),
    }
    return Evidence(
        key=key,
        strategy=result.strategy,
        backtest=runs[0],
        walk_forward=runs[1],
        passed={name: is_passed for name, (is_passed, _) in found.items()},
        notes={name: str(note) for name, (_, note) in found.items()},
        gathered_at_ns=at_ns,
    )


def keep_evidence(home: Path, evidence: Evidence) -> Path:
    """Write evidence down; newer evidence replaces older.

    Raises:
        OSError: It cannot be written.
    """
    path = home / RELEASES / evidence.key / "evidence.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(evidence), indent=2) + b"\n")
    return path


def approve(home: Path, key: str, *, by: str, reason: str, at_ns: int) -> Approval:
    """Release a candidate on its evidence.

    Args:
        home: Root of the instance.
        key: Of the candidate.
        by: Who opens closed gates; empty for nobody.
        reason: Why.
        at_ns: Instance time, UTC ns.

    Raises:
        InputError: There is no evidence, or a gate is closed and nobody opens it with a reason.
    """
    path = home / RELEASES / key / "evidence.json"
    if not path.is_file():
        raise InputError(f"{key} has no evidence; run its backtest and walk-forward first")
    try:
        evidence = msgspec.json.decode(path.read_bytes(), type=Evidence)
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: no evidence of this version: {error}") from error
    closed = tuple(name for name in GATES if not evidence.passed.get(name, False))
    if closed and not (by.strip() and reason.strip()):
        notes = ", ".join(f"{name} ({evidence.notes.get(name, 'missing')})" for name in closed)
        raise InputError(f"{key} may not be released: {notes}; who opens it needs name and reason")
    approval = Approval(
        evidence=evidence,
        overridden=closed,
        by=by if closed else "",
        reason=reason if closed else "",
        approved_at_ns=at_ns,
    )
    kept = home / RELEASES / key / APPROVAL
    kept.write_bytes(msgspec.json.format(msgspec.json.encode(approval), indent=2) + b"\n")
    return approval
