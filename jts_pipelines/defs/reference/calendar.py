"""The KRX calendar as an asset: our dated sessions against the installed exchange-calendars.

Every process reads the sessions from a small file and the overlay of the rule table, because the
package costs seconds to import. This asset is where somebody notices that the two drift apart.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date

import dagster as dg

from jts_pipelines.defs.market_data.families import OWNERS
from jts_pipelines.defs.results import Materialized


@dataclass(frozen=True, slots=True)
class CalendarComparison:
    """Two calendars of one venue.

    Attributes:
        sessions: Ours, per year.
        overlay: Days on which the dated rules overrule the package, ascending.
        saturdays: Sessions that only ours has and should: the market was open on Saturdays until
            1998, which the package does not model.
        unexplained: Other days on which the two differ, ascending; never right.
        file_is_current: The stored file is what the installed package would write.
    """

    sessions: dict[int, int]
    overlay: tuple[date, ...]
    saturdays: int
    unexplained: tuple[date, ...]
    file_is_current: bool


def compare_calendars() -> CalendarComparison:
    """Build the package's calendar, which takes about two seconds, and compare ours with it."""
    from importlib import resources

    import exchange_calendars

    from jts_trading.domain.closures import FIRST, LAST, closures_text
    from jts_trading.domain.market.loading import default_table
    from jts_trading.domain.sessions import calendar_for

    package = exchange_calendars.get_calendar("XKRX", start=str(FIRST), end=str(LAST))
    theirs = {at.date() for at in package.sessions}
    ours = set(calendar_for("KRX").sessions(FIRST, LAST))
    saturdays = {day for day in ours - theirs if day.weekday() == 5 and day.year <= 1998}
    differing = (ours ^ theirs) - saturdays
    ruled = {rule.valid_from for rule in default_table().all_of("closed") if rule.valid_from}
    stored = resources.files("jts_trading.domain").joinpath("krx_closures.csv")
    return CalendarComparison(
        sessions=dict(sorted(Counter(day.year for day in ours).items())),
        overlay=tuple(sorted(differing & ruled)),
        saturdays=len(saturdays),
        unexplained=tuple(sorted(differing - ruled)),
        file_is_current=stored.read_text(encoding="utf-8") == closures_text(),
    )


@dg.asset(
    key=["reference", "krx_calendar"],
    group_name="reference",
    owners=OWNERS,
    kinds={"python"},
    tags={"venue": "KRX"},
    description="Sessions of KRX: exchange-calendars with the dated overlay of the rule table.",
    automation_condition=dg.AutomationCondition.on_cron("0 6 * * 1", "Asia/Seoul"),
    check_specs=[
        dg.AssetCheckSpec(
            "calendars_agree",
            asset=["reference", "krx_calendar"],
            description="The stored file is current; only days of the dated rules differ.",
        )
    ],
)
def krx_calendar() -> Materialized:
    """Compare both calendars and show sessions per year."""
    found = compare_calendars()
    years = "\n".join(f"| {year} | {count} |" for year, count in found.sessions.items())
    return Materialized(
        metadata={
            "sessions": sum(found.sessions.values()),
            "overlay_days": len(found.overlay),
            "saturday_sessions": found.saturdays,
            "sessions_per_year": dg.MetadataValue.md(f"| year | sessions |\n|---|---|\n{years}"),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="calendars_agree",
                passed=found.file_is_current and not found.unexplained,
                metadata={
                    "file_is_current": found.file_is_current,
                    "overlay": ", ".join(map(str, found.overlay)),
                    "unexplained": ", ".join(map(str, found.unexplained)) or "none",
                },
            )
        ],
    )
