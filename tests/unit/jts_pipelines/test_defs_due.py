"""Due moves become runs: one per range of neighbours with the same steps."""

from datetime import date

from jts_pipelines.defs.market_data.families import FAMILIES, Family, family_of
from jts_pipelines.defs.spans import contiguous, next_partition
from jts_pipelines.defs.tiers.due import DueRun, due_runs, due_steps
from storage.moves.policy import Action, DueMove

DAILY = FAMILIES[0]
MINUTES = FAMILIES[1]


def _moves(family: Family, key: str, *actions: Action) -> list[DueMove]:
    partition = family.partition(key)
    return [DueMove(partition=partition, action=action, reason="test") for action in actions]


def _runs(family: Family, moves: list[DueMove]) -> list[DueRun]:
    return due_runs(family.venue, family.interval, moves)


def test_due_runs_when_neighbours_need_the_same_then_share_a_run() -> None:
    """Months with the same steps are one range, whatever order the plan lists them in."""
    moves = [
        *_moves(DAILY, "2025-05", Action.EXPORT, Action.EVICT_HOT),
        *_moves(DAILY, "2025-03", Action.EXPORT, Action.EVICT_HOT),
        *_moves(DAILY, "2025-04", Action.EVICT_HOT, Action.EXPORT),
    ]

    assert _runs(DAILY, moves) == [DueRun("2025-03", "2025-05", ("warm_candles", "hot_evicted"))]


def test_due_runs_when_steps_differ_then_runs_are_separate() -> None:
    """A month that also goes to cold is another run than one that only goes to warm."""
    everything = (Action.EXPORT, Action.COPY, Action.EVICT_HOT, Action.EVICT_WARM)
    moves = [*_moves(DAILY, "2025-02", *everything), *_moves(DAILY, "2025-03", Action.EXPORT)]

    first, second = _runs(DAILY, moves)

    assert first.steps == ("warm_candles", "hot_evicted", "cold_candles", "warm_evicted")
    assert (second.first, second.last, second.steps) == ("2025-03", "2025-03", ("warm_candles",))


def test_due_runs_when_a_partition_between_is_not_due_then_range_is_split() -> None:
    """A run covers all keys between its ends, so a key that must not move splits it."""
    moves = [*_moves(DAILY, "2025-01", Action.EXPORT), *_moves(DAILY, "2025-03", Action.EXPORT)]

    assert [run.first for run in _runs(DAILY, moves)] == ["2025-01", "2025-03"]


def test_due_runs_when_only_closed_days_lie_between_then_range_is_whole() -> None:
    """Weekends and the new year holidays of 2018-02-15 and 16 are no partitions."""
    moves = [
        *_moves(MINUTES, "2018-02-14", Action.EXPORT),
        *_moves(MINUTES, "2018-02-19", Action.EXPORT),
    ]

    assert _runs(MINUTES, moves) == [DueRun("2018-02-14", "2018-02-19", ("warm_candles",))]


def test_due_runs_when_moves_belong_to_another_family_then_ignores_them() -> None:
    """Every family has a schedule of its own."""
    assert _runs(DAILY, _moves(MINUTES, "2018-02-14", Action.EXPORT)) == []


def test_partitions_when_daily_bars_then_one_per_month_including_the_open_one() -> None:
    """The running month is a partition, so that today's rows can be looked at."""
    keys = DAILY.partitions().get_partition_keys()

    assert keys[0] == "1985-01"
    assert all(len(key) == 7 for key in keys)
    assert len(keys) == len(set(keys))


def test_partitions_when_minute_bars_then_one_per_session() -> None:
    """Partition keys of a closed past year are exactly the sessions of the calendar."""
    keys = [key for key in MINUTES.partitions().get_partition_keys() if key.startswith("2024-")]

    assert len(keys) == 244
    assert "2024-10-01" not in keys
    assert "2024-04-10" not in keys


def test_partitions_when_walked_by_the_calendar_then_equal_those_of_dagster() -> None:
    """Ranges are cut by the calendar; they must mean the same keys to Dagster."""
    for family in (DAILY, MINUTES, FAMILIES[2]):
        keys = family.partitions().get_partition_keys()[-400:]
        following = [next_partition(family.partition(key)).key for key in keys]

        assert following[:-1] == keys[1:]


def test_due_steps_when_partitions_need_different_moves_then_one_run_per_step() -> None:
    """The demo counts rows after every single move, so each step is a run of its own."""
    moves = [
        *_moves(DAILY, "2025-02", *Action),
        *_moves(DAILY, "2025-03", Action.EXPORT, Action.EVICT_HOT),
    ]

    assert due_steps("KRX", "1d", moves) == [
        DueRun("2025-02", "2025-03", ("warm_candles",)),
        DueRun("2025-02", "2025-03", ("hot_evicted",)),
        DueRun("2025-02", "2025-02", ("cold_candles",)),
        DueRun("2025-02", "2025-02", ("warm_evicted",)),
    ]


def test_contiguous_when_nothing_is_wanted_then_is_empty() -> None:
    """No key, no range."""
    assert contiguous([]) == []


def test_family_of_when_venue_is_known_then_returns_its_family() -> None:
    """A landed file finds its family by folder names; an undeclared one has none."""
    assert family_of("KRX", "1m") is MINUTES
    assert family_of("US", "1d") is None
    assert MINUTES.partition("2018-02-14").from_day == date(2018, 2, 14)
