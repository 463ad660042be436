"""Assets that no run makes: the daemon's recorder writes them, a sensor reports them.

Ticks have the partitions of their venue's calendar; what strategies did has one partition per
trading day, over all venues.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from types import MappingProxyType

import dagster as dg

from jts_pipelines.defs.days import DAYS, GROUP, OWNERS
from jts_pipelines.defs.market_data.families import Family

TICKS: tuple[Family, ...] = (
    Family("KRX", "tick", date(2015, 1, 1), "KRX trades"),
    Family("BINANCE", "tick", date(2017, 8, 17), "Binance trades"),
)
ORDERS = dg.AssetKey(["trading", "recorded_orders"])
DATASETS = ("signals", "decisions", "orders", "fills")
# The longest run of closed days in Korea has been ten; then somebody should look.
_WARN, _FAIL = timedelta(days=4), timedelta(days=11)


def ticks_key(venue: str) -> dg.AssetKey:
    """Return the key of the recorded ticks of a venue."""
    return dg.AssetKey([f"{venue.lower()}_tick", "recorded_ticks"])


def ticks_dep(venue: str) -> dg.AssetDep:
    """Return the dependency of a day in Korea on the ticks of a venue.

    Days of venues elsewhere do not match days in Korea; what a report reads it finds by time.
    """
    return dg.AssetDep(ticks_key(venue), partition_mapping=dg.LastPartitionMapping())


def recorded_specs() -> list[dg.AssetSpec]:
    """Return the external assets."""
    fresh = dg.FreshnessPolicy.time_window(fail_window=_FAIL, warn_window=_WARN)
    ticks = [
        dg.AssetSpec(
            family.key("recorded_ticks"),
            partitions_def=family.partitions(),
            group_name=family.name,
            owners=OWNERS,
            kinds={"clickhouse"},
            tags=family.tags("hot"),
            freshness_policy=fresh,
            description=(
                f"{family.title} as the recorder wrote them, reported when their session has "
                "closed: rows, feeds, first and last trade, gaps."
            ),
        )
        for family in TICKS
    ]
    orders = dg.AssetSpec(
        ORDERS,
        partitions_def=DAYS,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"clickhouse"},
        tags={"subject": "trading"},
        deps=[
            dg.AssetDep(["trading", "trading_inputs"]),
            *(ticks_dep(family.venue) for family in TICKS),
        ],
        freshness_policy=fresh,
        description=(
            "What strategies did on a trading day: signals, evaluated decisions, orders and "
            "fills, as the recorder wrote them from the journal."
        ),
    )
    return [*ticks, orders]


BY_VENUE: Mapping[str, Family] = MappingProxyType({family.venue: family for family in TICKS})
