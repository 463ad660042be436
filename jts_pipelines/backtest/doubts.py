"""Finds what a reader of a result should doubt: findings are sentences with their numbers."""

import numpy as np
import polars as pl

from jts_pipelines.backtest import places
from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.cautions import Caution, Code
from jts_pipelines.backtest.columns import Floats, Ints
from jts_pipelines.backtest.frames import day_of
from jts_pipelines.backtest.instruments import Instruments
from jts_pipelines.backtest.result import DELISTED, MARGIN_CALL, Facts, PrefixCheck
from jts_trading.dsl.plan import Plan
from jts_trading.strategy.frames import interval_seconds
from jts_trading.strategy.rules import short_rules, uses_kelly

TRADES_MIN = 30
TRADES_PER_PARAMETER_MIN = 10
LARGE_SHARE_OF_VOLUME = 0.1
STALE_SESSIONS = 3
_NAMED_MAX = 3


def prefix_doubts(prefix: PrefixCheck) -> list[Caution]:
    """Return the doubt of doubts: a decision that knew later bars."""
    return [] if prefix.is_invariant else [Caution(Code.LOOK_AHEAD, prefix.difference)]


def warmup_doubts(facts: Facts) -> list[Caution]:
    """Return a sentence for each time frame whose history is too short for any decision."""
    return [
        Caution(
            Code.NO_HISTORY,
            f"nothing could be decided: frame {w.frame} needs {w.needed} closed bars before its "
            f"conditions are defined, the longest history here has {w.available}",
        )
        for w in facts.warmup
        if w.available < w.needed
    ]


def plan_doubts(plan: Plan, facts: Facts, kelly_trades_min: int, closed: int) -> list[Caution]:
    """Return what the strategy asks for and a backtest of bars does not, or not yet, do."""
    found = []
    if uses_kelly(plan) and 0 < closed < kelly_trades_min:
        found.append(
            Caution(
                Code.KELLY_UNUSED,
                f"Kelly's formula was never used: {closed} closed trades, {kelly_trades_min} are "
                "needed; every entry had the configured floor size",
            )
        )
    parameters = len(plan.params)
    if 0 < closed < TRADES_PER_PARAMETER_MIN * parameters:
        found.append(
            Caution(
                Code.MANY_PARAMETERS,
                f"{closed} closed trades for {parameters} parameters: fewer than "
                f"{TRADES_PER_PARAMETER_MIN} each can be fitted by chance",
            )
        )
    if facts.without_edge:
        found.append(
            Caution(
                Code.KELLY_WITHOUT_EDGE,
                f"Kelly saw no edge and refused {facts.without_edge} entries",
            )
        )
    if facts.blocked_by_loss:
        found.append(
            Caution(Code.LOSS_LIMIT, f"daily_loss_limit refused {facts.blocked_by_loss} entries")
        )
    if facts.denied:
        each = ", ".join(f"{count:,} by {check}" for check, count in facts.denied.items())
        found.append(Caution(Code.RISK_DENIED, f"limits of the account denied entries: {each}"))
    return found


def left_out_doubts(plan: Plan) -> list[Caution]:
    """Return that rules are left out which sell short or cover, where there are any."""
    shorts = short_rules(plan)
    if shorts == 0:
        return []
    text = f"short-selling is off: {shorts} rules were left out (--short-selling obeys them)"
    return [Caution(Code.SHORT_RULES_OFF, text)]


def short_doubts(facts: Facts, fills: pl.DataFrame, *, is_below_zero: bool) -> list[Caution]:
    """Return what went wrong with short sales."""
    found = []
    if is_below_zero:
        found.append(
            Caution(Code.BELOW_ZERO, "the account owed more than it had: live it would have ended")
        )
    if facts.banned:
        text = f"bans of short sales refused or ended {facts.banned:,} of them"
        found.append(Caution(Code.SHORT_BANNED, text))
    called = fills.filter(pl.col("reason") == MARGIN_CALL)["trade"].n_unique()
    if called:
        text = f"{called:,} short positions were covered by force: their collateral was too small"
        found.append(Caution(Code.MARGIN_CALLED, text))
    return found


def quote_doubts(spreads: Floats | None) -> list[Caution]:
    """Return a doubt about bars without quotes, for a strategy that looks at spreads."""
    if spreads is None or not np.isnan(spreads).any():
        return []
    without, count = int(np.isnan(spreads).sum()), len(spreads)
    which = "bars have" if without == count else f"{without:,} of {count:,} bars have"
    text = f"{which} no quotes: conditions on spread are null there and do not hold"
    return [Caution(Code.NO_QUOTES, text)]


def trade_doubts(trades: pl.DataFrame) -> list[Caution]:
    """Return doubts about how few trades, or which, made the result."""
    closed = trades.filter(pl.col("status") == "closed")
    found = []
    if closed.height < TRADES_MIN:
        found.append(
            Caution(
                Code.FEW_TRADES,
                f"{closed.height} closed trades: below {TRADES_MIN} the figures say little",
            )
        )
    wins = closed.filter(pl.col("profit") > 0)
    if wins.height and closed.height > 1:
        total, best = int(wins["profit"].sum()), wins.sort("profit").row(-1, named=True)
        if best["profit"] * 2 > total:
            share = best["profit"] / total
            found.append(
                Caution(
                    Code.ONE_TRADE,
                    f"one trade ({best['instrument']}) made {share:.0%} of all profits",
                )
            )
    costs = float(closed["commission"].sum()) + float(closed["tax"].sum())
    before = float(closed["profit"].sum()) + costs
    if 0 < before < costs:
        found.append(
            Caution(
                Code.COSTS_ABOVE_PROFIT,
                f"costs of {costs:,.0f} are larger than the profit before costs",
            )
        )
    held = trades.height - closed.height
    if held:
        found.append(
            Caution(
                Code.OPEN_POSITIONS,
                f"{held} positions are still open and valued at their last close",
            )
        )
    return found


def fill_doubts(fills: pl.DataFrame, facts: Facts) -> list[Caution]:
    """Return doubts about fills that the market could hardly have given."""
    found = []
    ended = fills.filter(pl.col("reason") == DELISTED)
    if ended.height:
        text = f"{ended.height} positions were closed because their instrument was delisted, for "
        found.append(Caution(Code.DELISTED, f"{text}{ended['gross'].sum():,} in all"))
        fills = fills.filter(pl.col("reason") != DELISTED)
    above = fills.filter(pl.col("quantity") > pl.col("bar_volume"))
    if above.height:
        worst = above.sort(pl.col("quantity") / pl.col("bar_volume")).row(-1, named=True)
        found.append(
            Caution(
                Code.ABOVE_VOLUME,
                f"{above.height} fills are larger than their bar's whole volume (worst: "
                f"{worst['instrument']} {worst['session']}, {worst['quantity']:,} of "
                f"{worst['bar_volume']:,})",
            )
        )
    share = pl.col("bar_volume") * LARGE_SHARE_OF_VOLUME
    large = fills.filter(pl.col("quantity") > share).height - above.height
    if large:
        found.append(
            Caution(
                Code.LARGE_SHARE_OF_VOLUME,
                f"{large} fills take between 10 % and all of their bar's volume",
            )
        )
    if facts.waiting:
        found.append(
            Caution(
                Code.ORDERS_WAITING,
                f"{facts.waiting} orders were still waiting for a bar that can trade",
            )
        )
    if facts.reduced or facts.dropped:
        found.append(
            Caution(
                Code.CASH_SHORT,
                f"{facts.reduced:,} orders were made smaller because cash was short, "
                f"{facts.dropped:,} dropped: size or cash did not do for one lot",
            )
        )
    return found


def stale_doubts(fills: Ints, book: Ints, bars: BarTable, days: Ints) -> list[Caution]:
    """Return doubts about orders that waited, and marks that stayed, over many sessions.

    Args:
        fills: See `places`.
        book: Of the desk after the run.
        bars: Those that traded.
        days: Sessions of the run.
    """
    found = []
    instrument = fills[:, places.FILL_INSTRUMENT]
    filled = _sessions_of(fills[:, places.FILL_ROW], instrument, bars, days)
    decided = _sessions_of(fills[:, places.FILL_DECIDED], instrument, bars, days)
    waited = filled - decided
    late = int((waited > STALE_SESSIONS).sum())
    if late:
        found.append(
            Caution(
                Code.STALE_FILLS,
                f"{late} fills came more than {STALE_SESSIONS} sessions after their decision, at "
                f"most {int(waited.max())} (halts, limits, or a price that did not come)",
            )
        )
    held = np.flatnonzero(book[:, places.QUANTITY])
    last = _sessions_of(bars.offsets[1:][held] - 1, held, bars, days)
    old = int((len(days) - 1 - last > STALE_SESSIONS).sum())
    if old:
        found.append(
            Caution(
                Code.STALE_MARKS,
                f"{old} open positions are valued at a close that is more than {STALE_SESSIONS} "
                "sessions old (halted or delisted)",
            )
        )
    return found


def taint_doubts(fills: pl.DataFrame, doubtful: pl.DataFrame, interval: str) -> list[Caution]:
    """Return doubts about decisions and fills on bars that the lake marks as doubtful.

    Args:
        fills: Table of fills.
        doubtful: Symbol, timestamp and quality of such bars.
        interval: Of the bars that decided.
    """
    if doubtful.height == 0 or fills.height == 0:
        return []
    marks = doubtful.rename({"timestamp": "at"})
    length = pl.duration(seconds=interval_seconds(interval))

    def is_inside(start: str) -> pl.Expr:
        return (pl.col("at") >= pl.col(start)) & (pl.col("at") < pl.col(start) + length)

    hit = (
        fills.with_row_index("fill")
        .with_columns(pl.col("instrument").str.replace("^[^:]*:", "").alias("symbol"))
        .join(marks, on="symbol")
        .filter(is_inside("time") | is_inside("decided_at"))
    )
    count = hit["fill"].n_unique()
    if count == 0:
        return []
    kinds = ", ".join(sorted(set(hit["quality"])))
    return [
        Caution(
            Code.TAINTED_BARS,
            f"{count} of {fills.height} fills were decided or filled on doubtful bars ({kinds})",
        )
    ]


def _sessions_of(rows: Ints, instrument: Ints, bars: BarTable, days: Ints) -> Ints:
    found: Ints = np.searchsorted(days, bars.days[bars.instant_of(rows, instrument)])
    return found


def market_doubts(
    bars: BarTable, instruments: Instruments, outside: Ints, held: Ints
) -> list[Caution]:
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
            Caution(
                Code.JUMPS,
                f"{_bars(len(outside))} opened outside the limits of the previous close "
                "(corporate action, relisting or no limits): "
                f"{_places(bars, instruments, outside)}; nothing fills on them",
            )
        )
    if len(held):
        found.append(
            Caution(
                Code.HELD_OVER_JUMP,
                f"positions were held over {_bars(len(held))} with such a jump, their profit is "
                f"not adjusted: {_places(bars, instruments, held)}",
            )
        )
    unknown = sum(not instruments.find(symbol).is_known for symbol in bars.symbols)
    if unknown:
        market = next(
            instruments.find(s).market for s in bars.symbols if not instruments.find(s).is_known
        )
        found.append(
            Caution(
                Code.UNKNOWN_INSTRUMENTS,
                f"{unknown:,} of {len(bars.symbols):,} instruments are not in the instruments "
                f"table and were taken as {market} shares",
            )
        )
    return found


def held_over(outside: Ints, fills: Ints) -> Ints:
    """Return those of the (row, instrument) on whose open the instrument was held.

    They are walked with the fills of their instrument; both are few.
    """
    held = []
    for row, instrument in outside.tolist():
        own = fills[fills[:, places.FILL_INSTRUMENT] == instrument]
        rows = own[:, places.FILL_ROW]
        before = own[(rows >= 0) & (rows < row)]
        quantity = int((before[:, places.FILL_SIDE] * before[:, places.FILL_QUANTITY]).sum())
        if quantity != 0:
            held.append((row, instrument))
    return np.array(held, np.int64).reshape(-1, 2)


def _bars(count: int) -> str:
    return "1 bar" if count == 1 else f"{count} bars"


def _places(bars: BarTable, instruments: Instruments, rows: Ints) -> str:
    named = []
    for row, instrument in rows[:_NAMED_MAX].tolist():
        day = day_of(int(bars.days[bars.moment_of(row, instrument)]))
        named.append(f"{instruments.id_of(bars.symbols[instrument])} {day}")
    more = len(rows) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
