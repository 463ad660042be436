"""What a person configures about a strategy instance, and what it compiles to; pure of Dagster."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import msgspec

from jts_trading.domain.errors import JtsError
from jts_trading.domain.instruments import instrument_id, parse_venue
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.plan import Plan
from jts_trading.strategy.releases import release_of, strategy_id_of
from storage.errors import InputError

COLD = "none"
"""An epoch that says: start without warm-up."""


class InstanceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy instance as it is asked for.

    Attributes:
        instance: Its name.
        text: The strategy text.
        file: How errors name the text.
        params: Values that replace those of the text.
        symbols: The venue's own spelling.
        epoch: First session of the warm-up, ISO date; chosen from the stored bars if empty;
            `none` to start without any.
    """

    instance: str
    text: str
    file: str = "<text>"
    params: dict[str, str] = {}
    broker: str = "kis"
    account: str
    venue: str = "KRX"
    interval: str = "1m"
    symbols: tuple[str, ...]
    allocation: Decimal
    currency: str = "KRW"
    epoch: str = ""
    status: Literal["active", "paused"] = "active"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance with what its text compiles to, or why it does not.

    Attributes:
        plan: None when the text or an instrument is refused.
        refusal: One line; empty with a plan.
    """

    spec: InstanceSpec
    plan: Plan | None
    refusal: str = ""

    @property
    def instrument_ids(self) -> tuple[str, ...]:
        """What it trades, as ids."""
        venue = parse_venue(self.spec.venue)
        return tuple(str(instrument_id(venue, symbol)) for symbol in self.spec.symbols)

    def strategy_input(self, epoch: str) -> StrategyInput:
        """Return the instance as the daemon reads it.

        Args:
            epoch: First session of the warm-up, ISO date, or empty for none.

        Raises:
            ValueError: The text did not compile.
        """
        if self.plan is None:
            raise ValueError(f"{self.spec.instance} did not compile: {self.refusal}")
        release = release_of(self.plan)
        spec = self.spec
        return StrategyInput(
            instance=spec.instance,
            strategy_id=strategy_id_of(release),
            release=release,
            dsl_code=spec.text,
            params=spec.params,
            broker=spec.broker,
            account=spec.account,
            venue=spec.venue,
            interval=spec.interval,
            instrument_ids=self.instrument_ids,
            allocation=spec.allocation,
            currency=spec.currency,
            epoch=epoch,
            status=spec.status,
        )


def compile_spec(spec: InstanceSpec) -> Candidate:
    """Compile an instance; a refusal is part of the answer."""
    try:
        plan = compile_strategy(spec.text, file=spec.file, params=spec.params)
        found = Candidate(spec, plan)
        if not found.instrument_ids:
            return Candidate(spec, None, "it names no instrument")
    except JtsError as error:
        return Candidate(spec, None, str(error))
    return found


def require_names(specs: Iterable[InstanceSpec]) -> None:
    """Check that instances can be told apart.

    Raises:
        InputError: There are none, or two have one name.
    """
    names = [spec.instance for spec in specs]
    if not names:
        raise InputError(
            "no strategy instance is configured: name some in the section [trading], "
            "or as `instances` in the configuration of this run"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"more than one strategy instance is called {', '.join(twice)}")


def limits_from(base: RiskLimits, changes: Mapping[str, str]) -> RiskLimits:
    """Return limits with some of them replaced.

    Args:
        base: Those of the configuration.
        changes: Name to value; values of amounts by currency or ages by venue as JSON.

    Raises:
        InputError: A name is unknown, or a value is no number.
    """
    values = msgspec.to_builtins(base)
    for name, text in changes.items():
        if name not in values:
            raise InputError(f"risk.{name}: unknown; known: {', '.join(sorted(values))}")
        values[name] = msgspec.json.decode(text) if text.startswith("{") else text
    try:
        return msgspec.convert(values, RiskLimits, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"risk: {error}") from error
