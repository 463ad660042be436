"""From trading inputs to programs that run: compile, load, call once. Slow: runs in a thread."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from jts_trading.domain.errors import JtsError, TerminalError
from jts_trading.domain.instruments import parse_instrument_id
from jts_trading.domain.sessions import local_date
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.dsl.compiler import compile_strategy, compile_ticks, trace_strategy
from jts_trading.dsl.facts import FACTS_SIZE
from jts_trading.dsl.grammar import INSTANT_COLUMNS
from jts_trading.dsl.plan import Plan
from jts_trading.engine.columns import Floats, new_books, new_seen
from jts_trading.engine.program import (
    WHEN_SIZE,
    GuardKernel,
    Kernel,
    Program,
    TickKernel,
    TickProgram,
    TraceKernel,
    kernel_source,
    make_program,
    make_ticks,
    tick_source,
)
from jts_trading.engine.setup import Prepared
from jts_trading.engine.terms import units_of
from jts_trading.indicators.catalog import NATIVE, Catalog
from jts_trading.strategy.frames import interval_seconds
from jts_trading.strategy.live import require_live
from jts_trading.strategy.releases import release_name
from jts_trading.strategy.rules import SizeDefaults, read_rules


class LoadKernel(Protocol):
    """Compiles a generated source: `kernels.loader.load`."""

    def __call__(self, source: str, cache_dir: Path, /) -> object:
        """Return the module of the source."""
        ...


@dataclass(slots=True)
class Preparation:
    """What came of preparing inputs.

    Attributes:
        ready: Instances that can be run.
        refused: Instances that cannot, with the reason.
    """

    ready: list[Prepared] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class Compiler:
    """Makes programs and keeps them.

    Args:
        load: Compiles a source.
        cache_dir: Where machine code is kept.
        sizes: What strategy texts leave open.
        catalog: The indicators that texts may call.
    """

    def __init__(
        self,
        load: LoadKernel,
        cache_dir: Path,
        sizes: SizeDefaults,
        catalog: Catalog = NATIVE,
    ) -> None:
        self._load = load
        self._cache_dir = cache_dir
        self._sizes = sizes
        self._catalog = catalog
        self._programs: dict[tuple[str, str], Program] = {}

    def prepare(self, specs: tuple[StrategyInput, ...], now_ns: int) -> Preparation:
        """Compile instances; one that is refused does not keep the others from running.

        Args:
            specs: The instances.
            now_ns: Instance time: the rules of that day count.
        """
        found = Preparation()
        for spec in specs:
            try:
                for symbol in spec.instrument_ids:
                    units_of(parse_instrument_id(symbol), local_date(spec.venue, now_ns))
                found.ready.append(Prepared(spec, self._program(spec)))
            except JtsError as error:
                found.refused[spec.instance] = str(error)
        return found

    def _program(self, spec: StrategyInput) -> Program:
        plan = compile_strategy(
            spec.dsl_code,
            file=f"<{spec.release}>",
            params=spec.params,
            catalog=self._catalog,
        )
        _require_release(plan, spec)
        require_live(plan, broker=spec.broker, currency=spec.currency)
        interval_seconds(plan.base_interval or spec.interval)
        key = (plan.digest, spec.currency)
        if key not in self._programs:
            rules = read_rules(plan, self._sizes, spec.currency)
            kernel = cast("Kernel", self._load(kernel_source(plan), self._cache_dir))
            trace = trace_strategy(spec.dsl_code, params=spec.params, catalog=self._catalog)
            traced = cast("TraceKernel", self._load(trace.source, self._cache_dir))
            guard = None
            if plan.guard:
                guard = cast("GuardKernel", self._load(plan.guard, self._cache_dir))
            ticks = self._ticks(spec)
            program = make_program(plan, rules, kernel, trace, traced, guard=guard, ticks=ticks)
            self._programs[key] = _warmed(program)
        return self._programs[key]

    def _ticks(self, spec: StrategyInput) -> TickProgram | None:
        found = compile_ticks(spec.dsl_code, params=spec.params, catalog=self._catalog)
        if found is None:
            return None
        kernel = cast("TickKernel", self._load(tick_source(found), self._cache_dir))
        traced = cast("TraceKernel", self._load(found.trace.source, self._cache_dir))
        return make_ticks(found, kernel, traced)


def _require_release(plan: Plan, spec: StrategyInput) -> None:
    found = release_name(plan, spec.epoch)
    if found != spec.release:
        raise TerminalError(
            f"instance {spec.instance}: its text compiles to {found}, the inputs say "
            f"{spec.release}: release it again with this version"
        )


def _warmed(program: Program) -> Program:
    """Call everything once: numba compiles now, not on the first tick."""
    row, none = np.zeros(program.plan.state_size), np.zeros(0, np.int64)
    program.init_state(row, 1.0)
    program.advance(row, np.zeros((0, 6)), np.zeros((0, 0), np.int64), none, none)
    states, seen, books = row.reshape(1, -1), new_seen(1), new_books(1)
    no_bars, instant = np.zeros((7, 0)), np.zeros(WHEN_SIZE + len(INSTANT_COLUMNS), np.int64)
    program.close(states, seen, no_bars, none, instant, none, none, states.copy())
    program.follow(books, none, none, none, instant, 0, none)
    spread = (0.0,) if program.reads_quotes else ()
    bar = (1.0, 1.0, 1.0, 1.0, 1.0, 0, *spread, *(0 for _ in program.instant_columns))
    bar += (0.0,) if program.reads_doubt else ()
    program.step(row, *bar)
    if program.trace is not None and program.traced is not None:
        program.traced(row, *bar, np.zeros(program.trace.size))
    if program.account is not None and program.trace is not None:
        values = np.zeros(program.plan.values)
        program.account(np.zeros(program.trace.size), values, np.zeros(FACTS_SIZE))
    if program.ticks is not None:
        _warm_ticks(program, program.ticks, states)
    if program.guard is not None:
        facts = np.zeros(FACTS_SIZE + len(program.plan.guard_constants))
        program.guard(0, np.zeros(program.plan.values), facts)
    return program


def _warm_ticks(program: Program, ticks: TickProgram, states: Floats) -> None:
    numbers, mask = np.zeros((1, 7 + len(ticks.plan.lags_ns))), np.zeros(1, np.int64)
    ticks.judge(
        states,
        states[0].copy(),
        np.zeros((1, 1 + len(ticks.bits)), np.int64),
        np.zeros((1, 1 + len(INSTANT_COLUMNS)), np.int64),
        mask,
        mask,
        numbers,
        ticks.bits,
        np.zeros((1, 2), np.int64),
        np.zeros((1, program.plan.values)),
        program.plan.values_slot,
    )
    if ticks.traced is not None:
        spread = (0.0,) if ticks.reads_quotes else ()
        bar = (1.0, 1.0, 1.0, 1.0, 1.0, 0, *spread, *(0 for _ in ticks.instant_columns))
        bar += (0.0,) if ticks.reads_doubt else ()
        ticks.traced(
            states[0].copy(), *bar, numbers[0, 7:].copy(), np.zeros(ticks.plan.trace.size)
        )
