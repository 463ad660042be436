"""All of research."""

import dagster as dg

from jts_pipelines.defs.research.backtests import RESULT, TEARSHEET, backtest
from jts_pipelines.defs.research.requests import backtest_results, build_backtest_requests


def research() -> dg.Definitions:
    """Return the backtest with its tear sheet, their job, and the sensors of requests."""
    job = dg.define_asset_job(
        "research",
        selection=dg.AssetSelection.assets(RESULT, TEARSHEET),
        description="Runs one backtest and writes its tear sheet.",
        tags={"jts/lane": "research"},
    )
    return dg.Definitions(
        assets=[backtest],
        jobs=[job],
        sensors=[build_backtest_requests(job), backtest_results],
    )
