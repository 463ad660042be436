"""The price of an order that a rule asks for, from what the step or the guard left behind."""

import msgspec

from jts_trading.domain.orders import OrderSide
from jts_trading.dsl.grammar import TimeInForce
from jts_trading.engine.columns import Floats
from jts_trading.engine.orders import terms_at
from jts_trading.engine.slots import day_after
from jts_trading.engine.state import Instance
from jts_trading.engine.wanted import Wanted
from jts_trading.strategy.order_prices import whole_price
from jts_trading.strategy.rules import REASON_STOP_LOSS


def price_order(
    instance: Instance, symbol: str, wanted: Wanted, numbers: Floats, day: int, *, is_late: bool
) -> Wanted | None:
    """Return an order with the prices and time in force of its rule; None where one is not known.

    The risk block leaves at the market, for the day.

    Args:
        instance: Whose rule it is.
        symbol: The instrument.
        wanted: What was decided.
        numbers: See `Plan.values`; the prices are among them.
        day: Session of the bar that was judged: its ticks count, as in a backtest.
        is_late: Whether the order is for the session after it.

    Raises:
        RuleMissingError: See `terms_at`.
    """
    if wanted.reason >= REASON_STOP_LOSS:
        return wanted
    asked = instance.program.rules.terms[wanted.reason]
    if asked.limit is None and asked.stop is None:
        if asked.force is wanted.force:
            return wanted
        return msgspec.structs.replace(wanted, force=asked.force)
    terms, is_buy = terms_at(instance, symbol, day), wanted.side is OrderSide.BUY
    limit = stop = reserve = 0
    if asked.limit is not None:
        value = float(numbers[asked.limit])
        limit = terms.order_price(value, is_up=not is_buy)
        # As it is asked for, before it is rounded to the tick: never too little.
        reserve = whole_price(value, is_up=True) if is_buy else 0
    if asked.stop is not None:
        stop = terms.order_price(float(numbers[asked.stop]), is_up=is_buy)
    if not (limit or asked.limit is None) or not (stop or asked.stop is None):
        return None
    is_for_day = asked.force is TimeInForce.DAY
    return msgspec.structs.replace(
        wanted,
        force=asked.force,
        limit=limit,
        stop=stop,
        reserve=reserve,
        last_day=(day_after(instance.spec.venue, day) if is_late else day) if is_for_day else 0,
    )
