"""From what was tried to the ledger of trials."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.research.findings import Finding, FindingCode
from jts_pipelines.research.running import Outcome, outcome_of
from jts_pipelines.research.trials import Slice, Trial, TrialLedger
from jts_trading.dsl.plan import Plan

# Trials that are written down at one time.
_WRITTEN_EACH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the trials of one sweep have in common.

    Attributes:
        family: Name of the strategy.
        text_digest: See `text_digest`.
        venue: Where it trades.
        interval: Of the bars.
        source: backtest, sweep or walk_forward.
        holdouts: Opened hold-outs that the data reach into.
        tried_by: Who asked, where that is known.
    """

    family: str
    text_digest: str
    venue: str
    interval: str
    source: str
    holdouts: tuple[str, ...] = ()
    tried_by: str = ""


def about_plan(plan: Plan, *, venue: str, interval: str, source: str, tried_by: str = "") -> About:
    """Return what trials of a plan have in common."""
    return About(
        family=plan.name,
        text_digest=plan.digest,
        venue=venue,
        interval=interval,
        source=source,
        tried_by=tried_by,
    )


def trials_of(outcomes: Iterable[Outcome], about: About) -> list[Trial]:
    """Return the trials of outcomes; parameter sets that were refused saw no data."""
    return [_trial(outcome, about) for outcome in outcomes if outcome.run]


def written_down(
    outcomes: Iterable[Outcome], about: About, ledger: TrialLedger, at_ns: int
) -> Iterator[Outcome]:
    """Yield outcomes and write them down by and by: what a sweep saw that was ended was seen.

    Args:
        outcomes: As they come.
        about: What they have in common.
        ledger: Of the instance.
        at_ns: Instance time, UTC ns.

    Raises:
        StorageError: The ledger is damaged or cannot be written.
    """
    seen: list[Outcome] = []
    try:
        for outcome in outcomes:
            seen.append(outcome)
            yield outcome
            if len(seen) == _WRITTEN_EACH:
                ledger.add(trials_of(seen, about), at_ns)
                seen = []
    finally:
        ledger.add(trials_of(seen, about), at_ns)


def doubts_of_trials(outcomes: Sequence[Outcome], about: About) -> list[Finding]:
    """Return what is to be doubted about trials, whichever of them is the best."""
    found = []
    looking = sum(outcome.is_looking_ahead for outcome in outcomes)
    if looking:
        text = f"{looking} trials changed their decisions when later bars were cut off"
        found.append(Finding(FindingCode.LOOK_AHEAD, text))
    refused = [outcome for outcome in outcomes if outcome.refusal]
    if refused:
        text = f"{len(refused)} parameter sets were refused, the first: {refused[0].refusal}"
        found.append(Finding(FindingCode.REFUSED, text))
    if about.holdouts:
        text = f"the trials saw opened hold-outs: {', '.join(about.holdouts)}"
        found.append(Finding(FindingCode.HOLDOUT_SEEN, text))
    return found


def note_backtest(
    ledger: TrialLedger, result: BacktestResult, about: About, at_ns: int
) -> list[Trial]:
    """Write one backtest down; return the trials of its family on its data, itself included.

    Raises:
        StorageError: The ledger is damaged or cannot be written.
    """
    ledger.add([_trial(outcome_of(result.params, result), about)], at_ns)
    facts = result.facts
    return ledger.trials(about.family, Slice(about.venue, facts.first_day, facts.last_day))


def _trial(outcome: Outcome, about: About) -> Trial:
    return Trial(
        family=about.family,
        text_digest=about.text_digest,
        params=dict(outcome.params),
        venue=about.venue,
        interval=about.interval,
        from_day=outcome.sessions[0],
        to_day=outcome.sessions[-1],
        instruments=outcome.instruments,
        data_digest=outcome.data_digest,
        run=outcome.run,
        source=about.source,
        sessions=len(outcome.returns),
        sharpe=outcome.sharpe,
        trades=outcome.trades,
        holdouts=about.holdouts,
        tried_by=about.tried_by,
    )
