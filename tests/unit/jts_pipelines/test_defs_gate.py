"""What a strategy has to show before it is released, and who may let it through."""

from pathlib import Path

import msgspec
import pytest

from jts_pipelines.defs.research import gate
from jts_pipelines.defs.research.gate import GATES, Approval, Evidence
from storage.errors import InputError


def evidence(**closed: str) -> Evidence:
    """Return evidence in which some gates are closed."""
    return Evidence(
        key="cross@abc",
        strategy="Cross",
        backtest="r1",
        walk_forward="w1",
        passed={name: name not in closed for name in GATES},
        notes={name: closed.get(name, "fine") for name in GATES},
        gathered_at_ns=1,
    )


def test_candidate_when_its_text_changes_then_it_is_another_one(tmp_path: Path) -> None:
    """The key is the file's name and its text; a copy stays where nobody edits it."""
    folder = tmp_path / gate.CANDIDATES
    folder.mkdir()
    (folder / "이동 평균.jts").write_text("one", encoding="utf-8")

    (first,) = gate.waiting_candidates(tmp_path)
    kept = gate.keep_candidate(tmp_path, first)
    (folder / "이동 평균.jts").write_text("two", encoding="utf-8")
    (second,) = gate.waiting_candidates(tmp_path)

    assert first.key.startswith("이동-평균@")
    assert first.key != second.key
    assert gate.text_of(tmp_path, first.key) == kept
    assert kept.read_text(encoding="utf-8") == "one"
    with pytest.raises(InputError, match="put its text into"):
        gate.text_of(tmp_path, second.key)


def test_release_when_every_gate_is_open_then_nobody_is_asked(tmp_path: Path) -> None:
    """The release holds its evidence."""
    gate.keep_evidence(tmp_path, evidence())

    found = gate.approve(tmp_path, "cross@abc", by="Kim", reason="not needed", at_ns=9)

    assert (found.overridden, found.by, found.reason) == ((), "", "")
    path = tmp_path / gate.RELEASES / "cross@abc" / "release.json"
    assert msgspec.json.decode(path.read_bytes(), type=Approval) == found


@pytest.mark.parametrize(("by", "reason"), [("", ""), ("Kim", " "), ("", "because")])
def test_release_when_a_gate_is_closed_then_it_needs_a_name_and_a_reason(
    tmp_path: Path, by: str, reason: str
) -> None:
    """Half of them is none; the message names the gate and what was found."""
    gate.keep_evidence(tmp_path, evidence(not_luck="0.4 after 300 trials"))

    with pytest.raises(InputError, match=r"not_luck \(0.4 after 300 trials\); who opens it"):
        gate.approve(tmp_path, "cross@abc", by=by, reason=reason, at_ns=9)


def test_release_when_somebody_opens_a_gate_then_it_says_who_which_and_why(
    tmp_path: Path,
) -> None:
    """The override is part of the release."""
    gate.keep_evidence(tmp_path, evidence(not_luck="0.4", enough_trades="12 closed"))

    found = gate.approve(tmp_path, "cross@abc", by="Kim", reason="paper only", at_ns=9)

    assert found.overridden == ("enough_trades", "not_luck")
    assert (found.by, found.reason) == ("Kim", "paper only")


def test_release_without_evidence_is_refused(tmp_path: Path) -> None:
    """Nobody opens gates that were never looked at."""
    with pytest.raises(InputError, match="has no evidence"):
        gate.approve(tmp_path, "cross@abc", by="Kim", reason="x", at_ns=9)
