"""What watches the runs and starts what conditions ask for."""

import dagster as dg

from jts_pipelines.defs.operations.failures import failed_runs


def operations() -> dg.Definitions:
    """Return the sensor of failed runs and the one that evaluates automation conditions."""
    return dg.Definitions(
        sensors=[
            failed_runs,
            dg.AutomationConditionSensorDefinition(
                "default_automation_condition_sensor",
                target=dg.AssetSelection.all(),
                default_status=dg.DefaultSensorStatus.RUNNING,
                minimum_interval_seconds=30,
                description="Starts assets whose automation condition has become true.",
            ),
        ],
    )
