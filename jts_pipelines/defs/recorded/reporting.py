"""The sensor that reports what was recorded, once a trading day has closed.

No run is started: the event stands in the graph with its figures. A day that changes afterwards,
because a late row came, is reported again.
"""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import msgspec

from jts_pipelines.defs.recorded.specs import BY_VENUE, DATASETS, ORDERS, ticks_key
from jts_pipelines.defs.resources import HouseResource

if TYPE_CHECKING:
    from jts_pipelines.defs.house import House
    from jts_pipelines.defs.recorded.sessions import TickFacts

_TICKS = "ticks"
_DAYS_PER_LOOK = 5
_NAMES_KEPT = 120


class Reported(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was reported: rough count by `dataset/venue/day`."""

    version: int = 1
    days: dict[str, int] = {}


@dg.sensor(
    name="recorded_sessions",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports recorded ticks, and what strategies did, when a trading day has closed.",
)
def recorded_sessions(
    context: dg.SensorEvaluationContext, house: HouseResource
) -> dg.SensorResult | dg.SkipReason:
    """Report each closed day once, and once more when it has changed."""
    before = msgspec.json.decode(context.cursor, type=Reported) if context.cursor else Reported()
    opened = house.open()
    found = list(_changed(opened, before))
    events = [event for _, _, event in found if event is not None]
    seen = dict(before.days) | {name: rough for name, rough, _ in found}
    cursor = msgspec.json.encode(Reported(days=_newest(seen))).decode()
    if not events:
        return dg.SkipReason("no trading day has closed or changed since the last look")
    return dg.SensorResult(asset_events=events, cursor=cursor)


def _changed(
    house: "House", before: Reported
) -> Iterator[tuple[str, int, dg.AssetMaterialization | None]]:
    """Yield name, rough count and event of the closed days that are new or have changed."""
    from jts_pipelines.defs.recorded.sessions import closed_days, rows_of, tick_facts

    venues = tuple(BY_VENUE)
    left = _DAYS_PER_LOOK
    for closed in closed_days(house, _TICKS, venues):
        name = f"{_TICKS}/{closed.venue}/{closed.day}"
        if before.days.get(name) == closed.rough or left == 0:
            continue
        left -= 1
        facts = tick_facts(house, closed.venue, closed.day)
        yield name, closed.rough, _of_ticks(closed.venue, closed.day, facts)
    rough: dict[date, int] = {}
    for dataset in DATASETS:
        for closed in closed_days(house, dataset, venues):
            rough[closed.day] = rough.get(closed.day, 0) + closed.rough
    for day, count in sorted(rough.items()):
        name = f"orders/all/{day}"
        if before.days.get(name) != count:
            yield name, count, _of_orders(day, rows_of(house, DATASETS, day))


def _of_ticks(venue: str, day: date, facts: "TickFacts | None") -> dg.AssetMaterialization | None:
    if facts is None:
        return None
    gaps = ", ".join(f"{kind} {count}" for kind, count in facts.gaps.items())
    return dg.AssetMaterialization(
        ticks_key(venue),
        partition=day.isoformat(),
        description=f"{facts.rows:,} trades of {facts.symbols} instruments",
        metadata={
            "dagster/partition_row_count": facts.rows,
            "rows": facts.rows,
            "symbols": facts.symbols,
            "feeds": ", ".join(f"{feed} {rows:,}" for feed, rows in facts.feeds.items()),
            "first": facts.first.isoformat(),
            "last": facts.last.isoformat(),
            "gaps": gaps or "none",
            "missing": float(facts.missing),
        },
    )


def _of_orders(day: date, rows: dict[str, int]) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        ORDERS,
        partition=day.isoformat(),
        description=", ".join(f"{count:,} {dataset}" for dataset, count in rows.items()),
        metadata={**rows, "dagster/partition_row_count": sum(rows.values())},
    )


def _newest(days: dict[str, int]) -> dict[str, int]:
    """Keep the cursor short: the names of the newest days, whatever came before is reported."""
    newest = sorted(days, key=lambda name: name.rpartition("/")[2])[-_NAMES_KEPT:]
    return {name: days[name] for name in newest}
