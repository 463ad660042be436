"""Dagster's entry: everything that this code location offers.

Loading adds little to importing Dagster: no engine, no column library, no network (a test counts
the modules). Subjects are listed, not discovered, so that a folder without a row here fails a
test instead of being loaded by accident.
"""

import dagster as dg

from jts_pipelines.defs.market_data.definitions import market_data
from jts_pipelines.defs.operations.definitions import operations
from jts_pipelines.defs.recorded.definitions import recorded
from jts_pipelines.defs.reference.definitions import reference
from jts_pipelines.defs.reports.definitions import reports
from jts_pipelines.defs.research.definitions import research
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.tiers.definitions import tiers
from jts_pipelines.defs.trading_inputs.definitions import inputs
from jts_trading.config.source import variable
from storage.embedded.lifetime import leave_after

_GRACE_S = 3.0

# Set by `jts up`: the kernel's signal stops this server, unless a thread still asks a database
# that was killed as well.
if (supervisor := variable("JTS_SUPERVISOR_PID")) is not None:
    leave_after(int(supervisor), _GRACE_S)


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of all subjects, run in the process of their run."""
    shared = dg.Definitions(
        resources={"house": HouseResource()},
        # One interpreter per run: a step in a process of its own costs twelve seconds more.
        executor=dg.in_process_executor,
    )
    subjects = (
        *(reference(), market_data(), tiers(), research(), inputs(), recorded(), reports()),
        operations(),
    )
    return dg.Definitions.merge(*subjects, shared)
