"""From configured instances to a judged document; pure of Dagster."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jts_pipelines.defs.trading_inputs.specs import (
    Candidate,
    InstanceSpec,
    compile_spec,
    require_names,
)
from jts_pipelines.defs.trading_inputs.universe import (
    Standing,
    Warmup,
    interval_of,
    standings,
    warmup_of,
)
from jts_trading.domain.trading_inputs import RiskLimits, TradingInputs
from jts_trading.ports.approvals import not_released, refusal_of

if TYPE_CHECKING:
    from jts_pipelines.defs.house import House

_LISTED_VENUES = frozenset({"KRX", "NXT"})
"""Whose instruments are known from a listing or from bars; others from their spelling."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check over all instances.

    Attributes:
        name: Of the check.
        problems: One line for each offence; empty where it passed.
        found: One line for a person.
    """

    name: str
    problems: tuple[str, ...]
    found: str


@dataclass(frozen=True, slots=True)
class Composed:
    """All instances with what was found about them.

    Attributes:
        known: What is known of each symbol, by instance.
        warmups: By instance that compiles.
    """

    candidates: tuple[Candidate, ...]
    known: Mapping[str, Mapping[str, Standing]]
    warmups: Mapping[str, Warmup]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The checks; nothing may be published while one of them has a problem."""
        return _compiled(self), _instruments(self), _warm(self)

    def document(
        self, version: int, *, created_ns: int, source: str, risk: RiskLimits
    ) -> TradingInputs:
        """Return the document; every instance must have compiled."""
        return TradingInputs(
            version=version,
            created_ns=created_ns,
            source=source,
            instances=tuple(
                each.strategy_input(self.warmups[each.spec.name].epoch) for each in self.candidates
            ),
            risk=risk,
        )


def compose(
    house: "House", specs: Sequence[InstanceSpec], is_kept: Callable[[str, str], bool]
) -> Composed:
    """Compile instances and ask the lake about their instruments and bars.

    Args:
        house: Whose lake to ask.
        specs: What is asked for.
        is_kept: Whether candles of a venue and interval are kept at all.

    Raises:
        InputError: There are none, two have one name, or an epoch is no date.
        OwnIndicatorError: An indicator of the configured folder cannot be used.
        StorageError: A tier does not answer.
    """
    require_names(specs)
    catalog = house.indicators
    compiled = (compile_spec(spec, catalog) for spec in specs)
    if house.settings.trading.requires_approval:
        compiled = (released_only(each, house.root) for each in compiled)
    candidates = tuple(compiled)
    sound = [each for each in candidates if each.plan is not None]
    return Composed(
        candidates,
        {each.spec.name: standings(house, each) for each in sound},
        {
            each.spec.name: warmup_of(
                house, each, is_kept=is_kept(each.spec.wanted.venue, interval_of(each))
            )
            for each in sound
        },
    )


def released_only(candidate: Candidate, home: Path) -> Candidate:
    """Return a candidate that may enter as refused, unless its text was released."""
    wanted = candidate.spec.wanted
    if candidate.plan is None or wanted.status == "paused":
        return candidate
    refusal = refusal_of(home, candidate.spec.text, wanted.params, candidate.catalog)
    if not refusal:
        return candidate
    return replace(candidate, plan=None, refusal=not_released(candidate.spec.name, refusal))


def _compiled(composed: Composed) -> Verdict:
    problems = tuple(
        f"{each.spec.name}: {each.refusal}" for each in composed.candidates if each.refusal
    )
    count = len(composed.candidates) - len(problems)
    return Verdict(
        "strategies_compile", problems, f"{count} of {len(composed.candidates)} compile"
    )


def _instruments(composed: Composed) -> Verdict:
    problems = []
    count = 0
    for each in composed.candidates:
        for symbol, standing in composed.known.get(each.spec.name, {}).items():
            count += 1
            is_known = standing.is_listed or standing.newest is not None
            if each.spec.wanted.venue in _LISTED_VENUES and not is_known:
                problems.append(f"{each.spec.name}: {symbol} is in no listing and has no bars")
            elif standing.status == "halted":
                when = f"its newest bar, {standing.newest}"
                problems.append(f"{each.spec.name}: {symbol} is halted in {when}")
    return Verdict("instruments_tradable", tuple(problems), f"{count} instruments looked up")


def _warm(composed: Composed) -> Verdict:
    problems = tuple(
        f"{name}: {warmup.fewest} has {warmup.present} bars from "
        f"{warmup.epoch or 'any session'}, {warmup.needed} are needed"
        for name, warmup in composed.warmups.items()
        if not warmup.is_enough
    )
    cold = sum(warmup.is_cold for warmup in composed.warmups.values())
    return Verdict(
        "warmup_present", problems, f"{len(composed.warmups)} instances, {cold} start cold"
    )
