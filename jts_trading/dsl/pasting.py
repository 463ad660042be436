"""Texts of functions that generated sources carry with them."""

import ast
import inspect
from collections.abc import Callable
from functools import cache
from textwrap import dedent
from typing import Any

from jts_trading.dsl import graph as g
from jts_trading.dsl.program import Program
from jts_trading.indicators.catalog import NATIVE


def own_steps(program: Program) -> tuple[str, ...]:
    """Return the texts of all steps in use that are not native, in a fixed order.

    What a native step does is part of the engine's version; what another one does is not.
    """
    found: set[str] = set()
    for node in program.graph.nodes:
        if isinstance(node, g.Indicator) and not NATIVE.holds(node.definition):
            found.update(map(function_text, (*node.definition.uses, node.definition.step)))
    return tuple(sorted(found))


@cache
def function_text(function: Callable[..., Any]) -> str:
    """Return the text of a plain function without docstring, comments and annotations."""
    tree = ast.parse(dedent(inspect.getsource(function)))
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        raise TypeError(f"{function} is not a plain function")
    definition.returns = None
    for argument in definition.args.args:
        argument.annotation = None
    if ast.get_docstring(definition) is not None:
        definition.body = definition.body[1:]
    return ast.unparse(definition)
