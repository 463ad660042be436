"""What people call the instruments of an instance, from its listing; pure of Dagster."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jts_pipelines.defs.house import House


def listed_names(house: "House") -> Mapping[str, str]:
    """Return the name of each listed instrument, by id; empty where there is no listing.

    Raises:
        InputError: The listing cannot be read.
    """
    if house.listing is None:
        return {}
    from jts_pipelines.backtest.bar_files import read_table
    from jts_pipelines.backtest.instruments import read_instruments
    from jts_pipelines.backtest.settings import BacktestSettings

    table = read_table(house.listing)
    listed = read_instruments(table, BacktestSettings().unknown_market)
    return {f"KRX:{symbol}": name for symbol, name in listed.names.items()}
