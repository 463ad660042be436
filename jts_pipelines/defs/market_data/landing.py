"""The landing folder: a new file is ingested once, then its partitions are checked.

`landing_files` sees a complete file and requests one run of `ingest_landing`; the run moves the
file to `accepted/` or `rejected/`. When it has succeeded, `landed_partitions` requests the
`candles` of the partitions that the file touched, with their blocking checks.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from jts_pipelines.defs.market_data import inbox
from jts_pipelines.defs.market_data.families import FAMILIES, Family, family_of
from jts_pipelines.defs.ranges import range_tags
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.spans import contiguous
from storage.errors import InputError, StorageError

if TYPE_CHECKING:
    # Dagster returns this class from `define_asset_job` and does not export it.
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

    from jts_pipelines.ingest.report import IngestReport

FOLDER = "landing"


class LandedFile(dg.Config):
    """Which file to ingest: its path below the landing folder."""

    path: str


@dg.op(
    description="Loads one file into the hot tier; bad rows go to quarantine with reasons.",
    retry_policy=dg.RetryPolicy(max_retries=4, delay=5, backoff=dg.Backoff.EXPONENTIAL),
    pool="ingest",
)
def ingest_landed_file(
    context: dg.OpExecutionContext, config: LandedFile, house: HouseResource
) -> None:
    """Ingest a landed file, set it aside and report what it brought."""
    folder = house.root / FOLDER
    venue, interval, _name = config.path.split("/")
    try:
        report = house.open().ingest(folder / config.path, venue, interval)
    except InputError as error:
        where = inbox.set_aside(folder, config.path, inbox.REJECTED, str(error))
        raise dg.Failure(f"{error} (kept as {where})", allow_retries=False) from error
    except StorageError as error:
        # The store may be starting again; the file stays where it is.
        raise dg.Failure(str(error), allow_retries=True) from error
    where = inbox.set_aside(folder, config.path, inbox.ACCEPTED)
    context.add_output_metadata({"file": dg.MetadataValue.path(str(where)), **_numbers(report)})
    for observation in _observations(report):
        context.log_event(observation)


@dg.job(
    name="ingest_landing",
    description="Ingests one file of the landing folder.",
    tags={"jts/lane": "ingest"},
)
def ingest_landing() -> None:
    """Ingest one file of the landing folder."""
    ingest_landed_file()


@dg.sensor(
    name="landing_files",
    job=ingest_landing,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ingests each new, complete file of <home>/landing/<VENUE>/<interval>/ once.",
)
def landing_files(
    context: dg.SensorEvaluationContext, house: HouseResource
) -> dg.SensorResult | dg.SkipReason:
    """Request one run per complete file; the run key is the arrival, so it runs once."""
    folder = house.root / FOLDER
    ready, cursor = inbox.look(folder, context.cursor)
    if not ready:
        context.update_cursor(cursor)
        return dg.SkipReason(f"no complete new file in {folder}/<VENUE>/<interval>/")
    requests = [
        dg.RunRequest(
            run_key=file.identity,
            run_config={"ops": {"ingest_landed_file": {"config": {"path": file.path}}}},
            tags={"jts/file": file.path},
        )
        for file in ready
    ]
    return dg.SensorResult(run_requests=requests, cursor=cursor)


def build_landed_partitions(
    jobs: "dict[str, UnresolvedAssetJobDefinition]",
) -> dg.SensorDefinition:
    """Return the sensor that checks the partitions of a file after its ingest.

    Args:
        jobs: Archive job of each family, by family name.
    """

    @dg.run_status_sensor(
        name="landed_partitions",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[ingest_landing],
        request_jobs=list(jobs.values()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=10,
        description="Materialises `candles` of the partitions that an ingested file touched.",
    )
    def landed_partitions(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest]:
        run_id = context.dagster_run.run_id
        touched = touched_partitions(context.instance, run_id)
        for family, keys in touched.items():
            for first, last in contiguous(map(family.partition, keys)):
                yield dg.RunRequest(
                    run_key=f"{run_id}:{family.name}:{first.key}..{last.key}",
                    job_name=family.archive_job,
                    asset_selection=[family.key("candles")],
                    tags=range_tags(first.key, last.key),
                )

    return landed_partitions


def touched_partitions(instance: dg.DagsterInstance, run_id: str) -> dict[Family, list[str]]:
    """Return the partition keys per family that a run of `ingest_landing` reported."""
    records = instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION
    ).records
    touched: dict[Family, list[str]] = {}
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None or event.asset_key is None or event.partition is None:
            continue
        for family in FAMILIES:
            if event.asset_key == family.key("candles"):
                touched.setdefault(family, []).append(event.partition)
    return touched


def _numbers(report: "IngestReport") -> dict[str, int | float | str]:
    return {
        "rows": report.rows,
        "accepted": report.accepted,
        "corrected": report.corrected,
        "quarantined": report.quarantined,
        "duplicates": report.duplicates,
        "reasons": ", ".join(f"{name} {count}" for name, count in report.reasons.items()),
        "seconds": round(report.seconds, 3),
        "already_loaded": int(report.already),
    }


def _observations(report: "IngestReport") -> Iterator[dg.AssetObservation]:
    family = family_of(report.venue, report.interval)
    if family is None:
        return
    for key in report.partitions:
        yield dg.AssetObservation(
            family.key("candles"),
            partition=key,
            metadata={"ingest": report.ingest_id, "file": report.path},
            description="Rows of this partition came with an ingested file.",
        )
