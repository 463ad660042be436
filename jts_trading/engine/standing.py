"""How an instance stands at one instant: looked up once, however many orders are decided on it."""

from decimal import Decimal
from functools import cached_property

from jts_trading.domain.orders import OrderSide
from jts_trading.engine.slots import is_tradable
from jts_trading.engine.state import Instance
from jts_trading.portfolio.instance_account import OrderNews, WorkingOrder
from jts_trading.strategy.units import Units


class Standing:
    """What decisions of one instant ask of an instance.

    Orders of the instant change the cash that is free and how many positions are taken, but not
    the equity.

    Args:
        instance: Whose.
        now_ns: The instant.
        besides: An instrument whose own wanted order does not count: it is given now.
    """

    def __init__(self, instance: Instance, now_ns: int, besides: str = "") -> None:
        self._instance = instance
        self._besides = besides
        self._free: Decimal | None = None
        self._positions: int | None = None
        self._working: dict[str, WorkingOrder] | None = None
        self._worth: tuple[Units, int] | None = None
        self.now_ns = now_ns

    @cached_property
    def equity(self) -> Decimal:
        """Cash and positions at the closes of this instant."""
        return self._instance.equity()

    def equity_in(self, units: Units) -> int:
        """Return the equity in units of money, rounded down."""
        # Nearly always the units of the instrument before: those with the same steps share one.
        if self._worth is None or self._worth[0] is not units:
            self._worth = units, units.money(self.equity)
        return self._worth[1]

    @cached_property
    def is_tradable(self) -> bool:
        """Whether a market order sent now is matched in the session that is on."""
        return is_tradable(self._instance.spec.venue, self.now_ns)

    @property
    def free(self) -> Decimal:
        """Cash that neither an order nor a wanted one holds back."""
        if self._free is None:
            self._free = self._instance.free_cash(self._besides)
        return self._free

    @property
    def positions(self) -> int:
        """How many instruments are held, being bought, or wanted."""
        if self._positions is None:
            self._positions = _positions_taken(self._instance)
        return self._positions

    def working(self, instrument_id: str) -> WorkingOrder | None:
        """Return the order that works in an instrument, the oldest if there are several."""
        if self._working is None:
            self._working = {}
            for order in self._instance.account.orders.values():
                self._working.setdefault(order.instrument_id, order)
        return self._working.get(instrument_id)

    def note(self, news: OrderNews | None) -> None:
        """Count an order that was given as one that works."""
        if self._working is not None and news is not None and news.order is not None:
            self._working.setdefault(news.instrument_id, news.order)

    def hold_back(self, amount: Decimal, *, is_first: bool) -> None:
        """Count an entry that was ordered or is wanted, and the cash that it keeps from others.

        Args:
            amount: Of cash.
            is_first: It opens a position.
        """
        if self._free is not None:
            self._free -= amount
        if self._positions is not None:
            self._positions += is_first

    def forget(self) -> None:
        """Look cash and positions up again: an order that was wanted is not any more."""
        self._free = self._positions = None


def _positions_taken(instance: Instance) -> int:
    account = instance.account
    taken = {name for name in account.holdings if not account.is_flat(name)}
    taken |= {o.instrument_id for o in account.orders.values() if o.side is OrderSide.BUY}
    taken |= {name for name, wanted in instance.wanted() if wanted.side is OrderSide.BUY}
    return len(taken)
