"""Strategy releases: every candidate text is a partition, and its evidence decides.

Theory of operation. A text in `<home>/strategies/` becomes a candidate: the sensor keeps a copy,
adds its key to the partitions and starts the job. `release_evidence` runs backtest and
walk-forward over all tiers; its checks block `strategy_release`, which writes the release. Who
wants a release all the same runs that asset alone, with a name and a reason, which are recorded.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import msgspec
from pydantic import Field

from jts_pipelines.defs.failures import plain_failures
from jts_pipelines.defs.research import gate
from jts_pipelines.defs.research.backtests import OWNERS, shown, study_of, write_run
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.results import Materialized
from storage.errors import InputError

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

    from jts_pipelines.backtest.result import BacktestResult
    from jts_pipelines.defs.house import House
    from jts_pipelines.research.study import Study
    from jts_pipelines.research.walk_forward import WalkResult
    from jts_trading.domain.trading_inputs import RiskLimits

PARTITIONS = dg.DynamicPartitionsDefinition(name="strategy_releases")
RESULT = dg.AssetKey(["release", "backtest_result"])
TEARSHEET = dg.AssetKey(["release", "tearsheet"])
WALK = dg.AssetKey(["release", "walk_forward"])
RELEASE = dg.AssetKey(["release", "strategy_release"])
_WALK_GATES = frozenset({"holds_outside"})
_ONE_BY_ONE = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)


class EvidenceConfig(dg.Config):
    """Over which bars a candidate is tried; as it stands, over all daily bars of KRX."""

    venue: str = Field(default="KRX", description="Where it trades.")
    interval: str = Field(default="1d", description="Interval of the stored bars.")
    symbols: list[str] = Field(default_factory=list, description="All that have bars if empty.")
    cash: int = Field(
        default=0, description="Starting cash; 100 million won, or 100,000 USDT, if 0."
    )
    train: int = Field(default=0, description="Sessions to choose on; half of all if 0.")
    test: int = Field(default=0, description="Sessions to test on; an eighth of all if 0.")
    trials: int = Field(default=100, description="Parameter sets at most.")
    benchmarks: list[str] = Field(default_factory=lambda: ["hold", "KOSPI", "KOSDAQ", "BTC"])
    limits: bool = Field(default=True, description="Deny what risk would deny live: [risk].")
    assume: list[str] = Field(
        default_factory=list,
        description="NAME=VALUE, as --assume: splits=005930@2018-05-04=1:50, slippage_bps=3 ...",
    )


class ApprovalConfig(dg.Config):
    """Who opens closed gates, and why; empty for nobody."""

    override_by: str = Field(default="", description="Who opens closed gates.")
    override_reason: str = Field(default="", description="Why.")


def _spec(key: dg.AssetKey, kind: str, deps: list[dg.AssetDep], description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        group_name="release",
        owners=OWNERS,
        kinds={kind},
        tags={"subject": "release"},
        deps=deps,
        description=description,
        partitions_def=PARTITIONS,
    )


# A candidate is tried over all bars, whatever months or days they came in.
_BARS = [
    dg.AssetDep(dg.AssetKey([family, "candles"]), partition_mapping=dg.AllPartitionMapping())
    for family in ("krx_1d", "krx_1m")
]


@dg.multi_asset(
    name="release_evidence",
    specs=[
        _spec(RESULT, "numba", _BARS, "The backtest of a candidate over the bars of all tiers."),
        _spec(TEARSHEET, "html", [dg.AssetDep(RESULT)], "Its page, self-contained."),
        _spec(WALK, "numba", [dg.AssetDep(RESULT)], "Parameters chosen on the past, then used."),
    ],
    check_specs=[
        dg.AssetCheckSpec(
            name,
            asset=WALK if name in _WALK_GATES else RESULT,
            blocking=True,
            description=f"{text.capitalize()}.",
        )
        for name, text in gate.GATES.items()
    ],
    backfill_policy=_ONE_BY_ONE,
    pool="research",
)
def release_evidence(
    context: dg.AssetExecutionContext, config: EvidenceConfig, house: HouseResource
) -> Iterator[Materialized]:
    """Run backtest and walk-forward of a candidate, write their files and judge them."""
    opened, key = house.open(), context.partition_key
    with plain_failures():
        study = _study(opened, key, config, house.risk_limits())
        result = study.backtest(lambda phase: context.log.info("backtest: %s", phase))
        document = write_run(opened, result)
        walked, walk_name, walk_page = _walk(opened, study, config, result)
        evidence = gate.judge(
            key, result, walked, (str(document["run"]), walk_name), opened.clock.now_ns()
        )
        gate.keep_evidence(opened.root, evidence)
    checks = [_check(name, evidence) for name in gate.GATES]
    yield Materialized(
        RESULT,
        metadata=shown(result),
        check_results=[check for check in checks if check.check_name not in _WALK_GATES],
        data_version=dg.DataVersion(str(document["run"])),
    )
    yield Materialized(
        TEARSHEET, metadata={"page": dg.MetadataValue.path(str(document["tearsheet"]))}
    )
    yield Materialized(
        WALK,
        metadata=_walk_metadata(walked, walk_page),
        check_results=[check for check in checks if check.check_name in _WALK_GATES],
    )


@dg.asset(
    key=RELEASE,
    group_name="release",
    owners=OWNERS,
    kinds={"json"},
    tags={"subject": "release"},
    deps=[RESULT, TEARSHEET, WALK],
    partitions_def=PARTITIONS,
    backfill_policy=_ONE_BY_ONE,
    description="A strategy that passed every gate, or was let through by name and reason.",
)
def strategy_release(
    context: dg.AssetExecutionContext, config: ApprovalConfig, house: HouseResource
) -> Materialized:
    """Write the release of a candidate on its evidence."""
    opened = house.open()
    with plain_failures():
        approval = gate.approve(
            opened.root,
            context.partition_key,
            by=config.override_by,
            reason=config.override_reason,
            at_ns=opened.clock.now_ns(),
        )
    return Materialized(
        metadata={
            "strategy": approval.evidence.strategy,
            "overridden": ", ".join(approval.overridden) or "nothing",
            "by": approval.by or "nobody",
            "reason": approval.reason or "none",
        },
        data_version=dg.DataVersion(context.partition_key),
    )


def build_release_candidates(job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Return the sensor that makes candidates of the texts in `<home>/strategies/`."""

    @dg.sensor(
        name="strategy_candidates",
        job=job,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes a release candidate of each new text in <home>/strategies/.",
    )
    def strategy_candidates(
        context: dg.SensorEvaluationContext, house: HouseResource
    ) -> dg.SensorResult | dg.SkipReason:
        home = house.open().root
        known = set(context.instance.get_dynamic_partitions(str(PARTITIONS.name)))
        fresh = [c for c in gate.waiting_candidates(home) if c.key not in known]
        if not fresh:
            return dg.SkipReason(f"no new text in {home / gate.CANDIDATES}")
        for candidate in fresh:
            gate.keep_candidate(home, candidate)
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(run_key=f"release:{c.key}", partition_key=c.key) for c in fresh
            ],
            dynamic_partitions_requests=[PARTITIONS.build_add_request([c.key for c in fresh])],
        )

    return strategy_candidates


def _study(house: "House", key: str, config: EvidenceConfig, risk: "RiskLimits") -> "Study":
    """Return the study of a candidate; it may trade what the account may, as live.

    Raises:
        InputError: An assumption is none, or what live trading never does.
    """
    from jts_pipelines.backtest.loading import BacktestRequest
    from jts_pipelines.backtest.settings import BacktestSettings, limits_of, read_assumptions

    path, assumed = gate.text_of(house.root, key), read_assumptions(config.assume)
    if assumed.get("short_selling"):
        raise InputError("short_selling cannot stand behind a release: live never sells short")
    settings = BacktestSettings(
        cash=config.cash, venue=config.venue, interval=config.interval, **assumed
    )
    limits = limits_of(risk, settings.terms.currency) if config.limits else None
    request = BacktestRequest(
        text=path.read_text(encoding="utf-8"),
        file=key,
        symbols=tuple(config.symbols) or None,
        settings=msgspec.structs.replace(settings, limits=limits),
    )
    return study_of(house, request, house.listing, tuple(config.benchmarks))


def _walk(
    house: "House", study: "Study", config: EvidenceConfig, result: "BacktestResult"
) -> "tuple[WalkResult | None, str, Path | None]":
    """Walk forward where the text has ranges; return the result, its name and its page.

    A text that never closed a trade has nothing to choose by.
    """
    from jts_pipelines.reports.sweep_page import write_walk_page
    from jts_pipelines.research.files import write_walk

    if result.closed_trades == 0 or all(p.low is None for p in study.plan.params):
        return None, "", None
    sessions = len(result.equity)
    walked = study.walk_forward(
        train=config.train or max(5, sessions // 2),
        test=config.test or max(5, sessions // 8),
        is_anchored=False,
        objective="sharpe",
        trials=config.trials,
        seed=1,
        ranges={},
    )
    directory = house.root / "reports" / f"walk-forward-{walked.name}"
    write_walk(walked, directory)
    return walked, walked.name, write_walk_page(walked, directory / "walk_forward.html")


def _walk_metadata(
    walked: "WalkResult | None", page: Path | None
) -> dict[str, str | float | int | dg.PathMetadataValue]:
    if walked is None or page is None:
        return {
            "windows": 0,
            "verdict": "nothing was chosen: the text has no ranges, or no trades",
        }
    found = {name: value for name, value in walked.metrics.items() if value is not None}
    return {
        "page": dg.MetadataValue.path(str(page)),
        "windows": len(walked.steps),
        "verdict": walked.verdict.value,
        **({} if walked.efficiency is None else {"efficiency": walked.efficiency}),
        **found,
    }


def _check(name: str, evidence: gate.Evidence) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=WALK if name in _WALK_GATES else RESULT,
        passed=evidence.passed[name],
        metadata={"found": evidence.notes[name]},
    )
