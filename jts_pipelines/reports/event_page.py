"""The page of an event backtest: what live trading would have done, and what it would not."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from jts_pipelines.backtest.event_result import EventResult, first_denials
from jts_pipelines.backtest.metrics import DEFINITIONS
from jts_pipelines.reports import charts
from jts_pipelines.reports.comparisons import comparison_table
from jts_pipelines.reports.page import (
    Cell,
    card,
    cell,
    figure,
    identity_table,
    page,
    pair,
    section,
    table,
    warned,
    write_page,
)
from jts_pipelines.reports.slippage import slippage_part
from jts_pipelines.reports.words import LABELS, amount, counted, currency_word, grouped, show
from jts_trading.dsl.grammar import Measure
from jts_trading.dsl.normal import value_text

# What each check of risk looks at, in a few words; docs/risk.md says it in full.
CHECKS = {
    "KILL": "kill switch, latched at the largest drawdown",
    "R01": "quantity or value of one order",
    "R02": "price too far from the newest trade",
    "R03": "newest trade too old",
    "R04": "share of equity in one instrument, or in all",
    "R05": "cash, or what is held",
    "R06": "loss of the day",
    "R07": "largest drawdown",
    "R08": "the same order again",
    "R09": "orders of a second or minute",
    "R10": "refusals of the venue",
    "R11": "own orders that could meet",
    "R12": "not permitted for the instance",
    "R13": "the venue takes no orders",
    "R14": "tick, lot, limits, smallest value",
    "R15": "an exit that does not reduce",
    "R17": "health of the executor",
    "R18": "value that makes no sense",
}
_SEOUL = ZoneInfo("Asia/Seoul")
_ROWS = 30
_SHOWN = ("total_return", "max_drawdown", "trades", "win_rate", "profit_factor")
_FOOTER = (
    "<footer>Red is a gain, blue a loss, as on Korean boards. Times are those of Seoul (KST). "
    "Orders meet the next trade of their instrument, and take what its order book holds where "
    "that is known; docs/assumptions.md says what else is assumed, docs/risk.md what each check "
    "denies.</footer>"
)


def write_event_page(result: EventResult, path: Path) -> Path:
    """Write the page of an event backtest; the file appears whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    return write_page(path, render_events(result))


def render_events(result: EventResult) -> str:
    """Return the page as text."""
    run = result.run
    title = f"{run.plan.name}: by events"
    return page(
        title,
        (
            _header(result, title),
            _cards(result),
            warned("Read this first", _warnings(result)),
            section("Equity", figure(charts.equity_chart(result))),
            section(
                "Trades",
                pair(figure(charts.trades_chart(result)), figure(charts.profit_chart(result))),
            ),
            section(
                "Against benchmarks",
                comparison_table(result.comparisons, result.equity.height),
            ),
            section("How far from the decision", slippage_part(result.orders, result.currency)),
            section("What became of decisions", _outcomes(result)),
            section("Orders that were not filled", _unfilled(result)),
            section("Strategy", f"<pre>{escape(run.plan.normalised)}</pre>"),
            *_identity(result),
            _FOOTER,
        ),
    )


def _identity(result: EventResult) -> list[str]:
    if result.digests is None:
        return []
    return [section("Identity", identity_table(result.digests, result.digest))]


def _header(result: EventResult, title: str) -> str:
    run, days = result.run, result.equity["session"]
    params = ", ".join(
        f"{p.name} = {value_text(Measure(p.measure), p.value, p.currency)}"
        for p in run.plan.params
    )
    count = len(run.spec.instrument_ids)
    return (
        f"<header><h1>{escape(title)}</h1><p class='muted'>{days[0]} to {days[-1]} &middot; "
        f"{counted(count, 'instrument')} of {escape(run.spec.venue)} &middot; "
        f"{run.trades:,} trades of the market, {run.bars:,} {escape(run.spec.interval)} bars "
        f"&middot; {result.start_cash:,} {currency_word(result.currency)} to begin with</p>"
        + (f"<p class='muted small'>Parameters: {escape(params)}</p>" if params else "")
        + "</header>"
    )


def _cards(result: EventResult) -> str:
    metrics, currency = result.metrics, result.currency
    word, net = currency_word(currency), result.final_equity - result.start_cash
    costs = (metrics["commissions"] or 0) + (metrics["taxes"] or 0)
    found = [
        card(
            f"Final equity, {word}",
            amount(result.final_equity, currency),
            tone="gain" if net > 0 else "loss" if net < 0 else "",
        ),
        *(
            card(LABELS[name], show(name, metrics[name], currency), hint=DEFINITIONS[name])
            for name in _SHOWN
        ),
        card("Orders filled, of all", f"{_filled(result):,} of {result.orders.height:,}"),
        card(f"Commissions and taxes, {word}", amount(costs, currency)),
    ]
    return f'<div class="cards">{"".join(found)}</div>'


def _filled(result: EventResult) -> int:
    return int((result.orders["status"] == "filled").sum())


def _warnings(result: EventResult) -> list[str]:
    found = [
        f"{counted(count, 'order')} denied by {check}: {CHECKS.get(check, 'see docs/risk.md')}; "
        f"the first one: {grouped(why)}"
        for check, count, why in first_denials(result)
    ]
    if result.run.is_latched:
        found.append("the largest drawdown was reached: from then on no entry was allowed")
    return found + [str(caution) for caution in result.cautions]


def _outcomes(result: EventResult) -> str:
    run = result.run
    rows = [(outcome, f"{count:,}") for outcome, count in run.outcomes.most_common()]
    return table(("Decision", "times"), rows) if rows else "<p class='muted'>No rule fired.</p>"


def _unfilled(result: EventResult) -> str:
    left = result.orders.filter(pl.col("status") != "filled")
    if left.height == 0:
        return "<p class='muted'>Every order was filled.</p>"
    more = left.height - _ROWS
    note = f"<p class='muted small'>and {more:,} more, see orders.parquet</p>" if more > 0 else ""
    head = ("Instrument", "Given, KST", "Side", "Type", "Quantity", "Status", "Why")
    return table(head, _order_rows(left.head(_ROWS))) + note


def _order_rows(orders: pl.DataFrame) -> Iterable[tuple[str | Cell, ...]]:
    for row in orders.to_dicts():
        named = row["name"] or row["instrument"]
        why = grouped(f"{row['check']}: {row['why']}" if row["check"] else row["why"])
        yield (
            cell(named, note=row["instrument"] if row["name"] else ""),
            f"{row['given_at'].astimezone(_SEOUL):%Y-%m-%d %H:%M:%S}",
            row["side"],
            cell(f"{row['type']} {row['time_in_force']}", note=_prices(row)),
            f"{row['quantity']:,}",
            row["status"],
            Cell(f'<td class="left">{escape(why or "–")}</td>'),
        )


def _prices(row: dict[str, object]) -> str:
    """Return the prices of an order: its stop, then its limit."""
    found = (("stop", row["stop"]), ("at", row["limit"]))
    return ", ".join(f"{name} {price:,}" for name, price in found if price is not None)
