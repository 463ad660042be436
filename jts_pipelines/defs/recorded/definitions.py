"""All of what is recorded."""

import dagster as dg

from jts_pipelines.defs.recorded.reporting import recorded_sessions
from jts_pipelines.defs.recorded.specs import recorded_specs


def recorded() -> dg.Definitions:
    """Return the external assets and the sensor that reports them."""
    return dg.Definitions(assets=recorded_specs(), sensors=[recorded_sessions])
