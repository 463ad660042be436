"""The text of the portfolio that numba compiles: its modules joined to the functions they call.

The pass over rules has a text of its own (`dsl.lowering`), because they change at different times:
that one is compiled once per strategy, the portfolio once per version of JTS.
"""

import ast
import inspect
from functools import cache
from types import ModuleType

from jts_pipelines.backtest import agenda, bands, decisions, driver, fills, places, search
from jts_trading.strategy import sizing, stops

PORTFOLIO = (places, sizing, stops, bands, search, agenda, fills, decisions, driver)
# Names from these rooms stand in the joined text itself.
_JOINED = (
    "jts_trading.strategy",
    "collections.abc",
    *(module.__name__ for module in PORTFOLIO if module.__name__.startswith("jts_pipelines")),
)


@cache
def portfolio_text() -> str:
    """Return the portfolio with the sizing functions that it calls."""
    return "\n\n".join(_body(module) for module in PORTFOLIO)


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
