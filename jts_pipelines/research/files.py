"""What sweeps and walk-forwards leave behind: tables as Parquet, and one document."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jts_pipelines.backtest.returns import plain
from jts_pipelines.research.findings import Finding
from jts_pipelines.research.running import Outcome
from jts_pipelines.research.sweep import SweepResult, returns_of
from jts_pipelines.research.walk_forward import Step, WalkResult
from storage.errors import InputError


@dataclass(frozen=True, slots=True)
class SweepFiles:
    """Tables of a sweep."""

    trials: Path
    returns: Path


@dataclass(frozen=True, slots=True)
class WalkFiles:
    """Tables of a walk-forward."""

    windows: Path
    equity: Path
    trades: Path
    trials: Path


def write_sweep(result: SweepResult, directory: Path) -> SweepFiles:
    """Write the trials, one row each, and their session returns, one column each.

    Raises:
        InputError: A file cannot be written.
    """
    files = SweepFiles(directory / "trials.parquet", directory / "returns.parquet")
    _write(trial_table(result.outcomes).with_columns(score=pl.Series(result.scores)), files.trials)
    kept = [outcome for outcome in result.outcomes if outcome.run]
    returns = returns_of(list(result.outcomes))
    columns = {outcome.run: returns[:, at] for at, outcome in enumerate(kept)}
    _write(pl.DataFrame({"session": kept[0].sessions, **columns}), files.returns)
    return files


def write_walk(result: WalkResult, directory: Path) -> WalkFiles:
    """Write windows, equity and trades of the test sessions, and all parameter sets.

    Raises:
        InputError: A file cannot be written.
    """
    files = WalkFiles(
        *(directory / f"{name}.parquet" for name in ("windows", "equity", "trades", "trials"))
    )
    rows = [_window(result, step) for step in result.steps]
    _write(pl.DataFrame(rows), files.windows)
    _write(result.equity, files.equity)
    _write(result.trades, files.trades)
    _write(trial_table(result.outcomes), files.trials)
    return files


def trial_table(outcomes: tuple[Outcome, ...]) -> pl.DataFrame:
    """Return one row per trial in the order in which they were tried."""
    rows = [
        {
            "trial": number,
            **{f"param_{name}": value for name, value in outcome.params.items()},
            "run": outcome.run,
            "refusal": outcome.refusal,
            **outcome.metrics,
        }
        for number, outcome in enumerate(outcomes, start=1)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def sweep_document(result: SweepResult, files: SweepFiles, page: Path) -> dict[str, object]:
    """Return what `jts sweep --json` prints."""
    plan, best, deflated = result.plan, result.best_outcome, result.significance.deflated
    overfitting, plateau = result.overfitting, result.plateau
    robust = None if plateau is None else dict(result.outcomes[plateau.robust].params)
    return {
        "strategy": plan.about.family,
        "sweep": result.name,
        "method": plan.method,
        "objective": plan.objective,
        "seed": plan.seed,
        "space": {
            axis.name: [axis.text(number) for number in range(len(axis.values))]
            for axis in plan.space.axes
        },
        "points": plan.space.size,
        "trials": len(result.outcomes),
        "period": {"from": best.sessions[0], "to": best.sessions[-1]},
        "best": {
            "params": dict(best.params),
            "run": best.run,
            "score": float(result.scores[result.best]),
            "metrics": dict(best.metrics),
        },
        "ledger_trials": result.significance.trials,
        "earlier_trials": result.significance.earlier,
        "deflated_sharpe": None if deflated is None else deflated.probability,
        "expected_max_sharpe": None if deflated is None else deflated.expected_max,
        "overfitting_probability": None if overfitting is None else overfitting.probability,
        "plateau_ratio": None if plateau is None else plateau.ratio,
        "plateau_params": robust,
        "verdict": result.verdict,
        "findings": _found(result.findings),
        "page": str(page),
        "trials_file": str(files.trials),
        "returns_file": str(files.returns),
    }


def walk_document(result: WalkResult, files: WalkFiles, page: Path) -> dict[str, object]:
    """Return what `jts walk-forward --json` prints."""
    plan = result.plan
    return {
        "strategy": plan.about.family,
        "walk_forward": result.name,
        "objective": plan.objective,
        "train": plan.train,
        "test": plan.test,
        "anchored": plan.is_anchored,
        "parameter_sets": len(result.outcomes),
        "windows": [_window(result, step) for step in result.steps],
        "metrics": dict(result.metrics),
        "final_equity": result.equity["equity"][-1],
        "efficiency": result.efficiency,
        "verdict": result.verdict,
        "findings": _found(result.findings),
        "page": str(page),
        "windows_file": str(files.windows),
        "equity_file": str(files.equity),
        "trades_file": str(files.trades),
        "trials_file": str(files.trials),
    }


def _window(result: WalkResult, step: Step) -> dict[str, object]:
    sessions, window = result.sessions, step.window
    return {
        "train_from": sessions[window.train_first],
        "test_from": sessions[window.test_first],
        "test_to": sessions[window.end - 1],
        **{f"param_{name}": value for name, value in (step.params or {}).items()},
        "train_score": plain(step.train_score),
        "test_score": plain(step.test_score),
        "rank": plain(step.rank),
        "trades": step.trades,
        "final_equity": None if step.result is None else step.result.final_equity,
    }


def _found(findings: tuple[Finding, ...]) -> list[dict[str, str]]:
    return [{"code": finding.code, "text": finding.text} for finding in findings]


def _write(frame: pl.DataFrame, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path, compression="zstd")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error}") from error
