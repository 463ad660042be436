"""From the rules of a plan to the whole numbers that the compiled portfolio reads."""

from decimal import Decimal
from fractions import Fraction

import numpy as np

from jts_pipelines.backtest.columns import Rules
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.dsl.grammar import OrderType, Side
from jts_trading.dsl.plan import Plan, Quantity, QuantityKind, Rule
from jts_trading.strategy.sizing import (
    PPM,
    QUANTITY_ALL,
    QUANTITY_KELLY,
    QUANTITY_MONEY,
    QUANTITY_PERCENT,
    QUANTITY_SHARES,
)
from storage.errors import InputError

RULES_MAX = 63
_KINDS = {
    QuantityKind.PERCENT: QUANTITY_PERCENT,
    QuantityKind.SHARES: QUANTITY_SHARES,
    QuantityKind.MONEY: QUANTITY_MONEY,
    QuantityKind.ALL: QUANTITY_ALL,
    QuantityKind.KELLY: QUANTITY_KELLY,
}


def order_rules(plan: Plan, settings: BacktestSettings) -> Rules:
    """Translate rules and risk block; percentages become ppm, money won.

    Raises:
        InputError: An order type, currency or size that this backtest does not trade.
    """
    kind = np.zeros(RULES_MAX, np.int64)
    amount = np.zeros(RULES_MAX, np.int64)
    entries = exits = 0
    for rule in plan.rules:
        if rule.side is Side.ENTRY_LONG:
            entries |= 1 << rule.bit
        elif rule.side is Side.EXIT_LONG:
            exits |= 1 << rule.bit
        else:
            continue  # short-selling is off: `short_rules` says so in the result
        _require_market(plan, rule)
        kind[rule.bit], amount[rule.bit] = _size(plan, rule, settings)
    risk = plan.risk
    return Rules(
        entries=entries,
        exits=exits,
        kind=kind,
        amount=amount,
        max_position_ppm=_ppm(plan, "max_position_size", risk.max_position_size),
        trailing_stop_ppm=_ppm(plan, "trailing_stop", risk.trailing_stop),
        stop_loss_ppm=_ppm(plan, "stop_loss", risk.stop_loss),
        take_profit_ppm=_ppm(plan, "take_profit", risk.take_profit),
        daily_loss_ppm=_ppm(plan, "daily_loss_limit", risk.daily_loss_limit),
        positions_max=risk.max_positions or 0,
        cooldown_ms=(risk.cooldown_seconds or 0) * 1000,
        cooldown_bars=risk.cooldown_bars or 0,
        kelly=(
            settings.kelly_trades_min,
            settings.ppm("kelly_floor_percent"),
            settings.ppm("kelly_fraction_percent"),
            settings.ppm("kelly_cap_percent"),
        ),
    )


def short_rules(plan: Plan) -> int:
    """Return how many rules of the plan a backtest leaves out because they sell short."""
    return sum(rule.side in (Side.ENTRY_SHORT, Side.EXIT_SHORT) for rule in plan.rules)


def uses_kelly(plan: Plan) -> bool:
    """Return whether an entry is sized by Kelly."""
    return any(rule.quantity.kind is QuantityKind.KELLY for rule in plan.rules)


def _require_market(plan: Plan, rule: Rule) -> None:
    if rule.order_type is not OrderType.MARKET:
        raise InputError(
            f"{plan.file}:{rule.line}:{rule.column}: a backtest fills market orders; found "
            f"{rule.order_type}"
        )


def _size(plan: Plan, rule: Rule, settings: BacktestSettings) -> tuple[int, int]:
    quantity = rule.quantity
    where = f"{plan.file}:{rule.line}:{rule.column}"
    if quantity.kind is QuantityKind.NONE:
        if rule.side is Side.EXIT_LONG:
            return QUANTITY_ALL, 0
        return QUANTITY_PERCENT, settings.ppm("entry_percent")
    if quantity.kind is QuantityKind.PERCENT:
        return QUANTITY_PERCENT, _ppm(plan, "quantity", quantity.amount)
    if quantity.kind is QuantityKind.MONEY and quantity.currency not in ("", "KRW"):
        raise InputError(f"{where}: quantity is in {quantity.currency}; KRX trades in KRW")
    return _KINDS[quantity.kind], _whole(quantity, where)


def _whole(quantity: Quantity, where: str) -> int:
    amount = quantity.amount or Decimal(0)
    if amount != int(amount) or not 0 <= amount < 1 << 53:
        raise InputError(f"{where}: quantity {amount} is no whole number of shares or won")
    return int(amount)


def _ppm(plan: Plan, name: str, share: Decimal | None) -> int:
    if share is None:
        return 0
    value = Fraction(share) * PPM
    if value.denominator != 1:
        raise InputError(f"{plan.file}: {name} of {share * 100} % has more than four decimals")
    return int(value)
