"""The smallest steps of an instrument's prices and quantities: what decisions count in."""

from datetime import date
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.instruments import InstrumentId, Venue, price_scale
from jts_trading.domain.market.binance import filters_of
from jts_trading.domain.market.table import RuleTable

_ONE = Decimal(1)


class Grid(NamedTuple):
    """Steps of one instrument on one day.

    Attributes:
        price_step: Smallest price increment; the order ladder may be coarser.
        quantity_step: Smallest quantity; the lot may be larger.
        notional_min: Smallest price times quantity of an order; 0 where there is none.
    """

    price_step: Decimal
    quantity_step: Decimal
    notional_min: Decimal = Decimal(0)


def grid_of(table: RuleTable, day: date, instrument: InstrumentId) -> Grid:
    """Return the steps of an instrument.

    Raises:
        RuleMissingError: Its venue has steps by symbol, and the table lacks this one.
    """
    match instrument.market:
        case Venue.KRX | Venue.NXT | Venue.US:
            return _whole_grid(instrument.market)
        case Venue.BINANCE:
            filters = filters_of(table, day, instrument.symbol)
            return Grid(filters.tick, filters.step, filters.min_notional)
        case Venue.UPBIT:
            raise RuleMissingError(
                f"no rule for the steps of {instrument}: Upbit is not traded live yet"
            )


@cache
def _whole_grid(market: Venue) -> Grid:
    return Grid(_ONE.scaleb(-price_scale(market)), _ONE)
