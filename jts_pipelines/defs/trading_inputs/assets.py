"""The asset `trading_inputs`: what the daemon trades, judged before it is written.

Nothing is written and nothing is materialised while a check fails, so the daemon never meets an
instance that does not compile, a halted instrument or a state without its bars.
"""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from jts_pipelines.defs.failures import plain_failures
from jts_pipelines.defs.market_data.families import family_of
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.results import Materialized
from storage.errors import InputError

if TYPE_CHECKING:
    from jts_pipelines.defs.trading_inputs.composing import Composed, Verdict
    from jts_pipelines.defs.trading_inputs.document import Kept
    from jts_pipelines.defs.trading_inputs.specs import InstanceSpec
    from jts_trading.config.trading import StrategyInstance, TradingSettings

KEY = dg.AssetKey(["trading", "trading_inputs"])
GROUP = "trading"
OWNERS = ["team:trading"]
CHECKS = {
    "strategies_compile": "Every strategy text compiles and names instruments of its venue.",
    "instruments_tradable": "Every instrument is known and not halted in its newest data.",
    "warmup_present": "The lake has the bars from which the state of each instance is computed.",
}


class InstanceConfig(dg.Config):
    """One strategy instance, spelled as in [[trading.instances]]."""

    name: str = Field(description="Of the instance; positions and limits belong to it.")
    strategy: str = Field(default="", description="Path of a strategy file.")
    text: str = Field(default="", description="Text of a strategy, instead of the file.")
    params: dict[str, str] = Field(default_factory=dict, description="Values of parameters.")
    broker: str = Field(default="kis", description="Through whom: kis, paper.")
    account: str = Field(description="The account there.")
    venue: str = Field(default="KRX", description="Where it trades.")
    interval: str = Field(default="1m", description="Bars where the text names no time frame.")
    instruments: list[str] = Field(description="Ids such as KRX:005930.")
    allocation: str = Field(default="50000000", description="Cash of the instance.")
    currency: str = Field(default="KRW", description="Of the allocation.")
    epoch: str = Field(
        default="",
        description="First session of the warm-up; chosen from the stored bars if empty; "
        "`none` for a cold start.",
    )
    is_paused: bool = Field(default=False, description="Exits only.")


class TradingInputsConfig(dg.Config):
    """What to trade."""

    instances: list[InstanceConfig] = Field(
        default_factory=list,
        description="Strategy instances; those of [[trading.instances]] if empty.",
    )
    risk: dict[str, str] = Field(
        default_factory=dict,
        description="Limits that replace the configured ones, by name, such as daily_loss_max.",
    )


@dg.asset(
    key=KEY,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"json"},
    tags={"subject": "trading"},
    deps=[["krx_1m", "candles"], ["krx_1d", "candles"], ["reference", "krx_calendar"]],
    description=(
        "What the daemon trades: strategy releases, universe, first session of the warm-up and "
        "risk limits as one versioned document. A sensor publishes each version on the bus."
    ),
    check_specs=[
        dg.AssetCheckSpec(name, asset=KEY, description=text, blocking=True)
        for name, text in CHECKS.items()
    ],
    pool="trading_inputs",
)
def trading_inputs(
    context: dg.AssetExecutionContext, config: TradingInputsConfig, house: HouseResource
) -> Iterator[Materialized | dg.AssetCheckResult]:
    """Compile, judge and write the next version of the document."""
    from jts_pipelines.defs.trading_inputs.composing import compose
    from jts_pipelines.defs.trading_inputs.document import write_next
    from jts_pipelines.defs.trading_inputs.specs import limits_from

    with plain_failures():
        opened = house.open()
        composed = compose(opened, _specs(opened.settings.trading, config), _is_kept)
        risk = limits_from(house.risk_limits(), config.risk)
    verdicts = composed.verdicts
    yield from map(_result, verdicts)
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    if problems:
        # The checks are recorded; without a materialisation nothing is published.
        raise dg.Failure(f"not written: {'; '.join(problems[:5])}", allow_retries=False)
    with plain_failures():
        kept = write_next(
            opened.root,
            lambda version: composed.document(
                version, created_ns=opened.clock.now_ns(), source=context.run.run_id, risk=risk
            ),
        )
    yield Materialized(
        KEY, metadata=_shown(kept, composed), data_version=dg.DataVersion(kept.sha256)
    )


def _shown(
    kept: "Kept", composed: "Composed"
) -> dict[str, int | str | dg.MarkdownMetadataValue | dg.PathMetadataValue]:
    from jts_pipelines.defs.trading_inputs.words import instances_table, limits_words

    inputs = kept.inputs
    table = instances_table(inputs.instances, composed.warmups, composed.known)
    return {
        "version": inputs.version,
        "instances": dg.MetadataValue.md(table),
        "limits": dg.MetadataValue.md(limits_words(inputs.risk)),
        "document": dg.MetadataValue.path(str(kept.path)),
        "sha256": kept.sha256,
        "instruments": len({name for each in inputs.instances for name in each.instrument_ids}),
    }


def _is_kept(venue: str, interval: str) -> bool:
    return family_of(venue, interval) is not None


def _result(verdict: "Verdict") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=KEY,
        check_name=verdict.name,
        passed=not verdict.problems,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "found": verdict.found,
            "problems": len(verdict.problems),
            "first": next(iter(verdict.problems), "none"),
        },
    )


def _specs(configured: "TradingSettings", config: TradingInputsConfig) -> "list[InstanceSpec]":
    """Return the instances of the launchpad, or those of the configuration.

    Raises:
        InputError: There is no such strategy file, or the allocation is no amount.
    """
    from jts_pipelines.defs.trading_inputs.specs import spec_of

    if not config.instances:
        return [spec_of(instance) for instance in configured.instances]
    return [spec_of(_instance(each), each.text) for each in config.instances]


def _instance(config: InstanceConfig) -> "StrategyInstance":
    from jts_trading.config.trading import StrategyInstance, full_account

    try:
        allocation = Decimal(config.allocation)
    except InvalidOperation:
        raise InputError(
            f"{config.name}: allocation is {config.allocation!r}; accepted: an amount above 0"
        ) from None
    return StrategyInstance(
        name=config.name,
        strategy=config.strategy,
        params=dict(config.params),
        broker=config.broker,
        account=full_account(config.broker, config.account),
        venue=config.venue,
        interval=config.interval,
        instruments=tuple(config.instruments),
        allocation=allocation,
        currency=config.currency,
        epoch=config.epoch,
        status="paused" if config.is_paused else "active",
    )
