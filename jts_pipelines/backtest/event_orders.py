"""The orders of an event backtest, and what became of them."""

from dataclasses import dataclass, field
from decimal import Decimal

from jts_trading.domain.journal_events import OrderFilled
from jts_trading.domain.orders import OrderIntent

_ZERO = Decimal(0)


@dataclass(slots=True)
class OrderLine:
    """What became of one order.

    Attributes:
        decided: Newest price of the instrument when it was given; None where nothing had traded.
        status: waiting, filled, denied, cancelled or expired; those that ended otherwise may have
            been filled in part.
        check: Of the denial, such as R04.
        reason: Of the denial or the end.
        fills: In the order of time, one for each price of a book.
        is_resting: It waits for trades beyond its limit, as nothing more is offered within it.
    """

    intent: OrderIntent
    given_ns: int
    decided: Decimal | None = None
    status: str = "waiting"
    check: str = ""
    reason: str = ""
    fills: list[OrderFilled] = field(default_factory=list)
    is_resting: bool = False

    @property
    def filled(self) -> Decimal:
        """Quantity of all fills."""
        return sum((fill.quantity for fill in self.fills), _ZERO)

    @property
    def left(self) -> Decimal:
        """Quantity that is not filled."""
        return self.intent.quantity - self.filled

    @property
    def price(self) -> float | None:
        """Mean price of the fills, by quantity; None without any."""
        if not self.fills:
            return None
        gross = sum((fill.price * fill.quantity for fill in self.fills), _ZERO)
        return float(gross / self.filled)
