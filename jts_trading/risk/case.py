"""One order before its checks: the order, the facts, the limits, and figures made of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeVar

from jts_trading.domain.feed_messages import PriceNote
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.prices import daily_limits
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.sessions import local_date
from jts_trading.domain.trading_inputs import RiskLimits
from jts_trading.risk.approval import FinalOrder
from jts_trading.risk.facts import KrxRules, OpenOrder, RiskFacts

ZERO = Decimal(0)
KOREAN_VENUES = frozenset({"KRX", "NXT"})
_Fact = TypeVar("_Fact")


class MissingFactError(Exception):
    """A check needs a fact that is not known; the order is denied."""


@dataclass(frozen=True, slots=True)
class Band:
    """Lowest and highest price that the venue accepts today."""

    lower: Decimal
    upper: Decimal


@dataclass(frozen=True, slots=True)
class Case:
    """What every check is given.

    Attributes:
        reduces: The intent says that it makes a position smaller; R15 judges whether it does.
    """

    order: FinalOrder
    facts: RiskFacts
    limits: RiskLimits
    now_ns: int
    reduces: bool

    @property
    def is_buy(self) -> bool:
        """Whether it buys."""
        return self.order.side is OrderSide.BUY

    @property
    def price(self) -> PriceNote:
        """The newest trade of the instrument.

        Raises:
            MissingFactError: It is not known.
        """
        return known(self.facts.price, "price of the instrument")

    @property
    def day(self) -> date:
        """The date at the venue."""
        return local_date(self.order.venue, self.now_ns)

    def others(self) -> Iterable[OpenOrder]:
        """Return the other open orders of the account.

        Raises:
            MissingFactError: They are not known.
        """
        orders = known(self.facts.open_orders, "open orders of the account")
        return (order for order in orders if order.order_id != self.order.order_id)

    def band(self) -> Band | None:
        """Return the price band of the day; None where the venue has none.

        Raises:
            MissingFactError: The venue has one and it is not known.
        """
        note = self.price
        if note.lower is not None and note.upper is not None:
            return Band(note.lower, note.upper)
        if self.order.venue not in KOREAN_VENUES:
            return None
        rules = known(self.facts.rules, "rules of the instrument")
        reference = known(note.reference, "base price of the day")
        if not isinstance(rules, KrxRules):
            raise MissingFactError("market and asset of the instrument")
        limits = daily_limits(
            default_table(), self.day, int(reference), market=rules.market, asset=rules.asset
        )
        return Band(Decimal(limits.lower), Decimal(limits.upper))

    def worst_price(self) -> Decimal:
        """Return the highest price that a purchase can be filled at.

        A limit is its own; a market order pays up to the upper limit of the day, or where there is
        none, up to the collar above the newest trade.

        Raises:
            MissingFactError: It cannot be told.
        """
        if self.order.price is not None:
            return self.order.price
        band = self.band()
        if band is not None:
            return band.upper
        return self.price.price * (1 + self.limits.price_collar)

    def value(self) -> Decimal:
        """Return quantity times limit, or times the newest trade for a market order.

        Raises:
            MissingFactError: The price is not known.
        """
        price = self.price.price if self.order.price is None else self.order.price
        return self.order.quantity * price

    def equity(self) -> Decimal:
        """Return cash and positions of the account at their newest prices.

        Raises:
            MissingFactError: Cash, a position or its price is not known.
        """
        cash = known(self.facts.cash, "cash of the account")
        return cash + sum(self.holding_values().values(), ZERO)

    def holding_values(self) -> dict[str, Decimal]:
        """Return the value of each position of the account.

        Raises:
            MissingFactError: A position or its price is not known.
        """
        holdings = known(self.facts.holdings, "positions of the account")
        known(self.facts.marks, "prices of what is held")
        return {
            instrument: quantity * self.mark(instrument)
            for instrument, quantity in holdings.items()
            if quantity
        }

    def mark(self, instrument_id: str) -> Decimal:
        """Return the newest known price of an instrument.

        Raises:
            MissingFactError: None is known.
        """
        marks = known(self.facts.marks, "prices of what is held")
        return known(marks.get(instrument_id), f"price of {instrument_id}")

    def aged(self, seconds: float) -> Decimal:
        """Return a limit of an age in instance seconds, with the allowance for a fast clock.

        Raises:
            MissingFactError: The speed of the clock is not known.
        """
        speed = known(self.facts.clock_speed, "speed of the clock")
        ahead = float(speed - 1) if speed > 1 else 0.0
        return Decimal(str(seconds + ahead * self.limits.latency_allowance_s))


def known(fact: _Fact | None, what: str) -> _Fact:
    """Return a fact that must be there.

    Raises:
        MissingFactError: It is not.
    """
    if fact is None:
        raise MissingFactError(what)
    return fact
