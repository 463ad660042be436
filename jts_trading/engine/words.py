"""Bars and conditions as the journal keeps them, and `jts why` shows them."""

from decimal import Decimal
from fractions import Fraction
from functools import cache

import msgspec

from jts_trading.domain.instruments import parse_venue, quantity_scale
from jts_trading.dsl.normal import decimal_text
from jts_trading.dsl.plan import Plan
from jts_trading.dsl.tracing import Evaluated
from jts_trading.engine.bars import Bar
from jts_trading.engine.state import Instance
from jts_trading.engine.wanted import Wanted
from jts_trading.strategy.rules import (
    REASON_STOP_LOSS,
    REASON_TAKE_PROFIT,
    REASON_TRAILING_STOP,
)
from jts_trading.strategy.units import Units


def bar_text(bar: Bar, units: Units) -> str:
    """Return a bar as JSON: prices and volume as decimal texts, trades, tick numbers, feed."""
    scale = _scale_of(bar.venue)
    document = {
        "open": units.price_text(bar.open),
        "high": units.price_text(bar.high),
        "low": units.price_text(bar.low),
        "close": units.price_text(bar.close),
        "volume": str(Decimal(bar.volume).scaleb(-scale) if scale else bar.volume),
        "ticks": bar.trades,
        "last_tick": bar.last.tick,
        "feed": bar.last.feed,
        "closed_by": bar.closed_by,
    }
    return msgspec.json.encode(document).decode()


@cache
def _scale_of(venue: str) -> int:
    return quantity_scale(parse_venue(venue))


def condition_of(plan: Plan, reason: int) -> str:
    """Return a rule, or a reason of the risk block, as text."""
    risk = plan.risk
    shares = {
        REASON_STOP_LOSS: ("stop_loss", risk.stop_loss),
        REASON_TRAILING_STOP: ("trailing_stop", risk.trailing_stop),
        REASON_TAKE_PROFIT: ("take_profit", risk.take_profit),
    }
    if reason not in shares:
        return plan.rules[reason].condition
    name, share = shares[reason]
    return f"{name} {decimal_text(Fraction(share or 0) * 100)}%"


def rule_nodes(plan: Plan, fired: int) -> list[Evaluated]:
    """Return which rules fired, without the values inside their conditions."""
    return [
        {"rule": rule.bit, "text": rule.condition, "value": bool(fired >> rule.bit & 1)}
        for rule in plan.rules
    ]


def risk_node(instance: Instance, symbol: str, reason: int, close: int) -> Evaluated:
    """Return a part of the risk block that hit, with the prices that it compared."""
    units, held = instance.units[symbol], instance.account.holding(symbol)
    parts = [{"text": "close", "value": float(units.price(close))}]
    if reason == REASON_TRAILING_STOP:
        peak = units.price(instance.books[symbol].peak)
        parts.append({"text": "highest close since entry", "value": float(peak)})
    else:
        parts.append({"text": "average cost", "value": float(held.average_cost or 0)})
    text = condition_of(instance.program.plan, reason)
    return {"rule": reason, "text": text, "value": True, "children": parts}


def stop_node(instance: Instance, symbol: str, wanted: Wanted) -> Evaluated:
    """Return the stop price that an order is held for."""
    price = instance.units[symbol].price(wanted.stop)
    return {"rule": wanted.reason, "text": "stop price", "value": float(price)}
