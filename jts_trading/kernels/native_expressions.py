"""Turns the expressions of plain functions into LLVM code.

What they mean is what Python says: quotients are rounded down, remainders have the sign of the
divisor, `and` and `or` stop early. A whole number divided by zero is zero, as in the kernels that
numba compiles; sums and products wrap.
"""

import ast
import math
import operator
from abc import ABC, abstractmethod

from llvmlite import ir

from jts_trading.kernels.native_values import (
    FLOAT,
    INT,
    TRUTH,
    Record,
    UnsupportedError,
    Value,
    View,
    as_float,
    as_truth,
    as_type,
    as_whole,
    element_of,
    flattened,
    gathered,
    paired,
    whole,
)

_ORDERS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
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


# What numbers are turned into; a place in an array needs no more than to be whole.
_CONVERSIONS = {"int": INT, "np.uint64": INT, "float": FLOAT, "bool": TRUTH}
_FIGURES = frozenset({"exp", "log", "log10", "cos", "sin", "tan", "atan"})
# The method that writes each kind of expression out.
_FORMS = {
    ast.Constant: "_literal",
    ast.Name: "_named",
    ast.Attribute: "_field",
    ast.Subscript: "_element",
    ast.Tuple: "_tuple",
    ast.Call: "_call",
    ast.BinOp: "_binary",
    ast.UnaryOp: "_unary",
    ast.BoolOp: "_joined",
    ast.Compare: "_compared",
    ast.IfExp: "_chosen",
}


class Expressions(ABC):
    """Expressions of one function; `native_functions` adds statements and calls.

    Attributes:
        builder: Where code is added.
        names: What variables hold: a slot in memory for numbers, else the value itself.
        constants: Numbers of the module, by name.
    """

    builder: ir.IRBuilder
    names: dict[str, Value]
    constants: dict[str, object]

    @abstractmethod
    def called(self, name: str, arguments: list[Value]) -> Value:
        """Call a function of the module."""

    @abstractmethod
    def slot(self, kind: ir.Type) -> ir.Value:
        """Return room for a number."""

    def value(self, node: ast.expr) -> Value:
        """Return what an expression is.

        Raises:
            UnsupportedError: It has no form here.
        """
        form = _FORMS.get(type(node))
        if form is None:
            raise UnsupportedError(ast.unparse(node))
        return getattr(self, form)(node)

    def number(self, node: ast.expr) -> ir.Value:
        """Return an expression that is a number."""
        found = self.value(node)
        if isinstance(found, ir.Value):
            return found
        raise UnsupportedError(f"no number: {ast.unparse(node)}")

    def whole(self, node: ast.expr) -> ir.Value:
        """Return an expression that is a whole number."""
        return as_whole(self.builder, self.number(node))

    def truth(self, node: ast.expr) -> ir.Value:
        """Return whether an expression is true."""
        return as_truth(self.builder, self.number(node))

    def combined(self, op: ast.operator, left: ir.Value, right: ir.Value) -> ir.Value:
        """Return what an operator makes of two numbers."""
        if isinstance(op, ast.Div):
            return self.builder.fdiv(as_float(self.builder, left), as_float(self.builder, right))
        left, right, is_float = paired(self.builder, left, right)
        if is_float:
            name = _ON_FLOATS.get(type(op))
        elif isinstance(op, ast.FloorDiv | ast.Mod):
            return self._divided(left, right, is_remainder=isinstance(op, ast.Mod))
        else:
            name = _ON_WHOLES.get(type(op))
        if name is None:
            raise UnsupportedError(type(op).__name__)
        return getattr(self.builder, name)(left, right)

    def _divided(self, left: ir.Value, right: ir.Value, *, is_remainder: bool) -> ir.Value:
        """Return a quotient rounded down, or what remains of it; zero where the divisor is."""
        build, zero = self.builder, whole(0)
        is_zero = build.icmp_signed("==", right, zero)
        divisor = build.select(is_zero, whole(1), right)
        quotient = build.sdiv(left, divisor)
        rest = build.sub(left, build.mul(quotient, divisor))
        is_other = build.icmp_signed("<", build.xor(rest, divisor), zero)
        is_below = build.and_(build.icmp_signed("!=", rest, zero), is_other)
        found = build.sub(quotient, build.zext(is_below, INT))
        if is_remainder:
            found = build.add(rest, build.select(is_below, divisor, zero))
        return build.select(is_zero, zero, found)

    def _negative(self, number: ir.Value) -> ir.Value:
        if number.type == FLOAT:
            return self.builder.fneg(number)
        return self.builder.neg(as_whole(self.builder, number))

    def _literal(self, node: ast.Constant) -> Value:
        if not isinstance(node.value, bool | int | float):
            raise UnsupportedError(ast.unparse(node))
        return _constant(node.value)

    def _tuple(self, node: ast.Tuple) -> Value:
        return tuple(self.value(part) for part in node.elts)

    def _binary(self, node: ast.BinOp) -> Value:
        return self.combined(node.op, self.number(node.left), self.number(node.right))

    def _unary(self, node: ast.UnaryOp) -> Value:
        match node.op:
            case ast.Not():
                return self.builder.not_(self.truth(node.operand))
            case ast.USub():
                return self._negative(self.number(node.operand))
        raise UnsupportedError(ast.unparse(node))

    def _named(self, node: ast.Name) -> Value:
        if node.id in self.names:
            return self._held(self.names[node.id])
        found = self.constants.get(node.id)
        if isinstance(found, bool | int | float):
            return _constant(found)
        raise UnsupportedError(f"unknown name {node.id}")

    def _held(self, kept: Value) -> Value:
        """Return what is in the slots of a variable."""
        if isinstance(kept, tuple):
            return tuple(self._held(each) for each in kept)
        return self.builder.load(kept) if isinstance(kept, ir.Value) else kept

    def _field(self, node: ast.Attribute) -> Value:
        if isinstance(node.value, ast.Name) and node.value.id == "math":
            return _constant(getattr(math, node.attr))
        record = self.value(node.value)
        if not isinstance(record, Record) or node.attr not in record.fields:
            raise UnsupportedError(ast.unparse(node))
        return self.field_of(record, node.attr)

    def field_of(self, record: Record, name: str) -> View:
        """Return an array of a record. Where arrays are does not change while code runs."""
        build, at = self.builder, 0
        for field, kind in record.fields.items():
            if field == name:
                break
            at += kind.words
        kind, never_changes = record.fields[name], build.module.add_metadata([])
        words = [
            build.gep(record.words, [whole(at + n)], inbounds=True) for n in range(kind.words)
        ]
        pointer = build.bitcast(words[0], element_of(kind).as_pointer().as_pointer())
        loads = [build.load(word) for word in (pointer, *words[1:])]
        for load in loads:
            load.set_metadata("invariant.load", never_changes)
        known = zip(kind.sizes, loads[1:], strict=True)
        return View(loads[0], tuple(whole(size) if size else load for size, load in known), name)

    def _element(self, node: ast.Subscript) -> Value:
        if isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
            array = self.value(node.value.value)
            if isinstance(array, View) and isinstance(node.slice, ast.Constant):
                return array.sizes[int(str(node.slice.value))]
        within = self.value(node.value)
        if isinstance(within, tuple) and isinstance(node.slice, ast.Constant):
            return within[int(str(node.slice.value))]
        if not isinstance(within, View):
            raise UnsupportedError(ast.unparse(node))
        found = self.place_of(within, node.slice)
        if found.sizes:
            return found
        number = self.tagged(self.builder.load(found.start), found.origin)
        return number if number.type == FLOAT else as_whole(self.builder, number)

    def place_of(self, array: View, index: ast.expr) -> View:
        """Return what an index leaves of an array: a row, or one element without dimensions."""
        parts = index.elts if isinstance(index, ast.Tuple) else [index]
        build, place = self.builder, self.whole(parts[0])
        for part, size in zip(parts[1:], array.sizes[1:], strict=False):
            place = build.add(build.mul(place, size), self.whole(part))
        rest = array.sizes[len(parts) :]
        for size in rest:
            place = build.mul(place, size)
        return View(build.gep(array.start, [place], inbounds=True), rest, array.origin)

    def tagged(self, access: ir.Instruction, origin: str) -> ir.Instruction:
        """Note which array is read or written: others are not changed by that."""
        if origin:
            module = self.builder.module
            root = module.add_metadata(["arrays"])
            kind = module.add_metadata([origin, root, whole(0)])
            access.set_metadata("tbaa", module.add_metadata([kind, kind, whole(0)]))
        return access

    def _call(self, node: ast.Call) -> Value:
        name = ast.unparse(node.func)
        if name in _CONVERSIONS and len(node.args) == 1:
            return as_type(self.builder, self.number(node.args[0]), _CONVERSIONS[name])
        if name.startswith("math.") and len(node.args) == 1:
            return self._figure(name.removeprefix("math."), self.number(node.args[0]))
        if name in ("min", "max"):
            return self._extreme([self.number(each) for each in node.args], name)
        arguments = [self.value(each) for each in node.args]
        if name == "abs":
            return self._absolute(arguments[0])
        if name == "len" and isinstance(arguments[0], View):
            return arguments[0].sizes[0]
        return self.called(name, arguments)

    def _figure(self, name: str, number: ir.Value) -> ir.Value:
        """Return what a function of `math` makes of a number."""
        number = as_float(self.builder, number)
        if name == "isnan":
            return self.builder.fcmp_unordered("uno", number, number)
        if name in ("floor", "ceil"):
            return self.builder.fptosi(self._intrinsic(f"llvm.{name}", number), INT)
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

    def _absolute(self, number: ir.Value) -> ir.Value:
        if number.type == FLOAT:
            return self._intrinsic("llvm.fabs", number)
        number = as_whole(self.builder, number)
        is_below = self.builder.icmp_signed("<", number, whole(0))
        return self.builder.select(is_below, self.builder.neg(number), number)

    def _intrinsic(self, name: str, number: ir.Value) -> ir.Value:
        function = self.builder.module.declare_intrinsic(name, [FLOAT])
        return self.builder.call(function, [number])

    def _extreme(self, numbers: list[ir.Value], which: str) -> ir.Value:
        """Return the least or greatest number: a later one only where it is beyond the others."""
        order, found = "<" if which == "min" else ">", numbers[0]
        for number in numbers[1:]:
            later, sooner, _ = paired(self.builder, number, found)
            is_beyond = self._ordered(order, later, sooner)
            found = self.builder.select(is_beyond, later, sooner)
        return found

    def _compared(self, node: ast.Compare) -> ir.Value:
        left, found = self.number(node.left), ir.Constant(TRUTH, 1)
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                is_in = self._is_in(left, comparator)
                found = self.builder.not_(is_in) if isinstance(op, ast.NotIn) else is_in
                continue
            right = self.number(comparator)
            found = self.builder.and_(found, self._ordered(_ORDERS[type(op)], left, right))
            left = right
        return found

    def _is_in(self, number: ir.Value, node: ast.expr) -> ir.Value:
        if not isinstance(node, ast.Tuple):
            raise UnsupportedError(ast.unparse(node))
        found = ir.Constant(TRUTH, 0)
        for each in node.elts:
            found = self.builder.or_(found, self._ordered("==", number, self.number(each)))
        return found

    def _ordered(self, order: str, left: ir.Value, right: ir.Value) -> ir.Value:
        left, right, is_float = paired(self.builder, left, right)
        if not is_float:
            return self.builder.icmp_signed(order, left, right)
        # What is no number is unequal to everything, and in no order with it.
        compare = self.builder.fcmp_unordered if order == "!=" else self.builder.fcmp_ordered
        return compare(order, left, right)

    def _joined(self, node: ast.BoolOp) -> ir.Value:
        """Return truths that are joined; what comes later is only looked at where it matters."""
        build, kept = self.builder, self.slot(TRUTH)
        done = build.append_basic_block()
        for place, each in enumerate(node.values):
            found = self.truth(each)
            build.store(found, kept)
            if place + 1 == len(node.values):
                build.branch(done)
                continue
            more = build.append_basic_block()
            is_and = isinstance(node.op, ast.And)
            build.cbranch(found, *((more, done) if is_and else (done, more)))
            build.position_at_end(more)
        build.position_at_end(done)
        return build.load(kept)

    def _chosen(self, node: ast.IfExp) -> Value:
        """Return one of two values, of which only that one is worked out."""
        build = self.builder
        first, second, done = (build.append_basic_block() for _ in range(3))
        build.cbranch(self.truth(node.test), first, second)
        sides: list[tuple[Value, ir.Block]] = []
        for block, side in ((first, node.body), (second, node.orelse)):
            build.position_at_end(block)
            found = self.value(side)
            sides.append((found, build.block))
        pairs = list(zip(*(flattened([found]) for found, _ in sides), strict=True))
        kinds = [_wider(one.type, two.type) for one, two in pairs]
        ready = []
        for at, (_, block) in enumerate(sides):
            build.position_at_end(block)
            ready.append([as_type(build, p[at], k) for p, k in zip(pairs, kinds, strict=True)])
            build.branch(done)
        build.position_at_end(done)
        results: list[ir.Value] = []
        for place, kind in enumerate(kinds):
            result = build.phi(kind)
            for numbers, (_, block) in zip(ready, sides, strict=True):
                result.add_incoming(numbers[place], block)
            results.append(result)
        return gathered(sides[0][0], results)


def _wider(one: ir.Type, other: ir.Type) -> ir.Type:
    if one == other:
        return one
    return FLOAT if FLOAT in (one, other) else INT


def _constant(number: float) -> ir.Constant:
    if isinstance(number, bool):
        return ir.Constant(TRUTH, int(number))
    if isinstance(number, int):
        # Numbers of 64 bits without a sign are written as they stand.
        return whole(operator.index(number))
    return ir.Constant(FLOAT, number)
