"""The nightly archival: what is due by age on the instance clock becomes runs.

The cron line ticks on the real clock, after the last session end of the venue's day (KRX: its
after-market ends at 20:00 since 2026-09-14). Which partitions are due is decided on the instance
clock: an instance that replays 2018 archives in 2018, at real nights. The run key carries the
instance date, so a second tick on the same instance day requests nothing twice.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import dagster as dg

from jts_pipelines.defs.market_data.families import Family
from jts_pipelines.defs.ranges import range_tags
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.tiers.due import DueRun, due_runs

if TYPE_CHECKING:
    # Dagster returns this class from `define_asset_job` and does not export it.
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

_NIGHTLY: Mapping[str, str] = MappingProxyType({"Asia/Seoul": "30 20 * * *", "UTC": "30 0 * * *"})


def build_archive_job(family: Family) -> "UnresolvedAssetJobDefinition":
    """Return the job that can check and move every partition of a family."""
    return dg.define_asset_job(
        family.archive_job,
        selection=dg.AssetSelection.groups(family.name),
        description=f"Checks and moves partitions of {family.title}.",
        tags={"jts/lane": "archive"},
    )


def build_nightly(family: Family, job: "UnresolvedAssetJobDefinition") -> dg.ScheduleDefinition:
    """Return the schedule that archives a family every night."""
    timezone = family.partitions().timezone

    @dg.schedule(
        name=f"nightly_{family.name}",
        job=job,
        cron_schedule=_NIGHTLY[timezone],
        execution_timezone=timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Moves what is due of {family.title}, by age on the instance clock.",
    )
    def nightly(
        _context: dg.ScheduleEvaluationContext, house: HouseResource
    ) -> dg.SkipReason | list[dg.RunRequest]:
        opened = house.open()
        today = opened.today(family.venue)
        runs = due_runs(family.venue, family.interval, opened.plan())
        if not runs:
            return dg.SkipReason(f"nothing of {family.name} is due on {today} (instance clock)")
        return [_request(family, run, f"{family.name}:{today}:{run.name}") for run in runs]

    return nightly


def _request(family: Family, run: DueRun, run_key: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=[family.key(step) for step in run.steps],
        tags=range_tags(run.first, run.last),
    )
