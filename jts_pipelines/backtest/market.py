"""Market rules as numbers: within which prices an order can fill, and at what cost.

Everything comes from the dated rule table of `jts_trading.domain.market`; here it is only packed
for the compiled portfolio, which applies it to the bars on which something happens (`bands`). The
base price of a session is the close of the instrument's last traded bar before that session. Where
it is unknown (first session in the data) no limit is applied. Where it has changed by more than
the band (a corporate action that the data do not adjust, a relisting, a market without limits) the
opens lie outside the limits: such bars take no fill, the order waits, and the next session has
this session's close as its base, so trading goes on by itself.
"""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np

from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Costs, Flags, Ints
from jts_pipelines.backtest.frames import day_of
from jts_pipelines.backtest.instruments import Instrument, Instruments
from jts_pipelines.backtest.places import PAIRS
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


# Every ladder and lot table of the rules has fewer steps.
_STEPS_MAX = 16
PRICE_RULE_COLUMNS = PAIRS + 4 * _STEPS_MAX


def price_rules(
    bars: BarTable, instruments: Instruments, table: RuleTable, days: Ints
) -> tuple[Ints, Ints]:
    """Return ticks, limit rate and lots by class of instrument and epoch, and each day's epoch.

    Args:
        bars: Bars that traded.
        instruments: Market and asset of each symbol.
        table: The dated rules.
        days: The sessions of the run.

    Raises:
        RuleMissingError: The table has no ladder or limit for a market and a day on which one of
            its instruments traded.
    """
    of_symbol, classes = cost_classes(bars.symbols, instruments)
    starts = _rule_epochs(table)
    epochs = np.searchsorted(starts, days, side="right")
    found = np.zeros((len(classes), len(starts) + 1, PRICE_RULE_COLUMNS), np.int64)
    for number, (market, asset) in enumerate(classes):
        for epoch, day in _epochs_of(bars, of_symbol == number, starts):
            found[number, epoch] = _packed(table, day_of(day), market, asset)
    return found, epochs.astype(np.int64)


def _epochs_of(bars: BarTable, is_chosen: Flags, starts: Ints) -> list[tuple[int, int]]:
    """Return the epochs in which chosen instruments traded, each with one of its days."""
    if bars.is_even:
        days = bars.days
    else:
        traded = np.zeros(len(bars.times), np.bool_)
        for at in np.flatnonzero(is_chosen).tolist():
            traded[bars.moments[bars.offsets[at] : bars.offsets[at + 1]]] = True
        days = bars.days[traded]
    epochs, first = np.unique(np.searchsorted(starts, days, side="right"), return_index=True)
    return list(zip(epochs.tolist(), days[first].tolist(), strict=True))


def ends_session(times: Ints, days: Ints, interval: str, calendar: Calendar) -> Flags:
    """Return whether a bar that starts at an instant ends at or after the close of its session."""
    seconds = INTERVALS[interval]
    if seconds >= DAY_SECONDS:
        return np.ones(len(times), np.bool_)
    unique, index = np.unique(days, return_inverse=True)
    closes = [calendar.open_close_ns(day_of(day))[1] // 1_000_000 for day in unique]
    result: Flags = times + seconds * 1000 >= np.array(closes, np.int64)[index]
    return result


def cost_classes(
    symbols: tuple[str, ...], instruments: Instruments
) -> tuple[Ints, list[tuple[str, str]]]:
    """Return the class of each symbol, and what the classes are: (market, asset)."""
    kinds = [_scope(instruments.find(symbol)) for symbol in symbols]
    numbers = {kind: number for number, kind in enumerate(sorted(set(kinds)))}
    return np.array([numbers[kind] for kind in kinds], np.int64), list(numbers)


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
    of_symbol, classes = cost_classes(symbols, instruments)
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
        cost_class=of_symbol,
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


def _packed(table: RuleTable, day: date, market: str, asset: str) -> Ints:
    """Return the price rules of a day as `bands` reads them."""
    ladder = order_ladder(table, day, market=market, asset=asset)
    limit = table.require("limit_rate", day, venue="KRX", market=market, asset=asset)
    lot = table.find("lot", day, venue="KRX", market=market, asset=asset)
    lots = parse_lots(lot.value) if lot is not None else ((0, 1),)
    rate = Fraction(Decimal(limit.value))
    pairs = [*zip(ladder.lows, ladder.ticks, strict=True), *lots]
    found = np.zeros(PRICE_RULE_COLUMNS, np.int64)
    found[:PAIRS] = len(ladder.lows), len(lots), rate.numerator, rate.denominator
    found[PAIRS : PAIRS + 2 * len(pairs)] = np.array(pairs, np.int64).ravel()
    return found
