"""Many parameter sets of one strategy over one table of bars, in one process.

Bars are laid out once, indicators that sets have in common are computed once (`dsl.shared`), and
threads share the sets out. Each set has its own cash and books; its fills are those of a run of
its own, to the won.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np

from jts_pipelines.backtest import places
from jts_pipelines.backtest.columns import Bits, Desk, Floats, Ints
from jts_pipelines.backtest.desk import empty_masks, pack_rules
from jts_pipelines.backtest.engine import desk_of, load_portfolio, require_exact, step_columns
from jts_pipelines.backtest.lanes import run_together
from jts_pipelines.backtest.orders import order_rules
from jts_pipelines.backtest.reporting import Prepared
from jts_pipelines.backtest.result import require_conservation
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.dsl.plan import Plan
from jts_trading.dsl.shared import Member, share
from jts_trading.kernels.loader import load
from storage.errors import InputError

_THREADS_MAX = 8
# Columns of indicators that sets share: numbers, eight bytes each.
COLUMNS_MAX = 1 << 26


@dataclass(frozen=True, slots=True)
class SetResult:
    """What one parameter set came to.

    Attributes:
        fills: See `places`, in the order of time.
        cash, value: At the end of each session, in units of the account.
    """

    fills: Ints
    cash: Ints
    value: Ints

    @property
    def equity(self) -> Ints:
        """Cash and positions at the end of each session."""
        return self.cash + self.value


def can_share(plans: Sequence[Plan], prepared: Prepared) -> bool:
    """Return whether `run_sets` takes these plans: bars alone decide, and they fit into memory."""
    first = plans[0]
    return all(
        not plan.values
        and not plan.guard
        and plan.rank is None
        and plan.needs == first.needs
        and plan.timeframes == first.timeframes
        and plan.base_interval == first.base_interval
        for plan in plans
    ) and not (prepared.extras.columns or first.timeframes)


def run_sets(
    plans: Sequence[Plan], prepared: Prepared, settings: BacktestSettings, cache_dir: Path
) -> list[SetResult]:
    """Run parameter sets of one text, in their order.

    Args:
        plans: See `can_share`.
        prepared: The bars, laid out for any of the plans.
        settings: Assumptions of all runs.
        cache_dir: Where compiled code is kept.

    Raises:
        InputError: Orders that cannot be used, columns that do not fit into memory, or a position
            that is worth more than is counted exactly.
        ConservationError: A result does not add up.
    """
    shared = share(plans)
    rows = prepared.bars.rows
    if shared.columns * rows > COLUMNS_MAX:
        raise InputError(f"{shared.columns} indicators over {rows:,} bars do not fit into memory")
    columns = np.empty((shared.columns, rows))
    size = max(plan.state_size for plan in plans)
    pass_ = _Pass(prepared, columns, size, len(plans[0].rules))
    shapes = (*shared.series, *shared.sets)
    modules = [load(shape.text, cache_dir, allocates=False) for shape in shapes]
    for module, shape in zip(modules, shapes, strict=True):
        # Over nothing first: numba compiles in one thread.
        pass_.over_nothing(module, shape.members[0])
    portfolio = load_portfolio(plans[0], cache_dir, settings)
    desk = desk_of(prepared, settings, empty_masks(rows, len(plans[0].rules)))
    portfolio.simulate(desk._replace(account=np.zeros_like(desk.account)), _no_fills())
    run = partial(_run_set, pass_, portfolio, desk, plans, settings)
    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), _THREADS_MAX)) as threads:
        jobs = [
            (module, member)
            for module, shape in zip(modules, shared.series, strict=False)
            for member in shape.members
        ]
        for _ in threads.map(lambda job: pass_.masks_of(*job), jobs):
            pass
        asked = [
            (module, member)
            for module, shape in zip(modules[len(shared.series) :], shared.sets, strict=True)
            for member in shape.members
        ]
        found = list(threads.map(lambda job: run(*job), asked))
    order = np.argsort([member.place for _, member in asked])
    return [found[at] for at in order]


def _no_fills() -> Ints:
    return np.empty((0, places.FILL_COLUMNS), np.int64)


@dataclass(frozen=True, slots=True)
class _Pass:
    """The pass over bars, with what all sets share."""

    prepared: Prepared
    columns: Floats
    state_size: int
    rules: int

    def masks_of(self, module: ModuleType, member: Member) -> Ints:
        """Return the masks of a set, as a desk has them."""
        masks = empty_masks(self.prepared.bars.rows, self.rules)
        self._run(module, masks, member, len(self.prepared.bars.symbols))
        return masks.view(np.int64)

    def over_nothing(self, module: ModuleType, member: Member) -> None:
        """Let numba compile a function, or load what it compiled before."""
        self._run(module, empty_masks(0, self.rules), member, 0)

    def _run(self, module: ModuleType, masks: Bits, member: Member, last: int) -> None:
        bars = step_columns(self.prepared)
        module.run_rows(
            *(bars.prices, bars.volume, bars.frames_closed, bars.moments, bars.shift),
            *(bars.sessions, bars.offsets, bars.scales, np.zeros(self.state_size), masks),
            *(0, last, self.columns),
            np.array(member.whole, np.int64),
            np.array(member.real, np.float64),
        )


def _run_set(  # noqa: PLR0917 - what all sets share, then the set
    pass_: _Pass,
    portfolio: ModuleType,
    shared: Desk,
    plans: Sequence[Plan],
    settings: BacktestSettings,
    module: ModuleType,
    member: Member,
) -> SetResult:
    """Run one set on a desk of its own."""
    rules = order_rules(plans[member.place], settings)
    unit = int(shared.rules[places.COMMISSION_UNIT])
    packed, sizes = pack_rules(rules, unit, is_packed=bool(shared.rules[places.IS_PACKED]))
    desk = shared._replace(
        fired=pass_.masks_of(module, member),
        rules=packed,
        sizes=sizes,
        account=shared.account.copy(),
        book=shared.book.copy(),
        sessions=shared.sessions.copy(),
        agenda=shared.agenda.copy(),
        held=shared.held.copy(),
        facts=shared.facts.copy(),
    )
    fills = run_together(portfolio, desk)
    require_exact(desk, settings.terms)
    require_conservation(desk, fills, settings.start_money)
    cash = settings.start_money + desk.sessions[:, places.SESSION_CASH]
    return SetResult(fills.copy(), cash, desk.sessions[:, places.SESSION_VALUE].copy())
