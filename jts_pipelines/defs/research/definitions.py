"""All of research."""

import dagster as dg

from jts_pipelines.defs.research.backtests import RESULT, TEARSHEET, backtest


def research() -> dg.Definitions:
    """Return the backtest with its tear sheet, and the job that runs them."""
    job = dg.define_asset_job(
        "research",
        selection=dg.AssetSelection.assets(RESULT, TEARSHEET),
        description="Runs one backtest and writes its tear sheet.",
        tags={"jts/lane": "research"},
    )
    return dg.Definitions(assets=[backtest], jobs=[job])
