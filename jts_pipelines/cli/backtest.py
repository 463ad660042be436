"""`jts backtest`: one strategy over stored bars."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jts_pipelines.cli.studying import (
    FILE,
    Given,
    not_compared,
    open_study,
    study_options,
    sweep_option,
)
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jts_pipelines.backtest.result import BacktestResult

_PHASES = 6
_TABLED = ("total_return", "cagr", "sharpe", "max_drawdown")
_COUNTED = ("trades", "win_rate", "profit_factor", "commissions", "taxes")
_INTRADAY_SHARE = 0.5


@click.command()
@study_options
@click.option(
    "--benchmark",
    "benchmarks",
    multiple=True,
    metavar="NAME",
    default=("hold", "KOSPI", "KOSDAQ", "BTC"),
    help="hold (buying and holding the same instruments), KOSPI, KOSDAQ, BTC, VENUE:SYMBOL or "
    "NAME=FILE; repeat for several.",
)
@sweep_option
@click.option(
    "--walk-forward",
    metavar="TRAIN:TEST",
    help="Choose parameters on past sessions, test on the next: see jts walk-forward.",
)
@click.option(
    "--events",
    "by_events",
    is_flag=True,
    help="Trade by trade through live trading's own engine and all checks of risk.",
)
@click.option("--report", type=FILE, help="Where the tear sheet goes.")
@click.option("--trades", type=FILE, help="Where the fills go: .parquet or .csv.")
@console.json_option
def backtest(
    given: Given,
    *,
    benchmarks: tuple[str, ...],
    ranges: tuple[str, ...],
    walk_forward: str | None,
    by_events: bool,
    report: Path | None,
    trades: Path | None,
    as_json: bool,
) -> None:
    """Run the strategy in FILE over past bars and write its tear sheet.

    Bars come from all tiers, or from a file with --bars. Orders decided on the close of a bar fill
    at the next open that can trade; docs/assumptions.md says everything that is assumed. With
    --sweep or --walk-forward many parameter sets run, as by those commands. With --events trades
    (or bars of an hour at most) run through the engine, the checks of risk and the limits of live
    trading.
    """
    from jts_pipelines.backtest.request import document, run_id, write_artifacts
    from jts_pipelines.reports.tearsheet import write_tearsheet
    from jts_trading.config.settings import load_settings

    if trades is not None and trades.suffix not in (".parquet", ".csv"):
        raise console.CommandError(
            f"--trades is {trades}; accepted: .parquet and .csv", console.BAD_USAGE
        )
    if by_events:
        from jts_pipelines.cli.event_backtest import run_and_show

        if ranges or walk_forward is not None:
            raise console.CommandError(
                "--events runs one parameter set; accepted: without --sweep and --walk-forward",
                console.BAD_USAGE,
            )
        run_and_show(given, benchmarks, report, trades, as_json=as_json)
        return
    if walk_forward is not None or ranges:
        _run_many(given, ranges, walk_forward, report, as_json=as_json)
        return
    settings = load_settings()
    with (
        console.progress() as lines,
        open_study(given, settings, benchmarks, as_json=as_json) as study,
    ):
        result = study.backtest(_progress(lines))
    directory = settings.instance.root / "reports" / f"backtest-{run_id(result)}"
    artifacts = write_artifacts(result, directory, trades_file=trades)
    sheet = write_tearsheet(result, report or directory / "tearsheet.html")
    answer = document(result, artifacts, sheet)
    console.emit(answer, as_json=as_json, table=lambda: _table(result, sheet))
    if not result.prefix.is_invariant:
        raise console.CommandError(f"the result means nothing: {result.prefix.difference}")


def _run_many(
    given: Given,
    ranges: tuple[str, ...],
    walk_forward: str | None,
    report: Path | None,
    *,
    as_json: bool,
) -> None:
    from jts_pipelines.cli.sweep import Drawn, sweep_and_show, walk_and_show

    if walk_forward is None:
        sweep_and_show(given, ranges, "grid", Drawn(), report, as_json=as_json)
        return
    train, colon, test = walk_forward.partition(":")
    if not (colon and train.isdecimal() and test.isdecimal()):
        raise console.CommandError(
            f"--walk-forward is {walk_forward!r}; accepted: TRAIN:TEST in sessions, as 250:60",
            console.BAD_USAGE,
        )
    lengths = int(train), int(test)
    walk_and_show(given, ranges, lengths, Drawn(), report, is_anchored=False, as_json=as_json)


def _progress(lines: console.Bars) -> Callable[[str], None]:
    bar = lines.add("backtest", _PHASES)

    def told(phase: str) -> None:
        if phase != "prepare":
            bar.advance()

    return told


def _table(result: "BacktestResult", sheet: Path) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from jts_pipelines.reports.words import LABELS, amount, currency_word, show

    facts = result.facts
    table = Table(
        title=f"{result.strategy}: {facts.first_day} to {facts.last_day}", show_header=False
    )
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_row(
        "Final equity",
        f"{amount(result.final_equity, result.currency)} {currency_word(result.currency)}",
    )
    # Of a day trader nothing is held when a session ends.
    is_intraday = (result.metrics["day_trades"] or 0) > _INTRADAY_SHARE
    used = "average_hours_held" if is_intraday else "exposure"
    for name in (*_TABLED, used, *_COUNTED):
        table.add_row(LABELS[name], show(name, result.metrics[name], result.currency))
    for comparison in result.comparisons:
        found = comparison.figures.get("excess_return")
        if found is not None:
            name = f"Return above {comparison.name}, {comparison.sessions:,} sessions"
            table.add_row(name, show("excess_return", found))
    chance = result.deflated_sharpe
    luck = "" if chance is None else f", deflated Sharpe ratio {chance:.2f}"
    table.add_row("Trials on these days", f"{result.trials:,}{luck}")
    table.add_row("Bars, instruments", f"{facts.bars:,}, {facts.instruments:,}")
    most = max(result.peak_mb.values())
    table.add_row("Seconds, memory", f"{result.seconds['total']:.2f}, {most:,.0f} MiB")
    warnings = [Text(f"! {caution}", style="yellow") for caution in result.cautions]
    warnings += not_compared(result.comparisons)
    return Group(table, *warnings, Text(f"tear sheet: {sheet}", overflow="fold"))
