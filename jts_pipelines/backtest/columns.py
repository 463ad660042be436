"""The columns that the compiled passes of a backtest read and write.

One vocabulary for the modules that are compiled and for the Python code around them. Rows are
bars in which something traded, sorted by instrument and time; money and prices are whole won,
shares of a whole ppm.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Whole = NDArray[np.int32] | NDArray[np.int64]
"""Whole numbers in the narrowest of two types that holds all of them."""
Bits = NDArray[np.uint8] | NDArray[np.int64]
"""Masks in the narrowest of two types."""


class Bars(NamedTuple):
    """What a strategy step sees; one row per bar, instruments one after another."""

    offsets: Ints  # first row of each instrument, and the number of rows at the end
    prices: Whole | Floats  # [row, open high low close]; whole but where shares were merged
    volume: Whole | Floats  # shares, or coins
    frames_closed: Bits  # bit k: the pending bar of time frame k closed before this bar
    moments: NDArray[np.int32]  # number of the instant of a row, at row + shift
    shift: Ints  # by instrument
    sessions: Ints  # trading day of an instant, days since 1970-01-01
    scales: Floats  # by instrument: price steps in one unit of currency


class FillModel(NamedTuple):
    """How orders fill; `BacktestSettings` says what each means. All zero: at the next open."""

    fill_at: int = 0
    volume_share_ppm: int = 0
    slip_ppm: int = 0
    slip_ticks: int = 0
    impact_ppm: int = 0
    has_root: int = 0
    exits_inside: int = 0
    waits_settlement: int = 0


class Limits(NamedTuple):
    """Limits of the account in whole numbers; see `limits` and `settings.AccountLimits`."""

    order_value: int  # units of the account
    position_ppm: int
    gross_ppm: int
    loss_ppm: int
    drawdown_ppm: int


class ShortTerms(NamedTuple):
    """What a short sale costs; see `BacktestSettings`. All zero: there are none."""

    margin_ppm: int = 0
    cover_ppm: int = 0  # least collateral, of the value of the position
    borrow_ppm: int = 0  # a year, of the gross amount of what is borrowed
    is_uptick: int = 0  # not below the trade before


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
    guarded: int = 0  # mask of the rules that the guard has a say in
    guard_constants: tuple[float, ...] = ()  # stand behind the facts
    rank: int = -1  # place in the values by which entries of one instant come
    orders: Ints | None = None  # [rule, (type, force, limit place, stop place)]
    model: FillModel = FillModel()
    limits: Limits | None = None
    pyramiding: int = 1  # entries that a position may have
    shorts: int = 0  # mask of the rules that sell short or cover
    short_terms: ShortTerms = ShortTerms()


class Costs(NamedTuple):
    """Costs by session and class of instrument (market and asset)."""

    cost_class: Ints  # by instrument
    commission_nano: Ints  # [session, class]
    commission_unit: int
    stt_ppm: Ints  # [session, class]
    rst_ppm: Ints


class Desk(NamedTuple):
    """Everything that one simulation works on; `places` has the column numbers.

    Made by `desk.make_desk`.
    """

    prices: Whole  # [row, open high low close]
    moments: NDArray[np.int32]  # number of the instant of a row, at row + SHIFT of its instrument
    times: Ints  # [instant], UTC ms
    session_at: NDArray[np.int32]  # [instant], number of the session
    fired: Ints  # masks of rules: a row a word, or eight rows a word
    rules: Ints  # [rule column]
    sizes: Ints  # [rule, (kind, amount)]
    costs: Ints  # [session, class, (commission, stt, rst)]
    ladders: Ints  # [class, epoch, price rule]
    account: Ints  # [account column]
    book: Ints  # [instrument, book column]
    sessions: Ints  # [session, session column]
    splits: Ints  # [split, rights issue or dividend, see `places.SPLIT_ROW`], by row
    lots: Ints  # volume in quantity steps, by row; empty where no model asks for it
    values: Floats  # [row, place]: what the step left, see `dsl.plan`; often no places
    facts: Floats  # [instrument, fact] of the account for the guard, see `strategy.facts`
    agenda: Ints  # a heap of the next event of each instrument of a group
    held: Ints  # instruments with a position, in any order
