"""All of research."""

import dagster as dg

from jts_pipelines.defs.research.backtests import RESULT, TEARSHEET, backtest
from jts_pipelines.defs.research.releases import (
    RELEASE,
    WALK,
    build_release_candidates,
    release_evidence,
    strategy_release,
)
from jts_pipelines.defs.research.releases import RESULT as RELEASE_RESULT
from jts_pipelines.defs.research.releases import TEARSHEET as RELEASE_TEARSHEET
from jts_pipelines.defs.research.requests import backtest_results, build_backtest_requests


def research() -> dg.Definitions:
    """Return backtests and releases with their jobs and the sensors that start them."""
    job = dg.define_asset_job(
        "research",
        selection=dg.AssetSelection.assets(RESULT, TEARSHEET),
        description="Runs one backtest and writes its tear sheet.",
        tags={"jts/lane": "research"},
    )
    release_job = dg.define_asset_job(
        "release",
        selection=dg.AssetSelection.assets(RELEASE_RESULT, RELEASE_TEARSHEET, WALK, RELEASE),
        description="Tries a candidate strategy and releases it if every gate is open.",
        tags={"jts/lane": "research"},
    )
    return dg.Definitions(
        assets=[backtest, release_evidence, strategy_release],
        jobs=[job, release_job],
        sensors=[
            build_backtest_requests(job),
            backtest_results,
            build_release_candidates(release_job),
        ],
    )
