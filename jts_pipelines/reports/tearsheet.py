"""The tear sheet of a backtest: one HTML file that needs nothing but itself.

Everything that people wrote (strategy, names) is escaped; the page runs no script and its content
policy forbids any. Equal results give equal bytes.
"""

import os
import tempfile
from html import escape
from pathlib import Path

import polars as pl

from jts_pipelines.backtest.metrics import DEFINITIONS
from jts_pipelines.backtest.result import BacktestResult, Metric
from jts_pipelines.reports import charts
from jts_pipelines.reports.page import Cell, card, cell, figure, page, pair, section, table

_PERCENT = frozenset(
    {
        "total_return",
        "cagr",
        "volatility",
        "max_drawdown",
        "ulcer_index",
        "exposure",
        "time_in_market",
        "best_session",
        "worst_session",
        "positive_sessions",
        "value_at_risk_95",
        "expected_shortfall_95",
        "win_rate",
        "average_return",
        "cost_share",
    }
)
_WON = frozenset(
    {
        "expectancy",
        "average_win",
        "average_loss",
        "largest_win",
        "largest_loss",
        "commissions",
        "taxes",
    }
)
_GROUPS = {
    "Return and risk": (
        "total_return",
        "cagr",
        "volatility",
        "sharpe",
        "sortino",
        "calmar",
        "omega",
        "max_drawdown",
        "max_drawdown_sessions",
        "ulcer_index",
        "recovery_factor",
    ),
    "Sessions": (
        "best_session",
        "worst_session",
        "positive_sessions",
        "skew",
        "kurtosis",
        "value_at_risk_95",
        "expected_shortfall_95",
        "exposure",
        "time_in_market",
        "turnover",
    ),
    "Closed trades": (
        "trades",
        "open_trades",
        "win_rate",
        "profit_factor",
        "expectancy",
        "payoff_ratio",
        "average_return",
        "average_days_held",
    ),
    "Wins, losses, costs": (
        "average_win",
        "average_loss",
        "largest_win",
        "largest_loss",
        "longest_winning_run",
        "longest_losing_run",
        "commissions",
        "taxes",
        "cost_share",
    ),
}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FOOTER = (
    "<footer>Prices are raw, money is whole won. Assumptions: docs/assumptions.md. Past results, "
    "simulated ones all the more, say little about future ones.</footer>"
)
_TOP = 8
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
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".tearsheet-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(render_tearsheet(result, title))
        Path(unfinished).chmod(0o644)
        Path(unfinished).replace(path)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return path


def render_tearsheet(result: BacktestResult, title: str = "") -> str:
    """Return the page as text."""
    headline = title or result.strategy
    return page(
        headline,
        (
            _header(result, headline),
            _cards(result),
            _warnings(result),
            section("Equity", figure(charts.equity_chart(result))),
            section("Monthly returns", _months(result)),
            section(
                "Trades",
                pair(figure(charts.trades_chart(result)), figure(charts.profit_chart(result))),
            ),
            _most_traded(result),
            section("Best and worst trades", _top_trades(result)),
            section("All figures", _figures(result)),
            section("Strategy", f"<pre>{escape(result.text)}</pre>"),
            section("What went in", _facts(result)),
            _FOOTER,
        ),
    )


def _header(result: BacktestResult, headline: str) -> str:
    facts = result.facts
    sessions = _count(facts.sessions, "session")
    params = ", ".join(f"{name} = {value}" for name, value in result.params.items())
    return (
        f"<header><h1>{escape(headline)}</h1><p class='muted'>"
        f"{facts.first_day} to {facts.last_day} &middot; {sessions} &middot; "
        f"{_count(facts.instruments, 'instrument')} of {escape(str(result.config['venue']))} "
        f"&middot; {escape(facts.interval)} bars &middot; "
        f"{result.start_cash:,} won to begin with</p>"
        + (f"<p class='muted small'>Parameters: {escape(params)}</p>" if params else "")
        + "</header>"
    )


def _cards(result: BacktestResult) -> str:
    metrics = result.metrics
    net = result.final_equity - result.start_cash
    costs = int(metrics["commissions"] or 0) + int(metrics["taxes"] or 0)
    cards = (
        card("Total return", show("total_return", metrics["total_return"]), _tone(net)),
        card("Final equity, won", f"{result.final_equity:,}", _tone(net)),
        card("Return a year (CAGR)", show("cagr", metrics["cagr"]), _tone(metrics["cagr"])),
        card("Largest drawdown", show("max_drawdown", metrics["max_drawdown"])),
        card("Sharpe ratio", show("sharpe", metrics["sharpe"])),
        card("Closed trades", f"{metrics['trades']:,}"),
        card("Winning trades", show("win_rate", metrics["win_rate"])),
        card("Commission and tax, won", f"{costs:,}"),
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _warnings(result: BacktestResult) -> str:
    if not result.warnings:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in result.warnings)
    return f'<div class="warnings"><b>Read this first</b><ul>{items}</ul></div>'


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
    rgb = "29,138,107" if value >= 0 else "194,80,60"
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
    return pair("<h3>Best</h3>" + _trade_rows(best), "<h3>Worst</h3>" + _trade_rows(worst))


def _trade_rows(trades: pl.DataFrame) -> str:
    rows = (
        (
            cell(row["name"] or row["instrument"], note=row["instrument"] if row["name"] else ""),
            str(row["entry_session"]),
            f"{row['days_held']}",
            cell(f"{100 * row['return']:+.1f}", tone=_tone(row["profit"])),
            cell(f"{row['profit']:+,}", tone=_tone(row["profit"])),
        )
        for row in trades.to_dicts()
    )
    return table(("Instrument", "Entered", "Days", "%", "Profit, won"), rows)


def _figures(result: BacktestResult) -> str:
    blocks = [
        f"<h3>{escape(title)}</h3>" + table(("", ""), [_figure(result, n) for n in names])
        for title, names in _GROUPS.items()
    ]
    return pair(blocks[0] + blocks[2], blocks[1] + blocks[3])


def _figure(result: BacktestResult, name: str) -> tuple[Cell, str]:
    label = f'<td title="{escape(DEFINITIONS[name])}">{escape(name.replace("_", " "))}</td>'
    return Cell(label), show(name, result.metrics[name])


def _facts(result: BacktestResult) -> str:
    facts, digests = result.facts, result.digests
    warm = "; ".join(f"{w.frame}: {w.needed} of {w.available}" for w in facts.warmup)
    counted = table(
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
    identity = table(
        ("", ""),
        [
            (name, Cell(f'<td class="left"><code>{value}</code></td>'))
            for name, value in (
                ("data", digests.data),
                ("code", digests.code),
                ("parameters", digests.params),
                ("settings", digests.config),
            )
        ],
    )
    return pair(counted, config) + "<h3>Digests</h3>" + identity


def show(name: str, value: Metric) -> str:
    """Return a figure as people read it: percent, won or a plain number; a dash for None."""
    if value is None:
        return "–"
    if name in _PERCENT:
        return f"{100 * value:.2f} %"
    if name in _WON:
        return f"{value:,.0f} won"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _setting(value: object) -> str:
    if value is None:
        return "as published"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _tone(value: Metric) -> str:
    return "" if not value else "gain" if value > 0 else "loss"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
