"""The asset `candles`: the rows of a partition as the lake serves them, with blocking checks.

Materialising it never writes market data, at any age of the partition: it counts what is there,
whatever tier serves it, and judges it.
"""

import time
from collections.abc import Mapping
from types import MappingProxyType

import dagster as dg

from jts_pipelines.defs.facts import PartitionFacts, Verdict, judge
from jts_pipelines.defs.failures import plain_failures
from jts_pipelines.defs.market_data.families import OWNERS, Family
from jts_pipelines.defs.plots import rows_plot
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.results import Materialized

CHECKS: Mapping[str, str] = MappingProxyType(
    {
        "rows_present": "Every partition of the run has rows.",
        "keys_unique": "No bar is served twice.",
        "prices_ordered": "low <= open, close <= high wherever the row is not marked doubtful.",
        "prices_positive": "Prices are above zero, volumes not below it.",
        "sessions_only": "No row lies on a day without a session.",
        "sessions_covered": "No session between the first and the last known one is missing.",
    }
)


def build_candles(family: Family) -> dg.AssetsDefinition:
    """Return the asset `candles` of a family."""
    key = family.key("candles")

    @dg.asset(
        key=key,
        partitions_def=family.partitions(),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=family.name,
        owners=OWNERS,
        kinds={"clickhouse", "parquet"},
        tags=family.tags("all"),
        description=f"{family.title} as the lake serves them, counted and checked; never writes.",
        check_specs=[
            # Without partitions: a run of many keys evaluates once and names the worst of them.
            dg.AssetCheckSpec(name, asset=key, description=text, blocking=True)
            for name, text in CHECKS.items()
        ],
    )
    def candles(context: dg.AssetExecutionContext, house: HouseResource) -> Materialized:
        opened = house.open()
        partitions = [family.partition(key) for key in context.partition_keys]
        began = time.perf_counter()
        with plain_failures():
            facts = opened.partition_facts(partitions)
            sizes = opened.partition_bytes(partitions)
            known = opened.known_days(family.venue, family.interval)
        # One query serves all partitions: each is shown its share of the time.
        seconds = round((time.perf_counter() - began) / len(partitions), 4)
        for fact in facts:
            key = fact.partition.key
            size = {"bytes": sizes.get(key, 0), "seconds": seconds}
            context.add_asset_metadata(_numbers(fact) | size, partition_key=key)
        context.add_asset_metadata(rows_plot(facts), partition_key=facts[-1].partition.key)
        verdicts = judge(facts, calendar=opened.calendar(family.venue), known=known)
        return Materialized(check_results=[_result(verdict) for verdict in verdicts])

    return candles


def _numbers(fact: PartitionFacts) -> dict[str, int | float | str]:
    return {
        "dagster/partition_row_count": fact.rows,
        "rows": fact.rows,
        "halted": fact.halted,
        "symbols": fact.symbols,
        "sessions": len(fact.days),
        "digest": fact.digest,
        **{f"rows_{tier}": rows for tier, rows in sorted(fact.tiers.items())},
    }


def _result(verdict: Verdict) -> dg.AssetCheckResult:
    # A gap is worth a warning, but rows that do exist may still be moved to safety.
    severity = dg.AssetCheckSeverity.ERROR if verdict.blocks else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=verdict.check,
        passed=verdict.count == 0,
        severity=severity,
        metadata={
            "offending": verdict.count,
            "worst": verdict.worst or "none",
            "found": verdict.found,
        },
    )
