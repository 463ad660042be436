"""Puts the fills of lanes into the order of time, sales of an instant first.

Read as text and compiled, see `kernel_text`; a text of its own, with a record of its own. Fills
are counted by their turn, then each goes to the next place of its turn: what comes at one instant
stays in the order of instruments, because blocks are taken in that order.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jts_pipelines.backtest.columns import Ints
from jts_pipelines.backtest.places import (
    BUY,
    FILL_INSTRUMENT,
    FILL_PRICE,
    FILL_ROW,
    FILL_SIDE,
    FILL_TRADE,
)

# A block of instruments: whose lane ran it, and where its fills begin and end there.
LANE, BEGIN, AFTER = 0, 1, 2
BLOCK_COLUMNS = 3


class Lanes(NamedTuple):
    """What is merged, and room to count in.

    Attributes:
        rooms: [lane, fill column, fill].
        blocks: [block, (lane, begin, after)], in the order of instruments.
        trades: By lane: how many trades those before it had.
        moments: Number of the instant of a row, at row + shift of its instrument.
        shifts: By instrument.
        turns: Room for a number per fill.
        starts: Zeros, two per instant.
        numbers: Zeros, one per trade and one.
    """

    rooms: Ints
    blocks: Ints
    trades: Ints
    moments: NDArray[np.int32]
    shifts: Ints
    turns: NDArray[np.int32]
    starts: Ints
    numbers: Ints


def put_in_order(lanes: Lanes, order: Ints) -> int:
    """Return how many fills there are.

    Args:
        lanes: What is merged.
        order: Filled with, by fill in the order of time: where its first column stands in the
            rooms, and the number of its trade, counted in the order of purchases.
    """
    count_turns(lanes)
    place = 0
    for turn in range(len(lanes.starts)):
        count = lanes.starts[turn]
        lanes.starts[turn] = place
        place += count
    place_fills(lanes, order)
    number_trades(lanes, order, place)
    return place


def count_turns(lanes: Lanes) -> None:
    """Note the turn of each fill, and how many there are of each."""
    at, rooms = 0, lanes.rooms
    for block in range(len(lanes.blocks)):
        lane = lanes.blocks[block, LANE]
        for fill in range(lanes.blocks[block, BEGIN], lanes.blocks[block, AFTER]):
            shift = lanes.shifts[rooms[lane, FILL_INSTRUMENT, fill]]
            turn = 2 * lanes.moments[rooms[lane, FILL_ROW, fill] + shift]
            # What has no price is a split or a dividend: it comes with the sales.
            if rooms[lane, FILL_SIDE, fill] == BUY and rooms[lane, FILL_PRICE, fill] > 0:
                turn += 1
            lanes.turns[at] = turn
            lanes.starts[turn] += 1
            at += 1


def place_fills(lanes: Lanes, order: Ints) -> None:
    """Give each fill its place, and the number of its trade among those of all lanes."""
    at, rooms = 0, lanes.rooms
    for block in range(len(lanes.blocks)):
        lane = lanes.blocks[block, LANE]
        first = lane * rooms.shape[1] * rooms.shape[2]
        for fill in range(lanes.blocks[block, BEGIN], lanes.blocks[block, AFTER]):
            turn = lanes.turns[at]
            place = lanes.starts[turn]
            lanes.starts[turn] = place + 1
            order[0, place] = first + fill
            order[1, place] = lanes.trades[lane] + rooms[lane, FILL_TRADE, fill]
            at += 1


def number_trades(lanes: Lanes, order: Ints, count: int) -> None:
    """Number trades by their first fill: a trade may buy again, as new shares of a split do."""
    last = 0
    for place in range(count):
        trade = order[1, place]
        if lanes.numbers[trade] == 0:
            last += 1
            lanes.numbers[trade] = last
        order[1, place] = lanes.numbers[trade]
