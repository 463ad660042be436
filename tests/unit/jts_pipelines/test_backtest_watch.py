"""What a run took, by phase."""

import pytest

from jts_pipelines.backtest.watch import Spent, Watch, peak_mb


def test_watch_when_phases_end_has_their_seconds_and_the_memory_so_far() -> None:
    """Progress is told, the total is the sum, memory never falls from one phase to the next."""
    told: list[str] = []
    watch = Watch(told.append)
    watch.begin("load")
    kept = bytearray(b"x" * (96 << 20))
    watch.begin("prepare")
    spent = watch.stop()

    assert told == ["load", "prepare", "done"]
    assert len(kept) == 96 << 20
    parts = spent.seconds["load"] + spent.seconds["prepare"]
    assert spent.seconds["total"] == pytest.approx(parts, abs=2e-6)
    assert 96 < spent.peak_mb["load"] <= spent.peak_mb["prepare"] <= round(peak_mb(), 1)


def test_spent_of_two_watches_is_one_account_of_both() -> None:
    """Bars are loaded before a run begins: its result says what both took."""
    first = Spent({"load": 1.5, "total": 1.5}, {"load": 300.0})
    both = first.then(Spent({"report": 0.25, "total": 0.25}, {"report": 350.0}))

    assert list(both.seconds.items()) == [("load", 1.5), ("report", 0.25), ("total", 1.75)]
    assert both.peak_mb == {"load": 300.0, "report": 350.0}
    assert Spent().then(first) == first
