"""What figures are computed from, as columns: from the tables of a result, or from fills.

Both ways lead to the same numbers, to the bit: a sweep takes the figures of hundreds of runs from
their fills and makes tables of none.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from jts_pipelines.backtest import places
from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Floats, Ints
from jts_pipelines.backtest.venues import VenueTerms

DIVIDEND, RIGHTS = "dividend", "rights"
"""Reasons of fills that are none: a position was paid, or its rights were sold."""
_HOUR_MS = 3_600_000
_PAID = (places.REASON_DIVIDEND, places.REASON_RIGHTS, places.REASON_SPLIT)


class EquityPath(NamedTuple):
    """One row per session; money in the account's currency."""

    days: Ints  # since 1970-01-01
    equity: Ints | Floats
    positions: Ints | Floats
    drawdown: Floats


class Trades(NamedTuple):
    """Closed trades in the order of exit; money in the account's currency."""

    profit: Floats
    returns: Floats  # profit / money invested
    days_held: Floats
    hours_held: Floats
    left: Ints  # session of the exit, days since 1970-01-01
    entered: Ints  # session of the entry of all trades, open ones included


class Turnover(NamedTuple):
    """One row per fill, in the account's currency."""

    gross: pl.Series
    commission: pl.Series
    tax: pl.Series
    dividend: pl.Series
    rights: pl.Series
    borrow_fee: pl.Series


def path_of_table(equity: pl.DataFrame) -> EquityPath:
    """Return the path of a table of equity."""
    names = ("equity", "positions", "drawdown")
    return EquityPath(_days(equity["session"]), *(equity[name].to_numpy() for name in names))


def trades_of_table(trades: pl.DataFrame) -> Trades:
    """Return the trades of a table, see `result.trade_table`."""
    closed = trades.filter(pl.col("status") == "closed").sort("left_at", "trade")
    profit, returns, days_held = (
        closed[name].to_numpy().astype(np.float64) for name in ("profit", "return", "days_held")
    )
    held_ms = (closed["left_at"] - closed["entered_at"]).dt.total_milliseconds().to_numpy()
    left, entered = _days(closed["exit_session"]), _days(trades["entry_session"])
    return Trades(profit, returns, days_held, held_ms / _HOUR_MS, left, entered)


def turnover_of_table(fills: pl.DataFrame) -> Turnover:
    """Return what a table of fills turned over."""
    paid, reason = amounts_in(fills, "dividend"), fills["reason"]
    costs = fills["gross"], fills["commission"], fills["tax"]
    fees = amounts_in(fills, "borrow_fee")
    dividends, rights = (paid.filter(reason == each) for each in (DIVIDEND, RIGHTS))
    return Turnover(*costs, dividends, rights, fees)


def amounts_in(fills: pl.DataFrame, name: str) -> pl.Series:
    """Return a column of a table of fills; a run by events knows no dividends and no fees."""
    if name in fills.columns:
        return fills[name]
    return pl.Series(name, [0]).new_from_index(0, fills.height)


def path_of_sessions(days: Ints, equity: Ints, value: Ints, cash: int, scale: int) -> EquityPath:
    """Return the path of a run.

    Args:
        days: Its sessions.
        equity: At the end of each, in units of the account.
        value: Of positions, likewise.
        cash: At the start, likewise.
        scale: Units in one of the currency.
    """
    return EquityPath(
        days, in_currency(equity, scale), in_currency(value, scale), drawdowns(equity, cash)
    )


def drawdowns(equity: Ints, cash: int) -> Floats:
    """Return equity / highest equity before - 1 at the end of each session."""
    peak = np.maximum.accumulate(np.maximum(equity, cash))
    found: Floats = equity / peak - 1.0
    return found


def trades_of_fills(
    fills: Ints, unit: Ints, marks: Ints, bars: BarTable, terms: VenueTerms
) -> Trades:
    """Return the trades of a run.

    Args:
        fills: See `places`, in the order of time.
        unit: By instrument: units of the account in one smallest quantity at a price of one step.
        marks: By instrument: what one smallest quantity is worth at its last close.
        bars: Those that traded.
        terms: Of the venue.
    """
    if len(fills) == 0:
        nothing, no_days = np.empty(0), np.empty(0, np.int64)
        return Trades(nothing, nothing, nothing, nothing, no_days, no_days)
    # By trade, each in the order of time.
    fills = fills[np.argsort(fills[:, places.FILL_TRADE], kind="stable")]
    trade, instrument = fills[:, places.FILL_TRADE], fills[:, places.FILL_INSTRUMENT]
    first = np.flatnonzero(np.diff(trade, prepend=trade[0] - 1))
    quantity, gross = fills[:, places.FILL_QUANTITY], gross_of(fills, unit)
    side = fills[:, places.FILL_SIDE]
    enters = side == np.repeat(side[first], np.diff(first, append=len(fills)))
    costs = fills[:, places.FILL_COMMISSION] + tax_of(fills)
    held = np.add.reduceat(side * quantity, first)
    invested = np.add.reduceat(np.where(enters, gross, 0), first)
    flow = np.add.reduceat(-side * gross - costs, first)
    profit = flow + held * marks[instrument[first]]
    moment = bars.instant_of(fills[:, places.FILL_ROW], instrument)
    last_exit = np.maximum.reduceat(np.where(enters, -1, np.arange(len(fills))), first)
    closed = np.flatnonzero(held == 0)
    times = bars.times[moment]
    closed = closed[np.argsort(times[last_exit[closed]], kind="stable")]
    entered, left = bars.days[moment[first]], bars.days[moment[last_exit[closed]]]
    return Trades(
        in_currency(profit[closed], terms.money_scale).astype(np.float64),
        profit[closed] / invested[closed],
        (left - entered[closed]).astype(np.float64),
        (times[last_exit[closed]] - times[first[closed]]) / _HOUR_MS,
        left,
        entered,
    )


def turnover_of_fills(fills: Ints, unit: Ints, terms: VenueTerms) -> Turnover:
    """Return what the fills of a run turned over; arguments as of `trades_of_fills`."""
    paid, reason = dividend_of(fills), fills[:, places.FILL_REASON]
    earned = (paid[reason == each] for each in (places.REASON_DIVIDEND, places.REASON_RIGHTS))
    costs = gross_of(fills, unit), commission_of(fills), tax_of(fills)
    columns = *costs, *earned, borrow_fee_of(fills)
    return Turnover(*(pl.Series(in_currency(column, terms.money_scale)) for column in columns))


def gross_of(fills: Ints, unit: Ints) -> Ints:
    """Return quantity times price of each fill, in units of the account."""
    found: Ints = (
        fills[:, places.FILL_QUANTITY]
        * fills[:, places.FILL_PRICE]
        * unit[fills[:, places.FILL_INSTRUMENT]]
    )
    return found


def commission_of(fills: Ints) -> Ints:
    """Return the commission on each fill, in units of the account."""
    found: Ints = fills[:, places.FILL_COMMISSION] + dividend_of(fills) - borrow_fee_of(fills)
    return found


def dividend_of(fills: Ints) -> Ints:
    """Return what each fill paid out, which stands in the place of its commission.

    That is a dividend, what a right was sold for, or what a split left no share for.
    """
    is_paid = np.isin(fills[:, places.FILL_REASON], _PAID)
    return np.where(is_paid, -fills[:, places.FILL_COMMISSION], 0)


def borrow_fee_of(fills: Ints) -> Ints:
    """Return the fee for borrowed shares, which stands in the place of a commission."""
    is_fee = fills[:, places.FILL_REASON] == places.REASON_BORROWED
    return np.where(is_fee, fills[:, places.FILL_COMMISSION], 0)


def tax_of(fills: Ints) -> Ints:
    """Return the taxes on each fill, in units of the account."""
    found: Ints = fills[:, places.FILL_STT] + fills[:, places.FILL_RST]
    return found


def in_currency(amounts: Ints, scale: int) -> Ints | Floats:
    """Return amounts in the currency: whole ones where a unit of the account is one of it."""
    return amounts if scale == 1 else amounts / float(scale)


def _days(sessions: pl.Series) -> Ints:
    found: Ints = sessions.cast(pl.Date).to_physical().to_numpy().astype(np.int64)
    return found
