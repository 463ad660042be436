"""Packs what a simulation needs into the few arrays that the compiled portfolio reads."""

import numpy as np

from jts_pipelines.backtest import driver
from jts_pipelines.backtest.columns import Costs, Desk, Ints, Market, Rules


def make_desk(market: Market, rules: Rules, costs: Costs, *, cash: int, instruments: int) -> Desk:
    """Return a desk at its start: all money in cash, no position, no order.

    Args:
        market: Bars, rules already evaluated.
        rules: Orders and risk block.
        costs: By session and class of instrument.
        cash: Won.
        instruments: How many there are.
    """
    account = np.zeros(driver.ACCOUNT_COLUMNS, np.int64)
    account[driver.CASH] = cash
    return Desk(
        order=market.order,
        bars=_bars(market),
        rules=_rules(rules, costs.commission_unit),
        sizes=np.stack((rules.kind, rules.amount), axis=1),
        costs=np.stack((costs.commission_nano, costs.stt_ppm, costs.rst_ppm), axis=2),
        kinds=costs.cost_class,
        account=account,
        book=np.zeros((instruments, driver.BOOK_COLUMNS), np.int64),
        sessions=np.zeros((len(costs.stt_ppm), 2), np.int64),
    )


def empty_desk() -> Desk:
    """Return a desk without bars, of the same types: a simulation of it only compiles."""
    line, plane = np.zeros(0, np.int64), np.zeros((0, 0), np.int64)
    return Desk(
        order=line,
        bars=plane,
        rules=line,
        sizes=plane,
        costs=np.zeros((0, 0, 0), np.int64),
        kinds=line,
        account=line,
        book=plane,
        sessions=plane,
    )


def _bars(market: Market) -> Ints:
    bars = np.empty((len(market.stamp), driver.BAR_COLUMNS), np.int64)
    bars[:, driver.INSTRUMENT] = market.instrument
    bars[:, driver.STAMP] = market.stamp
    bars[:, driver.SESSION] = market.session
    bars[:, driver.OPEN] = market.open
    bars[:, driver.CLOSE] = market.close
    bars[:, driver.IS_TRADED] = market.is_traded
    bars[:, driver.CAN_BUY] = market.can_buy
    bars[:, driver.CAN_SELL] = market.can_sell
    bars[:, driver.RESERVE] = market.reserve
    bars[:, driver.LOT] = market.lot
    bars[:, driver.FIRED] = market.fired
    return bars


def _rules(rules: Rules, commission_unit: int) -> Ints:
    found = np.empty(driver.RULE_COLUMNS, np.int64)
    found[driver.ENTRIES] = rules.entries
    found[driver.EXITS] = rules.exits
    found[driver.MAX_POSITION] = rules.max_position_ppm
    found[driver.TRAILING_STOP] = rules.trailing_stop_ppm
    found[driver.STOP_LOSS] = rules.stop_loss_ppm
    found[driver.TAKE_PROFIT] = rules.take_profit_ppm
    found[driver.DAILY_LOSS] = rules.daily_loss_ppm
    found[driver.POSITIONS_MAX] = rules.positions_max
    found[driver.COOLDOWN_MS] = rules.cooldown_ms
    found[driver.COOLDOWN_BARS] = rules.cooldown_bars
    found[driver.KELLY_MIN : driver.KELLY_CAP + 1] = rules.kelly
    found[driver.COMMISSION_UNIT] = commission_unit
    return found
