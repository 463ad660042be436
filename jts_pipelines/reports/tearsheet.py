"""The tear sheet of a backtest: one HTML file that needs nothing but itself.

Everything that people wrote (strategy, names) is escaped; the page runs no script and its content
policy forbids any. Equal results give equal bytes.
"""

from datetime import date, datetime
from html import escape
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from jts_pipelines.backtest.metrics import DEFINITIONS
from jts_pipelines.backtest.result import BacktestResult, Metric
from jts_pipelines.reports import charts
from jts_pipelines.reports.comparisons import comparison_table
from jts_pipelines.reports.page import (
    Cell,
    card,
    cell,
    figure,
    hinted,
    identity_table,
    page,
    pair,
    section,
    table,
    warned,
    write_page,
)
from jts_pipelines.reports.words import (
    GROUPS,
    LABELS,
    amount,
    counted,
    currency_word,
    show,
)

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FOOTER = (
    "<footer>Red is a gain, blue a loss, as on Korean boards. Prices are raw, "
    "days and times are those of Seoul (KST). "
    "Assumptions: docs/assumptions.md. Past results, simulated ones all the more, say little "
    "about future ones.</footer>"
)
_TOP = 8
_SEOUL = ZoneInfo("Asia/Seoul")
_FULL_COLOUR_AT = 0.08


def write_tearsheet(result: BacktestResult, path: Path, title: str = "") -> Path:
    """Write the tear sheet of a result; the file appears whole or not at all.

    Args:
        result: A finished backtest.
        path: The HTML file; an older one is replaced, its folder is made.
        title: Headline; the name of the strategy when empty.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written.
    """
    return write_page(path, render_tearsheet(result, title))


def render_tearsheet(result: BacktestResult, title: str = "") -> str:
    """Return the page as text."""
    headline = title or result.strategy
    return page(
        headline,
        (
            _header(result, headline),
            _cards(result),
            warned("Read this first", [f"{c.text} ({c.code})" for c in result.cautions]),
            section("Equity", figure(charts.equity_chart(result))),
            section("Rolling", figure(charts.rolling_chart(result))),
            section(
                "Against benchmarks",
                comparison_table(result.comparisons, result.facts.sessions),
            ),
            section("Monthly returns", _months(result)),
            section(
                "Trades",
                pair(figure(charts.trades_chart(result)), figure(charts.profit_chart(result))),
            ),
            _most_traded(result),
            section("Best and worst trades", _top_trades(result)),
            section("Open positions", _open_trades(result)),
            section("All figures", _figures(result)),
            section("Strategy", f"<pre>{escape(result.text)}</pre>"),
            section("Evidence", _evidence(result)),
            section("What went in", _facts(result)),
            _FOOTER,
        ),
    )


def _header(result: BacktestResult, headline: str) -> str:
    facts = result.facts
    sessions = counted(facts.sessions, "session")
    params = ", ".join(f"{name} = {value}" for name, value in result.params.items())
    return (
        f"<header><h1>{escape(headline)}</h1><p class='muted'>"
        f"{facts.first_day} to {facts.last_day} &middot; {sessions} &middot; "
        f"{counted(facts.instruments, 'instrument')} of {escape(str(result.config['venue']))} "
        f"&middot; {escape(facts.interval)} bars &middot; "
        f"{result.start_cash:,} {_money(result)} to begin with</p>"
        + (f"<p class='muted small'>Parameters: {escape(params)}</p>" if params else "")
        + "</header>"
    )


def _cards(result: BacktestResult) -> str:
    metrics = result.metrics
    net = result.final_equity - result.start_cash
    costs = (metrics["commissions"] or 0) + (metrics["taxes"] or 0)
    cards = (
        _card(result, "total_return", is_toned=True),
        card(
            f"Final equity, {_money(result)}",
            amount(result.final_equity, result.currency),
            tone=_tone(net),
        ),
        _card(result, "cagr", is_toned=True),
        _card(result, "max_drawdown"),
        _card(result, "sharpe"),
        _card(result, "trades"),
        _card(result, "win_rate"),
        card(f"Commissions and taxes, {_money(result)}", amount(costs, result.currency)),
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(result: BacktestResult, name: str, *, is_toned: bool = False) -> str:
    value = result.metrics[name]
    tone = _tone(value) if is_toned else ""
    return card(
        LABELS[name], show(name, value, result.currency), tone=tone, hint=DEFINITIONS[name]
    )


def _months(result: BacktestResult) -> str:
    ends = (
        result.equity.group_by(
            pl.col("session").dt.year().alias("year"),
            pl.col("session").dt.month().alias("month"),
            maintain_order=True,
        )
        .agg(pl.last("equity"))
        .with_columns(pl.col("equity").shift(1, fill_value=result.start_cash).alias("before"))
    )
    rows = []
    for (year,), months in ends.group_by("year", maintain_order=True):
        found = {row["month"]: row["equity"] / row["before"] - 1 for row in months.to_dicts()}
        whole = months["equity"][-1] / months["before"][0] - 1
        cells = [_heat(found.get(month)) for month in range(1, 13)]
        rows.append([str(year), *cells, _heat(whole)])
    return table(("", *_MONTHS, "Year"), rows, "heat")


def _heat(value: float | None) -> Cell:
    if value is None:
        return cell("")
    strength = min(abs(value) / _FULL_COLOUR_AT, 1.0) * 0.55
    rgb = "208,52,56" if value >= 0 else "31,102,193"
    return cell(f"{100 * value:+.1f}", colour=f"rgba({rgb},{strength:.2f})")


def _most_traded(result: BacktestResult) -> str:
    svg = charts.price_chart(result)
    if not svg:
        return ""
    _, name, *_ = result.price_path.row(0)
    instrument = result.price_path["instrument"][0]
    return section(f"Most traded: {instrument} {name}".rstrip(), figure(svg))


def _top_trades(result: BacktestResult) -> str:
    closed = result.trades.filter(pl.col("status") == "closed").sort("profit", "trade")
    if closed.height == 0:
        return "<p class='muted'>No trade was closed.</p>"
    best, worst = closed.reverse().head(_TOP), closed.head(_TOP)
    return pair(
        "<h3>Best</h3>" + _trade_rows(best, result),
        "<h3>Worst</h3>" + _trade_rows(worst, result),
    )


def _open_trades(result: BacktestResult) -> str:
    held = result.trades.filter(pl.col("status") == "open").sort("profit", "trade")
    if held.height == 0:
        return ""
    shown = held.reverse().head(_TOP), held.head(max(0, min(_TOP, held.height - _TOP)))
    sum_of = amount(float(held["profit"].sum()), result.currency, is_signed=True)
    worth = f"Valued at their last close: {sum_of} {_money(result)}"
    lead = f"<p class='muted'>{counted(held.height, 'position')}. {worth} in all.</p>"
    best, *worst = (_trade_rows(part, result) for part in shown if part.height)
    if not worst:
        return lead + best
    return lead + pair("<h3>Best</h3>" + best, "<h3>Worst</h3>" + worst[0])


def _trade_rows(trades: pl.DataFrame, result: BacktestResult) -> str:
    is_daily = result.facts.interval == "1d"
    rows = (
        (
            cell(row["name"] or row["instrument"], note=_trade_note(row)),
            _entered(row["entered_at"], row["entry_session"], is_daily=is_daily),
            "–" if row["days_held"] is None else f"{row['days_held']}",
            cell(f"{100 * row['return']:+.1f}", tone=_tone(row["profit"])),
            cell(
                amount(row["profit"], result.currency, is_signed=True), tone=_tone(row["profit"])
            ),
        )
        for row in trades.to_dicts()
    )
    entered = "Entered" if is_daily else "Entered, KST"
    return table(("Instrument", entered, "Days", "%", f"Profit, {_money(result)}"), rows)


def _trade_note(row: dict[str, Any]) -> str:
    """Return what stands below the name of a trade: its instrument, and that it was short."""
    parts = (row["instrument"] if row["name"] else "", "short" if row["side"] == "short" else "")
    return ", ".join(filter(None, parts))


def _entered(at: datetime, session: date, *, is_daily: bool) -> str:
    """Return when a trade began: its session, or the start of its bar in Seoul."""
    return str(session) if is_daily else f"{at.astimezone(_SEOUL):%Y-%m-%d %H:%M}"


def _figures(result: BacktestResult) -> str:
    blocks = [
        f"<h3>{escape(title)}</h3>" + table(("", ""), [_figure(result, n) for n in names])
        for title, names in GROUPS.items()
    ]
    return pair("".join(blocks[:2] + blocks[4:5]), "".join(blocks[2:4] + blocks[5:]))


def _figure(result: BacktestResult, name: str) -> tuple[Cell, str]:
    label = f"<td>{hinted(LABELS[name], DEFINITIONS[name])}</td>"
    return Cell(label), show(name, result.metrics[name], result.currency)


def _facts(result: BacktestResult) -> str:
    facts = result.facts
    warm = "; ".join(f"{w.frame}: {w.needed} of {w.available}" for w in facts.warmup)
    counts = table(
        ("", ""),
        (
            ("Bars", f"{facts.bars:,}"),
            ("of them traded", f"{facts.traded_bars:,}"),
            ("Bars with an entry condition true", f"{facts.entries_fired:,}"),
            ("Bars with an exit condition true", f"{facts.exits_fired:,}"),
            ("Fills", f"{result.fills.height:,}"),
            ("Entries that cash could not pay", f"{facts.dropped:,}"),
            ("Orders made smaller for cash", f"{facts.reduced:,}"),
            ("Warm-up bars, needed of available", warm or "none"),
        ),
    )
    config = table(
        ("", ""),
        [(name.replace("_", " "), _setting(value)) for name, value in result.config.items()],
    )
    return pair(counts, config)


def _evidence(result: BacktestResult) -> str:
    prefix = result.prefix
    checked = counted(prefix.bars, "bar") + f" of {counted(prefix.instruments, 'instrument')}"
    checks = [
        (
            "Decisions with later bars cut off",
            "the same" if prefix.is_invariant else f"NOT the same: {prefix.difference}",
        ),
        ("checked at", f"{counted(len(prefix.cuts), 'cut')}, over {checked}"),
    ]
    if result.trials:
        chance = result.deflated_sharpe
        checks += [
            ("Trials of this strategy on these days", f"{result.trials:,}"),
            ("Deflated Sharpe ratio", "–" if chance is None else f"{chance:.3f}"),
        ]
    return table(("", ""), checks) + identity_table(result.digests, result.digest)


def _setting(value: object) -> str:
    if value is None:
        return "as published"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _money(result: BacktestResult) -> str:
    return currency_word(result.currency)


def _tone(value: Metric) -> str:
    return "" if not value else "gain" if value > 0 else "loss"
