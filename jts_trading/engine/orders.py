"""Sized orders of an instance: quantity, reservation and intent, in whole units.

The functions of `strategy.sizing` and `strategy.stops` decide, as in a backtest; here their
arguments are gathered from the account and the rule table, and their result becomes an intent.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.instruments import parse_instrument_id
from jts_trading.domain.journal_events import IntentRecorded
from jts_trading.domain.money import currency_unit
from jts_trading.domain.orders import OrderIntent, OrderSide, Reservation
from jts_trading.dsl.grammar import TimeInForce
from jts_trading.engine.identity import order_id
from jts_trading.engine.levels import trailing_level
from jts_trading.engine.outcomes import Outcome
from jts_trading.engine.slots import date_of_number
from jts_trading.engine.standing import Standing
from jts_trading.engine.state import EngineSettings, Instance
from jts_trading.engine.terms import Terms, terms_of
from jts_trading.engine.wanted import Wanted
from jts_trading.execution.fill_costs import Listed
from jts_trading.strategy.rules import (
    REASON_STOP_LOSS,
    REASON_TAKE_PROFIT,
    REASON_TRAILING_STOP,
)
from jts_trading.strategy.sizing import (
    QUANTITY_ALL,
    QUANTITY_KELLY,
    affordable_quantity,
    buying_cost,
    capped_quantity,
    exit_quantity,
    kelly_entry_share,
    wanted_quantity,
)
from jts_trading.strategy.units import count_steps

_Force = Literal["day", "ioc", "fok"]
# An order that is good till cancelled is one for the day that is given again each session.
_AT_VENUE: dict[TimeInForce, _Force] = {
    TimeInForce.DAY: "day",
    TimeInForce.IOC: "ioc",
    TimeInForce.FOK: "fok",
    TimeInForce.GTC: "day",
}


class Sized(msgspec.Struct, frozen=True, gc=False):
    """An order in whole units.

    Attributes:
        lots: Smallest quantities.
        held_back: Money units that a buy reserves.
    """

    lots: int
    held_back: int = 0


def terms_at(instance: Instance, symbol: str, day: int) -> Terms:
    """Return the trading terms of an instrument on a session.

    Raises:
        RuleMissingError: The rule table does not cover the instance's broker, venue or symbol.
    """
    known = instance.terms.get(symbol)
    if known is None or known[0] != day:
        spec, listing = instance.spec, instance.listings.get(symbol, Listed())
        instrument, at = parse_instrument_id(symbol), date_of_number(day)
        known = day, terms_of(instrument, spec.venue, spec.broker, listing, at)
        instance.terms[symbol] = known
    return known[1]


def exit_reason(instance: Instance, symbol: str, close: int, fired: int) -> int:
    """Return why a position is to be left at a close, or -1; the risk block before the rules."""
    rules, book = instance.program.rules, instance.books[symbol]
    if close <= book.loss_level:
        return REASON_STOP_LOSS
    if close <= trailing_level(book.peak, rules.trailing_stop_ppm):
        return REASON_TRAILING_STOP
    if close >= book.profit_level:
        return REASON_TAKE_PROFIT
    return first_rule(fired & rules.exits)


def first_rule(fired: int) -> int:
    """Return the number of the first rule in a mask, or -1."""
    return (fired & -fired).bit_length() - 1


def size_exit(
    instance: Instance, symbol: str, reason: int, price: int, day: int, *, standing: Standing
) -> Sized:
    """Return how much of a position an exit sells; nothing when nothing is held.

    Args:
        instance: Whose position it is.
        symbol: The instrument.
        reason: Rule, or reason of the risk block.
        price: Of the decision, in ticks.
        day: Session that the order is for.
        standing: Of the instance.

    Raises:
        RuleMissingError: See `terms_at`.
    """
    units = instance.units[symbol]
    held = units.lots(instance.account.holding(symbol).quantity)
    if held <= 0 or reason >= REASON_STOP_LOSS:
        return Sized(max(held, 0))
    size, terms = instance.program.rules.sizes[reason], terms_at(instance, symbol, day)
    if size.kind == QUANTITY_ALL:
        return Sized(held)
    lot = terms.lot(price)
    equity = standing.equity_in(units)
    wanted = wanted_quantity(size.kind, size.amount_in(units), equity, price)
    return Sized(exit_quantity(size.kind, wanted, held, lot))


def size_entry(
    instance: Instance,
    symbol: str,
    wanted: Wanted,
    day: int,
    settings: EngineSettings,
    *,
    standing: Standing,
) -> Sized | str:
    """Return how much an entry buys and what it reserves, or why nothing.

    Args:
        instance: Whose cash it is.
        symbol: What is bought.
        wanted: The decision; its `previous_close` is 0 for an order of the next session.
        day: Session that the order is for.
        settings: Of the engine.
        standing: Of the instance.
    """
    try:
        terms = terms_at(instance, symbol, day)
    except RuleMissingError as error:
        return str(error)
    rules, units = instance.program.rules, instance.units[symbol]
    size, close = rules.sizes[wanted.reason], wanted.price
    equity = standing.equity_in(units)
    amount = size.amount_in(units)
    if size.kind == QUANTITY_KELLY:
        record = instance.account.record
        trades = (record.closed, record.won, units.money(record.profit), units.money(record.loss))
        amount = kelly_entry_share(trades, rules.kelly)
        if amount == 0:
            return Outcome.NO_EDGE
    reserve = wanted.reserve or terms.reserve(close, wanted.previous_close, settings.collar)
    lot = terms.lot(wanted.previous_close or close)
    free = units.money(standing.free)
    asked = wanted_quantity(size.kind, amount, equity, close)
    held = units.lots(instance.account.holding(symbol).quantity)
    quantity = capped_quantity(asked, equity, close, rules.max_position_ppm, lot, held)
    if held > 0 and quantity == 0 and asked >= lot:
        return Outcome.LARGEST
    quantity = affordable_quantity(quantity, reserve, lot, free, terms.fee)
    if quantity == 0:
        return Outcome.NO_CASH
    if quantity * close < terms.notional_min:
        return Outcome.TOO_SMALL
    return Sized(quantity, buying_cost(quantity, reserve, terms.fee))


def make_intent(
    instance: Instance, symbol: str, wanted: Wanted, sized: Sized, *, valid_until_ns: int
) -> IntentRecorded:
    """Return the intent of a sized order with what it reserves."""
    spec, units = instance.spec, instance.units[symbol]
    quantity = units.quantity(sized.lots)
    intent = OrderIntent(
        order_id=order_id(wanted.signal_id, wanted.tries),
        broker=spec.broker,
        account=spec.account,
        instance=spec.instance,
        instrument_id=symbol,
        venue=spec.venue,
        side=wanted.side,
        quantity=quantity,
        price=units.price(wanted.limit) if wanted.limit else None,
        trigger=units.price(wanted.stop) if wanted.stop else None,
        is_renewed=wanted.is_renewed,
        time_in_force=_AT_VENUE[wanted.force],
        currency=spec.currency,
        strategy_id=spec.strategy_id or None,
        release=spec.release,
        decision_id=wanted.decision_id,
        valid_until_ns=valid_until_ns,
        triggered_ns=wanted.triggered_ns,
        reduces=wanted.side is OrderSide.SELL,
    )
    if wanted.side is OrderSide.SELL:
        return IntentRecorded(
            intent=intent, reservation=Reservation(asset=symbol, amount=quantity)
        )
    unit = currency_unit(spec.currency)
    amount = -count_steps(-units.amount(sized.held_back), unit) * unit  # rounded up
    return IntentRecorded(
        intent=intent, reservation=Reservation(asset=spec.currency, amount=Decimal(amount))
    )
