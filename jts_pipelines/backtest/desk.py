"""Packs what a simulation needs into the few arrays that the compiled portfolio reads."""

from decimal import Decimal

import numpy as np

from jts_pipelines.backtest import places
from jts_pipelines.backtest.agenda import NEVER
from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import (
    Bits,
    Costs,
    Desk,
    Flags,
    Floats,
    Ints,
    Limits,
    Rules,
)
from jts_pipelines.backtest.exchanging import NEVER_ENDS
from jts_pipelines.backtest.venues import VenueTerms, each_unit
from jts_trading.dsl.facts import FACTS_SIZE, SCALE_FACT

# Masks that fit a byte are looked through eight rows at a time.
_PACKED_ROWS = 8

NO_SPLITS = np.zeros((0, places.SPLIT_COLUMNS), np.int64)


def empty_masks(rows: int, rules: int) -> Bits:
    """Return room for the masks of rows, in the type that holds so many rules.

    Whoever fills it in writes every row; what follows up to a whole word is zero.
    """
    if rules > 8:
        return np.empty(rows, np.int64)
    masks = np.empty(-(-rows // _PACKED_ROWS) * _PACKED_ROWS, np.uint8)
    masks[rows:] = 0
    return masks


def make_desk(  # noqa: PLR0917 - what a run is made of
    bars: BarTable,
    days: Ints,
    ends: Ints,
    ladders: Ints,
    epochs: Ints,
    rules: Rules,
    costs: Costs,
    fired: Bits,
    *,
    cash: int,
    values: Floats,
    terms: VenueTerms,
    terms_of_days: tuple[Ints, Ints] | None = None,
    splits: Ints | None = None,
    delistings: Ints | None = None,
    bans: Flags | None = None,
) -> Desk:
    """Return a desk at its start: all money in cash, no position, no order.

    Args:
        bars: Bars that traded.
        days: The sessions of the run.
        ends: By session: the first instant whose bar ends it.
        ladders: Price rules, see `market.price_rules`.
        epochs: By session: which of the price rules apply.
        rules: Orders and risk block.
        costs: By session and class of instrument.
        fired: Masks of the rules, from `empty_masks`.
        cash: In units of the account.
        terms: Of the venue.
        values: What the step left, [row, place].
        terms_of_days: By session: the one in which its sales are paid (at once if left out), and
            the last one that is not after the venue's next.
        splits: See `corporate.corporate_rows`.
        delistings: See `delistings.delisting_rows`.
        bans: By session: whether short sales are banned.
    """
    account = np.zeros(places.ACCOUNT_COLUMNS, np.int64)
    account[places.START_CASH] = account[places.CASH] = cash
    account[places.GROUP_SIZE] = account[places.GROUPS_END] = len(bars.symbols)
    book = _book(bars, costs, terms)
    if splits is not None:
        owners = np.searchsorted(splits[:, 3], np.arange(len(bars.symbols) + 1))
        book[:, places.FIRST_SPLIT] = book[:, places.NEXT_SPLIT] = owners[:-1]
        book[:, places.END_SPLIT] = owners[1:]
    if delistings is not None:
        _note_delistings(book, delistings)
    account[places.HIGHEST_CLOSE] = _highest_close(bars, book[:, places.UNIT])
    count = len(bars.symbols)
    is_packed = fired.dtype == np.uint8
    packed, sizes = pack_rules(rules, costs.commission_unit, is_packed=is_packed)
    starts = np.searchsorted(bars.days, days)
    counts = np.diff(starts, append=len(bars.days))
    sessions = _sessions(starts + counts, counts, ends, epochs, terms_of_days)
    sessions[:, places.DAY_NUMBER] = days
    if bans is not None:
        sessions[:, places.IS_BANNED] = bans
    return Desk(
        prices=bars.prices,
        moments=bars.moments,
        times=bars.times,
        session_at=np.repeat(np.arange(len(days), dtype=np.int32), counts),
        fired=fired.view(np.int64),
        rules=packed,
        sizes=sizes,
        costs=np.stack((costs.commission_nano, costs.stt_ppm, costs.rst_ppm), axis=2),
        ladders=ladders,
        account=account,
        book=book,
        sessions=sessions,
        splits=NO_SPLITS if splits is None else np.ascontiguousarray(splits),
        lots=_lots(bars, rules),
        values=values,
        facts=_facts(bars, rules.guard_constants),
        agenda=np.full(max(count, 1), NEVER, np.int64),
        held=np.zeros(count, np.int64),
    )


def _highest_close(bars: BarTable, units: Ints) -> int:
    """Return what no close times the unit of its instrument is above; it need not be near."""
    is_narrow = bars.prices.dtype == np.int32
    highest = 1 << 31 if is_narrow else max(int(bars.close.max(initial=0)), 1)
    return highest * int(units.max(initial=1))


def _book(bars: BarTable, costs: Costs, terms: VenueTerms) -> Ints:
    book = np.zeros((len(bars.symbols), places.BOOK_COLUMNS), np.int64)
    book[:, places.FIRST], book[:, places.END] = bars.offsets[:-1], bars.offsets[1:]
    book[:, places.SHIFT], book[:, places.CLASS] = bars.shift, costs.cost_class
    book[:, places.BAND_SESSION], book[:, places.DIRECTION] = -1, 1
    book[:, places.DELISTED_AT] = book[:, places.FREE_FROM] = NEVER_ENDS
    finest = Decimal(1).scaleb(-terms.quantity_places)
    book[:, places.UNIT] = each_unit(bars.units, lambda u: int(u.money_step / terms.money_step))
    book[:, places.QUANTUM] = each_unit(bars.units, lambda u: int(u.quantity_step / finest))
    return book


def _note_delistings(book: Ints, rows: Ints) -> None:
    columns = (places.DELISTED_AT, places.DELISTED_PHASE, places.DELISTED_PRICE, places.FREE_FROM)
    for at, column in enumerate(columns, start=1):
        book[rows[:, 0], column] = rows[:, at]


def _facts(bars: BarTable, constants: tuple[float, ...]) -> Floats:
    facts = np.zeros((len(bars.symbols), FACTS_SIZE + len(constants)))
    facts[:, FACTS_SIZE:] = constants
    facts[:, SCALE_FACT] = each_unit(bars.units, lambda u: u.price_scale)
    facts[:, places.FACTS_STEP] = each_unit(bars.units, lambda u: float(u.quantity_step))
    return facts


def _sessions(
    after: Ints, counts: Ints, ends: Ints, epochs: Ints, terms: tuple[Ints, Ints] | None
) -> Ints:
    """Return the sessions: each ends before an instant, and has so many of them."""
    sessions = np.zeros((len(epochs), places.SESSION_COLUMNS), np.int64)
    sessions[:, places.EPOCH], sessions[:, places.ENDS_FROM] = epochs, ends
    sessions[:, places.LAST_MOMENT] = np.where(counts > 0, after - 1, -1)
    numbers = np.arange(len(epochs))
    settles, until = (numbers, numbers + 1) if terms is None else terms
    sessions[:, places.SETTLES], sessions[:, places.UNTIL] = settles, until
    return sessions


def _sizes(rules: Rules) -> Ints:
    found = np.zeros((len(rules.kind), places.SIZE_COLUMNS), np.int64)
    found[:, places.KIND], found[:, places.AMOUNT] = rules.kind, rules.amount
    if rules.orders is not None:
        found[:, places.TYPE :] = rules.orders
    return found


def _lots(bars: BarTable, rules: Rules) -> Ints:
    """Return the volume of each row in quantity steps, where a model asks for it."""
    if rules.model.volume_share_ppm == 0 and rules.model.impact_ppm == 0:
        return np.zeros(0, np.int64)
    steps = np.repeat(
        each_unit(bars.units, lambda u: float(u.quantity_step)), np.diff(bars.offsets)
    )
    found: Ints = np.floor(bars.volume / steps + 1e-6).astype(np.int64)
    return found


def pack_rules(rules: Rules, commission_unit: int, *, is_packed: bool) -> tuple[Ints, Ints]:
    """Return rules and sizes as a desk has them.

    Args:
        rules: Orders and risk block.
        commission_unit: Commissions are floored to it.
        is_packed: Masks of eight rows share a word.
    """
    found = np.empty(places.RULE_COLUMNS, np.int64)
    found[places.ENTRIES] = rules.entries
    found[places.EXITS] = rules.exits
    found[places.MAX_POSITION] = rules.max_position_ppm
    found[places.TRAILING_STOP] = rules.trailing_stop_ppm
    found[places.STOP_LOSS] = rules.stop_loss_ppm
    found[places.TAKE_PROFIT] = rules.take_profit_ppm
    found[places.DAILY_LOSS] = rules.daily_loss_ppm
    found[places.POSITIONS_MAX] = rules.positions_max
    found[places.COOLDOWN_MS] = rules.cooldown_ms
    found[places.COOLDOWN_BARS] = rules.cooldown_bars
    found[places.KELLY_MIN : places.KELLY_CAP + 1] = rules.kelly
    found[places.COMMISSION_UNIT] = commission_unit
    found[places.IS_PACKED] = is_packed
    found[places.GUARDED] = rules.guarded
    found[places.RANK] = rules.rank
    found[places.FILL_AT : places.WAITS_SETTLEMENT + 1] = rules.model
    found[places.PYRAMIDING], found[places.SHORTS] = rules.pyramiding, rules.shorts
    found[places.SHORT_MARGIN : places.IS_UPTICK + 1] = rules.short_terms
    limits = rules.limits or (0,) * len(Limits._fields)
    found[places.LIMIT_VALUE : places.LIMIT_DRAWDOWN + 1] = limits
    return found, _sizes(rules)
