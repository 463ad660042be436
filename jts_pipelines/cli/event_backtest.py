"""`jts backtest --events`: one strategy through the engine and the risk checks of live trading."""

from pathlib import Path
from typing import TYPE_CHECKING

from jts_pipelines.cli.studying import Given, asked_of, not_compared, opened_source
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jts_pipelines.backtest.event_result import EventResult

_TABLED = ("total_return", "max_drawdown", "win_rate", "commissions", "taxes")


def run_and_show(
    given: Given,
    benchmarks: tuple[str, ...],
    report: Path | None,
    trades: Path | None,
    *,
    as_json: bool,
) -> None:
    """Run it, write its tables and its page, show what came out.

    Args:
        given: What is asked.
        benchmarks: What to compare with, as it is written.
        report: Where the page goes.
        trades: Where the fills go.
        as_json: One document instead of a table.

    Raises:
        StrategyError: The text is refused, or asks for what live trading does not do.
        InputError, StorageError: See `events.study_events`.
    """
    from jts_pipelines.backtest.benchmark import read_benchmark
    from jts_pipelines.backtest.event_result import event_document, write_tables
    from jts_pipelines.reports.event_page import write_event_page
    from jts_pipelines.research.events import study_events
    from jts_trading.config.settings import load_settings
    from jts_trading.config.source import read
    from jts_trading.domain.trading_inputs import RiskLimits

    wanted = [read_benchmark(text) for text in benchmarks]
    settings, limits = load_settings(), read().load(RiskLimits, "risk")
    request, place = asked_of(given, settings, as_json=as_json)
    with console.progress() as lines, opened_source(given, settings) as source:
        bar = lines.add("events")
        result = study_events(
            request,
            place,
            source,
            limits,
            benchmarks=wanted,
            on_trades=lambda done, most: bar.update(done=done, total=most),
        )
    directory = settings.instance.root / "reports" / f"events-{result.digest[:12]}"
    page = write_event_page(result, report or directory / "events.html")
    answer = event_document(result, request.settings, page)
    answer |= write_tables(result, directory, trades)
    console.emit(answer, as_json=as_json, table=lambda: _table(result, page))


def _table(result: "EventResult", page: Path) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from jts_pipelines.backtest.event_result import first_denials
    from jts_pipelines.backtest.slippage import slippage_of
    from jts_pipelines.reports.words import LABELS, amount, counted, currency_word, grouped, show

    run, currency = result.run, result.run.spec.currency
    days = result.equity["session"]
    table = Table(title=f"{run.plan.name}: {days[0]} to {days[-1]}, by events", show_header=False)
    table.add_column("figure")
    table.add_column("value", justify="right")
    final = f"{amount(result.final_equity, currency)} {currency_word(currency)}"
    table.add_row("Final equity", final)
    for name in _TABLED:
        table.add_row(LABELS[name], show(name, result.metrics[name], currency))
    table.add_row("Trades of the market, bars", f"{run.trades:,}, {run.bars:,}")
    table.add_row(
        "Signals, orders, fills", f"{run.signals:,}, {len(run.orders):,}, {result.fills.height:,}"
    )
    slipped = slippage_of(result.orders).value_bps
    if slipped is not None:
        table.add_row("From decision to fill, by value", f"{slipped:+,.2f} bps")
    table.add_row("Seconds", f"{run.seconds:.2f}")
    lines = [
        Text(
            f"! {counted(count, 'order')} denied by {check}, first: {grouped(why)}", style="yellow"
        )
        for check, count, why in first_denials(result)
    ]
    lines += [Text(f"! {caution}", style="yellow") for caution in result.cautions]
    lines += not_compared(result.comparisons)
    if run.is_latched:
        text = "! the largest drawdown was reached: live trading latches the kill switch there"
        lines.append(Text(text, style="yellow"))
    return Group(table, *lines, Text(f"page: {page}", overflow="fold"))
