"""Sizing in a backtest is the sizing of live: compiled and plain calls agree to the unit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_pipelines.backtest.kernel_text import sizing_text
from jts_trading.kernels.native import Native
from jts_trading.kernels.native_values import Kind
from jts_trading.strategy import sizing, stops

MONEY = st.integers(0, sizing.MONEY_MAX)
PRICES = st.integers(1, 10_000_000)
PPM = st.integers(0, 1_000_000)
FEES = st.tuples(st.integers(0, 5_000_000), st.sampled_from((1, 10)))
COUNTS = st.integers(0, 100_000)


class Compiled:
    """Functions as the portfolio has them, called with plain numbers."""

    def __init__(self, cache_dir: Path) -> None:
        calls = [
            f"def call_{name}(_, cells):\n    return {name}({', '.join(CELLS[name])})"
            for name in CELLS
        ]
        entries = {f"call_{name}": Kind("int64", (0,)) for name in CELLS}
        text = "\n".join((sizing_text(), *calls))
        self._native = Native(lambda: text, text, entries, {}, cache_dir)

    def __getattr__(self, name: str) -> Callable[..., int]:
        """Return a function that takes numbers and tuples of numbers."""

        def call(*arguments: int | tuple[int, ...]) -> int:
            flat = [
                n for each in arguments for n in (each if isinstance(each, tuple) else (each,))
            ]
            return self._native.call(f"call_{name}", (), np.array(flat, np.int64))

        return call


def cells(*sizes: int) -> tuple[str, ...]:
    """Return arguments that are taken from cells in turn: a number, or a tuple of so many."""
    found, at = [], 0
    for size in sizes:
        numbers = [f"cells[{at + n}]" for n in range(max(size, 1))]
        found.append(f"({', '.join(numbers)})" if size else numbers[0])
        at += max(size, 1)
    return tuple(found)


CELLS = {
    "affordable_quantity": cells(0, 0, 0, 0, 2),
    "buying_cost": cells(0, 0, 2),
    "wanted_quantity": cells(0, 0, 0, 0),
    "capped_quantity": cells(0, 0, 0, 0, 0, 0),
    "part_of": cells(0, 0, 0),
    "exit_quantity": cells(0, 0, 0, 0),
    "kelly_entry_share": cells(4, 4),
    "is_trailing_stop_hit": cells(0, 0, 0),
    "is_stop_loss_hit": cells(0, 0, 0),
    "is_profit_taken": cells(0, 0, 0),
    "is_daily_loss_reached": cells(0, 0, 0),
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """What a backtest runs."""
    return Compiled(tmp_path_factory.mktemp("kernels"))


@settings(max_examples=300, deadline=None)
@given(
    quantity=st.integers(0, 900_000),
    price=PRICES,
    lot=st.sampled_from((1, 10)),
    cash=MONEY,
    fee=FEES,
)
def test_affordable_quantity_compiled_equals_plain(
    *, quantity: int, price: int, lot: int, cash: int, fee: tuple[int, int], compiled: Compiled
) -> None:
    """A purchase costs and fits the same in research and live."""
    plain = sizing.affordable_quantity(quantity, price, lot, cash, fee)

    assert plain == compiled.affordable_quantity(quantity, price, lot, cash, fee)
    assert sizing.buying_cost(plain, price, fee) == compiled.buying_cost(plain, price, fee)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.integers(0, 4),
    amount=PPM,
    equity=MONEY,
    price=PRICES,
    cap=PPM,
    held=st.integers(1, 9_999),
)
def test_quantities_compiled_equal_plain(
    *, kind: int, amount: int, equity: int, price: int, cap: int, held: int, compiled: Compiled
) -> None:
    """Entries and exits are sized the same in research and live."""
    wanted = sizing.wanted_quantity(kind, amount, equity, price)

    assert wanted == compiled.wanted_quantity(kind, amount, equity, price)
    assert sizing.capped_quantity(
        wanted, equity, price, cap, 10, held
    ) == compiled.capped_quantity(wanted, equity, price, cap, 10, held)
    assert sizing.exit_quantity(kind, wanted, held, 10) == compiled.exit_quantity(
        kind, wanted, held, 10
    )


@settings(max_examples=300, deadline=None)
@given(amount=st.integers(0, 1 << 53), part=st.integers(0, 1 << 53), more=st.integers(1, 1 << 53))
def test_part_of_compiled_is_the_exact_quotient_rounded_down(
    amount: int, part: int, more: int, compiled: Compiled
) -> None:
    """Products far beyond 64 bits are divided without an error."""
    whole = part + more

    assert sizing.part_of(amount, part, whole) == amount * part // whole
    assert compiled.part_of(amount, part, whole) == amount * part // whole
    assert compiled.part_of(amount, whole, whole) == amount


@settings(max_examples=300, deadline=None)
@given(
    closed=COUNTS,
    won=COUNTS,
    profit=st.integers(0, 1 << 62),
    loss=st.integers(0, 1 << 62),
    limits=st.tuples(COUNTS, PPM, PPM, PPM),
)
def test_kelly_compiled_equals_plain(
    *,
    closed: int,
    won: int,
    profit: int,
    loss: int,
    limits: tuple[int, int, int, int],
    compiled: Compiled,
) -> None:
    """The share is the same for sums of money far beyond what one account can make."""
    record = (closed, min(won, closed), profit, loss)

    assert sizing.kelly_entry_share(record, limits) == compiled.kelly_entry_share(record, limits)


@settings(max_examples=300, deadline=None)
@given(close=PRICES, entry=PRICES, ppm=PPM, equity=MONEY, start=MONEY)
def test_stops_compiled_equal_plain(
    *, close: int, entry: int, ppm: int, equity: int, start: int, compiled: Compiled
) -> None:
    """A stop is hit on the same close in research and live."""
    for name in ("is_trailing_stop_hit", "is_stop_loss_hit", "is_profit_taken"):
        assert getattr(stops, name)(close, entry, ppm) == getattr(compiled, name)(
            close, entry, ppm
        )
    assert stops.is_daily_loss_reached(equity, start, ppm) == compiled.is_daily_loss_reached(
        equity, start, ppm
    )
