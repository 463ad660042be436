"""Turns the expressions of plain functions into LLVM code.

What they mean is what Python says: `and`, `or` and comparisons in a chain stop early. What is
made of numbers is in `native_arithmetic`.
"""

import ast
import math
import operator
from abc import ABC, abstractmethod

from llvmlite import ir

from jts_trading.kernels.native_arithmetic import Arithmetic
from jts_trading.kernels.native_checks import Checks
from jts_trading.kernels.native_values import (
    FLOAT,
    INT,
    TRUTH,
    Record,
    UnsupportedError,
    Value,
    View,
    as_truth,
    as_type,
    as_whole,
    element_of,
    flattened,
    gathered,
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
# What numbers are turned into; a place in an array needs no more than to be whole.
_CONVERSIONS = {"int": INT, "np.uint64": INT, "float": FLOAT, "bool": TRUTH}
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
        checks: What is asked before something that may go wrong.
        sums: What is made of numbers.
        flags: Of variables that may have no value yet: whether they have one.
        names: What variables hold: a slot in memory for numbers, else the value itself.
        constants: Numbers of the module, by name.
    """

    builder: ir.IRBuilder
    checks: Checks
    sums: Arithmetic
    flags: dict[str, ir.Value]
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
        if isinstance(node, ast.BoolOp):
            return self._joined(node, is_asked=True)
        return as_truth(self.builder, self.number(node))

    def _literal(self, node: ast.Constant) -> Value:
        if not isinstance(node.value, bool | int | float):
            raise UnsupportedError(ast.unparse(node))
        return _constant(node.value)

    def _tuple(self, node: ast.Tuple) -> Value:
        return tuple(self.value(part) for part in node.elts)

    def _binary(self, node: ast.BinOp) -> Value:
        return self.sums.combined(node, node.op, self.number(node.left), self.number(node.right))

    def _unary(self, node: ast.UnaryOp) -> Value:
        match node.op:
            case ast.Not():
                return self.builder.not_(self.truth(node.operand))
            case ast.USub():
                return self.sums.negative(node, self.number(node.operand))
        raise UnsupportedError(ast.unparse(node))

    def _named(self, node: ast.Name) -> Value:
        if node.id in self.names:
            self.checks.assigned(node, self.flags.get(node.id))
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
        if len(parts) > len(array.sizes):
            raise UnsupportedError(ast.unparse(index))
        build, place = self.builder, whole(0)
        for at, (part, size) in enumerate(zip(parts, array.sizes, strict=False)):
            one = self.whole(part)
            self.checks.index(part, one, size)
            place = build.add(build.mul(place, size), one) if at else one
        rest = array.sizes[len(parts) :]
        for size in rest:
            place = build.mul(place, size)
        return View(build.gep(array.start, [place], inbounds=True), rest, array.origin)

    def tagged(self, access: ir.Instruction, origin: str) -> ir.Instruction:
        """Note which array is read or written, where that is known."""
        return self.builder.module.mark(access, origin) if origin else access

    def turned(self, node: ast.AST, number: ir.Value, kind: ir.Type) -> ir.Value:
        """Return a number as another type, to keep or to go on with."""
        if kind not in (FLOAT, TRUTH):
            self.checks.turned(node, number)
            self.checks.narrowed(node, number, kind)
        return as_type(self.builder, number, kind)

    def _call(self, node: ast.Call) -> Value:
        name = ast.unparse(node.func)
        if name in _CONVERSIONS and len(node.args) == 1:
            return self.turned(node, self.number(node.args[0]), _CONVERSIONS[name])
        if name.startswith("math.") and len(node.args) == 1:
            return self.sums.figure(node, name.removeprefix("math."), self.number(node.args[0]))
        if name in ("min", "max"):
            return self.sums.extreme([self.number(each) for each in node.args], name)
        arguments = [self.value(each) for each in node.args]
        if name == "abs":
            return self.sums.absolute(node, arguments[0])
        if name == "len" and isinstance(arguments[0], View):
            return arguments[0].sizes[0]
        return self.called(name, arguments)

    def _compared(self, node: ast.Compare) -> ir.Value:
        """Return whether a chain of comparisons holds; the first that does not ends it."""
        found, left = self._related(self.number(node.left), node.ops[0], node.comparators[0])
        if len(node.ops) == 1:
            return found
        build, kept, done = self.builder, self.slot(TRUTH), self.builder.append_basic_block()
        build.store(found, kept)
        for op, comparator in zip(node.ops[1:], node.comparators[1:], strict=True):
            more = build.append_basic_block()
            build.cbranch(build.load(kept), more, done)
            build.position_at_end(more)
            found, left = self._related(left, op, comparator)
            build.store(found, kept)
        build.branch(done)
        build.position_at_end(done)
        return build.load(kept)

    def _related(self, left: ir.Value, op: ast.cmpop, node: ast.expr) -> tuple[ir.Value, ir.Value]:
        """Return whether a number is as it should be to the next one of a chain, and that one."""
        if isinstance(op, ast.In | ast.NotIn):
            found = self._is_in(left, node)
            return self.builder.not_(found) if isinstance(op, ast.NotIn) else found, left
        right = self.number(node)
        return self.sums.ordered(_ORDERS[type(op)], left, right), right

    def _is_in(self, number: ir.Value, node: ast.expr) -> ir.Value:
        if not isinstance(node, ast.Tuple):
            raise UnsupportedError(ast.unparse(node))
        found = ir.Constant(TRUTH, 0)
        for each in node.elts:
            found = self.builder.or_(found, self.sums.ordered("==", number, self.number(each)))
        return found

    def _joined(self, node: ast.BoolOp, *, is_asked: bool = False) -> ir.Value:
        """Return truths that are joined; what comes later is only looked at where it matters.

        Of numbers that are joined one would be left, which is asked for nowhere.
        """
        build, kept = self.builder, self.slot(TRUTH)
        done = build.append_basic_block()
        for place, each in enumerate(node.values):
            found = self.truth(each) if is_asked else self.number(each)
            if found.type != TRUTH:
                raise UnsupportedError(f"no truth: {ast.unparse(each)}")
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
