"""All of the trading inputs."""

import dagster as dg

from jts_pipelines.defs.trading_inputs.assets import KEY, trading_inputs
from jts_pipelines.defs.trading_inputs.publishing import trading_inputs_published


def inputs() -> dg.Definitions:
    """Return the asset, its job and the sensor that publishes it."""
    job = dg.define_asset_job(
        "trading_inputs",
        selection=dg.AssetSelection.assets(KEY),
        description="Makes the next version of what the daemon trades.",
        tags={"jts/lane": "trading"},
    )
    return dg.Definitions(assets=[trading_inputs], jobs=[job], sensors=[trading_inputs_published])
