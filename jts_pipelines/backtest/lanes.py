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

from jts_pipelines.backtest import merging, places
from jts_pipelines.backtest.columns import Desk, Ints
from jts_pipelines.backtest.exchanging import NEVER_ENDS
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
_LIMITS = (
    *(places.MAX_POSITION, places.DAILY_LOSS, places.POSITIONS_MAX, places.GUARDED),
    *(places.SHORTS,),
)
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
# Bars of a megabyte: few enough to stay near a processor, many enough for what a call costs.
_ROWS_A_BLOCK = 60_000

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
    room = _room(int(desk.book[:, places.END].max(initial=0)))
    while portfolio.bind(desk, room)():
        room = _larger(room)
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
    is_modelled = is_modelled or rules[places.PYRAMIDING] > 1
    is_limited = rules[places.LIMIT_VALUE] > 0
    # What is delisted ends at an instant of other instruments.
    is_delisted = (desk.book[:, places.DELISTED_AT] != NEVER_ENDS).any()
    return not (is_modelled or is_limited or is_delisted) and bool(
        np.isin(sizes[:, places.KIND], _ALONE).all()
    )


def _room(rows: int) -> Ints:
    """Return room for the fills of so many rows: a column each, as they are read."""
    return np.empty((places.FILL_COLUMNS, _FIRST_FILLS + rows // _ROWS_A_FILL), np.int64)


def _larger(fills: Ints) -> Ints:
    """Return a room twice as large with the same fills."""
    more = np.empty((places.FILL_COLUMNS, 2 * fills.shape[1]), np.int64)
    more[:, : fills.shape[1]] = fills
    return more


@dataclass(slots=True)
class _Lane:
    """What one thread works on.

    Attributes:
        desk: With an account, an agenda and sessions of its own.
        room: For its fills.
        blocks: By number of the block: where its fills begin and end.
    """

    desk: Desk
    room: Ints
    blocks: dict[int, tuple[int, int]] = field(default_factory=dict)

    def run(
        self, portfolio: Portfolio, fire: Fire | None, blocks: Iterator[tuple[int, int, int]]
    ) -> None:
        """Take blocks, each a number and a range of instruments, until there are none."""
        account, simulate = self.desk.account, portfolio.bind(self.desk, self.room)
        for number, first, end in blocks:
            if fire is not None:
                fire(first, end)
            account[places.GROUP], account[places.GROUPS_END] = first, end
            begin = int(account[places.FILLS])
            while simulate():
                self.room = _larger(self.room)
                simulate = portfolio.bind(self.desk, self.room)
            self.blocks[number] = begin, int(account[places.FILLS])


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
    rooms = np.empty((count, *_room(rows).shape), np.int64)
    lanes = [_lane(desk, room) for room in rooms]
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
    if any(lane.room.base is not rooms for lane in lanes):
        rooms = _stacked([lane.room for lane in lanes])
    return _in_order(portfolio, desk, lanes, rooms)


def _in_turn(blocks: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Return what gives each block, with its number, to the thread that asks next."""
    lock, waiting = Lock(), iter(enumerate(blocks))

    def take() -> tuple[int, int, int]:
        with lock:
            number, (first, end) = next(waiting, (-1, (0, 0)))
        return number, first, end

    return iter(take, (-1, 0, 0))


def _lane(desk: Desk, room: Ints) -> _Lane:
    account = desk.account.copy()
    account[places.GROUP_SIZE] = 1
    account[places.START_CASH] = max(MONEY_MAX, int(account[places.START_CASH]))
    own = desk._replace(
        account=account,
        sessions=desk.sessions.copy(),
        agenda=desk.agenda[:1].copy(),
        held=desk.held.copy(),
    )
    return _Lane(own, room)


def _stacked(rooms: list[Ints]) -> Ints:
    """Return rooms, some of which grew, as one array."""
    found = np.empty((len(rooms), *max(room.shape for room in rooms)), np.int64)
    for into, room in zip(found, rooms, strict=True):
        into[:, : room.shape[1]] = room
    return found


def _in_order(portfolio: Portfolio, desk: Desk, lanes: list[_Lane], rooms: Ints) -> Ints:
    """Return the fills of all lanes in the order of time; sales of an instant come first.

    Trades are numbered in the order of their purchases.
    """
    spans = sorted(
        (number, at, *span)
        for at, lane in enumerate(lanes)
        for number, span in lane.blocks.items()
    )
    traded = [int(lane.desk.account[places.TRADES]) for lane in lanes]
    count = sum(int(lane.desk.account[places.FILLS]) for lane in lanes)
    order = np.empty((2, count), np.int64)
    merged = merging.Lanes(
        rooms=rooms,
        blocks=np.array([span[1:] for span in spans], np.int64),
        trades=np.cumsum([0, *traded[:-1]]),
        moments=desk.moments,
        shifts=desk.book[:, places.SHIFT].copy(),
        turns=np.empty(count, np.int32),
        starts=np.zeros(2 * len(desk.times), np.int64),
        numbers=np.zeros(sum(traded) + 1, np.int64),
    )
    portfolio.put_in_order(merged, order)
    fills = np.empty((places.FILL_COLUMNS, count), np.int64)
    fills[places.FILL_TRADE] = order[1]
    flat, room = rooms.reshape(-1), rooms.shape[2]

    def fill(place: int) -> None:
        # Nothing is out of range; to say so spares numpy a copy.
        np.take(flat[place * room :], order[0], out=fills[place], mode="clip")

    others = (place for place in range(len(fills)) if place != places.FILL_TRADE)
    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), _LANES_MAX)) as threads:
        for _ in threads.map(fill, others):
            pass
    return fills.T
