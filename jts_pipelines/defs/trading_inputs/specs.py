"""Strategy instances as they are asked for, and what they compile to; pure of Dagster."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from jts_trading.config.trading import StrategyInstance
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.plan import Plan
from jts_trading.indicators.catalog import NATIVE, Catalog
from jts_trading.strategy.releases import ReleaseError, release
from storage.errors import InputError

COLD = "none"
"""An epoch that says: start without warm-up."""


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One strategy instance as it is asked for.

    Attributes:
        wanted: The instance; text, ids and release are not filled in yet. Its epoch may be empty,
            to be chosen from the stored bars, or `none` for a cold start.
        text: The strategy text.
        file: How errors name the text.
    """

    wanted: StrategyInput
    text: str
    file: str

    @property
    def name(self) -> str:
        """Name of the instance."""
        return self.wanted.instance

    @property
    def symbols(self) -> tuple[str, ...]:
        """What it trades, in the venue's own spelling."""
        return tuple(each.partition(":")[2] for each in self.wanted.instrument_ids)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance with what its text compiles to, or why it cannot trade.

    Attributes:
        plan: None when the text or the instance is refused.
        refusal: One line; empty with a plan.
        catalog: The indicators that the text may call.
    """

    spec: InstanceSpec
    plan: Plan | None
    refusal: str = ""
    catalog: Catalog = NATIVE

    def strategy_input(self, epoch: str) -> StrategyInput:
        """Return the instance as the daemon reads it.

        Args:
            epoch: First session of the warm-up, ISO date, or empty for none.

        Raises:
            StrategyError: The text is refused.
            ReleaseError: The instance cannot trade as it is described.
        """
        wanted = msgspec.structs.replace(self.spec.wanted, epoch=epoch)
        return release(self.spec.text, wanted, file=self.spec.file, catalog=self.catalog)


def spec_of(instance: StrategyInstance, text: str = "") -> InstanceSpec:
    """Return an instance of the configuration, or of a launchpad that spells it the same way.

    Args:
        instance: As it is configured.
        text: The strategy text; that of its file if empty.

    Raises:
        InputError: There is no such strategy file.
    """
    wanted = StrategyInput(
        instance=instance.name,
        strategy_id="",
        release="",
        dsl_code="",
        params={name: str(value) for name, value in instance.params.items()},
        broker=instance.broker,
        account=instance.account,
        venue=instance.venue,
        interval=instance.interval,
        instrument_ids=instance.instruments,
        allocation=instance.allocation,
        currency=instance.currency,
        epoch=instance.epoch,
        status=instance.status,
    )
    if text:
        return InstanceSpec(wanted, text, "<text>")
    try:
        return InstanceSpec(wanted, Path(instance.strategy).read_text("utf-8"), instance.strategy)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{instance.name}: {instance.strategy}: cannot be read: {error}"
        ) from error


def compile_spec(spec: InstanceSpec, catalog: Catalog = NATIVE) -> Candidate:
    """Compile an instance; a refusal is part of the answer."""
    epoch = "" if spec.wanted.epoch == COLD else spec.wanted.epoch
    try:
        plan = compile_strategy(
            spec.text, file=spec.file, params=spec.wanted.params, catalog=catalog
        )
        candidate = Candidate(spec, plan, catalog=catalog)
        candidate.strategy_input(epoch)
    except (StrategyError, ReleaseError) as error:
        return Candidate(spec, None, str(error))
    return candidate


def require_names(specs: Iterable[InstanceSpec]) -> None:
    """Check that instances can be told apart.

    Raises:
        InputError: There are none, or two have one name.
    """
    names = [spec.name for spec in specs]
    if not names:
        raise InputError(
            "no strategy instance: name some in [[trading.instances]], or as `instances` in the "
            "configuration of this run"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"more than one strategy instance is called {', '.join(twice)}")


def limits_from(given: RiskLimits, changes: Mapping[str, str]) -> RiskLimits:
    """Return limits with some of them replaced.

    Args:
        given: Those of the configuration.
        changes: Name to value; values of amounts by currency or ages by venue as JSON.

    Raises:
        InputError: A name is unknown, or a value is no number.
    """
    values = msgspec.to_builtins(given)
    for name, text in changes.items():
        if name not in values:
            raise InputError(f"risk.{name}: unknown; known: {', '.join(sorted(values))}")
        values[name] = msgspec.json.decode(text) if text.startswith("{") else text
    try:
        return msgspec.convert(values, RiskLimits, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"risk: {error}") from error
