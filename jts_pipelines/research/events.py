"""An event backtest as a study: hold-outs are refused, the trial is counted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from jts_pipelines.backtest.admitting import Admission
from jts_pipelines.backtest.benchmark import Benchmark
from jts_pipelines.backtest.benchmark_loading import compared, load_benchmarks
from jts_pipelines.backtest.cautions import Caution
from jts_pipelines.backtest.event_digests import event_digests, stream_digest
from jts_pipelines.backtest.event_result import EventResult, event_result
from jts_pipelines.backtest.event_run import run_events
from jts_pipelines.backtest.event_trades import TradeStream, stream_of_bars, stream_of_trades
from jts_pipelines.backtest.holding import trades_of_holding
from jts_pipelines.backtest.instruments import Instruments, read_instruments
from jts_pipelines.backtest.loading import (
    BacktestRequest,
    BarLake,
    bars_from_file,
    bars_from_lake,
    trades_of,
)
from jts_pipelines.backtest.request import compiled
from jts_pipelines.research.study import KERNELS, Place
from jts_pipelines.research.trials import Trial
from jts_trading.domain.instruments import parse_instrument_id
from jts_trading.domain.sessions import local_date
from jts_trading.domain.trading_inputs import RiskLimits
from jts_trading.dsl.plan import Plan
from jts_trading.execution.fill_costs import Listed
from jts_trading.strategy.frames import interval_seconds
from storage.errors import InputError

# Of coarser bars nobody knows what could have been traded when a decision was made.
_COARSEST_S = 3_600
_BROKERS = {"BINANCE": "binance"}


def study_events(
    request: BacktestRequest,
    place: Place,
    source: BarLake | Path,
    limits: RiskLimits,
    *,
    benchmarks: Sequence[Benchmark] = (),
    on_trades: Callable[[int, int], None] = lambda _done, _all: None,
) -> EventResult:
    """Run a request event by event, through every check of risk; see `event_run`.

    Args:
        request: What is asked; how orders fill is not a matter of its settings.
        place: Where.
        source: All tiers, or a file of trades or bars.
        limits: Of the account.
        benchmarks: What to compare with.
        on_trades: Told how many trades were taken in, and of how many.

    Raises:
        StrategyError: The text is refused, or asks for what live trading does not do.
        HoldoutLockedError: The trades reach into a locked hold-out.
        InputError: There are no trades, or they cannot be used.
        StorageError: A tier is not there, or a file is damaged.
    """
    settings = request.settings
    plan = compiled(request, place.catalog)
    listed = read_instruments(place.instruments, settings.unknown_market, settings.venue)
    stream, cautions = _load(plan, request, source, listed)
    first, last = (local_date(settings.venue, int(stream.at[at])) for at in (0, -1))
    opened = place.holdouts.require_open(settings.venue, first, last)
    run = run_events(
        request.text,
        stream,
        settings,
        limits,
        listed=lambda name: _listed(listed, name),
        cache_dir=place.home / KERNELS,
        catalog=place.catalog,
        file=request.file,
        params=dict(request.params),
        on_trades=on_trades,
    )
    result = event_result(run, settings, lambda name: listed.name_of(_symbol(name)), cautions)
    place.ledger.add([_trial(result, stream, opened, place)], place.at_ns)
    lake = None if isinstance(source, Path) else source
    comparisons = (
        compared(bars, result.equity, result.start_cash, settings)
        for bars in load_benchmarks(
            benchmarks, lake, first, last, partial(trades_of_holding, stream)
        )
    )
    digests = event_digests(plan, stream, settings, limits, lambda name: _listed(listed, name))
    return replace(result, comparisons=tuple(comparisons), digests=digests)


def _load(
    plan: Plan, request: BacktestRequest, source: BarLake | Path, listed: Instruments
) -> tuple[TradeStream, tuple[Caution, ...]]:
    venue, settings = request.settings.venue, request.settings
    broker = _BROKERS.get(venue, settings.broker)
    trades, admission = trades_of(source, request), Admission(plan.universe, listed)
    if trades is not None:
        kept = admission.kept(trades.rows)
        admission.require_any()
        stream = stream_of_trades(
            kept,
            _ids(kept, listed),
            venue,
            broker,
            # What was recorded comes as the trader saw it; of a file nobody knows.
            by_arrival=not isinstance(source, Path),
            books=trades.books,
        )
        return stream, trades.cautions
    if interval_seconds(settings.interval) > _COARSEST_S:
        raise InputError(
            f"bars of {settings.interval} are too coarse for an event backtest; accepted: trades, "
            "or bars of an hour at most"
        )
    if isinstance(source, Path):
        loaded = bars_from_file(source, request, admission)
    else:
        loaded = bars_from_lake(source, request, admission)
    kept = loaded.bars.rows_of(range(len(loaded.bars.table.symbols)))
    stream = stream_of_bars(kept, _ids(kept, listed), settings.interval, venue, broker)
    return stream, loaded.cautions


def _ids(rows: pl.DataFrame, listed: Instruments) -> dict[str, str]:
    return {symbol: listed.id_of(symbol) for symbol in rows["symbol"].unique()}


def _symbol(instrument_id: str) -> str:
    return parse_instrument_id(instrument_id).symbol


def _listed(instruments: Instruments, instrument_id: str) -> Listed:
    found = instruments.find(_symbol(instrument_id))
    return Listed(found.market, found.asset)


def _trial(
    result: EventResult, stream: TradeStream, opened: tuple[str, ...], place: Place
) -> Trial:
    run, days = result.run, result.equity["session"]
    equity = result.equity["equity"].to_numpy().astype(np.float64)
    returns = equity[1:] / equity[:-1] - 1
    spread = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    return Trial(
        family=run.plan.name,
        text_digest=run.plan.digest,
        params={p.name: str(p.value) for p in run.plan.params},
        venue=run.spec.venue,
        interval=run.spec.interval,
        from_day=days[0],
        to_day=days[-1],
        instruments=len(stream.ids),
        data_digest=stream_digest(stream),
        run=f"events-{result.digest[:12]}",
        source="events",
        sessions=len(days),
        sharpe=float(returns.mean()) / spread if spread > 1e-14 else None,
        trades=int((result.trades["status"] == "closed").sum()),
        holdouts=opened,
        tried_by=place.asked_by,
    )
