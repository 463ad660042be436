"""All of the tiers: moves, their verifications, and when they run."""

import dagster as dg

from jts_pipelines.defs.market_data.families import FAMILIES
from jts_pipelines.defs.market_data.landing import build_landed_partitions
from jts_pipelines.defs.tiers.moves import build_moves, build_verifications
from jts_pipelines.defs.tiers.schedules import build_archive_job, build_nightly


def tiers() -> dg.Definitions:
    """Return moves, checks, archive jobs, nightly schedules and what follows a landed file."""
    jobs = {family.name: build_archive_job(family) for family in FAMILIES}
    return dg.Definitions(
        assets=[asset for family in FAMILIES for asset in build_moves(family)],
        asset_checks=[check for family in FAMILIES for check in build_verifications(family)],
        jobs=list(jobs.values()),
        schedules=[build_nightly(family, jobs[family.name]) for family in FAMILIES],
        sensors=[build_landed_partitions(jobs)],
    )
