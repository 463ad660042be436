"""From the rules of a plan to the whole numbers that the compiled portfolio reads."""

import numpy as np

from jts_pipelines.backtest import places
from jts_pipelines.backtest.columns import FillModel, Ints, Rules, ShortTerms
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.venues import VenueTerms
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.grammar import OrderType, TimeInForce
from jts_trading.dsl.plan import Plan
from jts_trading.strategy.rules import (
    AMOUNT_MAX,
    RULES_MAX,
    Size,
    SizeDefaults,
    read_rules,
    short_rules,
)
from jts_trading.strategy.sizing import QUANTITY_MONEY, QUANTITY_SHARES
from storage.errors import InputError

_TYPES = {
    OrderType.MARKET: places.MARKET,
    OrderType.LIMIT: places.LIMIT,
    OrderType.STOP: places.STOP,
    OrderType.STOP_LIMIT: places.STOP_LIMIT,
}
_FORCES = {
    TimeInForce.DAY: places.DAY,
    TimeInForce.IOC: places.IOC,
    TimeInForce.FOK: places.FOK,
    TimeInForce.GTC: places.GTC,
}


def order_rules(plan: Plan, settings: BacktestSettings) -> Rules:
    """Translate rules and risk block; percentages become ppm, money won.

    Raises:
        InputError: An order type, currency or size that this backtest does not trade.
    """
    defaults = SizeDefaults(
        settings.ppm("entry_percent"),
        (
            settings.kelly_trades_min,
            settings.ppm("kelly_floor_percent"),
            settings.ppm("kelly_fraction_percent"),
            settings.ppm("kelly_cap_percent"),
        ),
    )
    try:
        rules = read_rules(
            plan, defaults, settings.terms.currency, sells_short=settings.short_selling
        )
    except StrategyError as error:
        raise InputError(str(error)) from error
    kind = np.zeros(RULES_MAX, np.int64)
    amount = np.zeros(RULES_MAX, np.int64)
    for bit, size in rules.sizes.items():
        kind[bit], amount[bit] = size.kind, _whole(plan, bit, size, settings.terms)
    return Rules(
        entries=rules.entries,
        exits=rules.exits,
        kind=kind,
        amount=amount,
        max_position_ppm=rules.max_position_ppm,
        trailing_stop_ppm=rules.trailing_stop_ppm,
        stop_loss_ppm=rules.stop_loss_ppm,
        take_profit_ppm=rules.take_profit_ppm,
        daily_loss_ppm=rules.daily_loss_ppm,
        positions_max=rules.positions_max,
        cooldown_ms=rules.cooldown_ms,
        cooldown_bars=rules.cooldown_bars,
        kelly=rules.kelly,
        guard_constants=plan.guard_constants,
        rank=-1 if plan.rank is None else plan.rank,
        orders=_order_terms(plan),
        model=settings.fill_model,
        limits=None if settings.limits is None else settings.limits.whole(settings.terms),
        pyramiding=rules.pyramiding,
        shorts=rules.shorts,
        short_terms=settings.short_terms if rules.shorts else ShortTerms(),
        guarded=sum(1 << rule.bit for rule in plan.rules if rule.is_guarded),
    )


def is_modelled(plan: Plan, settings: BacktestSettings) -> bool:
    """Return whether orders do more than fill at the next open of a flat instrument."""
    usual = FillModel(has_root=settings.fill_model.has_root)
    return (
        settings.has_actions
        or settings.fill_model != usual
        or (plan.risk.pyramiding or 1) > 1
        or (settings.short_selling and short_rules(plan) > 0)
        or any(
            rule.order_type is not OrderType.MARKET or rule.time_in_force is not TimeInForce.DAY
            for rule in plan.rules
        )
    )


def _order_terms(plan: Plan) -> Ints:
    found = np.zeros((RULES_MAX, 4), np.int64)
    for rule in plan.rules:
        found[rule.bit] = (
            _TYPES[rule.order_type],
            _FORCES[rule.time_in_force],
            rule.limit or 0,
            rule.stop or 0,
        )
    return found


def _whole(plan: Plan, bit: int, size: Size, terms: VenueTerms) -> int:
    """Return an amount in the finest units of the venue: of money, or of a quantity."""
    places = {QUANTITY_SHARES: terms.quantity_places, QUANTITY_MONEY: terms.money_places}
    found = size.amount.scaleb(places.get(size.kind, 0))
    if found != int(found) or found >= AMOUNT_MAX:
        rule = plan.rules[bit]
        raise InputError(
            f"{plan.file}:{rule.line}:{rule.column}: quantity {size.amount} is no whole number of"
            f" the smallest units of {terms.currency} or of a quantity, or too large"
        )
    return int(found)
