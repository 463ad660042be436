"""The asset `daily_report`: one page and one document per account and day, and what they must say.

The report is written whatever it finds: an unbalanced day is exactly what a person must be able
to read. The checks say so in red.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from jts_pipelines.defs.days import DAYS, GROUP, OWNERS, days_of
from jts_pipelines.defs.failures import plain_failures
from jts_pipelines.defs.listing import listed_names
from jts_pipelines.defs.plots import picture
from jts_pipelines.defs.recorded.specs import TICKS, ticks_dep
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.results import Materialized

if TYPE_CHECKING:
    from datetime import date

    from jts_pipelines.defs.house import House
    from jts_pipelines.reports.daily import Written

KEY = dg.AssetKey(["trading", "daily_report"])
FOLDER = "reports/daily"
CHECKS: Mapping[str, str] = {
    "ledger_balances": "To the unit: ledger, fills, costs and results of every account agree.",
    "no_unknown_left": "No order of the day is in doubt.",
    "orders_named": "Every order of ours names its decision and its strategy release.",
}
_PLOTTED_MAX = 3


class DailyReportConfig(dg.Config):
    """Whose days."""

    accounts: list[str] = Field(
        default_factory=list,
        description="Accounts as `broker:account`; all that the ledger knows if empty.",
    )


@dg.asset(
    key=KEY,
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name=GROUP,
    owners=OWNERS,
    kinds={"html", "postgres"},
    tags={"subject": "trading"},
    deps=[
        dg.AssetDep(["trading", "recorded_orders"]),
        *(ticks_dep(family.venue) for family in TICKS),
    ],
    description=(
        "An account's day in Korea: orders, fills, positions, results, costs, equity, latency, "
        "refusals and gaps, as one page and one document; ledger and lake compared to the unit."
    ),
    check_specs=[
        dg.AssetCheckSpec(name, asset=KEY, description=text) for name, text in CHECKS.items()
    ],
    pool="reports",
)  # fmt: skip
def daily_report(
    context: dg.AssetExecutionContext, config: DailyReportConfig, house: HouseResource
) -> Materialized:
    """Write the reports of every account for the days of the run."""
    opened = house.open()
    every: list[Written] = []
    with plain_failures():
        for day in days_of(context):
            written = write_reports(opened, day, config.accounts)
            context.add_asset_metadata(_shown(written), partition_key=day.isoformat())
            every += written
    return Materialized(check_results=[_result(name, every) for name in CHECKS])


def write_reports(house: "House", day: "date", wanted: Sequence[str]) -> "list[Written]":
    """Write the reports of some accounts for a day, or of all accounts.

    Raises:
        StorageError: The ledger or a tier does not answer.
    """
    from jts_pipelines.reports.daily import accounts_of, write_daily

    names = listed_names(house)
    with house.ledger() as ledger, house.lake() as lake:
        accounts = [
            account
            for account in accounts_of(ledger)
            if not wanted or f"{account.broker}:{account.account}" in wanted
        ]
        return [
            write_daily(ledger, lake, account, day, names=names, folder=house.root / FOLDER)
            for account in accounts
        ]


def _shown(
    written: "Sequence[Written]",
) -> dict[str, int | float | str | dg.MarkdownMetadataValue | dg.PathMetadataValue]:
    """Return figures, pages and pictures of a day."""
    rows = "\n".join(_row(each) for each in written) or "| no account | | | | | | |"
    table = (
        "| account | orders | fills | result | costs | equity | balanced |\n"
        f"|---|---|---|---|---|---|---|\n{rows}"
    )
    shown: dict[str, int | float | str | dg.MarkdownMetadataValue | dg.PathMetadataValue] = {
        "accounts": dg.MetadataValue.md(table),
        "orders": sum(len(each.report.orders) for each in written),
        "fills": sum(len(each.report.fills) for each in written),
    }
    for each in written:
        shown[f"page_{each.page.stem}"] = dg.MetadataValue.path(str(each.page))
        shown[f"document_{each.page.stem}"] = dg.MetadataValue.path(str(each.document))
    for each in [each for each in written if len(each.report.equity) > 1][:_PLOTTED_MAX]:
        values = [float(point.equity) for point in each.report.equity]
        floor = min(values) - (max(values) - min(values)) * 0.05
        shown[f"equity_{each.page.stem}"] = picture(values, "equity", floor=floor)
    return shown


def _row(written: "Written") -> str:
    from jts_pipelines.reports.amounts import amount

    report, money = written.report, written.report.money
    return (
        f"| {report.broker} {report.account} | {len(report.orders)} | {len(report.fills)} "
        f"| {amount(money.result)} {report.currency} | {amount(money.fees + money.tax)} "
        f"| {amount(money.closing_equity)} | {'yes' if report.is_balanced else 'NO'} |"
    )


def _result(name: str, written: "Sequence[Written]") -> dg.AssetCheckResult:
    """Judge all reports of a run by one group of their statements."""
    broken = [
        f"{each.page.stem} on {each.report.day}: {statement.name}: {statement.found}"
        for each in written
        for statement in each.report.group(name)
        if not statement.holds
    ]
    held = [statement.found for each in written for statement in each.report.group(name)]
    return dg.AssetCheckResult(
        check_name=name,
        passed=not broken,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "reports": len(written),
            "broken": len(broken),
            "found": "; ".join(broken[:3] or held[:3]) or "no account has been booked yet",
        },
    )
