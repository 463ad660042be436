"""What compiled functions make of numbers.

It is what Python says: quotients are rounded down, remainders have the sign of the divisor. A
whole number divided by zero is zero, as in the kernels that numba compiles; sums and products
wrap, and are a fault in the checked form. A whole number meets a float as a float, so beyond 2^53
it is compared less sharply than in Python.
"""

import ast

from llvmlite import ir

from jts_trading.kernels.native_checks import Checks
from jts_trading.kernels.native_values import (
    FLOAT,
    INT,
    UnsupportedError,
    Value,
    as_float,
    as_whole,
    paired,
    whole,
)

_ON_FLOATS: dict[type[ast.operator], str] = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul"}
_ON_WHOLES: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.LShift: "shl",
    ast.RShift: "ashr",
    ast.BitAnd: "and_",
    ast.BitOr: "or_",
    ast.BitXor: "xor",
}

_FIGURES = frozenset({"exp", "log", "log10", "cos", "sin", "tan", "atan"})


class Arithmetic:
    """Arithmetic of one function.

    Args:
        builder: Writes the function.
        checks: What it asks.
    """

    def __init__(self, builder: ir.IRBuilder, checks: Checks) -> None:
        self.builder, self._checks = builder, checks

    def combined(self, node: ast.AST, op: ast.operator, left: Value, right: Value) -> ir.Value:
        """Return what an operator makes of two numbers; the node says where."""
        if isinstance(op, ast.Div):
            return self.builder.fdiv(as_float(self.builder, left), as_float(self.builder, right))
        left, right, is_float = paired(self.builder, left, right)
        if is_float:
            name = _ON_FLOATS.get(type(op))
        elif isinstance(op, ast.FloorDiv | ast.Mod):
            is_remainder = isinstance(op, ast.Mod)
            if not is_remainder:
                self._checks.divided(node, left, right)
            return self._divided(left, right, is_remainder=is_remainder)
        else:
            name = _ON_WHOLES.get(type(op))
        if name is None:
            raise UnsupportedError(type(op).__name__)
        if isinstance(op, ast.LShift | ast.RShift):
            self._checks.shift(node, right)
        elif self._checks.are_on and name in ("add", "sub", "mul"):
            return self._checks.combined(node, name, left, right)
        return getattr(self.builder, name)(left, right)

    def _divided(self, left: ir.Value, right: ir.Value, *, is_remainder: bool) -> ir.Value:
        """Return a quotient rounded down, or what remains of it; zero where the divisor is.

        A processor divides by no zero, and not the least number by minus one.
        """
        build, zero = self.builder, whole(0)
        is_easy = build.icmp_unsigned("<=", build.add(right, whole(1)), whole(1))
        divisor = build.select(is_easy, whole(1), right)
        quotient = build.sdiv(left, divisor)
        rest = build.sub(left, build.mul(quotient, divisor))
        is_other = build.icmp_signed("<", build.xor(rest, divisor), zero)
        is_below = build.and_(build.icmp_signed("!=", rest, zero), is_other)
        if is_remainder:
            found = build.add(rest, build.select(is_below, divisor, zero))
            return build.select(is_easy, zero, found)
        found = build.sub(quotient, build.zext(is_below, INT))
        return build.select(is_easy, build.and_(build.neg(left), right), found)

    def negative(self, node: ast.AST, number: ir.Value) -> ir.Value:
        """Return a number with the other sign."""
        if number.type == FLOAT:
            return self.builder.fneg(number)
        if isinstance(number, ir.Constant) and number.type == INT:
            return whole(-number.constant)
        return self.combined(node, ast.Sub(), whole(0), number)

    def figure(self, node: ast.AST, name: str, number: ir.Value) -> ir.Value:
        """Return what a function of `math` makes of a number."""
        number = as_float(self.builder, number)
        if name == "isnan":
            return self.builder.fcmp_unordered("uno", number, number)
        if name in ("floor", "ceil"):
            number = self._intrinsic(f"llvm.{name}", number)
            self._checks.turned(node, number)
            return self.builder.fptosi(number, INT)
        if name == "sqrt":
            return self._intrinsic("llvm.sqrt", number)
        if name not in _FIGURES:
            raise UnsupportedError(f"math.{name}")
        code = self.builder.module
        function = code.globals.get(name)
        if function is None:
            # Of the C library, as numba and Python call it.
            function = ir.Function(code, ir.FunctionType(FLOAT, [FLOAT]), name)
        return self.builder.call(function, [number])

    def absolute(self, node: ast.AST, number: ir.Value) -> ir.Value:
        """Return a number without its sign."""
        if number.type == FLOAT:
            return self._intrinsic("llvm.fabs", number)
        number = as_whole(self.builder, number)
        is_below = self.builder.icmp_signed("<", number, whole(0))
        return self.builder.select(is_below, self.negative(node, number), number)

    def _intrinsic(self, name: str, number: ir.Value) -> ir.Value:
        function = self.builder.module.declare_intrinsic(name, [FLOAT])
        return self.builder.call(function, [number])

    def extreme(self, numbers: list[ir.Value], which: str) -> ir.Value:
        """Return the least or greatest number: a later one only where it is beyond the others."""
        order, found = "<" if which == "min" else ">", numbers[0]
        for number in numbers[1:]:
            later, sooner, _ = paired(self.builder, number, found)
            is_beyond = self.ordered(order, later, sooner)
            found = self.builder.select(is_beyond, later, sooner)
        return found

    def ordered(self, order: str, left: ir.Value, right: ir.Value) -> ir.Value:
        """Return whether two numbers are in an order."""
        left, right, is_float = paired(self.builder, left, right)
        if not is_float:
            return self.builder.icmp_signed(order, left, right)
        # What is no number is unequal to everything, and in no order with it.
        compare = self.builder.fcmp_unordered if order == "!=" else self.builder.fcmp_ordered
        return compare(order, left, right)
