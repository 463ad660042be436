"""The checked form of compiled functions: it stops where a text says what has no meaning.

Theory of operation. A function of the fast form reads and writes wherever an index leads it. In
the checked form it gets the words of a fault as one more argument. Before it does something that
may go wrong it asks whether that is so; if it is, it writes down what and where, and returns.
Whoever called it sees that and returns, too, so the fault reaches Python as a `FaultError`. The
two forms give the same bits where there is no fault, which is everywhere: a fault is a mistake in
a text of ours. The tests find them with this form.
"""

import ast
from collections.abc import Mapping
from enum import IntEnum
from itertools import pairwise
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.lib.array_utils import byte_bounds

from jts_trading.kernels.native_values import FLOAT, INT, UnsupportedError, as_whole, whole

# Which fault; line, column and last column in the text; what was found, what it is judged by.
FAULT_WORDS = 6
_WORD_BITS = 64
_LEAST = -1 << 63
# No float at or beyond these, on either side, is a whole number of 64 bits.
_WHOLE_MAX = float(1 << 63)


class Fault(IntEnum):
    """What went wrong."""

    INDEX = 1
    UNASSIGNED = 2
    SHIFT = 3
    NO_WHOLE = 4
    TOO_LARGE = 5
    NO_RESULT = 6


_MESSAGES = {
    Fault.INDEX: "index {found} is outside of a dimension of {bound}",
    Fault.UNASSIGNED: "has no value yet",
    Fault.SHIFT: "shifts by {found}, outside of 0 to {bound}",
    Fault.NO_WHOLE: "turns a float into a whole number that has no place in 64 bits",
    Fault.TOO_LARGE: "makes a number that has no place in {bound} bits",
    Fault.NO_RESULT: "ends without a result",
}


class FaultError(Exception):
    """A compiled function met what has no meaning: function, line, expression and numbers."""


def fault_message(text: str, words: list[int]) -> str:
    """Return what the words of a fault say about a text."""
    fault, line, *columns, found, bound = words
    tree, where, what = ast.parse(text), "", ""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() if node.lineno <= line <= (node.end_lineno or 0):
                where = node.name
            case ast.expr() | ast.stmt() if node.lineno == line and columns == _columns(node):
                what = what or ast.unparse(node).splitlines()[0]
    said = _MESSAGES[Fault(fault)].format(found=found, bound=bound)
    return f"{where}, line {line}: {what}: {said}"


def _columns(node: ast.AST) -> list[int]:
    return [getattr(node, "col_offset", 0), getattr(node, "end_col_offset", None) or 0]


def require_apart(arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Require that arrays share no memory: what is written to one does not change another.

    Raises:
        FaultError: Two of them do.
    """
    bounds = sorted((*byte_bounds(array), name) for name, array in arrays.items() if array.size)
    for (_, end, name), (start, _, other) in pairwise(bounds):
        if start < end:
            raise FaultError(f"{name} and {other} share memory")


class Checks:
    """What one function asks before it goes on.

    Args:
        builder: Writes the function.
        words: Where a fault is written down; None in the fast form, which asks nothing.
    """

    def __init__(self, builder: ir.IRBuilder, words: ir.Value | None) -> None:
        self._builder, self.words = builder, words
        self._exit: ir.Block | None = None

    @property
    def are_on(self) -> bool:
        """Whether anything is asked."""
        return self.words is not None

    def index(self, node: ast.expr, index: ir.Value, size: ir.Value) -> None:
        """Require that an index is in a dimension."""
        if isinstance(index, ir.Constant) and isinstance(size, ir.Constant):
            if not 0 <= index.constant < size.constant:
                raise UnsupportedError(f"{ast.unparse(node)} of {size.constant}")
        elif self.words is not None:
            holds = self._builder.icmp_unsigned("<", index, size)
            self._require(holds, Fault.INDEX, node, index, size)

    def assigned(self, node: ast.expr, flag: ir.Value | None) -> None:
        """Require that a variable was assigned, where it has a flag that says so."""
        if flag is not None:
            self._require(self._builder.load(flag), Fault.UNASSIGNED, node)

    def shift(self, node: ast.AST, by: ir.Value) -> None:
        """Require that a shift is less than the bits of a word."""
        if self.words is not None:
            holds = self._builder.icmp_unsigned("<", by, whole(_WORD_BITS))
            self._require(holds, Fault.SHIFT, node, by, whole(_WORD_BITS - 1))

    def turned(self, node: ast.AST, number: ir.Value) -> None:
        """Require that what is turned into a whole number has 64 bits."""
        if self.words is not None and number.type == FLOAT:
            build = self._builder
            above = build.fcmp_ordered(">=", number, ir.Constant(FLOAT, -_WHOLE_MAX))
            below = build.fcmp_ordered("<", number, ir.Constant(FLOAT, _WHOLE_MAX))
            self._require(build.and_(above, below), Fault.NO_WHOLE, node)

    def narrowed(self, node: ast.AST, number: ir.Value, kind: ir.Type) -> None:
        """Require that a whole number keeps its value as a narrower element of an array."""
        if self.words is None or not isinstance(kind, ir.IntType) or number.type == FLOAT:
            return
        if kind.width < INT.width:
            number = as_whole(self._builder, number)
            kept = as_whole(self._builder, self._builder.trunc(number, kind))
            holds = self._builder.icmp_signed("==", kept, number)
            self._require(holds, Fault.TOO_LARGE, node, number, whole(kind.width))

    def combined(self, node: ast.AST, name: str, left: ir.Value, right: ir.Value) -> ir.Value:
        """Return a sum, difference or product of whole numbers, which has to fit a word."""
        found = getattr(self._builder, f"s{name}_with_overflow")(left, right)
        holds = self._builder.not_(self._builder.extract_value(found, 1))
        self._require(holds, Fault.TOO_LARGE, node, whole(0), whole(_WORD_BITS))
        return self._builder.extract_value(found, 0)

    def divided(self, node: ast.AST, left: ir.Value, right: ir.Value) -> None:
        """Require that a quotient fits a word: one of the least number by minus one does not."""
        if self.words is not None:
            build = self._builder
            is_least = build.icmp_signed("==", left, whole(_LEAST))
            is_minus = build.icmp_signed("==", right, whole(-1))
            holds = build.not_(build.and_(is_least, is_minus))
            self._require(holds, Fault.TOO_LARGE, node, left, whole(_WORD_BITS))

    def never(self, node: ast.AST) -> None:
        """Leave: a function that returns something came to its end."""
        if self.words is None:
            self._builder.unreachable()
            return
        self._note(Fault.NO_RESULT, node, whole(0), whole(0))

    def called(self) -> None:
        """Leave if the function that was called has met a fault."""
        if self.words is not None:
            fault = self._untouched(self._builder.load(self.words))
            self._branch(self._builder.icmp_signed("==", fault, whole(0)), self._leaving())

    def _require(
        self,
        holds: ir.Value,
        fault: Fault,
        node: ast.AST,
        found: ir.Value = whole(0),  # noqa: B008 - a constant
        bound: ir.Value = whole(0),  # noqa: B008
    ) -> None:
        build, wrong = self._builder, self._builder.append_basic_block()
        self._branch(holds, wrong)
        after = build.block
        build.position_at_end(wrong)
        self._note(fault, node, found, bound)
        build.position_at_end(after)

    def _branch(self, holds: ir.Value, otherwise: ir.Block) -> None:
        build, good = self._builder, self._builder.append_basic_block()
        build.cbranch(holds, good, otherwise).set_weights([1 << 20, 1])
        build.position_at_end(good)

    def _note(self, fault: Fault, node: ast.AST, found: ir.Value, bound: ir.Value) -> None:
        place = map(whole, (fault, getattr(node, "lineno", 0), *_columns(node)))
        for at, word in enumerate((*place, found, bound)):
            into = self._builder.gep(self.words, [whole(at)], inbounds=True)
            self._untouched(self._builder.store(word, into))
        self._builder.branch(self._leaving())

    def _leaving(self) -> ir.Block:
        """Return the block that returns; nobody reads what."""
        if self._exit is None:
            self._exit = self._builder.function.append_basic_block("fault")
            leave = ir.IRBuilder(self._exit)
            kind = self._builder.function.function_type.return_type
            if isinstance(kind, ir.VoidType):
                leave.ret_void()
            else:
                leave.ret(ir.Constant(kind, None))
        return self._exit

    def _untouched(self, access: ir.Instruction) -> ir.Instruction:
        """Note that no array has the words of a fault in it."""
        return self._builder.module.mark(access, "fault words")
