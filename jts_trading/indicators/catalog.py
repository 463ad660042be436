"""Every native indicator, by name. A new family is one more line here."""

from collections.abc import Mapping
from types import MappingProxyType

from jts_trading.indicators.averages import AVERAGES
from jts_trading.indicators.definition import Definition
from jts_trading.indicators.oscillators import OSCILLATORS
from jts_trading.indicators.volatility import VOLATILITY
from jts_trading.indicators.volume import VOLUME

FAMILIES = (AVERAGES, OSCILLATORS, VOLATILITY, VOLUME)

DEFINITIONS: Mapping[str, Definition] = MappingProxyType(
    {definition.name: definition for family in FAMILIES for definition in family}
)

_BY_LOWER_NAME = {name.lower(): definition for name, definition in DEFINITIONS.items()}


def find(name: str) -> Definition | None:
    """Return the indicator of this name, whatever its case, or None."""
    return _BY_LOWER_NAME.get(name.lower())
