"""What a backtest found, as tables that people and scripts read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from jts_pipelines.backtest import places
from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.benchmark import Comparison
from jts_pipelines.backtest.cautions import SERIOUS, Caution
from jts_pipelines.backtest.columns import Desk, Ints
from jts_pipelines.backtest.digests import Digests
from jts_pipelines.backtest.instruments import Instruments
from jts_pipelines.backtest.money import in_steps
from jts_pipelines.backtest.summary import (
    DIVIDEND,
    RIGHTS,
    amounts_in,
    borrow_fee_of,
    commission_of,
    dividend_of,
    drawdowns,
    gross_of,
    tax_of,
)
from jts_pipelines.backtest.venues import VENUES
from jts_pipelines.backtest.whole_columns import summable
from jts_trading.dsl.plan import Plan

Metric = float | int | None

DELISTED, SPLIT, BORROWED = "delisted", "split", "borrowed"
NO_ORDERS = (DIVIDEND, DELISTED, SPLIT, RIGHTS, BORROWED)
"""Reasons of rows among the fills that no order led to: a position was paid or changed."""

MARGIN_CALL = "margin_call"

_RISK_REASONS = {
    places.REASON_STOP_LOSS: "stop_loss",
    places.REASON_TRAILING_STOP: "trailing_stop",
    places.REASON_TAKE_PROFIT: "take_profit",
    places.REASON_SPLIT: SPLIT,
    places.REASON_DIVIDEND: DIVIDEND,
    places.REASON_DELISTED: DELISTED,
    places.REASON_MARGIN_CALL: MARGIN_CALL,
    places.REASON_BORROWED: BORROWED,
    places.REASON_RIGHTS: RIGHTS,
}


@dataclass(frozen=True, slots=True)
class Warmup:
    """Bars that a time frame needs before a condition can be true, and the most there were."""

    frame: str
    needed: int
    available: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What went in and what became of it.

    Attributes:
        rows: Bars that were read, of the stored interval.
        bars: Rows that the strategy could see (after gathering to its base interval).
        traded_bars: Those in which something traded.
        entries_fired, exits_fired: Bars on which an entry or exit rule was true.
        dropped: Entries whose size, or the cash for it, was less than one lot.
        reduced: Orders made smaller because cash could not pay for all of it.
        cancelled: Waiting entries that an exit rule cancelled.
        expired: Limit and stop orders that ended unfilled.
        blocked_by_loss, blocked_by_risk: Entries refused by `daily_loss_limit`; by
            `max_positions`, `cooldown`, or a position that has its `max_position_size`.
        denied: Entries that limits of the account denied, by check of risk.
        without_edge: Kelly entries refused because closed trades showed no edge.
        waiting: Orders that no bar filled before the end.
        banned: Short sales that a ban refused or ended.
    """

    interval: str
    first_day: date
    last_day: date
    sessions: int
    instruments: int
    rows: int
    bars: int
    traded_bars: int
    entries_fired: int
    exits_fired: int
    dropped: int
    reduced: int
    cancelled: int
    expired: int
    blocked_by_loss: int
    blocked_by_risk: int
    without_edge: int
    waiting: int
    denied: Mapping[str, int]
    warmup: tuple[Warmup, ...]
    banned: int = 0


@dataclass(frozen=True, slots=True)
class PrefixCheck:
    """Whether decisions stay what they are when later bars are cut off.

    Attributes:
        cuts: Instants before which bars were kept, UTC ms; none where there were too few bars.
        bars: How many were looked at.
        instruments: Of how many; all of them unless that would take long.
        difference: The first thing that differed; empty where nothing did.
    """

    cuts: tuple[int, ...]
    bars: int
    instruments: int
    difference: str = ""

    @property
    def is_invariant(self) -> bool:
        """Whether nothing differed."""
        return not self.difference


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """One finished backtest.

    Attributes:
        strategy: Name in the text.
        text: The normalised text.
        fills: One row per fill, in the order of time: time (label of the bar), session,
            instrument, name, side, quantity, price, commission, dividend (less its tax, or what a
            right was sold for, or the part of a share of a split; such a row buys nothing),
            borrow_fee (likewise), tax, stt, rst, reason, decided_at (label of the decision bar),
            trade, bar_volume, gross (price times quantity). Money is in the account's currency:
            whole won at KRX, decimals elsewhere.
        trades: One row per round trip in the order of entry; `side` is long or short, `status`
            is closed or open, and an open one is valued at its last close. `entry_price` is that
            of the first entry, `invested` and `quantity` are of all of them, `sold` is what was
            left of it.
        orders: One row per order in the order of decision: decided_at, instrument, name, side,
            reason, status (filled or waiting), filled_at, quantity (of the fill, or ordered),
            price, trade.
        positions: One row per session and held instrument: session, instrument, name, quantity,
            close, value; money in won, the close the last one known; a short one is below zero.
        equity: One row per session: session, cash, positions, equity, drawdown.
        price_path: Close by session of the instrument with the most fills; empty without fills.
            Columns instrument, name, session, close.
        metrics: By name; `metrics.DEFINITIONS` says what each means.
        cautions: What to doubt, the worst first.
        prefix: Whether decisions depend on later bars.
        comparisons: With benchmarks, where some were asked for.
        trials: Distinct trials of this strategy on these days, this one included; 0 where
            nobody counted.
        deflated_sharpe: Probability that its Sharpe ratio is not the best luck of that many
            trials; None where it is not defined or nobody counted.
        seconds: By phase: load (where the run loaded its bars), prepare, compile, signals,
            portfolio, prefix, report, total.
        peak_mb: The most memory that the process had up to the end of each phase, in MiB.
    """

    strategy: str
    text: str
    config: Mapping[str, object]
    params: Mapping[str, str]
    start_cash: int
    fills: pl.DataFrame
    trades: pl.DataFrame
    orders: pl.DataFrame
    positions: pl.DataFrame
    equity: pl.DataFrame
    price_path: pl.DataFrame
    metrics: Mapping[str, Metric]
    cautions: tuple[Caution, ...]
    prefix: PrefixCheck
    facts: Facts
    digests: Digests
    seconds: Mapping[str, float]
    peak_mb: Mapping[str, float]
    comparisons: tuple[Comparison, ...] = ()
    trials: int = 0
    deflated_sharpe: float | None = None

    @property
    def final_equity(self) -> int | float:
        """Cash and positions after the last bar, in the account's currency."""
        found: int | float = self.equity["equity"][-1]
        return found

    @property
    def currency(self) -> str:
        """In which the account is kept."""
        return VENUES[str(self.config["venue"])].currency

    @property
    def is_trustworthy(self) -> bool:
        """Whether no caution forbids to rely on the result."""
        return not any(caution.code in SERIOUS for caution in self.cautions)

    @property
    def digest(self) -> str:
        """SHA-256 of every fill and of the equity of every session: of the result itself."""
        found = hashlib.sha256()
        for table in (self.fills, self.equity):
            for column in table.get_columns():
                found.update(f"{column.name}\x1f{len(column)}\x1f".encode())
                if column.dtype == pl.String:
                    found.update("\x1f".join(column.fill_null("")).encode())
                else:
                    values = np.ascontiguousarray(column.to_physical().to_numpy())
                    found.update(values.astype(values.dtype.newbyteorder("<")).data)
        return found.hexdigest()

    @property
    def closed_trades(self) -> int:
        """Number of finished round trips."""
        return int((self.trades["status"] == "closed").sum())


def fill_table(
    fills: Ints, book: Ints, bars: BarTable, plan: Plan, instruments: Instruments
) -> pl.DataFrame:
    """Return the fills of a run as a table, in whole units (`money` says what they stand for).

    Its column `gross` is price times quantity in units of the account.
    """
    row, decided = fills[:, places.FILL_ROW], fills[:, places.FILL_DECIDED]
    instrument = fills[:, places.FILL_INSTRUMENT]
    moment, decided_at = bars.instant_of(row, instrument), bars.instant_of(decided, instrument)
    reasons = reason_texts(plan)
    stt, rst = fills[:, places.FILL_STT], fills[:, places.FILL_RST]
    quantity, price = fills[:, places.FILL_QUANTITY], fills[:, places.FILL_PRICE]
    is_buy, reason = fills[:, places.FILL_SIDE] == places.BUY, fills[:, places.FILL_REASON]
    return pl.DataFrame(
        {
            "time": stamp_series(bars.times[moment]),
            "session": day_series(bars.days[moment]),
            "instrument": _chosen(list(map(instruments.id_of, bars.symbols)), instrument),
            "name": _chosen([instruments.name_of(symbol) for symbol in bars.symbols], instrument),
            "side": _chosen(["sell", "buy"], is_buy.astype(np.int64)),
            "quantity": quantity,
            "price": price,
            "commission": commission_of(fills),
            "dividend": dividend_of(fills),
            "borrow_fee": borrow_fee_of(fills),
            "tax": tax_of(fills),
            "stt": stt,
            "rst": rst,
            "reason": _chosen(list(reasons.values()), np.searchsorted(list(reasons), reason)),
            "decided_at": stamp_series(bars.times[decided_at]),
            "trade": fills[:, places.FILL_TRADE],
            "bar_volume": summable(np.where(row < 0, 0, bars.volume[np.maximum(row, 0)])),
            "gross": gross_of(fills, book[:, places.UNIT]),
        }
    )


def _chosen(texts: list[str], places_of: Ints) -> pl.Series:
    return pl.Series(texts, dtype=pl.String).gather(places_of)


def reason_texts(plan: Plan) -> dict[int, str]:
    """Return what the code of a reason means, in the words of the strategy."""
    rules = {
        rule.bit: f"{rule.side.replace('_', '.')}: {rule.condition}".removesuffix(": ")
        for rule in plan.rules
    }
    return rules | _RISK_REASONS


def trade_table(fills: pl.DataFrame, marks: Mapping[str, int | float]) -> pl.DataFrame:
    """Return one row per round trip.

    Args:
        fills: All fills, see `fill_table`.
        marks: What one smallest quantity of an instrument is worth at its last close, in units of
            the account, for what is still held; whole numbers where the fills have them.
    """
    is_buy, gross = pl.col("side") == "buy", pl.col("gross")
    fills = fills.with_columns(amounts_in(fills, "dividend"), amounts_in(fills, "borrow_fee"))
    costs = pl.col("commission") + pl.col("tax") + pl.col("borrow_fee")
    flow = pl.when(is_buy).then(-gross).otherwise(gross) - costs + pl.col("dividend")
    # The first fill of a trade enters, by a purchase or a short sale. Columns of their own: inside
    # groups the same would be worked out group by group.
    entry_side = pl.col("side").first().over("trade").alias("entry_side")
    fills = fills.with_columns(entry_side, (pl.col("side") == entry_side).alias("enters"))
    enters = pl.col("enters")
    entered, left = pl.col("quantity").filter(enters), pl.col("quantity").filter(~enters)
    trades = (
        fills.group_by("trade", maintain_order=True)
        .agg(
            pl.col("instrument", "name").first(),
            pl.col("entry_side").first().alias("side"),
            pl.col("time").first().alias("entered_at"),
            pl.col("session").first().alias("entry_session"),
            pl.col("time").filter(~enters).last().alias("left_at"),
            pl.col("session").filter(~enters).last().alias("exit_session"),
            entered.sum().alias("quantity"),
            left.sum().alias("sold"),
            pl.col("price").filter(enters).first().alias("entry_price"),
            (gross.filter(~enters).sum() / left.sum()).alias("exit_price"),
            (gross.filter(enters).sum()).alias("invested"),
            pl.col("commission").sum(),
            pl.col("tax").sum(),
            pl.col("dividend").sum().alias("dividends"),
            pl.col("borrow_fee").sum(),
            flow.sum().alias("flow"),
            pl.col("reason").filter(~enters).last().alias("exit_reason"),
        )
        .sort("trade")
        .with_columns(pl.col("side").replace_strict({"buy": "long", "sell": "short"}))
    )
    kind = fills.schema["gross"]
    mark = pl.col("instrument").replace_strict(marks, default=0, return_dtype=kind)
    held = pl.col("quantity") - pl.col("sold")
    owned = pl.when(pl.col("side") == "long").then(held).otherwise(-held)
    return (
        trades.with_columns(
            pl.when(held == 0).then(pl.lit("closed")).otherwise(pl.lit("open")).alias("status"),
            (pl.col("flow") + owned * mark).alias("profit"),
            (pl.col("exit_session") - pl.col("entry_session")).dt.total_days().alias("days_held"),
        )
        .with_columns((pl.col("profit") / pl.col("invested")).alias("return"))
        .drop("flow")
    )


def equity_table(desk: Desk, days: Ints, start_cash: int) -> pl.DataFrame:
    """Return cash, positions, equity and drawdown at the last bar of each session."""
    cash = start_cash + desk.sessions[:, places.SESSION_CASH]
    value = desk.sessions[:, places.SESSION_VALUE]
    equity = cash + value
    return pl.DataFrame(
        {
            "session": day_series(days),
            "cash": cash,
            "positions": value,
            "equity": equity,
            "drawdown": drawdowns(equity, start_cash),
        }
    )


def price_path(fills: pl.DataFrame, bars: BarTable, instruments: Instruments) -> pl.DataFrame:
    """Return the closes by session of the instrument with the most fills, the first of equals."""
    schema = {"instrument": pl.String, "name": pl.String, "session": pl.Date, "close": pl.Int64}
    if fills.height == 0:
        return pl.DataFrame(schema=schema)
    counts = fills.group_by("instrument", "name").len()
    instrument, name, _ = counts.sort("len", "instrument", descending=[True, False]).row(0)
    at = list(map(instruments.id_of, bars.symbols)).index(instrument)
    rows = np.arange(bars.offsets[at], bars.offsets[at + 1])
    sessions = day_series(bars.days[bars.moment_of(rows, np.full(len(rows), at))])
    close = in_steps(bars.close[rows].astype(np.int64), bars.units[at].price_step)
    closes = pl.DataFrame({"session": sessions, "close": close})
    return (
        closes.group_by("session", maintain_order=True)
        .agg(pl.last("close"))
        .select(pl.lit(instrument).alias("instrument"), pl.lit(name).alias("name"), pl.all())
    )


def stamp_series(stamps: Ints) -> pl.Series:
    """Return instants (UTC ms) as a column."""
    return pl.Series(stamps).cast(pl.Datetime("ms", "UTC"))


def day_series(days: Ints) -> pl.Series:
    """Return days since 1970-01-01 as a column of dates."""
    return pl.Series(days).cast(pl.Int32).cast(pl.Date)
