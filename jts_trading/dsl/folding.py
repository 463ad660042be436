"""Whole-number arithmetic on syntax trees, so that slots and periods become plain numbers.

Only whole numbers are computed here: what floats give is left to the machine that runs the text.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping

_SIGNS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_DIVISIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_ORDERS: dict[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def whole_of(node: ast.expr | None) -> int | None:
    """Return the whole number that a node is, or None."""
    found = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


class Folding(ast.NodeTransformer):
    """Replaces names by what is known of them, and arithmetic on whole numbers by its result."""

    def __init__(self, known: Mapping[str, ast.expr]) -> None:
        self._known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace a name that is read."""
        found = self._known.get(node.id)
        return node if found is None or not isinstance(node.ctx, ast.Load) else found

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Compute a sum, difference, product or whole quotient."""
        self.generic_visit(node)
        left, right = whole_of(node.left), whole_of(node.right)
        if left is None or right is None:
            return node
        sign = _SIGNS.get(type(node.op)) or (_DIVISIONS.get(type(node.op)) if right else None)
        return node if sign is None else ast.Constant(sign(left, right))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        """Compute a negative number."""
        self.generic_visit(node)
        value = whole_of(node.operand)
        is_minus = isinstance(node.op, ast.USub) and value is not None
        return ast.Constant(-value) if is_minus and value is not None else node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """Compute a comparison of two whole numbers."""
        self.generic_visit(node)
        left, right = whole_of(node.left), whole_of(node.comparators[0])
        order = _ORDERS.get(type(node.ops[0])) if len(node.ops) == 1 else None
        if left is None or right is None or order is None:
            return node
        return ast.Constant(order(left, right))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Compute the whole root of a whole number, as steps ask for it."""
        self.generic_visit(node)
        inner = node.args[0] if ast.unparse(node.func) == "int" and node.args else None
        if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "math.sqrt":
            value = whole_of(inner.args[0])
            if value is not None and value >= 0:
                return ast.Constant(int(math.sqrt(value)))
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        """Choose a side where the condition is known."""
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node


def is_known(test: ast.expr) -> bool:
    """Return whether a condition has been computed."""
    return isinstance(test, ast.Constant)
