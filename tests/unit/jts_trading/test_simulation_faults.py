"""Fault files say what goes wrong and when, so that a failure can be repeated."""

from pathlib import Path

import pytest

from jts_trading.simulation.faults import FaultFileError, FaultKind, Stage, read_faults


def test_faults_when_counted_then_each_is_met_in_its_stage(tmp_path: Path):
    """`at` counts from 1 and `count` events in a row; stages are counted apart."""
    path = tmp_path / "faults.json"
    path.write_text(
        '{"faults": [{"kind": "duplicate", "at": 2, "count": 2},'
        ' {"kind": "timeout_after", "at": 1}]}'
    )
    plan = read_faults(path)

    frames = [plan.next(Stage.FRAME) for _ in range(4)]

    assert [fault and fault.kind for fault in frames] == [None, "duplicate", "duplicate", None]
    assert plan.next(Stage.ORDER).kind is FaultKind.TIMEOUT_AFTER
    assert plan.next(Stage.REQUEST) is None
    assert plan.met == {FaultKind.DUPLICATE: 2, FaultKind.TIMEOUT_AFTER: 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"faults": [{"kind": "earthquake", "at": 1}]}',
        '{"faults": [{"kind": "loss", "at": 0}]}',
        '{"faults": [{"kind": "loss", "at": 1, "x": 1}]}',
    ],
)
def test_faults_when_file_is_wrong_then_it_is_named(tmp_path: Path, text: str):
    """A fault that is misspelt would test nothing: refuse it."""
    path = tmp_path / "faults.json"
    path.write_text(text)

    with pytest.raises(FaultFileError, match=r"faults\.json"):
        read_faults(path)
