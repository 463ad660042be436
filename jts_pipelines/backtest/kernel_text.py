"""The portfolio in machine code: its modules joined to the functions they call, and compiled.

The pass over rules has a text of its own (`dsl.lowering`), because they change at different times:
that one is compiled once per strategy, the portfolio once per version of JTS, and once more for a
strategy whose rules ask for the account.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterable
from functools import cache, lru_cache, partial
from pathlib import Path
from threading import Lock
from types import ModuleType

from jts_pipelines.backtest import (
    agenda,
    averaging,
    bands,
    decisions,
    driver,
    exchanging,
    fills,
    guarding,
    levels,
    limits,
    merging,
    modelled,
    places,
    pricing,
    search,
    shorting,
)
from jts_pipelines.backtest.columns import Desk, Ints
from jts_trading.kernels.loader import are_checked
from jts_trading.kernels.native import Native
from jts_trading.kernels.native_values import Kind
from jts_trading.strategy import facts, order_prices, sizing, stops

PORTFOLIO = (
    *(places, sizing, stops, facts, bands, search, agenda, fills, guarding, decisions, driver),
)
MODEL = (order_prices, pricing, levels, averaging, shorting, exchanging, modelled)
_UNGUARDED = """
def judged_on(desk, instrument, row, rules):
    return fired_on(desk, row) & rules
"""
_UNRANKED = """
def first_event(desk, count):
    return 0
"""
# Functions of `modelled` take the place of those of the same name without this.
_MODELLED = "_in_model"
# Where orders fill at opens only, there are no late phases.
_PLAIN = """
EXIT_DECISIONS, ENTRY_DECISIONS, PHASE_BITS = 2, 3, 2
"""
_LINE = (0,)
_SHAPE = {
    "moments": Kind("int32", _LINE),
    "times": Kind("int64", _LINE),
    "session_at": Kind("int32", _LINE),
    "fired": Kind("int64", _LINE),
    "rules": Kind("int64", (places.RULE_COLUMNS,)),
    "sizes": Kind("int64", (0, places.SIZE_COLUMNS)),
    "costs": Kind("int64", (0, 0, places.COST_COLUMNS)),
    "ladders": Kind("int64", (0, 0, places.PRICE_RULE_COLUMNS)),
    "account": Kind("int64", (places.ACCOUNT_COLUMNS,)),
    "book": Kind("int64", (0, places.BOOK_COLUMNS)),
    "sessions": Kind("int64", (0, places.SESSION_COLUMNS)),
    "splits": Kind("int64", (0, places.SPLIT_COLUMNS)),
    "lots": Kind("int64", _LINE),
    "values": Kind("float64", (0, 0)),
    "facts": Kind("float64", (0, 0)),
    "agenda": Kind("int64", _LINE),
    "held": Kind("int64", _LINE),
}
_ENTRIES = {
    "simulate": Kind("int64", (places.FILL_COLUMNS, 0)),
    "find_outside": Kind("int64", (0, 2)),
}
_LANES = {
    "rooms": Kind("int64", (0, places.FILL_COLUMNS, 0)),
    "blocks": Kind("int64", (0, merging.BLOCK_COLUMNS)),
    "trades": Kind("int64", _LINE),
    "moments": Kind("int32", _LINE),
    "shifts": Kind("int64", _LINE),
    "turns": Kind("int32", _LINE),
    "starts": Kind("int64", _LINE),
    "numbers": Kind("int64", _LINE),
}


class Portfolio:
    """A form of the portfolio, compiled when it is first needed.

    Args:
        guard, is_ranked, is_modelled, is_limited: See `portfolio_text`.
        cache_dir: Where compiled code is kept.
    """

    def __init__(
        self,
        guard: str,
        *,
        is_ranked: bool,
        is_modelled: bool,
        is_limited: bool,
        cache_dir: Path,
    ) -> None:
        form = {"is_ranked": is_ranked, "is_modelled": is_modelled, "is_limited": is_limited}
        self._text = partial(portfolio_text, guard, **form)
        # To write a form out takes longer than to load it, so it has the name of its parts.
        self._identity = "\0".join((portfolio_sources(), guard, repr(form)))
        self._cache_dir = cache_dir
        self._compiled: dict[tuple[str, bool], Native] = {}
        self._lock = Lock()

    def bind(self, desk: Desk, room: Ints) -> Callable[[], int]:
        """Return what runs a desk until it has ended or the room is full, see `driver`."""
        return self.compiled(desk.prices.dtype.name).bind("simulate", desk, room)

    def put_in_order(self, lanes: merging.Lanes, order: Ints) -> int:
        """Put the fills of lanes into the order of time, see `merging.put_in_order`."""
        return _merging(self._cache_dir, are_checked()).call("put_in_order", lanes, order)

    def find_outside(self, desk: Desk, rows: Ints) -> int:
        """Find opens outside the limits of their session, see `driver.find_outside`."""
        return self.compiled(desk.prices.dtype.name).call("find_outside", desk, rows)

    def load(self, prices: str) -> None:
        """Compile all that a run with prices of a type may call, or load what was compiled."""
        self.compiled(prices)
        _merging(self._cache_dir, are_checked())

    def compiled(self, prices: str) -> Native:
        """Return the code for prices of a type, which holds either 32 or 64 bits.

        Raises:
            OSError: The directory cannot be written.
        """
        form = prices, are_checked()
        with self._lock:
            if form not in self._compiled:
                shape = {"prices": Kind(prices, (0, 4)), **_SHAPE}
                self._compiled[form] = Native(
                    *(self._text, self._identity, _ENTRIES, shape, self._cache_dir),
                    are_checked=form[1],
                )
            return self._compiled[form]


@cache
def _merging(cache_dir: Path, is_checked: bool) -> Native:
    text = _text(node for module in (places, merging) for node in _nodes(module))
    entries = {"put_in_order": Kind("int64", (2, 0))}
    return Native(lambda: text, text, entries, _LANES, cache_dir, are_checked=is_checked)


@cache
def portfolio_sources() -> str:
    """Return what every form of the portfolio is made of, for digests."""
    modules = (*PORTFOLIO, *MODEL, limits, merging, sys.modules[__name__])
    return "\0".join(inspect.getsource(module) for module in modules)


@lru_cache(maxsize=16)
def portfolio_text(
    guard: str = "",
    *,
    is_ranked: bool = False,
    is_modelled: bool = False,
    is_limited: bool = False,
) -> str:
    """Return the portfolio with the sizing functions that it calls, and the guard of a plan.

    Args:
        guard: Source of the guard; empty where a plan has none.
        is_ranked: Whether entries of one instant come by a rank.
        is_modelled: Whether orders may do more than fill at the next open, see `modelled`.
        is_limited: Whether limits of the account deny entries, see `limits`.
    """
    # A function that is defined once more takes the place of the first one.
    limited = (limits,) if is_limited else ()
    modules = (*PORTFOLIO, *(MODEL if is_modelled else ()), *limited)
    nodes = [node for module in modules for node in _nodes(module)]
    nodes += [] if is_modelled else ast.parse(_PLAIN).body
    # The guard of the plan takes the place of the one that is declared; without one nobody asks.
    changed = (guard or _UNGUARDED) + ("" if is_ranked else _UNRANKED)
    nodes += [n for n in ast.parse(changed).body if isinstance(n, ast.FunctionDef)]
    return _text(nodes)


@cache
def sizing_text() -> str:
    """Return the sizing functions and stops alone, as the portfolio has them."""
    return _text(node for module in (sizing, stops) for node in _nodes(module))


def _text(nodes: Iterable[ast.stmt]) -> str:
    """Return constants, then functions: of one name the last, or that of the model."""
    lines: list[str] = []
    functions: dict[str, ast.FunctionDef] = {}
    for node in nodes:
        if not isinstance(node, ast.FunctionDef):
            lines.append(ast.unparse(node))
        elif node.name + _MODELLED not in functions:
            functions.pop(node.name.removesuffix(_MODELLED), None)
            functions[node.name] = node
    lines += map(ast.unparse, functions.values())
    return "\n".join(lines).replace(f"{_MODELLED}(", "(")


def _nodes(module: ModuleType) -> list[ast.stmt]:
    """Return the constants and functions of a module, without docstrings."""
    found: list[ast.stmt] = []
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef):
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:]
            found.append(node)
        elif isinstance(node, ast.Assign) and not isinstance(node.value, ast.Subscript):
            # The rest names types.
            found.append(node)
    return found
