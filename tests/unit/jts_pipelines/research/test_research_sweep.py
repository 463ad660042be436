"""Sweeps and walk-forwards over made-up outcomes: choosing, counting, judging."""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from jts_pipelines.backtest.returns import return_figures
from jts_pipelines.research.choosing import Method, chooser_for
from jts_pipelines.research.findings import MEANING, FindingCode
from jts_pipelines.research.recording import About
from jts_pipelines.research.running import Outcome, Params
from jts_pipelines.research.scoring import Verdict
from jts_pipelines.research.space import Space, require_inside, space_of
from jts_pipelines.research.sweep import SweepPlan, SweepResult, run_sweep
from jts_pipelines.research.trials import TrialLedger
from jts_pipelines.research.walk_forward import WalkPlan, Window, windows_of
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy
from storage.errors import InputError

TEXT = """strategy("Cross") {
  params {
    fast = 20 in 5..50 step 5
    band = 1.5% in 0.5%..2.5% step 0.5%
    rest = 30m in 30m..2h step 30m
    slow = 50
  }
  indicators { quick = SMA(period: fast) calm = SMA(period: slow) }
  entry.long { when (quick crosses above calm) { buy(quantity: "20%", type: "market") } }
}
"""
ABOUT = About(family="Cross", text_digest="t", venue="KRX", interval="1d", source="sweep")
SESSIONS = tuple(calendar_for("KRX").sessions(date(2014, 1, 2), date(2023, 12, 28)))
DOCS = Path(__file__).resolve().parents[4] / "docs"

Make = Callable[[Params], np.ndarray]


def space(**ranges: str) -> Space:
    """Return the space of the strategy of this file."""
    fixed = [name for name in ("fast", "band", "rest") if name not in ranges]
    return space_of(compile_strategy(TEXT), ranges, fixed)


def runner_of(make: Make) -> Callable[[Sequence[Params]], Iterator[Outcome]]:
    """Return a runner whose outcomes have made-up session returns."""

    def run_all(sets: Sequence[Params]) -> Iterator[Outcome]:
        for params in sets:
            returns = make(params)
            figures = return_figures(returns, 252) | {"trades": 40}
            name = ";".join(f"{key}={value}" for key, value in params.items())
            yield Outcome(params, figures, SESSIONS[: len(returns)], returns, name, "d", 5)

    return run_all


def noise(seed: int, count: int = 500) -> Make:
    """Return nothing but noise, another one for each parameter set."""

    def make(params: Params) -> np.ndarray:
        key = [seed, *(int(float(v.rstrip("%mh")) * 1000) for v in params.values())]
        return np.random.default_rng(key).normal(0, 0.01, count)

    return make


def swept(tmp_path: Path, make: Make, plan: SweepPlan) -> SweepResult:
    """Run a sweep over made-up outcomes."""
    return run_sweep(plan, runner_of(make), TrialLedger(tmp_path / "trials.jsonl"), 1)


def test_space_of_a_text_has_the_values_that_its_ranges_say() -> None:
    """Numbers, percentages and durations, as the text would write them; others stay."""
    found = space_of(compile_strategy(TEXT), {})

    assert found.size == 10 * 5 * 4
    texts = {axis.name: [axis.text(n) for n in range(len(axis.values))] for axis in found.axes}
    assert texts["band"] == ["0.5%", "1%", "1.5%", "2%", "2.5%"]
    assert texts["rest"] == ["30m", "1h", "90m", "2h"]
    assert texts["fast"][:3] == ["5", "10", "15"]
    assert found.params(found.point(0)) == {"fast": "5", "band": "0.5%", "rest": "30m"}
    assert len({found.point(number) for number in range(found.size)}) == found.size


def test_space_when_a_range_is_given_then_it_replaces_that_of_the_text() -> None:
    """A parameter without a range of its own may be swept too."""
    plan = compile_strategy(TEXT)

    found = space_of(plan, {"slow": "40..60..10", "fast": "5..7"}, fixed=["band", "rest"])

    assert {axis.name: axis.text(len(axis.values) - 1) for axis in found.axes} == {
        "fast": "7",
        "slow": "60",
    }


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"fsat": "1..2"}, "no parameter 'fsat'; accepted: fast"),
        ({"fast": "9..2"}, "is no range"),
        ({"fast": "1..x"}, "is no range"),
        ({"fast": "1..2..0"}, "is no range"),
        ({"band": "1..2..1"}, "of percents"),
        ({"band": "1%..2%"}, "without a step"),
        ({"fast": "1..1000000..1"}, "at most 10,000"),
        ({"fast": "1..2..3..4"}, "is no range"),
        ({"fast": "%"}, "is no range"),
    ],
)
def test_space_when_a_range_is_wrong_then_it_says_what_is_accepted(
    ranges: dict[str, str], message: str
) -> None:
    """Nothing is swept that was not meant."""
    with pytest.raises(InputError, match=message):
        space_of(compile_strategy(TEXT), ranges)


def test_space_beyond_the_range_of_the_text_is_refused_before_anything_runs() -> None:
    """The text refuses such values one by one; inside its range, finer steps are welcome."""
    plan = compile_strategy(TEXT)

    require_inside(plan, space_of(plan, {"fast": "5..50..1", "slow": "1..900..1"}))
    with pytest.raises(InputError, match=r"fast=60 lies outside .*ends with 50; widen it there"):
        require_inside(plan, space_of(plan, {"fast": "5..60..5"}))
    with pytest.raises(InputError, match=r"band=0.25% lies outside .*ends with 0.5%; widen"):
        require_inside(plan, space_of(plan, {"band": "0.25%..1%..0.25%"}))


def test_space_of_times_and_money_is_written_as_in_the_text() -> None:
    """Times of day lie a duration apart, amounts keep their currency; from outside too."""
    text = """strategy("Open") {
      timeframes { minute = "1m" }
      params {
        until = 09:30 in 09:10..10:00 step 10m
        amount = 2_000_000 KRW in 1_000_000 KRW..3_000_000 KRW step 1_000_000 KRW
        limit = -1 in -2..0
      }
      entry.long { when (time > until and ZScore(20) > limit) { buy(amount) } }
    }"""
    plan = compile_strategy(text)

    def written(space: Space) -> list[list[str]]:
        return [[axis.text(at) for at in range(len(axis.values))] for axis in space.axes]

    ranges = {
        "until": "09:10 .. 10:00 .. 25m",
        "amount": "1_000_000 KRW..2000000 KRW..1000000 KRW",
        "limit": "-2..-1..0.5",
    }
    found = space_of(plan, {})

    assert written(found) == [
        ["09:10", "09:20", "09:30", "09:40", "09:50", "10:00"],
        ["1000000 KRW", "2000000 KRW", "3000000 KRW"],
        ["-2", "-1", "0"],
    ]
    assert written(space_of(plan, ranges)) == [
        ["09:10", "09:35", "10:00"],
        ["1000000 KRW", "2000000 KRW"],
        ["-2", "-1.5", "-1"],
    ]
    for number in range(found.size):
        compile_strategy(text, params=found.params(found.point(number)))
    for wrong, accepted in (
        ({"until": "09:10..10:00..09:10"}, "of times of day, STEP a duration"),
        ({"amount": "1000000 USD..2000000 USD..1000000 USD"}, "of amounts in KRW"),
        ({"amount": "1000000..2000000..1000000"}, "of amounts in KRW"),
    ):
        with pytest.raises(InputError, match=accepted):
            space_of(plan, wrong)


@pytest.mark.parametrize("method", list(Method))
def test_chooser_when_seeds_are_equal_then_choices_are(method: Method) -> None:
    """And no point is tried twice; TPE learns what was good."""

    def chosen(seed: int) -> list[tuple[int, ...]]:
        tried: list[tuple[int, ...]] = []
        whole = space(fast="1..40..1", band="0.5%..2.5%..0.5%")
        chooser = chooser_for(method, whole, None if method is Method.GRID else 40, seed)
        while points := chooser.ask():
            chooser.tell(points, [-abs(x - 30) - abs(y - 1) for x, y in points])
            tried += points
        return tried

    first = chosen(1)
    assert first == chosen(1)
    assert len(set(first)) == len(first) == (200 if method is Method.GRID else 40)
    if method is Method.TPE:
        late = [abs(x - 30) for x, _ in first[-12:]]
        assert np.mean(late) < np.mean([abs(x - 30) for x, _ in first[:12]])


def test_chooser_when_a_grid_is_larger_than_allowed_then_it_says_what_to_do() -> None:
    """A grid is tried whole or not at all."""
    with pytest.raises(InputError, match="200 points, more than 50; widen the steps"):
        chooser_for(Method.GRID, space(fast="1..40", band="0.5%..2.5%..0.5%"), 50, 1)


def test_chooser_when_a_space_is_huge_then_points_are_drawn_without_listing_it() -> None:
    """Three axes of thousands of values."""
    huge = space(fast="1..5000", band="0.01%..40%..0.01%", rest="1m..5000m..1m")

    (found,) = [chooser_for(Method.RANDOM, huge, 30, 3).ask()]

    assert huge.size > 10**10
    assert len(set(found)) == 30


@pytest.mark.parametrize("seed", range(2))
def test_sweep_over_noise_is_indistinguishable_from_luck(tmp_path: Path, seed: int) -> None:
    """The best of three hundred looks great; the ledger knows better."""
    plan = SweepPlan(about=ABOUT, space=space(fast="1..60", band="0.5%..2.5%..0.5%"))

    found = swept(tmp_path, noise(seed), plan)

    assert found.best_outcome.metrics["sharpe"] > 1.5
    assert found.verdict is Verdict.LUCK
    assert FindingCode.LUCK in {finding.code for finding in found.findings}
    assert found.significance.trials == 300


def test_sweep_over_a_real_hill_is_convincing_and_finds_its_top(tmp_path: Path) -> None:
    """Neighbours share their fate, and the best one earns steadily."""
    chance = np.random.default_rng(1).normal(0, 0.01, 2_000)

    def hill(params: Params) -> np.ndarray:
        edge = 0.0016 - 0.00008 * abs(int(params["fast"]) - 12)
        return chance + edge + noise(3, 2_000)(params) * 0.05

    found = swept(tmp_path, hill, SweepPlan(about=ABOUT, space=space(fast="1..24")))

    assert abs(int(found.best_outcome.params["fast"]) - 12) <= 1
    assert found.verdict is Verdict.CONVINCING
    assert found.findings == ()
    assert found.plateau is not None
    assert not found.plateau.is_needle


def test_sweep_when_repeated_then_trials_count_once_and_others_add_up(tmp_path: Path) -> None:
    """What was tried before on these data weighs on what is tried now."""
    first = swept(tmp_path, noise(1), SweepPlan(about=ABOUT, space=space(fast="1..20")))
    again = swept(tmp_path, noise(1), SweepPlan(about=ABOUT, space=space(fast="1..20")))
    more = swept(tmp_path, noise(1), SweepPlan(about=ABOUT, space=space(fast="11..40")))

    assert (first.significance.trials, first.significance.earlier) == (20, 0)
    assert (again.significance.trials, again.significance.earlier) == (20, 0)
    assert (more.significance.trials, more.significance.earlier) == (40, 10)
    assert first.name == again.name != more.name


def test_sweep_when_sets_are_refused_then_it_goes_on_and_says_so(tmp_path: Path) -> None:
    """One parameter set that cannot run is not the end; all of them are."""

    def run_all(sets: Sequence[Params]) -> Iterator[Outcome]:
        for params in sets:
            if int(params["fast"]) < limit:
                yield Outcome(params, {}, (), np.empty(0), refusal="fast is too small")
            else:
                yield from runner_of(noise(1))([params])

    plan, ledger = (
        SweepPlan(about=ABOUT, space=space(fast="1..9")),
        TrialLedger(tmp_path / "t.jsonl"),
    )
    limit = 4
    found = run_sweep(plan, run_all, ledger, 1)

    assert FindingCode.REFUSED in {finding.code for finding in found.findings}
    assert len(ledger.trials()) == 6
    limit = 100
    with pytest.raises(InputError, match="none of 9 parameter sets has sharpe: fast is too small"):
        run_sweep(plan, run_all, ledger, 1)


@pytest.mark.parametrize("last", [3, 256, 300])
def test_sweep_when_it_is_ended_then_what_it_saw_is_in_the_ledger(
    tmp_path: Path, last: int
) -> None:
    """Who interrupts a sweep that finds nothing has tried all the same."""

    def run_all(sets: Sequence[Params]) -> Iterator[Outcome]:
        for number, params in enumerate(sets):
            if number == last:
                raise KeyboardInterrupt
            yield from runner_of(noise(1))([params])

    ledger = TrialLedger(tmp_path / "t.jsonl")
    plan = SweepPlan(about=ABOUT, space=space(fast="1..400"))
    with pytest.raises(KeyboardInterrupt):
        run_sweep(plan, run_all, ledger, 1)

    assert len(ledger.trials()) == last


def test_windows_when_rolling_or_anchored_then_tests_follow_each_other() -> None:
    """Every session after the first training is tested once; a short rest is a window too."""
    rolling = WalkPlan(about=ABOUT, train=100, test=40)
    anchored = WalkPlan(about=ABOUT, train=100, test=40, is_anchored=True)

    assert windows_of(190, rolling) == [
        Window(0, 100, 140),
        Window(40, 140, 180),
        Window(80, 180, 190),
    ]
    assert windows_of(180, anchored) == [Window(0, 100, 140), Window(0, 140, 180)]
    with pytest.raises(InputError, match="make 0 windows"):
        windows_of(90, rolling)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"train": 3}, "train is 3"), ({"objective": "profit_factor"}, "objective is")],
)
def test_walk_plan_when_it_cannot_be_walked_then_it_is_refused(
    changes: dict[str, object], message: str
) -> None:
    """Closed-trade figures have no part of a training slice."""
    with pytest.raises(InputError, match=message):
        WalkPlan(**{"about": ABOUT, "train": 100, "test": 20, **changes})


def test_score_of_a_part_is_that_of_the_judge_of_the_part() -> None:
    """The annual Sharpe ratio of some sessions."""
    from jts_pipelines.research.scoring import score_of_returns

    returns = noise(9)({"fast": "1"})[100:200]

    found = score_of_returns(returns, "sharpe", 252)

    assert found == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(252))
    assert math.isnan(score_of_returns(returns[:1], "sharpe", 252))


def test_codes_when_listed_then_the_page_has_each_with_its_meaning() -> None:
    """The list is closed: docs/research.md says what each means."""
    page = (DOCS / "research.md").read_text(encoding="utf-8")

    assert set(MEANING) == set(FindingCode)
    assert [code for code in FindingCode if f"| `{code}` | {MEANING[code]} |" not in page] == []
