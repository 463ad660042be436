"""`jts backtest`: one strategy over stored bars."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jts_pipelines.cli.strategy import assigned, show_refusal
from jts_trading.telemetry import console

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType

    from jts_pipelines.backtest.loading import BacktestRequest
    from jts_pipelines.backtest.result import BacktestResult
    from jts_trading.config.settings import Settings
    from jts_trading.indicators.catalog import Catalog

_PHASES = 7
_DAY = click.DateTime(["%Y-%m-%d"])
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--from", "from_day", type=_DAY, help="First session; the first stored one if left out."
)
@click.option("--to", "to_day", type=_DAY, help="Last session, inclusive.")
@click.option("--venue", default="KRX", show_default=True, help="Where it trades.")
@click.option("--symbols", help="Comma-separated; all that have bars if left out.")
@click.option("--interval", default="1d", show_default=True, help="Interval of the stored bars.")
@click.option("--cash", default=100_000_000, show_default=True, help="Starting cash in won.")
@click.option("--set", "assignments", multiple=True, metavar="P=V", help="Value of a parameter.")
@click.option("--broker", help="Take only bars of this source.")
@click.option("--commission", metavar="RATE", help="The account's own rate, such as 0.00015.")
@click.option("--bars", type=_FILE, help="Read a Parquet or CSV file instead of the tiers.")
@click.option(
    "--instruments",
    type=_FILE,
    help="Listing with symbol, market and name; for the tiers, the instance's own if left out.",
)
@click.option("--report", type=_FILE, help="Where the tear sheet goes.")
@click.option("--trades", type=_FILE, help="Where the fills go: .parquet or .csv.")
@console.json_option
def backtest(
    file: Path,
    *,
    from_day: datetime | None,
    to_day: datetime | None,
    venue: str,
    symbols: str | None,
    interval: str,
    cash: int,
    assignments: tuple[str, ...],
    broker: str | None,
    commission: str | None,
    bars: Path | None,
    instruments: Path | None,
    report: Path | None,
    trades: Path | None,
    as_json: bool,
) -> None:
    """Run the strategy in FILE over past bars and write its tear sheet.

    Bars come from all tiers, or from a file with --bars. Orders decided on the close of a bar fill
    at the next open that can trade; docs/assumptions.md says everything that is assumed.
    """
    from jts_pipelines.backtest.loading import BacktestRequest
    from jts_pipelines.backtest.request import document, run_id, write_artifacts
    from jts_pipelines.backtest.settings import BacktestSettings
    from jts_pipelines.reports.tearsheet import write_tearsheet
    from jts_trading.config.settings import load_settings

    request = BacktestRequest(
        text=_text(file),
        file=str(file),
        from_day=from_day.date() if from_day else None,
        to_day=to_day.date() if to_day else None,
        symbols=_symbols(symbols),
        params=assigned(assignments),
        bar_broker=broker,
        settings=BacktestSettings(
            cash=cash, venue=venue.upper(), interval=interval, commission_rate=commission
        ),
    )
    if trades is not None and trades.suffix not in (".parquet", ".csv"):
        raise console.CommandError(
            f"--trades is {trades}; accepted: .parquet and .csv", console.BAD_USAGE
        )
    settings = load_settings()
    result = _run(request, settings, bars, instruments, as_json=as_json)
    directory = settings.instance.root / "reports" / f"backtest-{run_id(result)}"
    artifacts = write_artifacts(result, directory, trades_file=trades)
    sheet = write_tearsheet(result, report or directory / "tearsheet.html")
    answer = document(result, artifacts, sheet)
    console.emit(answer, as_json=as_json, table=lambda: _table(result, sheet))


def _run(
    request: "BacktestRequest",
    settings: "Settings",
    bars: Path | None,
    listing: Path | None,
    *,
    as_json: bool,
) -> "BacktestResult":
    from jts_pipelines.backtest.loading import read_table
    from jts_pipelines.backtest.request import run_from_file
    from jts_pipelines.defs.house import House
    from jts_trading.dsl.compiler import compile_strategy
    from jts_trading.dsl.errors import StrategyError
    from jts_trading.kernels.own_indicators import load_catalog

    # A text that is refused must not start a store first.
    try:
        catalog = load_catalog(settings.indicators.own)
        compile_strategy(request.text, file=request.file, params=request.params, catalog=catalog)
    except StrategyError as error:
        show_refusal(error, as_json=as_json)
        raise
    cache = settings.instance.root / "cache" / "kernels"
    if listing is None and bars is None:
        listing = House(settings).listing
    instruments = None if listing is None else read_table(listing)
    with console.progress() as lines:
        told = _progress(lines)
        if bars is not None:
            return run_from_file(
                bars,
                request,
                cache_dir=cache,
                instruments=instruments,
                catalog=catalog,
                on_phase=told,
            )
        return _run_over_tiers(request, settings, instruments, catalog, told)


def _run_over_tiers(
    request: "BacktestRequest",
    settings: "Settings",
    instruments: "pl.DataFrame | None",
    catalog: "Catalog",
    told: Callable[[str], None],
) -> "BacktestResult":
    from jts_pipelines.backtest.request import run_from_lake
    from jts_pipelines.cli.instance import running_stores
    from storage.hot.store import HotStore
    from storage.lake.lake import Lake
    from storage.manifest.chain import Manifests

    home = settings.instance.root
    with running_stores(settings) as stores:
        hot = HotStore(stores.hot)
        try:
            manifests = Manifests(settings.tiers.path(home, "manifests"))
            return run_from_lake(
                Lake(hot, manifests, settings.tiers, home),
                request,
                cache_dir=home / "cache" / "kernels",
                instruments=instruments,
                catalog=catalog,
                on_phase=told,
            )
        finally:
            hot.close()


def _progress(lines: console.Bars) -> Callable[[str], None]:
    bar = lines.add("backtest", _PHASES)

    def told(phase: str) -> None:
        if phase != "load":
            bar.advance()

    return told


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise console.CommandError(
            f"{file}: not UTF-8 text: {error}", console.BAD_USAGE
        ) from error


def _symbols(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise console.CommandError(
            f"--symbols is {text!r}; accepted: codes with commas, such as 005930,000660",
            console.BAD_USAGE,
        )
    return found


def _table(result: "BacktestResult", sheet: Path) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from jts_pipelines.reports.words import LABELS, show

    facts = result.facts
    table = Table(
        title=f"{result.strategy}: {facts.first_day} to {facts.last_day}", show_header=False
    )
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_row("Final equity", f"{result.final_equity:,} won")
    for name in ("total_return", "cagr", "sharpe", "max_drawdown", "exposure", "trades"):
        table.add_row(LABELS[name], show(name, result.metrics[name]))
    for name in ("win_rate", "profit_factor", "commissions", "taxes"):
        table.add_row(LABELS[name], show(name, result.metrics[name]))
    table.add_row("Bars, instruments", f"{facts.bars:,}, {facts.instruments:,}")
    table.add_row("Seconds", f"{result.seconds['total']:.2f}")
    warnings = [Text(f"! {text}", style="yellow") for text in result.cautions]
    return Group(table, *warnings, Text(f"tear sheet: {sheet}", overflow="fold"))
