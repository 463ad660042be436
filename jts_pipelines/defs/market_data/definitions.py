"""All of market data: candles of each family and the landing folder."""

import dagster as dg

from jts_pipelines.defs.market_data.candles import build_candles
from jts_pipelines.defs.market_data.families import FAMILIES
from jts_pipelines.defs.market_data.landing import ingest_landing, landing_files


def market_data() -> dg.Definitions:
    """Return the candles of each family, and the job and sensor of the landing folder."""
    return dg.Definitions(
        assets=[build_candles(family) for family in FAMILIES],
        jobs=[ingest_landing],
        sensors=[landing_files],
    )
