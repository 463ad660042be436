"""Takes, cancels and matches orders on the books; one thread calls it. No bus, no event loop."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from jts_trading.brokers.paper.books import PaperBooks, gross_of
from jts_trading.brokers.paper.matching import (
    BROKER,
    Filled,
    Lapsed,
    PaperOrder,
    Rests,
    meet,
)
from jts_trading.brokers.paper.notices import fill_notice, order_name
from jts_trading.brokers.paper.settings import PaperSettings
from jts_trading.domain.account_reports import FillNotice
from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.instruments import InstrumentError, Venue, parse_instrument_id
from jts_trading.domain.market.binance import (
    BinanceFilters,
    BinanceVerdict,
    admit_order,
    filters_of,
)
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.sessions import local_date
from jts_trading.domain.ticks import TradeTick
from jts_trading.execution.fill_costs import CostRules, Trade
from jts_trading.ports.sender import Accepted, Refused
from jts_trading.risk.approval import FinalOrder

# What an unpriced purchase may cost more than the last trade.
_MARGIN = Decimal("1.05")
# Pause between two notes of the place without a fill, real time.
_KEEP_EVERY_S = 2.0
_ZERO = Decimal(0)
_REJECTED, _NO_ORDER = "-2010", "-2011"


class PaperDesk:
    """The broker behind the books.

    Args:
        books: The file.
        settings: The account.
        costs: Commissions by the dated rules.
        monotonic_s: Real time.
    """

    def __init__(
        self,
        books: PaperBooks,
        settings: PaperSettings,
        costs: CostRules,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._books = books
        self._settings = settings
        self._costs = costs
        self._monotonic_s = monotonic_s
        self._working = books.open_orders()
        self._last = books.last_prices
        self._kept_s = monotonic_s()

    @property
    def place(self) -> str:
        """The last entry that is known to be applied."""
        return self._books.place(self._settings.topic)

    def take(self, order: FinalOrder, now_ns: int, gate: Callable[[], None]) -> Accepted | Refused:
        """Take an order or refuse it; what the gate raises comes out, and nothing was done.

        Raises:
            sqlite3.Error: The books could not be written; whether they were is not known.
        """
        gate()
        with self._books.transaction():
            refusal = self._refusal(order, local_date(order.venue, now_ns))
            if refusal is not None:
                self._books.note_refused(order.client_order_id)
                return refusal
            taken = self._books.add(_paper_order(order, now_ns))
        self._working.append(taken)
        name = order_name(self._books.series, taken.number)
        return Accepted(venue_order_id=name, ts_venue_ns=now_ns)

    def cancel(self, name: str, now_ns: int) -> Accepted | Refused:
        """Cancel an order that works, by its number as it was told.

        Raises:
            sqlite3.Error: See `take`.
        """
        series, _, digits = name.rpartition("-")
        number = int(digits) if digits.isdecimal() and series == self._books.series else 0
        with self._books.transaction():
            is_open = self._books.end(number, "cancelled", now_ns)
        if not is_open:
            return Refused(code=_NO_ORDER, reason="Unknown order sent.")
        self._working = [order for order in self._working if order.number != number]
        return Accepted(venue_order_id=name, ts_venue_ns=now_ns)

    def apply(self, entry_id: str, trades: Sequence[TradeTick]) -> list[FillNotice]:
        """Match one entry of the market with all orders that work; return the fills.

        Raises:
            sqlite3.Error: Nothing of the entry was applied.
        """
        wanted = {order.instrument_id for order in self._working}
        for trade in trades:
            self._last[trade.instrument_id] = trade.price
        relevant = [trade for trade in trades if trade.instrument_id in wanted]
        is_due = self._monotonic_s() - self._kept_s >= _KEEP_EVERY_S
        if not relevant and not is_due:
            return []
        before = list(self._working)
        notices: list[FillNotice] = []
        try:
            with self._books.transaction():
                for trade in relevant:
                    notices += self._meet_all(trade)
                if is_due or self._working != before:
                    prices = list(self._last.items())
                    self._books.keep_place(self._settings.topic, entry_id, prices)
        except BaseException:
            self._working = before
            raise
        self._kept_s = self._monotonic_s() if is_due else self._kept_s
        return notices

    def _meet_all(self, trade: TradeTick) -> list[FillNotice]:
        notices = []
        still: list[PaperOrder] = []
        for order in self._working:
            match meet(order, trade):
                case Filled(price):
                    notice = self._fill(order, price, trade)
                    if notice is not None:
                        notices.append(notice)
                case Lapsed():
                    self._books.end(order.number, "cancelled", trade.ts_recv_ns)
                case Rests():
                    self._books.rest(order)
                    still.append(replace(order, is_resting=True))
                case None:
                    still.append(order)
        self._working = still
        return notices

    def _fill(self, order: PaperOrder, price: Decimal, trade: TradeTick) -> FillNotice | None:
        gross = gross_of(price, order.quantity, order.currency)
        costs = self._costs.of(
            Trade(
                broker=BROKER,
                instrument_id=order.instrument_id,
                currency=order.currency,
                side=order.side,
                day=order.day,
                quantity=order.quantity,
                gross=gross,
            )
        )
        if order.side is OrderSide.BUY and gross + costs.fee > self._books.cash:
            # The price ran away from an unpriced order: nobody lends on paper.
            self._books.end(order.number, "cancelled", trade.ts_recv_ns)
            return None
        number = self._books.fill(
            order, price, costs, ts_event_ns=trade.ts_event_ns, ts_recv_ns=trade.ts_recv_ns
        )
        return fill_notice(
            order,
            series=self._books.series,
            account=self._settings.account,
            number=number,
            price=price,
            costs=costs,
            ts_event_ns=trade.ts_event_ns,
            ts_recv_ns=trade.ts_recv_ns,
        )

    def _refusal(self, order: FinalOrder, day: date) -> Refused | None:
        filters = self._filters(order, day)
        if filters is None or order.currency != self._settings.currency:
            return Refused(code="-1121", reason="Invalid symbol.")
        if self._books.is_id_taken(order.client_order_id, self._settings.profile):
            return Refused(code=_REJECTED, reason="Duplicate order sent.")
        last = self._last.get(order.instrument_id)
        price = order.price if order.price is not None else last
        if price is not None:
            on_grid = order.price or price - price % filters.tick
            verdict = admit_order(filters, on_grid, order.quantity)
            if verdict is not BinanceVerdict.ACCEPT:
                name = verdict.removeprefix("reject_")
                return Refused(code="-1013", reason=f"Filter failure: {name}")
        return self._means_refusal(order, price)

    def _filters(self, order: FinalOrder, day: date) -> BinanceFilters | None:
        """Return the filters of what is traded; None for what is not."""
        try:
            instrument = parse_instrument_id(order.instrument_id)
            if instrument.market is not Venue.BINANCE:
                return None
            return filters_of(self._costs.table, day, instrument.symbol)
        except (InstrumentError, RuleMissingError):
            return None

    def _means_refusal(self, order: FinalOrder, price: Decimal | None) -> Refused | None:
        refused = Refused(
            code=_REJECTED, reason="Account has insufficient balance for requested action."
        )
        if order.side is OrderSide.SELL:
            offered = sum(
                (
                    other.quantity
                    for other in self._working
                    if (other.instrument_id, other.side) == (order.instrument_id, OrderSide.SELL)
                ),
                _ZERO,
            )
            held, _ = self._books.held(order.instrument_id)
            return refused if order.quantity > held - offered else None
        reserved = sum(
            (self._needed(o.instrument_id, o.quantity, o.price) for o in self._buys()), _ZERO
        )
        # Before the first trade nobody knows what it costs; the fill finds out.
        needed = _ZERO if price is None else order.quantity * price
        return refused if needed > self._books.cash - reserved else None

    def _buys(self) -> list[PaperOrder]:
        return [order for order in self._working if order.side is OrderSide.BUY]

    def _needed(self, instrument_id: str, quantity: Decimal, price: Decimal | None) -> Decimal:
        if price is not None:
            return quantity * price
        return quantity * self._last.get(instrument_id, _ZERO) * _MARGIN


def _paper_order(order: FinalOrder, now_ns: int) -> PaperOrder:
    return PaperOrder(
        number=0,
        day=local_date(order.venue, now_ns),
        client_order_id=order.client_order_id,
        instrument_id=order.instrument_id,
        venue=order.venue,
        side=order.side,
        quantity=order.quantity,
        price=order.price,
        time_in_force=order.time_in_force,
        currency=order.currency,
        accepted_ns=now_ns,
    )
