"""The text of the portfolio that numba compiles: its modules joined to the functions they call.

The pass over rules has a text of its own (`dsl.lowering`), because they change at different times:
that one is compiled once per strategy, the portfolio once per version of JTS, and once more for a
strategy whose rules ask for the account.
"""

import ast
import inspect
from functools import cache
from textwrap import indent
from types import ModuleType

from jts_pipelines.backtest import (
    agenda,
    bands,
    decisions,
    driver,
    fills,
    guarding,
    places,
    search,
)
from jts_pipelines.backtest.columns import Desk
from jts_trading.dsl.inline import Inliner
from jts_trading.strategy import facts, sizing, stops

PORTFOLIO = (
    *(places, sizing, stops, facts, bands, search, agenda, fills, guarding, decisions, driver),
)
# Names from these rooms stand in the joined text itself.
_JOINED = (
    "jts_trading.strategy",
    "collections.abc",
    *(module.__name__ for module in PORTFOLIO if module.__name__.startswith("jts_pipelines")),
)


# What is called from Python, and what is called from several places or seldom: each of them
# becomes one function.
_FUNCTIONS = (
    *("look_up_band", "order_terms", "mark_positions", "seek_next"),
    *("simulate", "find_outside"),
)


_UNGUARDED = """
def judged_on(desk, instrument, row, rules):
    return fired_on(desk, row) & rules
"""
_UNRANKED = """
def first_event(desk, count):
    return 0
"""


@cache
def portfolio_text(guard: str = "", *, is_ranked: bool = False) -> str:
    """Return the portfolio with the sizing functions that it calls, and the guard of a plan.

    Most functions are written out into few, with the arrays of the desk as variables: handing
    fourteen arrays from function to function is most of what compiling the portfolio costs, and
    most of what running it does.
    """
    nodes = ast.parse("\n\n".join(_body(module) for module in PORTFOLIO)).body
    # The guard of the plan takes the place of the one that is declared; without one nobody asks.
    changed = (guard or _UNGUARDED) + ("" if is_ranked else _UNRANKED)
    nodes += [n for n in ast.parse(changed).body if isinstance(n, ast.FunctionDef)]
    functions = {n.name: n for n in nodes if isinstance(n, ast.FunctionDef)}
    constants = [ast.unparse(n) for n in nodes if not isinstance(n, ast.FunctionDef)]
    written = [_written_out(functions, name) for name in _FUNCTIONS]
    return "\n".join((*constants, *written))


@cache
def sizing_text() -> str:
    """Return the sizing functions and stops alone, as the portfolio has them."""
    return "\n\n".join(_body(module) for module in (sizing, stops))


def _written_out(functions: dict[str, ast.FunctionDef], name: str) -> str:
    """Return the text of a function that takes its arrays once and calls few others."""
    definition = functions[name]
    inliner = Inliner(functions)
    inliner.kept.update(_FUNCTIONS)
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
