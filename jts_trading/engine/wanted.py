"""An order that was decided on: why, at which price, and until when it may be given."""

import msgspec

from jts_trading.domain.orders import OrderSide
from jts_trading.dsl.grammar import TimeInForce
from jts_trading.engine.bars import Cause


class Wanted(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An order that was decided and cannot be given yet.

    Attributes:
        reason: Rule, or reason of the risk block.
        price: Decision price in ticks.
        previous_close: Base price of the session that the order is for, in ticks; 0 for the next
            session, whose base is the decision price.
        cause: What the decision came from.
        triggered_ns: When the trade arrived that led to it; 0 for the clock.
        not_before_ns: When it may be given at the earliest.
        tries: Orders that were given for it already.
        lots: Smallest quantities that were decided on; 0: the order is sized when it is given.
        held_back: Money units that a buy keeps from others until then.
        force: Time in force.
        limit: Limit in ticks, rounded to the tick of the venue; 0 for an order without.
        reserve: Price in ticks at which a buy holds cash back; 0: that of a market order.
        stop: Price in ticks that a trade has to reach before it is given; 0 for none.
        is_reached: One has.
        from_day: First session in which it may be given; of an order that was given, that one.
        last_day: Session after which it is not given any more; 0 for no end.
        is_begun: An order that was given for it has filled in part.
    """

    side: OrderSide
    reason: int
    decision_id: str
    signal_id: str
    price: int
    previous_close: int
    cause: Cause
    triggered_ns: int = 0
    not_before_ns: int = 0
    tries: int = 0
    lots: int = 0
    held_back: int = 0
    force: TimeInForce = TimeInForce.DAY
    limit: int = 0
    reserve: int = 0
    stop: int = 0
    is_reached: bool = False
    from_day: int = 0
    last_day: int = 0
    is_begun: bool = False

    @property
    def is_held(self) -> bool:
        """Whether it waits for its stop price."""
        return self.stop > 0 and not self.is_reached

    @property
    def is_renewed(self) -> bool:
        """Whether it is given again in each session until it has filled: good till cancelled."""
        return self.force is TimeInForce.GTC and (self.limit > 0 or self.stop > 0)

    @property
    def goes_on(self) -> bool:
        """Whether it is given again soon until it has filled, as an exit at the market is."""
        return not self.limit and self.force in {TimeInForce.DAY, TimeInForce.GTC}
