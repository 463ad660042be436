"""A backtest as others ask for it: what to run over which stored bars, and what it leaves behind.

`run_from_lake` serves the command line and the Dagster asset alike; `write_artifacts` and
`document` give both the same files and the same answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from jts_pipelines.backtest.admitting import admission_of
from jts_pipelines.backtest.cautions import is_mild
from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.loading import (
    BacktestRequest,
    BarLake,
    Loaded,
    bars_from_file,
    bars_from_lake,
)
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.watch import Spent
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.plan import Plan
from jts_trading.indicators.catalog import NATIVE, Catalog
from storage.errors import InputError

FILL_COLUMNS = ("time", "instrument", "side", "quantity", "price", "commission", "tax", "reason")
"""The first columns of a file of fills, in this order; more follow."""


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Files of a run; `trades_file` has the fills."""

    trades_file: Path
    equity_file: Path
    round_trips_file: Path
    orders_file: Path
    positions_file: Path


def run_from_lake(
    lake: BarLake,
    request: BacktestRequest,
    *,
    cache_dir: Path,
    instruments: pl.DataFrame | None = None,
    catalog: Catalog = NATIVE,
    on_phase: Callable[[str], None] = lambda _: None,
) -> BacktestResult:
    """Run a request over the bars of the lake.

    Args:
        lake: All tiers.
        request: What to run.
        cache_dir: Where compiled code is kept: `$JTS_HOME/cache/kernels`.
        instruments: See `engine.run_backtest`.
        catalog: The indicators that the text may call.
        on_phase: Told the phases load, prepare, compile, signals, portfolio, prefix, report.

    Raises:
        StrategyError: The text is refused.
        InputError: No bars, or bars that cannot be used.
        StorageError: A tier is not there or a file is damaged.
    """
    plan = compiled(request, catalog)
    on_phase("load")
    loaded = bars_from_lake(lake, request, admission_of(plan, request.settings, instruments))
    return run_loaded(
        plan,
        loaded,
        request,
        cache_dir=cache_dir,
        instruments=instruments,
        on_phase=on_phase,
    )


def run_from_file(
    path: Path,
    request: BacktestRequest,
    *,
    cache_dir: Path,
    instruments: pl.DataFrame | None = None,
    catalog: Catalog = NATIVE,
    on_phase: Callable[[str], None] = lambda _: None,
) -> BacktestResult:
    """Run a request over a file of bars, see `bars_from_file`.

    Raises:
        StrategyError: The text is refused.
        InputError: The file cannot be read, or has no bars that can be used.
    """
    plan = compiled(request, catalog)
    on_phase("load")
    loaded = bars_from_file(path, request, admission_of(plan, request.settings, instruments))
    return run_loaded(
        plan,
        loaded,
        request,
        cache_dir=cache_dir,
        instruments=instruments,
        on_phase=on_phase,
    )


def compiled(
    request: BacktestRequest, catalog: Catalog = NATIVE, params: Mapping[str, str] | None = None
) -> Plan:
    """Return the plan of a request, with some values of parameters changed once more.

    Raises:
        StrategyError: The text is refused.
    """
    return compile_strategy(
        request.text,
        file=request.file,
        params={**request.params, **(params or {})},
        catalog=catalog,
    )


def run_loaded(
    plan: Plan,
    loaded: Loaded,
    request: BacktestRequest,
    *,
    cache_dir: Path,
    instruments: pl.DataFrame | None = None,
    decide_from: date | None = None,
    on_phase: Callable[[str], None] = lambda _: None,
) -> BacktestResult:
    """Run a compiled request over bars that were loaded for it; see `engine.run_backtest`.

    Raises:
        InputError: The bars cannot be used.
    """
    result = run_backtest(
        plan,
        loaded.bars,
        request.settings,
        cache_dir=cache_dir,
        instruments=instruments,
        decide_from=decide_from,
        on_phase=on_phase,
    )
    cautions = (*loaded.cautions, *result.cautions)
    spent = loaded.spent.then(Spent(result.seconds, result.peak_mb))
    return replace(
        result,
        cautions=tuple(sorted(cautions, key=is_mild)),
        seconds=spent.seconds,
        peak_mb=spent.peak_mb,
    )


def write_artifacts(
    result: BacktestResult,
    directory: Path,
    *,
    trades_file: Path | None = None,
    equity_file: Path | None = None,
) -> Artifacts:
    """Write every table of a run; a name that ends in .csv gets CSV, any other Parquet.

    Args:
        result: A finished run.
        directory: Where files without a name of their own go; made if it does not exist.
        trades_file: One row per fill, `FILL_COLUMNS` first.
        equity_file: One row per session.

    Raises:
        InputError: A file cannot be written.
    """
    fills = result.fills.select(*FILL_COLUMNS, pl.exclude(*FILL_COLUMNS))
    artifacts = Artifacts(
        trades_file or directory / "fills.parquet",
        equity_file or directory / "equity.parquet",
        directory / "trades.parquet",
        directory / "orders.parquet",
        directory / "positions.parquet",
    )
    _write(fills, artifacts.trades_file)
    _write(result.equity, artifacts.equity_file)
    _write(result.trades, artifacts.round_trips_file)
    _write(result.orders, artifacts.orders_file)
    _write(result.positions, artifacts.positions_file)
    return artifacts


def run_id(result: BacktestResult) -> str:
    """Return a short name of a run: equal inputs and program, equal name."""
    return result.digests.run


def document(
    result: BacktestResult, artifacts: Artifacts, tearsheet: Path | None
) -> dict[str, object]:
    """Return what `jts backtest --json` prints; `trades` counts closed round trips."""
    facts = result.facts
    return {
        "strategy": result.strategy,
        "run": run_id(result),
        "config": dict(result.config) | {"params": dict(result.params)},
        "period": {"from": facts.first_day, "to": facts.last_day, "sessions": facts.sessions},
        "instruments": facts.instruments,
        "rows": facts.rows,
        "bars": facts.bars,
        **result.digests.document(),
        "result_digest": result.digest,
        "trades": result.closed_trades,
        "fills": result.fills.height,
        "final_equity": result.final_equity,
        "metrics": dict(result.metrics),
        "denied": dict(facts.denied),
        "warmup": [asdict(need) for need in facts.warmup],
        "warnings": [caution.text for caution in result.cautions],
        "warning_codes": [caution.code for caution in result.cautions],
        "prefix_check": {
            "is_invariant": result.prefix.is_invariant,
            "cuts": len(result.prefix.cuts),
            "bars": result.prefix.bars,
            "instruments": result.prefix.instruments,
        },
        "ledger": {"trials": result.trials, "deflated_sharpe": result.deflated_sharpe},
        "benchmarks": [comparison.document() for comparison in result.comparisons],
        "seconds": result.seconds["total"],
        "phases": dict(result.seconds),
        "peak_mb": max(result.peak_mb.values()),
        "peak_mb_by_phase": dict(result.peak_mb),
        "tearsheet": None if tearsheet is None else str(tearsheet),
        "trades_file": str(artifacts.trades_file),
        "equity_file": str(artifacts.equity_file),
        "round_trips_file": str(artifacts.round_trips_file),
        "orders_file": str(artifacts.orders_file),
        "positions_file": str(artifacts.positions_file),
    }


def _write(frame: pl.DataFrame, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            frame.write_csv(path)
        else:
            frame.write_parquet(path, compression="zstd")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error}") from error
