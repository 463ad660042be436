"""The asset `parity_certificate`: the live day against the same program over recorded trades.

It is written whatever it finds: each difference is in it, with its cause or without. The check is
red while there is one without.
"""

from typing import TYPE_CHECKING

import dagster as dg
import msgspec

from jts_pipelines.defs.days import DAYS, GROUP, OWNERS, days_of
from jts_pipelines.defs.failures import plain_failures
from jts_pipelines.defs.recorded.specs import TICKS, ticks_dep
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.results import Materialized

if TYPE_CHECKING:
    from jts_pipelines.reports.parity import Certificate

KEY = dg.AssetKey(["trading", "parity_certificate"])
FOLDER = "reports/parity"
CHECK = "nothing_unexplained"
_ROWS_SHOWN = 40
_LEVELS_HEAD = "| | live | again | equal |\n|---|---|---|---|"


@dg.asset(
    key=KEY,
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numba", "json"},
    tags={"subject": "trading"},
    deps=[
        dg.AssetDep(["trading", "recorded_orders"]),
        *(ticks_dep(family.venue) for family in TICKS),
        dg.AssetDep(["krx_1m", "candles"]),
    ],
    description=(
        "Signals that the trader recorded on a day in Korea, compared with those that the same "
        "program finds in the recorded trades; trades and bars are compared below them, and each "
        "difference is named with its cause."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            CHECK, asset=KEY, description="Every difference between live and again has a cause."
        )
    ],
    pool="reports",
)
def parity_certificate(context: dg.AssetExecutionContext, house: HouseResource) -> Materialized:
    """Certify the days of the run."""
    from jts_pipelines.defs.reports.certifying import certify_day

    opened = house.open()
    certificates = []
    for day in days_of(context):
        with plain_failures():
            found = certify_day(opened, day, bar_grace_s=house.bar_grace_s())
        path = opened.root / FOLDER / f"{day}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
        shown = _shown(found) | {"document": dg.MetadataValue.path(str(path))}
        context.add_asset_metadata(shown, partition_key=day.isoformat())
        certificates.append(found)
    return Materialized(check_results=[_result(certificates)])


def _shown(
    found: "Certificate",
) -> dict[str, int | float | str | dg.MarkdownMetadataValue | dg.PathMetadataValue]:
    levels = "\n".join(
        f"| {name} | {level.live:,} | {level.again:,} | {level.equal:,} |"
        for name, level in found.levels.items()
    )
    return {
        "live_signals": found.live_signals,
        "backtest_signals": found.backtest_signals,
        "matched": found.matched,
        "unexplained": found.unexplained,
        "explained": ", ".join(f"{n} {cause}" for cause, n in found.explained.items()) or "none",
        "compared": dg.MetadataValue.md(
            f"| | live | again | equal |\n|---|---|---|---|\n{levels}"
        ),
        "differences": dg.MetadataValue.md(_table(found)),
        "releases": ", ".join(found.releases) or "none",
        "not_compared": "; ".join(found.notes) or "nothing",
    }


def _table(found: "Certificate") -> str:
    """Return one row for each difference, those without a cause first."""
    if not found.differences:
        return "none"
    ordered = sorted(found.differences, key=lambda each: (bool(each.cause), each.at_ns))
    rows = "\n".join(
        f"| {_clock(each.at_ns)} | {each.level} | {each.instrument_id} {each.instance} "
        f"| {each.live or 'nothing'} | {each.again or 'nothing'} "
        f"| {each.cause or '**unexplained**'} |"
        for each in ordered[:_ROWS_SHOWN]
    )
    more = len(ordered) - _ROWS_SHOWN
    head = "| time in Korea | level | what | live | again | cause |\n|---|---|---|---|---|---|"
    return f"{head}\n{rows}" + (f"\n\n{more:,} more in the document." if more > 0 else "")


def _clock(ts_ns: int) -> str:
    from datetime import datetime

    from jts_pipelines.reports.daily_records import SEOUL

    return f"{datetime.fromtimestamp(ts_ns / 1e9, SEOUL):%H:%M:%S.%f}"[:-3]


def _result(found: "list[Certificate]") -> dg.AssetCheckResult:
    unexplained = sum(each.unexplained for each in found)
    first = next((d for each in found for d in each.differences if not d.cause), None)
    said = "none"
    if first is not None:
        said = f"live {first.live or 'nothing'}, again {first.again or 'nothing'}"
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=unexplained == 0,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "unexplained": unexplained,
            "live_signals": sum(each.live_signals for each in found),
            "matched": sum(each.matched for each in found),
            "first": said,
        },
    )
