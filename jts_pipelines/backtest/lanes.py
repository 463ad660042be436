"""Runs instruments side by side where no decision of one depends on another.

Sizes in shares or money, and no limit that counts positions or equity, leave one thing that
instruments share: the cash. So each runs as if it had more than enough, in threads, and then it is
proven that cash was never short: if what is there at the start covers the sum of the most that
each had ever spent and reserved, it covered every order at its time. Else the run is done again,
with all instruments in one group.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from types import ModuleType

import numpy as np

from jts_pipelines.backtest import places
from jts_pipelines.backtest.agenda import INSTRUMENT_BITS
from jts_pipelines.backtest.columns import Desk, Ints
from jts_trading.strategy.sizing import (
    MONEY_MAX,
    QUANTITY_ALL,
    QUANTITY_MONEY,
    QUANTITY_SHARES,
)

_LANES_MAX = 8
_ALONE = (QUANTITY_SHARES, QUANTITY_MONEY, QUANTITY_ALL)
_LIMITS = (places.MAX_POSITION, places.DAILY_LOSS, places.POSITIONS_MAX, places.GUARDED)
_MODELS = (
    *(places.FILL_AT, places.VOLUME_SHARE, places.SLIP_PPM, places.SLIP_TICKS),
    *(places.IMPACT_PPM, places.EXITS_INSIDE, places.WAITS_SETTLEMENT),
)
# Sums over all lanes; the rest of an account is of one group.
_ADDED = (
    *(places.TRADES, places.CLOSED, places.WON, places.PROFIT, places.LOSS, places.DROPPED),
    *(places.REDUCED, places.CANCELLED, places.BLOCKED_BY_RISK, places.BEYOND, places.FILLS),
    *(places.GAINED, places.LEFT_VALUE, places.SPENT),
)
_FIRST_FILLS = 4_096
# Room for this share of rows is only touched where fills come to stand.
_ROWS_A_FILL = 16
_ROWS_MIN = 20_000


def simulate(portfolio: ModuleType, desk: Desk, rows_a_lane: int = _ROWS_MIN) -> Ints:
    """Run a portfolio to its end; return its fills, see `places`, in the order of time.

    Args:
        portfolio: The compiled portfolio.
        desk: Changed.
        rows_a_lane: Below this a second thread costs more than it saves.
    """
    if not _are_apart(desk):
        return run_together(portfolio, desk)
    before = desk.book.copy()
    fills = _side_by_side(portfolio, desk, _shares(desk, rows_a_lane))
    if fills is None:
        desk.book[:] = before
        fills = run_together(portfolio, desk)
    return fills


def run_together(portfolio: ModuleType, desk: Desk, fills: Ints | None = None) -> Ints:
    """Run what the account of a desk says, with as much room for fills as is needed.

    Args:
        portfolio: The compiled portfolio.
        desk: Changed.
        fills: Where to begin; what is returned is the first part of it, if that is enough.
    """
    if fills is None:
        rows = int(desk.book[:, places.END].max(initial=0)) // _ROWS_A_FILL
        fills = np.empty((_FIRST_FILLS + rows, places.FILL_COLUMNS), np.int64)
    while portfolio.simulate(desk, fills):
        more = np.empty((2 * len(fills), places.FILL_COLUMNS), np.int64)
        more[: len(fills)] = fills
        fills = more
    return fills[: desk.account[places.FILLS]]


def _are_apart(desk: Desk) -> bool:
    """Return whether instruments share nothing but the cash, if it is enough."""
    rules = desk.rules
    if len(desk.book) < 2 or rules[list(_LIMITS)].any():
        return False
    obeyed = int(rules[places.ENTRIES] | rules[places.EXITS])
    sizes = desk.sizes[[bit for bit in range(obeyed.bit_length()) if obeyed >> bit & 1]]
    # Orders that may end unfilled, or wait for their money, are not proven to be apart.
    is_modelled = sizes[:, [places.TYPE, places.FORCE]].any() or rules[list(_MODELS)].any()
    is_limited = rules[places.LIMIT_VALUE] > 0
    return not (is_modelled or is_limited) and bool(np.isin(sizes[:, places.KIND], _ALONE).all())


def _side_by_side(portfolio: ModuleType, desk: Desk, shares: list[tuple[int, int]]) -> Ints | None:
    """Run each instrument for itself; None if cash might have been short."""
    lanes = [_lane(desk, first, end) for first, end in shares]
    rows = int(desk.book[-1, places.END]) // _ROWS_A_FILL
    room = np.empty((len(lanes) * (_FIRST_FILLS + rows), places.FILL_COLUMNS), np.int64)
    parts = np.split(room, len(lanes))
    with ThreadPoolExecutor(len(lanes)) as threads:
        found = list(threads.map(partial(run_together, portfolio), lanes, parts))
    for lane, (first, _) in zip(lanes, shares, strict=True):
        lane.account[places.TRADES] -= desk.book[first, places.FIRST]
    total = np.sum([lane.account for lane in lanes], axis=0)
    account, cash = desk.account, int(desk.account[places.START_CASH])
    if total[places.SPENT] > cash or total[places.REDUCED]:
        return None
    added = list(_ADDED)
    account[added] = total[added]
    account[places.CASH] = cash + account[places.GAINED]
    account[places.VALUE] = account[places.LEFT_VALUE]
    account[places.GROUP] = account[places.GROUPS_END]
    for column in (places.SESSION_CASH, places.SESSION_VALUE):
        desk.sessions[:, column] = np.sum([lane.sessions[:, column] for lane in lanes], axis=0)
    if all(np.shares_memory(part, room) for part in found if len(part)):
        # Nothing had to move: what one array holds already is not copied together.
        starts = np.arange(len(lanes)) * len(parts[0])
    else:
        room = np.concatenate(found)
        starts = np.cumsum([0, *map(len, found[:-1])])
    kept = [np.arange(start, start + len(part)) for start, part in zip(starts, found, strict=True)]
    return _in_order(desk, room, np.concatenate(kept))


def _lane(desk: Desk, first: int, end: int) -> Desk:
    """Return a desk on which some of the instruments run, each for itself."""
    account = desk.account.copy()
    account[places.GROUP], account[places.GROUPS_END] = first, end
    account[places.GROUP_SIZE] = 1
    # No lane reaches the numbers of the next one: a trade takes a row at least.
    account[places.TRADES] = desk.book[first, places.FIRST]
    account[places.START_CASH] = max(MONEY_MAX, int(account[places.START_CASH]))
    return desk._replace(
        account=account,
        sessions=desk.sessions.copy(),
        agenda=desk.agenda[:1].copy(),
        held=desk.held.copy(),
    )


def _shares(desk: Desk, rows_a_lane: int) -> list[tuple[int, int]]:
    """Return ranges of instruments with about equally many rows."""
    ends = desk.book[:, places.END]
    most = min(len(os.sched_getaffinity(0)), _LANES_MAX, len(ends))
    lanes = max(1, min(most, int(ends[-1]) // rows_a_lane))
    wanted = np.arange(1, lanes) * int(ends[-1]) // lanes
    cuts = [0, *np.searchsorted(ends, wanted).tolist(), len(ends)]
    return list(pairwise(cuts))


def _in_order(desk: Desk, room: Ints, kept: Ints) -> Ints:
    """Return the fills of all lanes in the order of time; sales of an instant come first.

    Trades are numbered in the order of their purchases.

    Args:
        desk: The desk.
        room: Holds the fills of all lanes, and more.
        kept: The rows of the fills, those of one lane after those of another.
    """
    rows, instrument = room[kept, places.FILL_ROW], room[kept, places.FILL_INSTRUMENT]
    moments = desk.moments[rows + desk.book[instrument, places.SHIFT]].astype(np.int64)
    is_buy = room[kept, places.FILL_SIDE] == places.BUY
    order = np.argsort(((2 * moments + is_buy) << INSTRUMENT_BITS) | instrument)
    fills = room[kept[order]]
    # Every trade has one purchase, and they are counted instrument by instrument.
    trade, instrument = fills[:, places.FILL_TRADE], fills[:, places.FILL_INSTRUMENT]
    bought = fills[:, places.FILL_SIDE] == places.BUY
    number = np.zeros(int(trade.max(initial=0)) + 1, np.int64)
    number[trade[bought]] = np.arange(1, int(bought.sum()) + 1)
    fills[:, places.FILL_TRADE] = number[trade]
    return fills
