"""The columns that the compiled passes of a backtest read and write.

One vocabulary for `driver` (which numba compiles) and for the Python code around it. Rows are
bars, sorted by instrument and time; money and prices are int64 won, shares of a whole ppm.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Bars(NamedTuple):
    """What a strategy step sees of each bar; one row per bar, instruments one after another."""

    offsets: Ints  # first row of each instrument, and the number of rows at the end
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    is_traded: Flags  # something traded in the bar: only then does the strategy's state advance
    frames_closed: Ints  # bit k: the pending bar of time frame k closed before this bar
    session: Ints  # trading day of the bar, days since 1970-01-01


class Market(NamedTuple):
    """What the portfolio simulation sees of each bar."""

    order: Ints  # rows in the order of time, then instrument
    instrument: Ints
    stamp: Ints  # start of the bar, UTC ms
    session: Ints  # index into the sessions of the run
    open: Ints
    close: Ints
    is_traded: Flags
    can_buy: Flags  # a market buy fills at this bar's open
    can_sell: Flags
    reserve: Ints  # upper limit price at which a buy decided on this bar's close reserves cash
    lot: Ints  # smallest tradable quantity
    fired: Ints  # bit mask of the rules that fired on this bar's close


class Rules(NamedTuple):
    """Orders and risk block of a strategy; one row per rule bit."""

    entries: int  # mask of the rules that enter
    exits: int
    kind: Ints  # a QUANTITY constant
    amount: Ints
    max_position_ppm: int
    trailing_stop_ppm: int
    stop_loss_ppm: int
    take_profit_ppm: int
    daily_loss_ppm: int
    positions_max: int  # 0: no limit
    cooldown_ms: int
    cooldown_bars: int
    kelly: tuple[int, int, int, int]  # see `sizing.kelly_entry_share`


class Costs(NamedTuple):
    """Costs by session and class of instrument (market and asset)."""

    cost_class: Ints  # by instrument
    commission_nano: Ints  # [session, class]
    commission_unit: int
    stt_ppm: Ints  # [session, class]
    rst_ppm: Ints


class Desk(NamedTuple):
    """Everything that one simulation works on, in few arrays.

    numba's compile time grows with the number of fields that functions hand to each other: packed
    like this, with column numbers in `driver`, it takes half as long. Made by `desk.make_desk`.
    """

    order: Ints  # rows of bars in the order of time, then instrument
    bars: Ints  # [row, bar column]
    rules: Ints  # [rule column]
    sizes: Ints  # [rule, (kind, amount)]
    costs: Ints  # [session, class, (commission, stt, rst)]
    kinds: Ints  # class of each instrument
    account: Ints  # [account column]
    book: Ints  # [instrument, book column]
    sessions: Ints  # [session, (cash, value of positions)] at the session's last bar
