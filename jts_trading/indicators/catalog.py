"""Every native indicator, by name. A new family is one more line here."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from jts_trading.indicators.adaptive import ADAPTIVE
from jts_trading.indicators.averages import AVERAGES
from jts_trading.indicators.bands import BAND_FAMILY
from jts_trading.indicators.candles_double import DOUBLE_CANDLES
from jts_trading.indicators.candles_single import SINGLE_CANDLES
from jts_trading.indicators.candles_triple import TRIPLE_CANDLES
from jts_trading.indicators.definition import Definition
from jts_trading.indicators.directional import DIRECTIONAL
from jts_trading.indicators.momentum import MOMENTUM
from jts_trading.indicators.oscillators import OSCILLATORS
from jts_trading.indicators.pivots import PIVOTS
from jts_trading.indicators.prices import PRICES
from jts_trading.indicators.regression import REGRESSION
from jts_trading.indicators.statistics import STATISTICS
from jts_trading.indicators.stochastics import STOCHASTICS
from jts_trading.indicators.trend import TREND
from jts_trading.indicators.volatility import VOLATILITY
from jts_trading.indicators.volume import VOLUME_FLOW
from jts_trading.indicators.volume_ratios import VOLUME_RATIOS
from jts_trading.indicators.vwap import VWAP_FAMILY

# Title of each family and its members, in the order of the page.
FAMILIES: Mapping[str, tuple[Definition, ...]] = MappingProxyType(
    {
        "Moving averages": AVERAGES,
        "Adaptive averages": ADAPTIVE,
        "Prices": PRICES,
        "Oscillators": OSCILLATORS,
        "Stochastics": STOCHASTICS,
        "Momentum": MOMENTUM,
        "Volatility": VOLATILITY,
        "Bands and channels": BAND_FAMILY,
        "Directional movement": DIRECTIONAL,
        "Trend": TREND,
        "Linear regression": REGRESSION,
        "Volume": (*VOLUME_FLOW, *VOLUME_RATIOS),
        "Volume-weighted averages": VWAP_FAMILY,
        "Pivots and sessions": PIVOTS,
        "Statistics": STATISTICS,
        "Candle patterns": (*SINGLE_CANDLES, *DOUBLE_CANDLES, *TRIPLE_CANDLES),
    }
)


class UnusableIndicatorError(ValueError):
    """There is an indicator of this name, but strategies cannot use it; the message says why."""


class Catalog:
    """Indicators by name and alias, whatever the case of the letters."""

    def __init__(self, definitions: Iterable[Definition]) -> None:
        self._by_name: dict[str, Definition] = {}
        self._by_lower_name: dict[str, Definition] = {}
        for definition in definitions:
            self._by_name[definition.name] = definition
            for name in (definition.name, *definition.aliases):
                if self._by_lower_name.setdefault(name.lower(), definition) is not definition:
                    raise ValueError(f'two indicators are called "{name}"')

    @property
    def definitions(self) -> Mapping[str, Definition]:
        """Every indicator by its own name."""
        return MappingProxyType(self._by_name)

    @property
    def names(self) -> frozenset[str]:
        """Everything an indicator may be called."""
        aliases = (alias for d in self._by_name.values() for alias in d.aliases)
        return frozenset({*self._by_name, *aliases})

    def holds(self, definition: Definition) -> bool:
        """Whether this very definition is one of the catalogue."""
        return self._by_name.get(definition.name) is definition

    def find(self, name: str) -> Definition | None:
        """Return the indicator of this name or alias, or None.

        Raises:
            UnusableIndicatorError: There is one, but it cannot be used.
        """
        return self._by_lower_name.get(name.lower())


NATIVE = Catalog(definition for family in FAMILIES.values() for definition in family)
