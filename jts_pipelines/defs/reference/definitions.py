"""All reference facts."""

import dagster as dg

from jts_pipelines.defs.reference.calendar import krx_calendar


def reference() -> dg.Definitions:
    """Return the calendars."""
    return dg.Definitions(assets=[krx_calendar])
