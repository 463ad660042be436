"""What no market says: prices, quantities and times that are not believed. Pure.

A tick that is refused here is kept as a frame and counted; it makes no price, bar or stop. A price
far from the last one is believed when enough ticks in a row say the same.
"""

from decimal import Decimal
from typing import NamedTuple

from jts_trading.domain.ticks import BookTick, TradeTick
from jts_trading.services.collector.settings import CollectorSettings

NS_PER_S = 1_000_000_000


class DayLimits(NamedTuple):
    """Base price and limits of an instrument on a trade date (its ordinal)."""

    day: int
    reference: Decimal | None
    upper: Decimal | None
    lower: Decimal | None


class Sanity:
    """Judges the ticks of one instrument.

    Args:
        settings: Bounds.
        allowance_ns: Instance time that our own way may take beyond them.
    """

    def __init__(self, settings: CollectorSettings, allowance_ns: int = 0) -> None:
        self._ahead_ns = int(settings.event_ahead_s_max * NS_PER_S) + allowance_ns
        self._behind_ns = int(settings.event_behind_s_max * NS_PER_S) + allowance_ns
        self._factor = settings.jump_factor_max
        self._confirm_ticks = settings.confirm_ticks
        self._last: Decimal | None = None
        self._doubts: list[Decimal] = []

    def fault_of_trade(self, tick: TradeTick, limits: DayLimits | None) -> str:
        """Return why a trade is not believed; empty when it is."""
        fault = _fault_of_numbers(tick)
        if fault:
            return fault
        if limits is not None and _is_outside(tick.price, limits):
            return "outside_limits"
        return self._fault_of_jump(tick.price)

    def fault_of_book(self, tick: BookTick) -> str:
        """Return why a book is not believed; empty when it is."""
        for level in (*tick.asks, *tick.bids):
            if not level.price.is_finite() or level.price <= 0:
                return "price_not_positive"
            if not level.quantity.is_finite() or level.quantity < 0:
                return "quantity_negative"
        # A call auction collects orders that cross; outside of one nothing may.
        is_auction = tick.expected_price is not None
        if is_auction or not tick.asks or not tick.bids:
            return ""
        return "crossed_book" if tick.bids[0].price >= tick.asks[0].price else ""

    def fault_of_time(self, tick: TradeTick | BookTick) -> str:
        """Return why the time of a tick is not believed; empty when it is."""
        ahead_ns = tick.ts_event_ns - tick.ts_recv_ns
        if ahead_ns > self._ahead_ns:
            return "time_ahead"
        return "time_behind" if -ahead_ns > self._behind_ns else ""

    def _fault_of_jump(self, price: Decimal) -> str:
        last = self._last
        if last is not None and not self._is_near(price, last):
            if self._doubts and not self._is_near(price, self._doubts[-1]):
                self._doubts.clear()
            self._doubts.append(price)
            if len(self._doubts) < self._confirm_ticks:
                return "price_jump"
        self._doubts.clear()
        self._last = price
        return ""

    def _is_near(self, price: Decimal, last: Decimal) -> bool:
        return last < price * self._factor and price < last * self._factor


def _fault_of_numbers(tick: TradeTick) -> str:
    if not tick.price.is_finite() or tick.price <= 0:
        return "price_not_positive"
    if not tick.quantity.is_finite() or tick.quantity <= 0:
        return "quantity_not_positive"
    if not tick.cumulative_quantity.is_finite() or tick.cumulative_quantity < 0:
        return "cumulative_negative"
    return ""


def _is_outside(price: Decimal, limits: DayLimits) -> bool:
    above = limits.upper is not None and price > limits.upper
    return above or (limits.lower is not None and price < limits.lower)
