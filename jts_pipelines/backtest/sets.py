"""Many parameter sets of one strategy over one table of bars.

Theory of operation. The text is compiled once (`dsl.patterns`), bars are laid out once, indicators
that sets have in common are computed once, and one compiled function serves all sets of a pattern
(`dsl.shapes`). Threads share the sets out; each has its own cash and books. What comes out of each
is, to the bit, what a backtest of its own gives: fills, figures and digests. Tables are made of
none; who wants those of a set runs it with `engine.run_backtest`.

Sets run in groups, so that memory is bounded however many there are.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from jts_pipelines.backtest import places
from jts_pipelines.backtest.columns import Bits, Floats, Rules
from jts_pipelines.backtest.conservation import require_conservation
from jts_pipelines.backtest.digests import code_digest
from jts_pipelines.backtest.engine import (
    decided,
    engine_digest,
    load_portfolio,
    require_exact,
)
from jts_pipelines.backtest.kernel_text import Portfolio
from jts_pipelines.backtest.lanes import run_together
from jts_pipelines.backtest.orders import is_modelled, order_rules
from jts_pipelines.backtest.prefix import Decided, check_prefix
from jts_pipelines.backtest.result import PrefixCheck
from jts_pipelines.backtest.stage import Refusal, Series, Stage, Stages, worth_of
from jts_pipelines.backtest.trial import Trial
from jts_trading.dsl.compiler import StrategyText
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.patterns import Member, Pattern, Patterns
from jts_trading.dsl.plan import Plan
from jts_trading.dsl.shapes import SeriesKey, Shape, series_numbers, series_text, shape_of
from jts_trading.kernels.rows import Rows, rows_of
from storage.errors import InputError

_THREADS_MAX = 8
# Columns of indicators that a group of sets shares: numbers, eight bytes each.
COLUMNS_MAX = 1 << 26
# Sets whose fills are in memory at one time.
GROUP_MAX = 512

Params = Mapping[str, str]
_Map = Callable[[Callable[[SeriesKey], None], Iterable[SeriesKey]], Iterable[None]]


@dataclass(frozen=True, slots=True)
class _Form:
    """A shape that was compiled."""

    shape: Shape
    module: Rows
    portfolio: Portfolio


@dataclass(frozen=True, slots=True)
class _Job:
    """One set that is to be run."""

    member: Member
    rules: Rules
    stage: Stage
    form: _Form

    @property
    def plan(self) -> Plan:
        return self.member.plan

    @property
    def keys(self) -> list[SeriesKey]:
        return self.form.shape.series(self.member)


@dataclass(slots=True)
class _Group:
    """Sets that run at one time, in their order; those that were refused keep their place."""

    entries: "list[_Job | Refusal]" = field(default_factory=list)
    _keys: dict[int, set[SeriesKey]] = field(default_factory=dict)
    _room: int = 0

    @property
    def jobs(self) -> "list[_Job]":
        """Those that are run."""
        return [entry for entry in self.entries if isinstance(entry, _Job)]

    def can_take(self, job: "_Job") -> bool:
        """Return whether memory is enough for another set."""
        room = self._room + job.stage.rows * sum(key[3] for key in self._new(job))
        return len(self.entries) < GROUP_MAX and room <= COLUMNS_MAX

    def add(self, entry: "_Job | Refusal") -> None:
        """Take a set in."""
        if isinstance(entry, _Job):
            new = self._new(entry)
            self._room += entry.stage.rows * sum(key[3] for key in new)
            self._keys.setdefault(id(entry.stage), set()).update(new)
        self.entries.append(entry)

    def _new(self, job: "_Job") -> set[SeriesKey]:
        return set(job.keys) - self._keys.get(id(job.stage), set())


class Sets:
    """Runs parameter sets of one text over the same bars.

    Args:
        text: The strategy.
        stages: The bars.
        cache_dir: Where compiled code is kept.
    """

    def __init__(self, text: StrategyText, stages: Stages, *, cache_dir: Path) -> None:
        self._patterns, self._stages = Patterns(text), stages
        self._settings, self._cache_dir = stages.settings, cache_dir
        self._rules: dict[Pattern, Rules] = {}
        self._forms: dict[tuple[Pattern, bool, bool], _Form] = {}
        self._series_modules: dict[object, Rows] = {}
        self._checks: dict[Pattern, PrefixCheck] = {}

    def run(self, sets: Iterable[Params]) -> Iterator[Trial | Refusal]:
        """Run parameter sets; one that is refused yields why.

        Args:
            sets: Values of parameters, as they would be written.

        Yields:
            What came of each, in their order.

        Raises:
            ConservationError: A result does not add up.
        """
        group = _Group()
        for params in sets:
            job = self._job(params)
            if isinstance(job, _Job):
                if not _Group().can_take(job):
                    job = replace(job, form=self._form(job.member, job.stage, has_columns=False))
                if not group.can_take(job):
                    yield from self._run_group(group)
                    group = _Group()
            group.add(job)
        yield from self._run_group(group)

    def _job(self, params: Params) -> _Job | Refusal:
        try:
            member = self._patterns.member(params)
            rules = self._rules_of(member)
            stage = self._stages.of(member.plan)
        except (StrategyError, InputError) as error:
            return error
        return _Job(member, rules, stage, self._form(member, stage, has_columns=True))

    def _rules_of(self, member: Member) -> Rules:
        """Return the orders of a set: most patterns have the same ones for all."""
        pattern, plan = member.pattern, member.plan
        if pattern.orders_vary:
            return order_rules(plan, self._settings)
        if pattern not in self._rules:
            self._rules[pattern] = order_rules(plan, self._settings)
        return self._rules[pattern]._replace(guard_constants=plan.guard_constants)

    def _form(self, member: Member, stage: Stage, *, has_columns: bool) -> _Form:
        plan = member.plan
        # Sets of one pattern may differ in how many entries a position has, and so in what
        # their portfolio does.
        key = member.pattern, has_columns, is_modelled(plan, self._settings)
        if key not in self._forms:
            shape = shape_of(member.pattern, has_columns=has_columns)
            module = rows_of(shape.text, self._cache_dir)
            portfolio = load_portfolio(plan, self._cache_dir, self._settings)
            # Here and not where it runs: it is compiled in one thread.
            stage.compile_for(module, plan, shape.numbers(member, [0] * len(shape.calls)))
            stage.compile_portfolio(portfolio)
            self._forms[key] = _Form(shape, module, portfolio)
        return self._forms[key]

    def _run_group(self, group: _Group) -> Iterator[Trial | Refusal]:
        jobs = group.jobs
        with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), _THREADS_MAX)) as threads:
            series: dict[int, Series] = {}
            for stage in {id(job.stage): job.stage for job in jobs}.values():
                own = [job for job in jobs if job.stage is stage]
                series[id(stage)] = self._series(own, stage, threads.map)
            found = threads.map(partial(self._run_one, series), jobs)
            for entry in group.entries:
                yield next(found) if isinstance(entry, _Job) else entry

    def _series(self, jobs: Sequence[_Job], stage: Stage, run: _Map) -> Series:
        """Compute the indicators of some sets over a stage."""
        series = Series.of((key for job in jobs for key in job.keys), stage.rows)
        size = max(job.plan.state_size for job in jobs)
        functions = dict.fromkeys(text for job in jobs for text in job.form.shape.functions)
        modules = {key: self._series_module(key, stage, functions) for key in series.first}

        def fill(key: SeriesKey) -> None:
            numbers = series_numbers(key, series.first[key])
            stage.fill_series(modules[key], size, series, numbers)

        for _ in run(fill, modules):
            pass
        return series

    def _series_module(self, key: SeriesKey, stage: Stage, functions: Iterable[str]) -> Rows:
        kind = key[0], tuple(map(type, key[1])), key[2], key[3]
        if kind not in self._series_modules:
            module = rows_of(series_text(key, functions), self._cache_dir)
            stage.compile_series(module, series_numbers(key, 0))
            self._series_modules[kind] = module
        return self._series_modules[kind]

    def _run_one(self, series: Mapping[int, Series], job: _Job) -> Trial | Refusal:
        stage, settings = job.stage, self._settings
        masks, values = self._fired(job, stage, series[id(stage)])
        desk = stage.desk_for(job.rules, masks, values)
        fills = run_together(job.form.portfolio, desk)
        try:
            require_exact(desk, settings.terms)
        except InputError as error:
            return error
        require_conservation(desk, fills, settings.start_money)
        unit, marks = worth_of(desk)
        return Trial(
            plan=job.plan,
            prepared=stage.prepared,
            settings=settings,
            sessions=stage.sessions,
            fills=fills.copy(),
            cash=settings.start_money + desk.sessions[:, places.SESSION_CASH],
            value=desk.sessions[:, places.SESSION_VALUE].copy(),
            unit=unit,
            marks=marks,
            programs=(code_digest(job.plan), engine_digest()),
            check=partial(self._checked, job),
        )

    def _fired(self, job: _Job, stage: Stage, series: Series) -> tuple[Bits, Floats]:
        numbers = job.form.shape.numbers(job.member, [series.first[key] for key in job.keys])
        return stage.fire(job.form.module, job.plan, series, numbers)

    def _checked(self, job: _Job) -> PrefixCheck:
        """Look for look-ahead in the program of a set, once for all sets of its pattern."""
        if job.member.pattern not in self._checks:
            self._checks[job.member.pattern] = check_prefix(
                lambda frame: self._decided(
                    job, self._stages.lay_out(job.plan, frame, is_whole=False)
                ),
                job.stage.history,
                lambda: self._decided(job, job.stage),
                job.stage.prepared.digest,
            )
        return self._checks[job.member.pattern]

    def _decided(self, job: _Job, stage: Stage) -> Decided:
        """Return what a set decides on other bars, with the code that ran it."""
        masks, values = self._fired(job, stage, self._series([job], stage, map))
        fills = run_together(job.form.portfolio, stage.desk_for(job.rules, masks, values))
        return decided(stage.prepared, masks, fills)
