"""The engine of live trading with a market around it, for the benchmarks of single steps."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
from texts import TEXTS

from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.sessions import calendar_for
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.dsl.compiler import compile_strategy, compile_ticks, trace_strategy
from jts_trading.engine.program import kernel_source, make_program, make_ticks, tick_source
from jts_trading.engine.setup import Prepared, new_state
from jts_trading.engine.state import EngineSettings, EngineState
from jts_trading.execution.fill_costs import Listed
from jts_trading.kernels.loader import load
from jts_trading.strategy.releases import release_name, strategy_id
from jts_trading.strategy.rules import read_rules

DAY = date(2024, 6, 3)
MINUTE_NS = 60_000_000_000
BATCH = 64


def names_of(count: int) -> tuple[str, ...]:
    """Return instrument ids."""
    return tuple(f"KRX:{number:06d}" for number in range(count))


def engine_of(case: str, names: tuple[str, ...], cache: Path) -> EngineState:
    """Return an engine that runs a strategy over instruments and has seen nothing."""
    text, settings = TEXTS[case], EngineSettings()
    plan = compile_strategy(text)
    release = release_name(plan, "")
    spec = StrategyInput(
        instance="bench",
        strategy_id=strategy_id(release),
        release=release,
        dsl_code=text,
        broker="kis",
        account="a1",
        venue="KRX",
        interval="1m",
        instrument_ids=names,
        allocation=Decimal(1_000_000_000_000),
        currency="KRW",
    )
    rules, trace = read_rules(plan, settings.sizes, spec.currency), trace_strategy(text)
    kernel, traced = load(kernel_source(plan), cache), load(trace.source, cache)
    judged, ticks = compile_ticks(text), None
    if judged is not None:
        ticks = make_ticks(judged, load(tick_source(judged), cache))
    program = make_program(plan, rules, kernel, trace, traced, ticks=ticks)
    listed = Listed("KOSPI", "COMMON")
    return new_state(settings, [Prepared(spec, program)], lambda _: listed, DAY)


def open_ns(day: date = DAY) -> int:
    """Return when the session of a day opens."""
    return calendar_for("KRX").open_close_ns(day)[0]


def ticks_of(
    names: tuple[str, ...],
    stamps_ns: np.ndarray,
    prices: np.ndarray,
    which: np.ndarray,
    sizes: np.ndarray | None = None,
) -> list[TradeTick]:
    """Return trades of one share, or of sizes: instant, price and instrument of each."""
    shares = np.ones(len(which), np.int64) if sizes is None else sizes
    return [
        TradeTick(
            instrument_id=names[at],
            venue="KRX",
            broker="kis",
            ts_event_ns=stamp,
            ts_recv_ns=stamp,
            price=Decimal(price),
            quantity=Decimal(size),
            aggressor=Aggressor.BUY,
            cumulative_quantity=Decimal(0),
        )
        for stamp, price, at, size in zip(
            stamps_ns.tolist(), prices.tolist(), which.tolist(), shares.tolist(), strict=True
        )
    ]


def entries_of(ticks: list[TradeTick], first: int, size: int = BATCH) -> list[TicksCollected]:
    """Return ticks as entries of one feed."""
    return [
        TicksCollected(
            feed="kis-1",
            session=1,
            first_frame=first + at,
            first_tick=first + at,
            ticks=tuple(ticks[at : at + size]),
            frames=tuple(range(len(ticks[at : at + size]))),
        )
        for at in range(0, len(ticks), size)
    ]
