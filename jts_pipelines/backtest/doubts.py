"""What a reader of a result should doubt: each finding is one sentence with its numbers."""

import numpy as np
import polars as pl

from jts_pipelines.backtest import places
from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Ints
from jts_pipelines.backtest.frames import day_of
from jts_pipelines.backtest.instruments import Instruments
from jts_pipelines.backtest.result import Facts
from jts_trading.dsl.plan import Plan
from jts_trading.strategy.rules import short_rules, uses_kelly

TRADES_MIN = 30
LARGE_SHARE_OF_VOLUME = 0.1
_NAMED_MAX = 3


def warmup_doubts(facts: Facts) -> list[str]:
    """Return a sentence for each time frame whose history is too short for any decision."""
    return [
        f"nothing could be decided: frame {w.frame} needs {w.needed} closed bars before its "
        f"conditions are defined, the longest history here has {w.available}"
        for w in facts.warmup
        if w.available < w.needed
    ]


def plan_doubts(plan: Plan, facts: Facts, kelly_trades_min: int, closed: int) -> list[str]:
    """Return what the strategy asks for and a backtest of bars does not, or not yet, do."""
    found = []
    shorts = short_rules(plan)
    if shorts:
        found.append(f"short-selling is off: {shorts} rules were left out")
    if uses_kelly(plan) and 0 < closed < kelly_trades_min:
        found.append(
            f"Kelly's formula was never used: {closed} closed trades, {kelly_trades_min} are "
            "needed; every entry had the configured floor size"
        )
    if facts.without_edge:
        found.append(f"Kelly saw no edge and refused {facts.without_edge} entries")
    if facts.blocked_by_loss:
        found.append(f"daily_loss_limit refused {facts.blocked_by_loss} entries")
    return found


def trade_doubts(trades: pl.DataFrame) -> list[str]:
    """Return doubts about how few trades, or which, made the result."""
    closed = trades.filter(pl.col("status") == "closed")
    found = []
    if closed.height < TRADES_MIN:
        found.append(f"{closed.height} closed trades: below {TRADES_MIN} the figures say little")
    wins = closed.filter(pl.col("profit") > 0)
    if wins.height > 1:
        total, best = int(wins["profit"].sum()), wins.sort("profit").row(-1, named=True)
        if best["profit"] * 2 > total:
            share = best["profit"] / total
            found.append(f"one trade ({best['instrument']}) made {share:.0%} of all profits")
    costs = int(closed["commission"].sum()) + int(closed["tax"].sum())
    before = int(closed["profit"].sum()) + costs
    if 0 < before < costs:
        found.append(f"costs of {costs:,} won are larger than the profit before costs")
    held = trades.height - closed.height
    if held:
        found.append(f"{held} positions are still open and valued at their last close")
    return found


def fill_doubts(fills: pl.DataFrame, facts: Facts) -> list[str]:
    """Return doubts about fills that the market could hardly have given."""
    found = []
    above = fills.filter(pl.col("quantity") > pl.col("bar_volume"))
    if above.height:
        worst = above.sort(pl.col("quantity") / pl.col("bar_volume")).row(-1, named=True)
        found.append(
            f"{above.height} fills are larger than their bar's whole volume (worst: "
            f"{worst['instrument']} {worst['session']}, {worst['quantity']:,} of "
            f"{worst['bar_volume']:,} shares)"
        )
    share = pl.col("bar_volume") * LARGE_SHARE_OF_VOLUME
    large = fills.filter(pl.col("quantity") > share).height - above.height
    if large:
        found.append(f"{large} fills take between 10 % and all of their bar's volume")
    if facts.waiting:
        found.append(f"{facts.waiting} orders were still waiting for a bar that can trade")
    if facts.reduced or facts.dropped:
        found.append(
            f"cash was short: {facts.reduced:,} orders were made smaller, "
            f"{facts.dropped:,} dropped"
        )
    return found


def market_doubts(
    bars: BarTable, instruments: Instruments, outside: Ints, held: Ints
) -> list[str]:
    """Return doubts about base prices and markets.

    Args:
        bars: The bars that traded.
        instruments: The listing.
        outside: (row, instrument) of bars that opened outside the limits of their session.
        held: Those of them on whose open a position was held.
    """
    found = []
    if len(outside):
        found.append(
            f"{_bars(len(outside))} opened outside the limits of the previous close (corporate "
            f"action, relisting or no limits): {_places(bars, outside)}; nothing fills on them"
        )
    if len(held):
        found.append(
            f"positions were held over {_bars(len(held))} with such a jump, their profit is "
            f"not adjusted: {_places(bars, held)}"
        )
    unknown = sum(not instruments.find(symbol).is_known for symbol in bars.symbols)
    if unknown:
        market = next(
            instruments.find(s).market for s in bars.symbols if not instruments.find(s).is_known
        )
        found.append(
            f"{unknown:,} of {len(bars.symbols):,} instruments are not in the instruments table "
            f"and were taken as {market} shares"
        )
    return found


def held_over(outside: Ints, fills: Ints) -> Ints:
    """Return those of the (row, instrument) on whose open the instrument was held.

    They are walked with the fills of their instrument; both are few.
    """
    held = []
    for row, instrument in outside.tolist():
        own = fills[fills[:, places.FILL_INSTRUMENT] == instrument]
        before = own[own[:, places.FILL_ROW] < row]
        quantity = int((before[:, places.FILL_SIDE] * before[:, places.FILL_QUANTITY]).sum())
        if quantity > 0:
            held.append((row, instrument))
    return np.array(held, np.int64).reshape(-1, 2)


def _bars(count: int) -> str:
    return "1 bar" if count == 1 else f"{count} bars"


def _places(bars: BarTable, rows: Ints) -> str:
    named = [
        f"KRX:{bars.symbols[instrument]} {day_of(int(bars.days[bars.moment_of(row, instrument)]))}"
        for row, instrument in rows[:_NAMED_MAX].tolist()
    ]
    more = len(rows) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
