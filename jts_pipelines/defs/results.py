"""What an asset returns, spelled so that both mypy and Dagster understand it.

Dagster compares the annotation with the bare class; mypy wants its parameter.
"""

from typing import TYPE_CHECKING, TypeAlias

import dagster as dg

if TYPE_CHECKING:
    Materialized: TypeAlias = dg.MaterializeResult[None]
else:
    Materialized = dg.MaterializeResult
