"""What the checks of `candles` say about the numbers of a partition."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from jts_pipelines.defs.facts import PartitionFacts, Verdict, fold, judge
from jts_trading.domain.sessions import calendar_for
from storage.schema.partitions import parse_partition

KRX = calendar_for("KRX")
FIRST = parse_partition("candles", "KRX", "1m", "2025-06-02")
SECOND = parse_partition("candles", "KRX", "1m", "2025-06-04")
KNOWN = (date(2025, 6, 2), date(2025, 6, 4))


def _day(day: date, tier: str = "hot", **changes: Any) -> dict[str, Any]:
    sums = dict.fromkeys(("open_sum", "high_sum", "low_sum", "close_sum", "volume_sum"), "70000")
    counts = dict.fromkeys(("halted", "duplicates", "disordered", "unpositive"), 0)
    return {"day": day, "tier": tier, "rows": 381, "symbols": 1, **counts, **sums, **changes}


def _facts(*days: Mapping[str, Any]) -> list[PartitionFacts]:
    return fold([FIRST, SECOND], days)


def _verdict(name: str, facts: list[PartitionFacts]) -> Verdict:
    return {verdict.check: verdict for verdict in judge(facts, calendar=KRX, known=KNOWN)}[name]


def test_judge_when_everything_is_sound_then_every_check_passes() -> None:
    """Two full sessions with a holiday (election of 2025-06-03) between them are no problem."""
    facts = _facts(_day(FIRST.from_day), _day(SECOND.from_day))

    verdicts = judge(facts, calendar=KRX, known=KNOWN)

    assert [verdict.count for verdict in verdicts] == [0, 0, 0, 0, 0, 0]
    assert [fact.rows for fact in facts] == [381, 381]


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("keys_unique", {"duplicates": 3}),
        ("prices_ordered", {"disordered": 3}),
        ("prices_positive", {"unpositive": 3}),
    ],
)
def test_judge_when_rows_offend_then_names_the_worst_partition(
    check: str, change: dict[str, int]
) -> None:
    """A failed check says how many rows, and in which partition most of them are."""
    lesser = dict.fromkeys(change, 1)
    facts = _facts(_day(FIRST.from_day, **lesser), _day(SECOND.from_day, **change))

    verdict = _verdict(check, facts)

    assert (verdict.count, verdict.worst, verdict.blocks) == (4, "2025-06-04", True)
    assert "worst is 2025-06-04 with 3" in verdict.found


def test_judge_when_a_partition_is_empty_then_blocks() -> None:
    """A partition without rows is neither green nor archived."""
    verdict = _verdict("rows_present", _facts(_day(FIRST.from_day)))

    assert (verdict.count, verdict.worst, verdict.blocks) == (1, "2025-06-04", True)


def test_judge_when_a_session_between_known_ones_is_missing_then_warns() -> None:
    """A gap is said, but rows that exist may still be moved."""
    month = parse_partition("candles", "KRX", "1d", "2025-06")
    days = [_day(date(2025, 6, day), rows=5) for day in (2, 4, 9)]

    verdict = {
        verdict.check: verdict
        for verdict in judge(
            fold([month], days), calendar=KRX, known=(date(2025, 6, 2), date(2025, 6, 9))
        )
    }["sessions_covered"]

    assert (verdict.count, verdict.worst, verdict.blocks) == (1, "2025-06", False)


def test_judge_when_rows_lie_on_a_holiday_then_blocks() -> None:
    """A bar on a day without a session is an error of its source."""
    month = parse_partition("candles", "KRX", "1d", "2025-06")
    facts = fold([month], [_day(date(2025, 6, 3)), _day(date(2025, 6, 4))])

    verdict = _verdict("sessions_only", facts)

    assert (verdict.count, verdict.blocks) == (1, True)


def test_fold_when_rows_change_their_tier_then_digest_stays() -> None:
    """The digest names the content, wherever it lies; late rows beside a file count as one."""
    split = {"open_sum": "30000", "rows": 200}, {"open_sum": "40000", "rows": 181}
    zero = dict.fromkeys(("high_sum", "low_sum", "close_sum", "volume_sum"), "35000")
    whole = fold([FIRST], [_day(FIRST.from_day, "cold")])[0]
    parts = fold(
        [FIRST],
        [
            _day(FIRST.from_day, "cold", **{**zero, **split[0]}),
            _day(FIRST.from_day, "hot", **{**zero, **split[1]}),
        ],
    )[0]

    assert whole.digest == parts.digest
    assert parts.tiers == {"cold": 200, "hot": 181}
    assert whole.digest != fold([FIRST], [_day(FIRST.from_day, close_sum="70001")])[0].digest
