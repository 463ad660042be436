"""The text of the portfolio that numba compiles: its modules joined to the functions they call.

The pass over rules has a text of its own (`dsl.lowering`), because they change at different times:
that one is compiled once per strategy, the portfolio once per version of JTS, and once more for a
strategy whose rules ask for the account.
"""

import ast
import inspect
import sys
from collections.abc import Iterable
from functools import cache
from textwrap import indent
from types import ModuleType

from jts_pipelines.backtest import (
    agenda,
    bands,
    decisions,
    driver,
    exchanging,
    fills,
    guarding,
    levels,
    limits,
    modelled,
    places,
    pricing,
    search,
)
from jts_pipelines.backtest.columns import Desk
from jts_trading.dsl import inline
from jts_trading.dsl.inline import Inliner
from jts_trading.strategy import facts, sizing, stops

PORTFOLIO = (
    *(places, sizing, stops, facts, bands, search, agenda, fills, guarding, decisions, driver),
)
MODEL = (pricing, levels, exchanging, modelled)
# Names from these rooms stand in the joined text itself.
_JOINED = (
    "jts_trading.strategy",
    "collections.abc",
    *(
        module.__name__
        for module in (*PORTFOLIO, *MODEL, limits)
        if module.__name__.startswith("jts_pipelines")
    ),
)


# What is called from Python, and what is called from several places or seldom: each of them
# becomes one function.
_FUNCTIONS = (
    *("look_up_band", "order_terms", "mark_positions", "seek_next"),
    *("simulate", "find_outside"),
)
# With a fill model more is called from several places.
_MODEL_FUNCTIONS = (
    *("fill_of", "most_of", "slipped", "loss_level", "close_reason", "inside_price"),
    *("left_at", "sell", "buy", "place_order", "decide_exit", "decide_entry"),
    *("order_phase", "exchange_shares"),
)


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


@cache
def portfolio_sources() -> str:
    """Return what every form of the portfolio is made of: its modules and what writes them out.

    For digests: writing a form out takes half a second, and a run needs one of them only.
    """
    modules = (*PORTFOLIO, *MODEL, limits, inline, sys.modules[__name__])
    return "\0".join(inspect.getsource(module) for module in modules)


@cache
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

    Most functions are written out into few, with the arrays of the desk as variables: handing
    fourteen arrays from function to function is most of what compiling the portfolio costs, and
    most of what running it does.
    """
    # A function that is defined once more takes the place of the first one.
    limited = (limits,) if is_limited else ()
    modules = (*PORTFOLIO, *(MODEL if is_modelled else ()), *limited)
    nodes = ast.parse("\n\n".join(_body(module) for module in modules)).body
    nodes += [] if is_modelled else ast.parse(_PLAIN).body
    # The guard of the plan takes the place of the one that is declared; without one nobody asks.
    changed = (guard or _UNGUARDED) + ("" if is_ranked else _UNRANKED)
    nodes += [n for n in ast.parse(changed).body if isinstance(n, ast.FunctionDef)]
    functions = _in_place(n for n in nodes if isinstance(n, ast.FunctionDef))
    constants = [ast.unparse(n) for n in nodes if not isinstance(n, ast.FunctionDef)]
    kept = (*_MODEL_FUNCTIONS, *_FUNCTIONS) if is_modelled else _FUNCTIONS
    written = [_written_out(functions, name, kept) for name in kept]
    return "\n".join((*constants, *written))


def _in_place(nodes: Iterable[ast.FunctionDef]) -> dict[str, ast.FunctionDef]:
    """Return functions by name, those of the model in the place of the plain ones."""
    functions = {node.name: node for node in nodes}
    for name in [name for name in functions if name.endswith(_MODELLED)]:
        plain = name.removesuffix(_MODELLED)
        functions[plain] = functions[name]
        functions[plain].name = plain
    return functions


@cache
def sizing_text() -> str:
    """Return the sizing functions and stops alone, as the portfolio has them."""
    return "\n\n".join(_body(module) for module in (sizing, stops))


def _written_out(functions: dict[str, ast.FunctionDef], name: str, kept: tuple[str, ...]) -> str:
    """Return the text of a function that takes its arrays once and calls few others."""
    definition = functions[name]
    inliner = Inliner(functions)
    inliner.kept.update(kept)
    returns_nothing = definition.returns is not None and ast.unparse(definition.returns) == "None"
    body = inliner.body_of(name, [] if returns_nothing else ["result"])
    lines = [f"desk_{field} = desk.{field}" for field in Desk._fields]
    lines += [ast.unparse(ast.fix_missing_locations(_Arrays().visit(node))) for node in body]
    lines += [] if returns_nothing else ["return result"]
    head = ", ".join(argument.arg for argument in definition.args.args)
    return f"def {name}({head}):\n" + indent("\n".join(lines), "    ")


class _Arrays(ast.NodeTransformer):
    """Reads the arrays of the desk from variables."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Turn `desk.book` into `desk_book`."""
        if isinstance(node.value, ast.Name) and node.value.id == "desk":
            return ast.Name(f"desk_{node.attr}", node.ctx)
        self.generic_visit(node)
        return node


def _body(module: ModuleType) -> str:
    """Return a module without its docstrings, declarations and joined imports."""
    tree = ast.parse(inspect.getsource(module))
    kept = [node for node in tree.body if not _is_left_out(node)]
    for node in kept:
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.unparse(ast.Module(kept, []))


def _is_left_out(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").startswith(_JOINED)
    if isinstance(node, ast.AnnAssign):
        return node.value is None
    return isinstance(node, ast.Expr)
