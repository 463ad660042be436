"""The texts that numba compiles: drivers joined to the functions that they call.

Two texts, because they change at different times: the pass over rules is compiled once per
strategy, the portfolio once per version of JTS.
"""

import ast
import inspect
from collections.abc import Collection
from functools import cache
from types import ModuleType

from jts_pipelines.backtest import driver, signals
from jts_trading.strategy import sizing, stops

# Names from these rooms stand in the joined text itself.
_JOINED = ("jts_trading.strategy", "collections.abc")


# What `step` is given beyond the columns of every bar, where a strategy needs it, in this order.
STEP_EXTRAS = ("session",)


def signals_text(strategy_source: str, needs: Collection[str]) -> str:
    """Return the pass over rules for the generated source of a strategy.

    Args:
        strategy_source: `Plan.source`.
        needs: `Plan.needs`.
    """
    tree = ast.parse(_body(signals))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "step"
        ):
            extras = [f"bars.{name}[row]" for name in STEP_EXTRAS if name in needs]
            node.args += [ast.parse(extra, mode="eval").body for extra in extras]
    return f"{strategy_source}\n\n{ast.unparse(tree)}"


@cache
def portfolio_text() -> str:
    """Return the portfolio with the sizing functions that it calls."""
    return "\n\n".join(_body(module) for module in (sizing, stops, driver))


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
