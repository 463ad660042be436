"""Failed runs, said once where a person looks: the log of the code server, one line each."""

import dagster as dg


@dg.run_failure_sensor(
    name="failed_runs",
    default_status=dg.DefaultSensorStatus.RUNNING,
    monitor_all_code_locations=True,
    description="Logs each failed run with its job, partition range and reason.",
)
def failed_runs(context: dg.RunFailureSensorContext) -> None:
    """Log one line per failed run; the notifier of a later issue takes over from here."""
    tags = context.dagster_run.tags
    span = tags.get("dagster/partition") or "..".join(
        tags[name] for name in sorted(tags) if name.startswith("dagster/asset_partition_range")
    )
    reason = " ".join((context.failure_event.message or "").split())[:300]
    context.log.error(
        "run_failed job=%s run=%s partitions=%s reason=%s",
        context.dagster_run.job_name,
        context.dagster_run.run_id,
        span or "none",
        reason,
    )
