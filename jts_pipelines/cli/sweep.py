"""`jts sweep` and `jts walk-forward`: many parameter sets, and what the best one is worth."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jts_pipelines.cli.studying import (
    FILE,
    Given,
    keep_document,
    open_study,
    ranges_of,
    shown_trials,
    study_options,
    sweep_option,
)
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jts_pipelines.research.findings import Finding
    from jts_pipelines.research.sweep import SweepResult
    from jts_pipelines.research.walk_forward import WalkResult

_trials_option = click.option(
    "--trials", type=int, help="Parameter sets at most; the whole grid, else 100 drawn ones."
)
_objective_option = click.option(
    "--objective", default="sharpe", show_default=True, help="Figure that chooses the best."
)
_seed_option = click.option("--seed", default=1, show_default=True, help="Of what is drawn.")
_report_option = click.option("--report", type=FILE, help="Where the page goes.")


@dataclass(frozen=True, slots=True)
class Drawn:
    """How many parameter sets are drawn, and by what the best is chosen."""

    trials: int | None = None
    objective: str = "sharpe"
    seed: int = 1


@click.command()
@study_options
@sweep_option
@click.option(
    "--method",
    type=click.Choice(["grid", "random", "tpe"]),
    default="grid",
    show_default=True,
    help="Every point, drawn ones, or where it was good before.",
)
@_trials_option
@_objective_option
@_seed_option
@_report_option
@console.json_option
def sweep(
    given: Given,
    *,
    ranges: tuple[str, ...],
    method: str,
    trials: int | None,
    objective: str,
    seed: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """Run the strategy in FILE with many parameter sets and judge the best one by all of them.

    Ranges come from the text (fast = 20 in 5..50 step 5) or from --sweep fast=5..50..5. Every
    trial is written into the ledger; docs/research.md says what the verdict means.
    """
    drawn = Drawn(trials, objective, seed)
    sweep_and_show(given, ranges, method, drawn, report, as_json=as_json)


@click.command("walk-forward")
@study_options
@sweep_option
@click.option("--train", default=250, show_default=True, help="Sessions to choose parameters on.")
@click.option("--test", default=60, show_default=True, help="Sessions to use them for.")
@click.option("--anchored", is_flag=True, help="Choose on all sessions before, not the last ones.")
@_trials_option
@_objective_option
@_seed_option
@_report_option
@console.json_option
def walk_forward(
    given: Given,
    *,
    ranges: tuple[str, ...],
    train: int,
    test: int,
    anchored: bool,
    trials: int | None,
    objective: str,
    seed: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """Choose parameters of the strategy in FILE on past sessions, and test them on the next ones.

    The money made on test sessions is what counts; docs/research.md says how windows follow each
    other.
    """
    drawn = Drawn(trials, objective, seed)
    walk_and_show(
        given, ranges, (train, test), drawn, report, is_anchored=anchored, as_json=as_json
    )


def sweep_and_show(
    given: Given,
    ranges: tuple[str, ...],
    method: str,
    drawn: Drawn,
    report: Path | None,
    *,
    as_json: bool,
) -> None:
    """Run a sweep, write its files, and print its document or table."""
    from jts_pipelines.reports.sweep_page import write_sweep_page
    from jts_pipelines.research.choosing import Method
    from jts_pipelines.research.files import sweep_document, write_sweep
    from jts_trading.config.settings import load_settings

    settings, wanted = load_settings(), ranges_of(ranges)
    with open_study(given, settings, as_json=as_json) as study, shown_trials("trials") as told:
        result = study.sweep(
            method=Method(method),
            trials=drawn.trials,
            objective=drawn.objective,
            seed=drawn.seed,
            ranges=wanted,
            on_trial=told,
        )
    directory = settings.instance.root / "reports" / f"sweep-{result.name}"
    files = write_sweep(result, directory)
    page = write_sweep_page(result, report or directory / "sweep.html")
    answer = sweep_document(result, files, page)
    keep_document(answer, directory / "sweep.json")
    console.emit(answer, as_json=as_json, table=lambda: _sweep_table(result, page))


def walk_and_show(
    given: Given,
    ranges: tuple[str, ...],
    lengths: tuple[int, int],
    drawn: Drawn,
    report: Path | None,
    *,
    is_anchored: bool,
    as_json: bool,
) -> None:
    """Run a walk-forward, write its files, and print its document or table."""
    from jts_pipelines.reports.sweep_page import write_walk_page
    from jts_pipelines.research.files import walk_document, write_walk
    from jts_trading.config.settings import load_settings

    settings, wanted = load_settings(), ranges_of(ranges)
    with open_study(given, settings, as_json=as_json) as study, shown_trials("runs") as told:
        result = study.walk_forward(
            train=lengths[0],
            test=lengths[1],
            is_anchored=is_anchored,
            objective=drawn.objective,
            trials=drawn.trials,
            seed=drawn.seed,
            ranges=wanted,
            on_trial=told,
        )
    directory = settings.instance.root / "reports" / f"walk-forward-{result.name}"
    files = write_walk(result, directory)
    page = write_walk_page(result, report or directory / "walk_forward.html")
    answer = walk_document(result, files, page)
    keep_document(answer, directory / "walk_forward.json")
    console.emit(answer, as_json=as_json, table=lambda: _walk_table(result, page))


def _sweep_table(result: "SweepResult", page: Path) -> "RenderableType":
    from rich.table import Table

    from jts_pipelines.reports.words import LABELS, show

    best, deflated = result.best_outcome, result.significance.deflated
    table = Table(title=f"{result.plan.about.family}: {result.verdict}", show_header=False)
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_row("Trials, of points", f"{len(result.outcomes):,}, {result.plan.space.size:,}")
    for name, value in best.params.items():
        table.add_row(f"Best {name}", value)
    names = (result.plan.objective, "total_return", "sharpe", "max_drawdown", "trades")
    for name in dict.fromkeys(names):
        table.add_row(LABELS[name], show(name, best.metrics[name]))
    table.add_row("Trials counted on these days", f"{result.significance.trials:,}")
    if deflated is not None:
        table.add_row("Deflated Sharpe ratio", f"{deflated.probability:.3f}")
    if result.overfitting is not None:
        table.add_row("Probability of overfitting", f"{result.overfitting.probability:.0%}")
    return _with_findings(table, result.findings, page)


def _walk_table(result: "WalkResult", page: Path) -> "RenderableType":
    from rich.table import Table

    from jts_pipelines.reports.words import LABELS, show

    table = Table(title=f"{result.plan.about.family}: {result.verdict}", show_header=False)
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_row("Windows, parameter sets", f"{len(result.steps)}, {len(result.outcomes):,}")
    for name in ("total_return", "cagr", "sharpe", "probabilistic_sharpe", "max_drawdown"):
        table.add_row(f"{LABELS[name]}, outside", show(name, result.metrics[name]))
    if result.efficiency is not None:
        table.add_row("Efficiency", f"{result.efficiency:.0%}")
    return _with_findings(table, result.findings, page)


def _with_findings(
    table: "RenderableType", findings: "tuple[Finding, ...]", page: Path
) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    warnings = [Text(f"! {finding}", style="yellow") for finding in findings]
    return Group(table, *warnings, Text(f"page: {page}", overflow="fold"))
