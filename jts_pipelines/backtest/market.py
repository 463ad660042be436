"""Market rules as numbers: within which prices an order can fill, and at what cost.

Instruments with the same rules and units are a class; rules change from epoch to epoch.

Everything comes from the dated rule table of `jts_trading.domain.market`; here it is only packed
for the compiled portfolio, which applies it to the bars on which something happens (`bands`). The
base price of a session is the close of the instrument's last traded bar before that session. Where
it is unknown (first session in the data) no limit is applied. Where it has changed by more than
the band (a corporate action that the data do not adjust, a relisting, a market without limits) the
opens lie outside the limits: such bars take no fill, the order waits, and the next session has
this session's close as its base, so trading goes on by itself.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Costs, Flags, Ints
from jts_pipelines.backtest.frames import day_of
from jts_pipelines.backtest.instruments import Instruments
from jts_pipelines.backtest.places import (
    HAS_LIMITS,
    LOTS,
    NOTIONAL_MIN,
    PAIRS,
    PRICE_RULE_COLUMNS,
    RATE_ABOVE,
    RATE_BELOW,
    STEPS,
)
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.calendars import Calendar
from jts_trading.domain.instruments import Venue
from jts_trading.domain.market.admission import may_sell_short
from jts_trading.domain.market.binance import filters_of
from jts_trading.domain.market.costs import CommissionProfile, sale_tax_rates
from jts_trading.domain.market.loading import parse_lots
from jts_trading.domain.market.prices import order_ladder
from jts_trading.domain.market.table import Rule, RuleTable
from jts_trading.domain.market.upbit import upbit_ladder
from jts_trading.domain.sessions import calendar_for
from jts_trading.strategy.frames import DAY_SECONDS, interval_seconds
from jts_trading.strategy.sizing import NANO, PPM
from jts_trading.strategy.units import Units
from storage.errors import InputError

_EPOCH = date(1970, 1, 1)
_RULE_KEYS = ("tick", "limit_rate", "lot", "min_total")
PRICE_COLLAR = Decimal("0.03")
"""Where a venue has no limits: share above the close up to which a purchase holds cash back."""


class Scope(NamedTuple):
    """What a class of instruments has in common."""

    market: str
    asset: str
    units: Units


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
    of_symbol, classes = cost_classes(bars.symbols, bars.units, instruments)
    starts = _rule_epochs(table)
    epochs = np.searchsorted(starts, days, side="right")
    found = np.zeros((len(classes), len(starts) + 1, PRICE_RULE_COLUMNS), np.int64)
    packed = _packed_shares if instruments.venue == Venue.KRX else _packed_coins
    for number, scope in enumerate(classes):
        for epoch, day in _epochs_of(bars, np.flatnonzero(of_symbol == number), starts):
            found[number, epoch] = packed(table, day_of(day), instruments.venue, scope)
    return found, epochs.astype(np.int64)


def _epochs_of(bars: BarTable, chosen: Ints, starts: Ints) -> list[tuple[int, int]]:
    """Return the epochs in which chosen instruments traded, each with one of its days."""
    # The first instants of the epochs, in the type of what is searched: else that is converted.
    cuts = np.searchsorted(bars.days, starts).astype(bars.moments.dtype)
    ranges = [(0, len(bars.moments))]
    if not bars.is_even:
        ranges = [(int(bars.offsets[at]), int(bars.offsets[at + 1])) for at in chosen.tolist()]
    found: dict[int, int] = {}
    for begin, end in ranges:
        moments = bars.moments[begin:end]
        bounds = [0, *np.searchsorted(moments, cuts).tolist(), len(moments)]
        for epoch, (first, after) in enumerate(pairwise(bounds)):
            if first < after and epoch not in found:
                found[epoch] = int(bars.days[moments[first]])
    return list(found.items())


def ends_session(times: Ints, starts: Ints, days: Ints, interval: str, calendar: Calendar) -> Ints:
    """Return the first instant of each session whose bar ends at or after its close.

    Args:
        times: Every instant, UTC ms, ascending.
        starts: The first instant of each session.
        days: The sessions.
        interval: Of the bars; one of a day or more ends its session.
        calendar: Of the venue.
    """
    seconds = interval_seconds(interval)
    if seconds >= DAY_SECONDS:
        return starts
    closes = _asked(calendar, days)[:, 0]
    found: Ints = np.maximum(np.searchsorted(times, closes - seconds * 1000), starts)
    return found


def session_terms(days: Ints, calendar: Calendar) -> tuple[Ints, Ints]:
    """Return by session which one its sales settle in, and the last one not after the next day.

    Args:
        days: Sessions of the run, days since 1970-01-01.
        calendar: Of the venue, whose sessions the run may lack.
    """
    _, settles, following = _asked(calendar, days).T
    return np.searchsorted(days, settles), np.searchsorted(days, following, side="right") - 1


class _Session(NamedTuple):
    """What a calendar says of a session."""

    close_ms: int  # UTC
    settles: int  # the day on which its trades settle, since 1970-01-01
    following: int  # the session after it


@lru_cache(maxsize=1 << 16)
def _session(venue: str, day: int) -> _Session:
    calendar, on = calendar_for(venue), day_of(day)
    following, settles = calendar.next_session(on), calendar.settlement_day(on)
    close_ms = calendar.open_close_ns(on)[1] // 1_000_000
    return _Session(close_ms, (settles - _EPOCH).days, (following - _EPOCH).days)


@lru_cache(maxsize=64)
def _sessions(venue: str, days: bytes) -> Ints:
    """Return [session, (close, settlement day, following session)] for days as bytes.

    Every run of a sweep asks for the same ones.
    """
    found = np.array([_session(venue, day) for day in np.frombuffer(days, np.int64).tolist()])
    found.flags.writeable = False
    return found.reshape(-1, len(_Session._fields))


def _asked(calendar: Calendar, days: Ints) -> Ints:
    return _sessions(calendar.venue, days.astype(np.int64).tobytes())


def short_bans(days: Ints, venue: str, table: RuleTable) -> Flags:
    """Return on which days short sales are banned for an instrument of no known index."""
    each = (may_sell_short(table, day_of(day), venue=venue) for day in days)
    return ~np.fromiter(each, bool, len(days))


def cost_classes(
    symbols: tuple[str, ...], units: tuple[Units, ...], instruments: Instruments
) -> tuple[Ints, list[Scope]]:
    """Return the class of each symbol, and what the classes are."""
    listed = [instruments.find(symbol) for symbol in symbols]
    # Units are compared by what they are once for each of them: instruments share few.
    keys = [(i.market, i.asset, id(u)) for i, u in zip(listed, units, strict=True)]
    of_keys = dict(zip(keys, units, strict=True))
    scopes = {key: Scope(*key[:2], u) for key, u in of_keys.items()}
    numbers = {scope: n for n, scope in enumerate(sorted(set(scopes.values()), key=_by_name))}
    of_key = {key: numbers[scope] for key, scope in scopes.items()}
    return np.array(list(map(of_key.__getitem__, keys)), np.int64), list(numbers)


def _by_name(scope: Scope) -> tuple[str, str, Decimal]:
    return scope.market, scope.asset, scope.units.price_step


def cost_columns(
    symbols: tuple[str, ...],
    days: Ints,
    *,
    units: tuple[Units, ...],
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
    of_symbol, classes = cost_classes(symbols, units, instruments)
    shape = (len(days), len(classes))
    commission, stt, rst = (np.zeros(shape, np.int64) for _ in range(3))
    settles = _asked(calendar, days)[:, 1]
    starts = _day_numbers(_rule_starts(table.rules))
    begun = [np.searchsorted(starts, of, side="right") for of in (days, settles)]
    # Between two days on which a rule begins or ends nothing changes.
    span = begun[0] * (len(starts) + 1) + begun[1]
    _, first, place = np.unique(span, return_index=True, return_inverse=True)
    for number, scope in enumerate(classes):
        rates = [
            _rates(settings, table, day_of(days[at]), day_of(settles[at]), scope)
            for at in first.tolist()
        ]
        commission[:, number], stt[:, number], rst[:, number] = np.array(rates)[place].T
    return Costs(
        cost_class=of_symbol,
        commission_nano=commission,
        commission_unit=settings.commission_unit,
        stt_ppm=stt,
        rst_ppm=rst,
    )


def _rates(
    settings: BacktestSettings, table: RuleTable, day: date, settles: date, scope: Scope
) -> tuple[int, int, int]:
    """Return commission, transaction and rural tax of a day, in parts of a billion and million."""
    commission = _nano(_commission(settings, table, day, scope))
    if settings.venue != Venue.KRX:
        return commission, 0, 0
    rates = sale_tax_rates(table, settles, market=scope.market, asset=scope.asset)
    return commission, _exact(rates.stt, PPM), _exact(rates.rst, PPM)


def _commission(settings: BacktestSettings, table: RuleTable, day: date, scope: Scope) -> Decimal:
    """Return the account's own rate, or the published one of its broker or venue."""
    if settings.commission_rate is not None:
        return Decimal(settings.commission_rate)
    if settings.venue == Venue.KRX:
        profile = CommissionProfile(settings.broker)
        return profile.rate(table, day, venue=settings.venue, asset=scope.asset)
    key = "fee" if settings.venue == Venue.UPBIT else "fee_default"
    return Decimal(table.require(key, day, venue=settings.venue, market=scope.market).value)


def _nano(rate: Decimal) -> int:
    return _exact(rate, NANO)


def _exact(rate: Decimal, unit: int) -> int:
    value = Fraction(rate) * unit
    if value.denominator != 1:
        raise InputError(f"rate {rate} is finer than one part in {unit}")
    return int(value)


def _rule_epochs(table: RuleTable) -> Ints:
    """Return the days on which a rule of prices begins or has ended, ascending."""
    kept = [rule for rule in table.rules if rule.key.startswith(_RULE_KEYS)]
    return _day_numbers(_rule_starts(kept))


def _day_numbers(days: list[date]) -> Ints:
    return np.array([(day - _EPOCH).days for day in days], np.int64)


def _rule_starts(rules: Iterable[Rule]) -> list[date]:
    """Return the days on which a rule begins or has ended, ascending."""
    kept = list(rules)
    begun = {day for rule in kept if (day := rule.valid_from) is not None}
    ended = {day + timedelta(days=1) for rule in kept if (day := rule.valid_to) is not None}
    return sorted(begun | ended)


def _packed_shares(table: RuleTable, day: date, venue: str, scope: Scope) -> Ints:
    """Return the price rules of a day as `bands` reads them: ladder, limits, lots."""
    market, asset, _ = scope
    ladder = order_ladder(table, day, market=market, asset=asset)
    limit = table.require("limit_rate", day, venue=venue, market=market, asset=asset)
    lot = table.find("lot", day, venue=venue, market=market, asset=asset)
    lots = parse_lots(lot.value) if lot is not None else ((0, 1),)
    rate = Fraction(Decimal(limit.value))
    pairs = [*zip(ladder.lows, ladder.ticks, strict=True), *lots]
    return _packed(pairs, len(lots), rate, has_limits=True)


def _packed_coins(table: RuleTable, day: date, venue: str, scope: Scope) -> Ints:
    """Return ticks and the smallest order of a venue without limits, in units of a class.

    The rate is that up to which a market purchase holds cash back.
    """
    units = scope.units
    if venue == Venue.UPBIT:
        ladder = upbit_ladder(table, day, f"{scope.market}-{scope.asset}")
        step = units.price_step.scaleb(ladder.scale)
        # Ticks below a step belong to prices that the run does not have.
        steps = {
            int(low // step): max(int(tick // step), 1)
            for low, tick in zip(ladder.lows, ladder.ticks, strict=True)
        }
        smallest = Decimal(table.require("min_total", day, venue=venue, market=scope.market).value)
    else:
        steps = {0: 1}
        smallest = filters_of(table, day, scope.asset).min_notional
    notional = -units.money(-smallest)
    pairs = [*steps.items(), (0, 1)]
    return _packed(pairs, 1, Fraction(PRICE_COLLAR), has_limits=False, notional=notional)


def _packed(
    pairs: list[tuple[int, int]],
    lots: int,
    rate: Fraction,
    *,
    has_limits: bool,
    notional: int = 0,
) -> Ints:
    found = np.zeros(PRICE_RULE_COLUMNS, np.int64)
    found[STEPS], found[LOTS] = len(pairs) - lots, lots
    found[RATE_ABOVE], found[RATE_BELOW] = rate.numerator, rate.denominator
    found[HAS_LIMITS], found[NOTIONAL_MIN] = has_limits, notional
    found[PAIRS : PAIRS + 2 * len(pairs)] = np.array(pairs, np.int64).ravel()
    return found
