"""The moves of a family as assets: copy to warm, out of hot, copy to cold, out of warm.

Each asset handles the keys of its range one by one through `Mover`, which refuses whatever would
lose rows; a repeated run finds nothing left to do. Evictions are steps of their own, so that a
person sees in the graph what stands between a copy and the deletion of its source, and each
counts the rows of its partitions over all tiers before and after.
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import dagster as dg

from jts_pipelines.defs.failures import plain_failures
from jts_pipelines.defs.market_data.families import OWNERS, Family
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.results import Materialized
from storage.errors import RefusedError
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier

if TYPE_CHECKING:
    from jts_pipelines.defs.house import House, Moves
    from storage.moves.context import Moved

POOL = "archive"

MoveOne: TypeAlias = "Callable[[Moves, Partition], Moved]"


def build_moves(family: Family) -> list[dg.AssetsDefinition]:
    """Return the four move assets of a family, in the order of their dependencies."""
    return [
        _copy_asset(family, Tier.WARM, deps=("candles",)),
        _eviction_asset(family, Tier.HOT, deps=("warm_candles",)),
        _copy_asset(family, Tier.COLD, deps=("warm_candles",)),
        _eviction_asset(family, Tier.WARM, deps=("cold_candles", "hot_evicted")),
    ]


def build_verifications(family: Family) -> list[dg.AssetChecksDefinition]:
    """Return the checks that open the copies of a family again, by path."""
    return [_verification(family, Tier.WARM), _verification(family, Tier.COLD)]


def _copy_asset(family: Family, tier: Tier, *, deps: tuple[str, ...]) -> dg.AssetsDefinition:
    source = Tier.HOT if tier is Tier.WARM else Tier.WARM
    move: MoveOne = _export if tier is Tier.WARM else _copy

    @dg.asset(
        key=family.key(f"{tier}_candles"),
        deps=[family.key(name) for name in deps],
        partitions_def=family.partitions(),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=family.name,
        owners=OWNERS,
        kinds={"parquet"},
        tags=family.tags(tier),
        description=(
            f"{family.title}: closed partitions copied from {source} to {tier}, read back and "
            "verified. An open partition, or one with fewer rows than before, is refused."
        ),
        pool=POOL,
    )
    def copies(context: dg.AssetExecutionContext, house: HouseResource) -> Materialized:
        with plain_failures():
            _move_each(context, house.open(), family, move)
        return Materialized()

    return copies


def _eviction_asset(family: Family, tier: Tier, *, deps: tuple[str, ...]) -> dg.AssetsDefinition:
    key = family.key(f"{tier}_evicted")
    move: MoveOne = _evict_hot if tier is Tier.HOT else _evict_warm

    @dg.asset(
        key=key,
        deps=[family.key(name) for name in deps],
        partitions_def=family.partitions(),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=family.name,
        owners=OWNERS,
        kinds={"clickhouse" if tier is Tier.HOT else "parquet"},
        tags=family.tags(tier),
        description=(
            f"{family.title}: partitions that are old enough leave {tier}, each against the "
            "manifest of its verified colder copy."
        ),
        check_specs=[
            dg.AssetCheckSpec(
                "nothing_lost",
                asset=key,
                description="Rows over all tiers are as many after the eviction as before it.",
                blocking=True,
            )
        ],
        pool=POOL,
    )
    def evicted(context: dg.AssetExecutionContext, house: HouseResource) -> Materialized:
        opened = house.open()
        partitions = [family.partition(key) for key in context.partition_keys]
        with plain_failures():
            before = opened.served_rows(partitions)
            _move_each(context, opened, family, move)
            check = nothing_lost(before, opened.served_rows(partitions))
        return Materialized(check_results=[check])

    return evicted


def nothing_lost(before: Mapping[str, int], after: Mapping[str, int]) -> dg.AssetCheckResult:
    """Compare rows per partition key over all tiers; each side by a connection of its own."""
    worst = max(before, key=lambda key: abs(before[key] - after.get(key, 0)))
    differing = sum(before[key] != after.get(key, 0) for key in before)
    return dg.AssetCheckResult(
        check_name="nothing_lost",
        passed=differing == 0,
        metadata={
            "rows_before": sum(before.values()),
            "rows_after": sum(after.values()),
            "partitions_differing": differing,
            "worst": f"{worst}: {before[worst]} rows before, {after.get(worst, 0)} after",
        },
    )


def _verification(family: Family, tier: Tier) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=family.key(f"{tier}_candles"),
        name=f"{tier}_verified",
        blocking=True,
        description=f"Each file in {tier} is opened again by path and equals its manifest.",
        pool=POOL,
    )
    def verified(
        context: dg.AssetCheckExecutionContext, house: HouseResource
    ) -> dg.AssetCheckResult:
        with plain_failures(), house.open().moves() as moves:
            partitions = [family.partition(key) for key in context.partition_keys]
            problems = moves.problems(partitions, tier)
        return dg.AssetCheckResult(
            passed=not problems,
            metadata={
                "partitions": len(partitions),
                "partitions_bad": len(problems),
                "worst": next(iter(problems), "none"),
            },
        )

    return verified


def _move_each(
    context: dg.AssetExecutionContext, house: "House", family: Family, move: MoveOne
) -> None:
    """Move every key of the run; nothing starts while one of them is still open."""
    partitions = [family.partition(key) for key in context.partition_keys]
    with house.moves() as moves:
        today = house.today(family.venue)
        still_open = [partition.key for partition in partitions if partition.is_open(today)]
        if still_open:
            raise RefusedError(
                f"{family.name}: still open on {today} (instance clock): "
                f"{', '.join(still_open[:5])}; choose closed partitions"
            )
        for done, partition in enumerate(partitions, start=1):
            began = time.perf_counter()
            moved = move(moves, partition)
            numbers = _numbers(moved, time.perf_counter() - began)
            context.add_asset_metadata(numbers, partition_key=partition.key)
            context.log.info("%s %s, %s/%s", moved.action, partition.key, done, len(partitions))


def _numbers(moved: "Moved", seconds: float) -> dict[str, int | float | str]:
    return {
        "dagster/partition_row_count": moved.rows,
        "rows": moved.rows,
        "bytes": moved.bytes,
        "bytes_per_row": round(moved.bytes / moved.rows, 3) if moved.rows else 0.0,
        "digest": moved.sha256,
        "manifest": moved.manifest_id,
        "revision": moved.revision,
        "changed": int(moved.changed),
        "seconds": round(seconds, 4),
    }


def _export(moves: "Moves", partition: Partition) -> "Moved":
    return moves.mover.export(partition)


def _copy(moves: "Moves", partition: Partition) -> "Moved":
    return moves.mover.copy(partition)


def _evict_hot(moves: "Moves", partition: Partition) -> "Moved":
    # Named by its warm copy, an eviction can only concern the hot tier.
    return moves.mover.evict(moves.copy_in(partition, Tier.WARM, Tier.COLD))


def _evict_warm(moves: "Moves", partition: Partition) -> "Moved":
    moves.require_out_of_hot(partition)
    return moves.mover.evict(moves.copy_in(partition, Tier.COLD))
