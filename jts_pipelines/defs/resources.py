"""The house as a Dagster resource, opened only when an asset runs.

Definitions must load fast and without a server: stores, engines and column libraries are imported
by `open`, never by this module.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from jts_trading.config.settings import load_settings
from jts_trading.config.source import read

if TYPE_CHECKING:
    from jts_pipelines.defs.house import House
    from jts_trading.domain.trading_inputs import RiskLimits


BAR_GRACE_S = 1.0
"""What section `trader` says unless it is configured; whoever recomputes must wait as long."""


class HouseResource(dg.ConfigurableResource[Any]):
    """One instance of JTS, found through its configuration.

    Attributes:
        variables: Environment to read the configuration from; that of the process when empty.
    """

    variables: dict[str, str] = Field(default_factory=dict)

    def open(self) -> "House":
        """Return the libraries of the instance, composed."""
        from jts_pipelines.defs.house import House

        return House(load_settings(read(self.variables or None)))

    def risk_limits(self) -> "RiskLimits":
        """Return the limits of the section `risk`."""
        from jts_trading.domain.trading_inputs import RiskLimits

        return read(self.variables or None).load(RiskLimits, "risk")

    def bar_grace_s(self) -> float:
        """Return how long the trader waits for trades after the end of a bar, instance seconds."""
        section = read(self.variables or None).values.get("trader", {})
        return float(section.get("bar_grace_s", BAR_GRACE_S))

    @property
    def root(self) -> Path:
        """The data root of the instance."""
        return load_settings(read(self.variables or None)).instance.root
