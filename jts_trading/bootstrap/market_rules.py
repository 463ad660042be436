"""The dated rules as roles ask for them: costs of a fill, and what a venue wants of an order."""

from collections.abc import Callable
from functools import lru_cache

from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.instruments import InstrumentError, Venue, parse_instrument_id
from jts_trading.domain.market.binance import filters_of
from jts_trading.domain.market.loading import default_table
from jts_trading.execution.fill_costs import CostRules, Listed, unlisted
from jts_trading.ports.clock import Clock, today
from jts_trading.risk.facts import InstrumentRules, KrxRules

_LISTED_MAX = 4096


def cost_rules(listed: Callable[[str], Listed] = unlisted) -> CostRules:
    """Return what fills cost, by the published commissions of the brokers."""
    return CostRules(default_table(), listed)


def rules_of(
    clock: Clock, listed: Callable[[str], Listed] = unlisted
) -> Callable[[str], InstrumentRules | None]:
    """Return who knows the rules of an instrument on the instance's day; None denies the order.

    Args:
        clock: Of the instance.
        listed: Market and kind of an instrument.
    """
    table = default_table()
    known = lru_cache(_LISTED_MAX)(listed)

    def find(instrument_id: str) -> InstrumentRules | None:
        try:
            instrument = parse_instrument_id(instrument_id)
            if instrument.market is Venue.KRX:
                found = known(instrument_id)
                return KrxRules(market=found.market, asset=found.asset)
            if instrument.market is Venue.BINANCE:
                return filters_of(table, today(clock, Venue.BINANCE), instrument.symbol)
        except (InstrumentError, RuleMissingError):
            return None
        return None

    return find
