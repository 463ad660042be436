"""Runs instruments side by side where no decision of one depends on another.

Sizes in shares or money, and no limit that counts positions or equity, leave one thing that
instruments share: the cash. So each runs as if it had more than enough, in threads, and then it is
proven that cash was never short: if what is there at the start covers the sum of the most that
each had ever spent and reserved, it covered every order at its time. Else the run is done again,
with all instruments in one group.

Threads take blocks of instruments in turn. Both passes go over a block while its bars are in the
cache of the processor: first the rules, then the portfolio.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from jts_pipelines.backtest import places
from jts_pipelines.backtest.columns import Desk, Ints
from jts_pipelines.backtest.kernel_text import Portfolio
from jts_pipelines.backtest.signals import shares
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
    *(places.CLOSED, places.WON, places.PROFIT, places.LOSS, places.DROPPED),
    *(places.REDUCED, places.CANCELLED, places.BLOCKED_BY_RISK, places.BEYOND, places.FILLS),
    *(places.GAINED, places.LEFT_VALUE, places.SPENT, places.TRADES),
)
_FIRST_FILLS = 4_096
# Room for this share of rows is only touched where fills come to stand.
_ROWS_A_FILL = 16
_ROWS_MIN = 20_000
# Bars of four megabytes: few enough to stay near, many enough for what a call costs.
_ROWS_A_BLOCK = 250_000
# numpy sorts numbers of 16 bits by counting them.
_NARROW = 1 << 16

Fire = Callable[[int, int], None]
"""Fills in the masks of the instruments from one number to before another."""


def simulate(
    portfolio: Portfolio, desk: Desk, fire: Fire | None = None, rows_a_lane: int = _ROWS_MIN
) -> Ints:
    """Run a portfolio to its end; return its fills, see `places`, in the order of time.

    Args:
        portfolio: The compiled portfolio.
        desk: Changed.
        fire: Called for each instrument before it runs; only where instruments are apart.
        rows_a_lane: Below this a second thread costs more than it saves.
    """
    if not are_apart(desk):
        return run_together(portfolio, desk)
    before = desk.book.copy()
    fills = _side_by_side(portfolio, desk, fire, rows_a_lane)
    if fills is None:
        desk.book[:] = before
        fills = run_together(portfolio, desk)
    return fills


def run_together(portfolio: Portfolio, desk: Desk) -> Ints:
    """Run what the account of a desk says, with as much room for fills as is needed.

    Args:
        portfolio: The compiled portfolio.
        desk: Changed.
    """
    room = _run(portfolio, desk, _room(int(desk.book[:, places.END].max(initial=0))))
    return room[:, : desk.account[places.FILLS]].T


def are_apart(desk: Desk) -> bool:
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


def _room(rows: int) -> Ints:
    """Return room for the fills of so many rows: a column each, as they are read."""
    return np.empty((places.FILL_COLUMNS, _FIRST_FILLS + rows // _ROWS_A_FILL), np.int64)


def _run(portfolio: Portfolio, desk: Desk, fills: Ints) -> Ints:
    """Run a desk; return the room that its fills stand in, which grows where it has to."""
    while portfolio.simulate(desk, fills):
        more = np.empty((places.FILL_COLUMNS, 2 * fills.shape[1]), np.int64)
        more[:, : fills.shape[1]] = fills
        fills = more
    return fills


@dataclass(slots=True)
class _Lane:
    """What one thread works on.

    Attributes:
        desk: With an account, an agenda and sessions of its own.
        room: For its fills.
        blocks: By number of the block: where its fills begin and end, and after how many trades.
    """

    desk: Desk
    room: Ints
    blocks: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def run(
        self, portfolio: Portfolio, fire: Fire | None, blocks: Iterator[tuple[int, int, int]]
    ) -> None:
        """Take blocks, each a number and a range of instruments, until there are none."""
        account = self.desk.account
        for number, first, end in blocks:
            if fire is not None:
                fire(first, end)
            account[places.GROUP], account[places.GROUPS_END] = first, end
            begin, trades = int(account[places.FILLS]), int(account[places.TRADES])
            self.room = _run(portfolio, self.desk, self.room)
            self.blocks[number] = begin, int(account[places.FILLS]), trades


def _side_by_side(
    portfolio: Portfolio, desk: Desk, fire: Fire | None, rows_a_lane: int
) -> Ints | None:
    """Run each instrument for itself; None if cash might have been short."""
    offsets = np.append(desk.book[:, places.FIRST], desk.book[-1, places.END])
    rows = int(offsets[-1])
    most = min(len(os.sched_getaffinity(0)), _LANES_MAX, len(desk.book))
    count = max(1, min(most, rows // rows_a_lane))
    blocks = shares(offsets, max(count, -(-rows // _ROWS_A_BLOCK)))
    waiting = _in_turn(blocks)
    lanes = [_lane(desk, rows) for _ in range(count)]
    if fire is not None:
        # Over nothing first: what is not compiled yet is compiled in one thread.
        fire(0, 0)
    with ThreadPoolExecutor(count) as threads:
        for _ in threads.map(lambda lane: lane.run(portfolio, fire, waiting), lanes):
            pass
    total = np.sum([lane.desk.account for lane in lanes], axis=0)
    account, cash = desk.account, int(desk.account[places.START_CASH])
    if total[places.SPENT] > cash or total[places.REDUCED]:
        return None
    added = list(_ADDED)
    account[added] = total[added]
    account[places.CASH] = cash + account[places.GAINED]
    account[places.VALUE] = account[places.LEFT_VALUE]
    account[places.GROUP] = account[places.GROUPS_END]
    for column in (places.SESSION_CASH, places.SESSION_VALUE):
        of_lanes = [lane.desk.sessions[:, column] for lane in lanes]
        desk.sessions[:, column] = np.sum(of_lanes, axis=0)
    return _in_order(desk, [_fills_of(lanes, number) for number in range(len(blocks))])


def _in_turn(blocks: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Return what gives each block, with its number, to the thread that asks next."""
    lock, waiting = Lock(), iter(enumerate(blocks))

    def take() -> tuple[int, int, int]:
        with lock:
            number, (first, end) = next(waiting, (-1, (0, 0)))
        return number, first, end

    return iter(take, (-1, 0, 0))


def _lane(desk: Desk, rows: int) -> _Lane:
    account = desk.account.copy()
    account[places.GROUP_SIZE] = 1
    account[places.START_CASH] = max(MONEY_MAX, int(account[places.START_CASH]))
    own = desk._replace(
        account=account,
        sessions=desk.sessions.copy(),
        agenda=desk.agenda[:1].copy(),
        held=desk.held.copy(),
    )
    return _Lane(own, _room(rows))


def _fills_of(lanes: list[_Lane], number: int) -> tuple[Ints, int]:
    """Return the fills of a block, and how many trades its lane had before it."""
    lane = next(each for each in lanes if number in each.blocks)
    begin, end, trades = lane.blocks[number]
    return lane.room[:, begin:end], trades


def _in_order(desk: Desk, blocks: list[tuple[Ints, int]]) -> Ints:
    """Return the fills of all blocks in the order of time; sales of an instant come first.

    Trades are numbered in the order of their purchases. Fills come in the order of instruments,
    and those of an instrument in the order of time.

    Args:
        desk: The desk.
        blocks: See `_fills_of`.
    """

    def column(place: int) -> Ints:
        return np.concatenate([part[place] for part, _ in blocks])

    is_buy = column(places.FILL_SIDE) == places.BUY
    shift = desk.book[column(places.FILL_INSTRUMENT), places.SHIFT]
    turn = 2 * desk.moments[column(places.FILL_ROW) + shift].astype(np.int64) + is_buy
    is_narrow = 2 * len(desk.times) <= _NARROW
    # Stable: what comes at one instant stays in the order of instruments.
    order = np.argsort(turn.astype(np.uint16) if is_narrow else turn, kind="stable")
    fills = np.empty((places.FILL_COLUMNS, len(order)), np.int64)

    def fill(place: int) -> None:
        if place == places.FILL_TRADE:
            fills[place] = _trades(blocks, is_buy, order)
        else:
            # Nothing is out of range; to say so spares numpy a copy.
            np.take(column(place), order, out=fills[place], mode="clip")

    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), _LANES_MAX)) as threads:
        # The column that takes longest comes first.
        for _ in threads.map(fill, sorted(range(len(fills)), key=places.FILL_TRADE.__ne__)):
            pass
    return fills.T


def _trades(blocks: list[tuple[Ints, int]], is_buy: Ints, order: Ints) -> Ints:
    """Return the number of the trade of each fill, counted in the order of purchases."""
    # Every trade has one purchase: first they are counted block by block.
    bought = [int((part[places.FILL_SIDE] == places.BUY).sum()) for part, _ in blocks]
    earlier = np.cumsum([0, *bought[:-1]])
    counted = [
        part[places.FILL_TRADE] + (before - trades)
        for (part, trades), before in zip(blocks, earlier.tolist(), strict=True)
    ]
    trade = np.concatenate(counted)[order]
    number = np.zeros(sum(bought) + 1, np.int64)
    number[trade[is_buy[order]]] = np.arange(1, sum(bought) + 1)
    found: Ints = number[trade]
    return found
