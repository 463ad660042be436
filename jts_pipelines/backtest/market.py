"""Market rules as columns: which bars an order can fill on, at what cost, with how much cash.

Everything comes from the dated rule table of `jts_trading.domain.market`; here it is only spread
over bars. The base price of a session is the close of the instrument's last traded bar before
that session. Where it is unknown (first session in the data) no limit is applied. Where it has
changed by more than the band (a corporate action that the data do not adjust, a relisting, a
market without limits) the opens lie outside the limits: such bars take no fill, the order waits,
and the next session has this session's close as its base, so trading goes on by itself.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np

from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Costs, Flags, Ints, Market
from jts_pipelines.backtest.frames import day_of
from jts_pipelines.backtest.instruments import Instrument, Instruments
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.calendars import Calendar
from jts_trading.domain.market.costs import CommissionProfile, CommissionRow, sale_tax_rates
from jts_trading.domain.market.loading import parse_lots
from jts_trading.domain.market.prices import order_ladder
from jts_trading.domain.market.table import RuleTable
from jts_trading.strategy.frames import DAY_SECONDS
from jts_trading.strategy.sizing import NANO, PPM
from storage.errors import InputError
from storage.schema.datasets import INTERVALS

_RULE_KEYS = ("tick", "limit_rate", "lot")


@dataclass(frozen=True, slots=True)
class Limits:
    """Price limits by bar, in won; `reference` is 0 where no base price is known."""

    reference: Ints
    upper: Ints
    lower: Ints
    reserve: Ints
    lot: Ints

    @property
    def is_known(self) -> Flags:
        """Whether the session of the bar has a base price."""
        return self.reference > 0


@dataclass(frozen=True, slots=True)
class _DayRules:
    lows: Ints
    ticks: Ints
    rate: Fraction
    lots: tuple[tuple[int, int], ...]

    def tick(self, price: Ints) -> Ints:
        return self.ticks[np.searchsorted(self.lows, price, side="right") - 1]

    def limits(self, close: Ints) -> tuple[Ints, Ints, Ints]:
        """Return base, lower and upper limit of previous closes, as `prices.daily_limits`."""
        tick = self.tick(close)
        reference = -(-close // tick) * tick
        tick = self.tick(reference)
        width = reference * self.rate.numerator // self.rate.denominator // tick * tick
        width = np.where(width == 0, tick, width)
        upper = reference + width
        return (
            reference,
            np.maximum(reference - width, self.ticks[0]),
            upper - upper % self.tick(upper),
        )

    def lot(self, reference: Ints) -> Ints:
        lows = np.array([low for low, _ in self.lots])
        lots = np.array([lot for _, lot in self.lots], np.int64)
        return lots[np.searchsorted(lows, reference, side="right") - 1]


def price_limits(
    bars: BarTable, instruments: Instruments, table: RuleTable, is_last: Flags
) -> Limits:
    """Return the limits of each bar, and the price at which a buy decided on it reserves cash.

    Args:
        bars: The bars.
        instruments: Market and asset of each symbol.
        table: The dated rules.
        is_last: The bar ends its session: an order decided on it belongs to the next one.

    Raises:
        RuleMissingError: The table has no ladder or limit for a market and day.
    """
    previous = previous_session_close(bars)
    kinds = [_scope(instruments.find(symbol)) for symbol in bars.symbols]
    classes = sorted(set(kinds))
    of_symbol = np.array([classes.index(kind) for kind in kinds], np.int64)
    epochs = _rule_epochs(table)
    of_day = np.searchsorted(epochs, bars.day, side="right")
    group = of_symbol[bars.instrument] * (len(epochs) + 1) + of_day
    reference, upper, lower, reserve = (np.zeros(bars.rows, np.int64) for _ in range(4))
    result = Limits(reference, upper, lower, reserve, lot=np.ones_like(previous))
    is_next = is_last | (previous == 0)
    base = np.where(is_next, bars.close, previous)
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        market, asset = classes[int(number) // (len(epochs) + 1)]
        rules = _rules_on(table, day_of(bars.day[rows[0]]), market, asset)
        known = rows[previous[rows] > 0]
        reference[known], lower[known], upper[known] = rules.limits(previous[known])
        traded = rows[bars.is_traded[rows]]
        # After a change of base the limits say little, but no price can be below the close.
        reserve[traded] = np.maximum(rules.limits(base[traded])[2], bars.close[traded])
        result.lot[traded] = rules.lot(base[traded])
    return result


def previous_session_close(bars: BarTable) -> Ints:
    """Return for each bar the close of the last traded bar of an earlier session, or 0."""
    rows = np.arange(bars.rows)
    first = bars.offsets[:-1][bars.instrument]
    is_start = np.ones(bars.rows, np.bool_)
    is_start[1:] = np.diff(bars.day) != 0
    is_start[bars.offsets[:-1]] = True
    session_start = np.maximum.accumulate(np.where(is_start, rows, 0))
    last_traded = np.maximum.accumulate(np.where(bars.is_traded, rows, -1))
    before = np.where(session_start > 0, last_traded[session_start - 1], -1)
    return np.where(before >= first, bars.close[before], 0)


def ends_session(bars: BarTable, interval: str, calendar: Calendar) -> Flags:
    """Return whether each bar ends at or after the close of its session."""
    seconds = INTERVALS[interval]
    if seconds >= DAY_SECONDS:
        return np.ones(bars.rows, np.bool_)
    unique, index = np.unique(bars.day, return_inverse=True)
    closes = [calendar.open_close_ns(day_of(day))[1] // 1_000_000 for day in unique]
    result: Flags = bars.stamp + seconds * 1000 >= np.array(closes, np.int64)[index]
    return result


def market_columns(bars: BarTable, limits: Limits, session: Ints, fired: Ints) -> Market:
    """Return what the portfolio simulation reads of each bar.

    A buy cannot fill on a bar that stood at its upper limit from open to close, a sale not on one
    that stood at the lower limit.
    """
    is_inside = ~limits.is_known | ((limits.lower <= bars.open) & (bars.open <= limits.upper))
    is_flat = (bars.open == bars.high) & (bars.open == bars.low) & (bars.open == bars.close)
    at_upper = limits.is_known & is_flat & (bars.open == limits.upper)
    at_lower = limits.is_known & is_flat & (bars.open == limits.lower)
    return Market(
        order=np.lexsort((bars.instrument, bars.stamp)).astype(np.int64),
        instrument=bars.instrument,
        stamp=bars.stamp,
        session=session,
        open=bars.open,
        close=bars.close,
        is_traded=bars.is_traded,
        can_buy=bars.is_traded & is_inside & ~at_upper,
        can_sell=bars.is_traded & is_inside & ~at_lower,
        reserve=limits.reserve,
        lot=limits.lot,
        fired=fired,
    )


def cost_columns(
    symbols: tuple[str, ...],
    days: tuple[date, ...],
    *,
    instruments: Instruments,
    settings: BacktestSettings,
    table: RuleTable,
    calendar: Calendar,
) -> Costs:
    """Return commission and taxes of each session and kind of instrument.

    Raises:
        RuleMissingError: The table has no commission for the broker, or no tax for a day.
        InputError: The account's own commission rate is no fraction that can be used.
    """
    kinds = [_scope(instruments.find(symbol)) for symbol in symbols]
    classes = sorted(set(kinds))
    shape = (len(days), len(classes))
    commission, stt, rst = (np.zeros(shape, np.int64) for _ in range(3))
    for at, day in enumerate(days):
        settles = calendar.settlement_day(day)
        for number, (market, asset) in enumerate(classes):
            rates = sale_tax_rates(table, settles, market=market, asset=asset)
            stt[at, number] = _exact(rates.stt, PPM)
            rst[at, number] = _exact(rates.rst, PPM)
            rate = _profile(settings, asset).rate(table, day, venue=settings.venue, asset=asset)
            commission[at, number] = _exact(rate, NANO)
    return Costs(
        cost_class=np.array([classes.index(kind) for kind in kinds], np.int64),
        commission_nano=commission,
        commission_unit=settings.commission_unit,
        stt_ppm=stt,
        rst_ppm=rst,
    )


def _profile(settings: BacktestSettings, asset: str) -> CommissionProfile:
    own = settings.commission_rate
    if own is None:
        return CommissionProfile(settings.broker)
    row = CommissionRow(settings.venue, asset, Decimal(own))
    return CommissionProfile(settings.broker, (row,))


def _scope(instrument: Instrument) -> tuple[str, str]:
    return instrument.market, instrument.asset


def _exact(rate: Decimal, unit: int) -> int:
    value = Fraction(rate) * unit
    if value.denominator != 1:
        raise InputError(f"rate {rate} is finer than one part in {unit}")
    return int(value)


def _rule_epochs(table: RuleTable) -> Ints:
    """Return the days on which a rule of prices begins or has ended, ascending."""
    days = {rule.valid_from for key in _RULE_KEYS for rule in table.all_of(key)}
    ends = {rule.valid_to for key in _RULE_KEYS for rule in table.all_of(key)}
    epoch = date(1970, 1, 1)
    starts = {(day - epoch).days for day in days if day is not None}
    after = {(day - epoch).days + 1 for day in ends if day is not None}
    return np.array(sorted(starts | after), np.int64)


def _rules_on(table: RuleTable, day: date, market: str, asset: str) -> _DayRules:
    ladder = order_ladder(table, day, market=market, asset=asset)
    rate = table.require("limit_rate", day, venue="KRX", market=market, asset=asset)
    lot = table.find("lot", day, venue="KRX", market=market, asset=asset)
    return _DayRules(
        np.array(ladder.lows, np.int64),
        np.array(ladder.ticks, np.int64),
        Fraction(Decimal(rate.value)),
        parse_lots(lot.value) if lot is not None else ((0, 1),),
    )
