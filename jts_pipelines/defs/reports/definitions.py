"""All reports of a trading day, and when they are made."""

from datetime import timedelta

import dagster as dg

from jts_pipelines.defs.reports.daily import KEY as DAILY
from jts_pipelines.defs.reports.daily import daily_report
from jts_pipelines.defs.reports.parity import KEY as PARITY
from jts_pipelines.defs.reports.parity import parity_certificate
from jts_pipelines.defs.resources import HouseResource

_AFTER_HOURS = "40 20 * * *"


def reports() -> dg.Definitions:
    """Return the reports, their job, and the schedule of the evening."""
    job = dg.define_asset_job(
        "end_of_day",
        selection=dg.AssetSelection.assets(DAILY, PARITY),
        description="Reports a trading day: daily report and parity certificate.",
        tags={"jts/lane": "reports"},
    )

    @dg.schedule(
        name="evening",
        job=job,
        cron_schedule=_AFTER_HOURS,
        execution_timezone="Asia/Seoul",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "Reports the day in Korea that the instance clock shows, after all sessions, and the "
            "day before once more: markets that never close went on after its evening."
        ),
    )
    def evening(
        _context: dg.ScheduleEvaluationContext, house: HouseResource
    ) -> dg.SkipReason | list[dg.RunRequest]:
        opened = house.open()
        if not opened.settings.trading.enabled:
            return dg.SkipReason("trading is not enabled: there is nothing to report")
        today = opened.today("KRX")
        return [
            dg.RunRequest(run_key=f"evening:{today}:{day}", partition_key=day.isoformat())
            for day in (today - timedelta(days=1), today)
        ]

    assets = [daily_report, parity_certificate]
    return dg.Definitions(assets=assets, jobs=[job], schedules=[evening])
