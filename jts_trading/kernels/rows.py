"""The pass over rows of a generated strategy, compiled: without numba where that is possible.

The batch form of a strategy (`dsl.lowering`) is a plain function over arrays, like the portfolio,
so `native` compiles it in a tenth of the time and loads it without numba. A step that users wrote,
or a window that calls back into Python, may say more than that; such a text stays with numba, as
the step does in live. Both give the same bits.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from jts_trading.dsl.lowering import ROWS_FUNCTION, WHOLE_ROWS_FUNCTION
from jts_trading.kernels.loader import are_checked, load
from jts_trading.kernels.native import Native
from jts_trading.kernels.native_values import Kind, UnsupportedError

_ENTRY = "run_share"


class Rows:
    """A compiled pass over rows.

    Args:
        text: Defines `run_rows`.
        cache_dir: Where compiled code is kept.
    """

    def __init__(self, text: str, cache_dir: Path) -> None:
        self._text, self._cache_dir = text, cache_dir
        self._compiled: dict[object, Native | None] = {}
        self._lock = Lock()

    def run_rows(self, *arguments: Any) -> None:
        """Walk over instruments, see `dsl.lowering.lower_step`.

        Args:
            *arguments: Arrays, and whole numbers among them.
        """
        self.bind(*arguments)(*(each for each in arguments if not isinstance(each, np.ndarray)))

    def bind(self, *arguments: Any) -> Callable[..., None]:
        """Return `run_rows` over arrays, to be called again and again by one thread.

        Args:
            *arguments: As there.

        Returns:
            A function of the whole numbers, which take the place of those that were given.
        """
        native = self._native(arguments)
        if native is None:
            return self._bind_numba(arguments)
        arrays = tuple(each for each in arguments if isinstance(each, np.ndarray))
        numbers = np.zeros(len(arguments) - len(arrays), np.int64)
        call = native.bind(_ENTRY, arrays, numbers)

        def run(*given: int) -> None:
            numbers[:] = given
            call()

        return run

    def _bind_numba(self, arguments: tuple[Any, ...]) -> Callable[..., None]:
        rows = getattr(load(self._text, self._cache_dir, allocates=False), ROWS_FUNCTION)

        def run(*given: int) -> None:
            left = iter(given)
            rows(*(each if isinstance(each, np.ndarray) else next(left) for each in arguments))

        return run

    def _native(self, arguments: tuple[Any, ...]) -> Native | None:
        """Return the code for arguments of such kinds; None where numba has to do it."""
        kinds = tuple(
            (each.dtype.num, each.ndim) if isinstance(each, np.ndarray) else None
            for each in arguments
        )
        form = kinds, are_checked()
        with self._lock:
            if form not in self._compiled:
                self._compiled[form] = self._compile(arguments)
            return self._compiled[form]

    def _compile(self, arguments: tuple[Any, ...]) -> Native | None:
        kinds = [
            Kind(each.dtype.name, (0,) * each.ndim) if isinstance(each, np.ndarray) else None
            for each in arguments
        ]
        # Open, high, low and close of a row stand side by side in the first array.
        kinds[0] = Kind(arguments[0].dtype.name, (0, 4))
        shape = {f"array{at}": kind for at, kind in enumerate(kinds) if kind is not None}
        numbers, handed_on = 0, []
        for at, kind in enumerate(kinds):
            handed_on.append(f"share[{numbers}]" if kind is None else f"record.array{at}")
            numbers += kind is None
        # A text may have a quicker form for narrow whole prices.
        is_narrow = arguments[0].dtype == np.int32
        is_quick = is_narrow and f"def {WHOLE_ROWS_FUNCTION}(" in self._text
        name = WHOLE_ROWS_FUNCTION if is_quick else ROWS_FUNCTION
        entry = f"""
def {_ENTRY}(record, share):
    {name}({", ".join(handed_on)})
    return 0
"""
        entries = {_ENTRY: Kind("int64", (numbers,))}
        try:
            text = self._text + entry
            return Native(
                lambda: text, text, entries, shape, self._cache_dir, are_checked=are_checked()
            )
        except UnsupportedError:
            return None


@lru_cache(maxsize=256)
def rows_of(text: str, cache_dir: Path) -> Rows:
    """Return the pass of a text, the same one for all runs of this process."""
    return Rows(text, cache_dir)
