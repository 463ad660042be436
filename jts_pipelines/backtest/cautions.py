"""What a reader of a result should doubt: a closed list of codes, for people and for gates.

`docs/research.md` lists them with what to do about each.
"""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Why a result is suspicious, or what was left out of it."""

    LOOK_AHEAD = "look_ahead"
    NO_HISTORY = "no_history"
    FEW_TRADES = "few_trades"
    ONE_TRADE = "one_trade"
    MANY_PARAMETERS = "many_parameters"
    COSTS_ABOVE_PROFIT = "costs_above_profit"
    OPEN_POSITIONS = "open_positions"
    ABOVE_VOLUME = "above_volume"
    LARGE_SHARE_OF_VOLUME = "large_share_of_volume"
    STALE_FILLS = "stale_fills"
    STALE_MARKS = "stale_marks"
    TAINTED_BARS = "tainted_bars"
    ORDERS_WAITING = "orders_waiting"
    CASH_SHORT = "cash_short"
    JUMPS = "jumps"
    HELD_OVER_JUMP = "held_over_jump"
    UNKNOWN_INSTRUMENTS = "unknown_instruments"
    BARS_LEFT_OUT = "bars_left_out"
    TRADES_LEFT_OUT = "trades_left_out"
    LEVELS_LEFT_OUT = "levels_left_out"
    NO_BARS = "no_bars"
    SHORT_RULES_OFF = "short_rules_off"
    SHORT_BANNED = "short_banned"
    MARGIN_CALLED = "margin_called"
    BELOW_ZERO = "below_zero"
    NO_QUOTES = "no_quotes"
    KELLY_UNUSED = "kelly_unused"
    KELLY_WITHOUT_EDGE = "kelly_without_edge"
    LOSS_LIMIT = "loss_limit"
    RISK_DENIED = "risk_denied"
    DELISTED = "delisted"


MEANING: dict[Code, str] = {
    Code.LOOK_AHEAD: "a decision changed when later bars were cut off; the result means nothing",
    Code.NO_HISTORY: "the longest history is shorter than the warm-up of a time frame",
    Code.FEW_TRADES: "fewer than 30 closed trades: the figures say little",
    Code.ONE_TRADE: "more than half of all profits came from one trade",
    Code.MANY_PARAMETERS: "fewer than 10 closed trades for each parameter of the text",
    Code.COSTS_ABOVE_PROFIT: "costs ate more than the profit before costs",
    Code.OPEN_POSITIONS: "positions are still open and valued at their last close",
    Code.ABOVE_VOLUME: "a fill was larger than its bar's whole volume",
    Code.LARGE_SHARE_OF_VOLUME: "a fill took more than a tenth of its bar's volume",
    Code.STALE_FILLS: "an order filled more than three sessions after its decision",
    Code.STALE_MARKS: "a position is valued at a close older than three sessions",
    Code.TAINTED_BARS: "decided or filled on bars that the lake marks as doubtful",
    Code.ORDERS_WAITING: "orders were never filled",
    Code.CASH_SHORT: "orders were made smaller, or dropped: size or cash did not do for one lot",
    Code.JUMPS: "bars opened outside the price limits; nothing fills on them",
    Code.HELD_OVER_JUMP: "a position was held over such a jump: its profit is not adjusted",
    Code.UNKNOWN_INSTRUMENTS: "market and asset of an instrument were guessed",
    Code.BARS_LEFT_OUT: (
        "rows of a file that are no bars, or whose prices are out of order, were left out"
    ),
    Code.TRADES_LEFT_OUT: "trades that are in no bar: outside the session, or without a price",
    Code.LEVELS_LEFT_OUT: "levels of order books that cannot be there; nothing fills at them",
    Code.NO_BARS: "symbols that were asked for have no bars",
    Code.SHORT_RULES_OFF: "rules that sell short were left out",
    Code.SHORT_BANNED: "bans of short sales refused or ended some",
    Code.MARGIN_CALLED: "short positions were covered because their collateral was too small",
    Code.BELOW_ZERO: "the account owed more than it had",
    Code.NO_QUOTES: "conditions on spread are null without quotes: such rules never fire",
    Code.KELLY_UNUSED: "Kelly's formula had too few closed trades and was never used",
    Code.KELLY_WITHOUT_EDGE: "Kelly's formula saw no edge and refused entries",
    Code.LOSS_LIMIT: "the daily loss limit refused entries",
    Code.RISK_DENIED: "limits of the account denied entries, as live trading would",
    Code.DELISTED: "positions were closed because their instrument was delisted",
}
"""One line per code, for people."""

SERIOUS = frozenset(
    {
        *(Code.LOOK_AHEAD, Code.NO_HISTORY, Code.HELD_OVER_JUMP, Code.ABOVE_VOLUME),
        Code.BELOW_ZERO,
    }
)
"""Codes with which a result cannot stand behind a release."""


@dataclass(frozen=True, slots=True)
class Caution:
    """One finding: its code, and a sentence with its numbers."""

    code: Code
    text: str

    def __str__(self) -> str:
        return self.text


def is_mild(caution: Caution) -> bool:
    """Return whether a result may stand behind a release all the same; sorts the others first."""
    return caution.code not in SERIOUS
