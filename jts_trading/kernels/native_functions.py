"""Turns plain functions into one LLVM module: statements, calls, variables.

Theory of operation. A function is written out once for each form of its arguments that it is
called with, as numba does. A variable is a slot on the stack, which LLVM turns into registers; its
type is that of what is first assigned to it. Where something wider comes later, or a function
returns another type than was taken for granted, the function is written out again with what is
known now. A variable that stands for an array is the array itself, so it is assigned in one place.
"""

import ast
import math
from collections.abc import Sequence

from llvmlite import ir

from jts_trading.kernels.native_arithmetic import Arithmetic
from jts_trading.kernels.native_checks import FAULT_WORDS, Checks
from jts_trading.kernels.native_expressions import Expressions
from jts_trading.kernels.native_values import (
    FLOAT,
    INT,
    TRUTH,
    Code,
    Kind,
    Record,
    Shape,
    UnsupportedError,
    Value,
    View,
    as_type,
    as_whole,
    flattened,
    form_of,
    gathered,
    whole,
)

_VOID = ir.VoidType()
# A variable becomes wider twice at most.
_ATTEMPTS_MAX = 100


class _AgainError(Exception):
    """The function has to be written out once more: something is wider than was thought."""


class Module:
    """The functions of a text, and those forms of them that are called.

    Args:
        text: Functions, and constants before them.
        are_checked: Whether functions are written in their checked form, see `native_checks`.
    """

    def __init__(self, text: str, *, are_checked: bool) -> None:
        tree, self._are_checked = ast.parse(text), are_checked
        self.functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        self.code = Code()
        self.constants: dict[str, object] = {}
        plain: list[ast.stmt] = [n for n in tree.body if isinstance(n, ast.Assign | ast.AnnAssign)]
        # The text is our own, like that of every kernel.
        exec(  # noqa: S102
            compile(ast.Module(plain, []), "<kernel>", "exec"), {"math": math}, self.constants
        )
        self._forms: dict[tuple[str, object], tuple[ir.Function, Value | None]] = {}

    def add_entry(self, name: str, shape: Shape, array: Kind) -> None:
        """Add a function that takes words: those of a record, then those of an array.

        In the checked form those of a fault come first. It returns the whole number that the
        function of the same name in the text returns for both.
        """
        kind = ir.FunctionType(INT, [INT.as_pointer()])
        entry = ir.Function(self.code, kind, f"jts_{name}")
        fault = entry.args[0] if self._are_checked else None
        writer = _Writer(self, entry, fault, self.functions[name], {})
        build, at = writer.builder, FAULT_WORDS if self._are_checked else 0
        record = Record(build.gep(entry.args[0], [whole(at)]), shape)
        at = sum(kind.words for kind in shape.values())
        words = build.gep(record.words, [whole(at)])
        view = writer.field_of(Record(words, {"": array}), "")
        found = writer.called(name, [record, view])
        if not isinstance(found, ir.Value):
            raise UnsupportedError(f"{name} returns no number")
        writer.builder.ret(as_whole(writer.builder, found))

    def form(self, name: str, arguments: Sequence[Value]) -> tuple[ir.Function, Value | None]:
        """Return a function for arguments of such types, and something like what it returns.

        Raises:
            UnsupportedError: There is no such function, or it says something unknown.
        """
        key = name, tuple(form_of(each) for each in arguments)
        if key not in self._forms:
            if name not in self.functions:
                raise UnsupportedError(f"unknown function {name}")
            self._forms[key] = self._write(name, arguments)
        return self._forms[key]

    def _write(self, name: str, arguments: Sequence[Value]) -> tuple[ir.Function, Value | None]:
        definition, singles = self.functions[name], flattened(arguments)
        wider: dict[str, ir.Type] = {}
        returned: list[Value] = []
        for _ in range(_ATTEMPTS_MAX):
            result: ir.Type = _VOID
            if returned:
                parts = [each.type for each in flattened(returned)]
                result = parts[0] if len(parts) == 1 else ir.LiteralStructType(parts)
            taken = [each.type for each in singles]
            if self._are_checked:
                taken.insert(0, INT.as_pointer())
            kind = ir.FunctionType(result, taken)
            function = ir.Function(self.code, kind, self.code.get_unique_name(name))
            function.linkage = "internal"
            function.attributes.add("nounwind")
            function.attributes.add("inlinehint")
            left = list(function.args)
            fault = left.pop(0) if self._are_checked else None
            names = {
                parameter.arg: gathered(argument, left)
                for parameter, argument in zip(definition.args.args, arguments, strict=True)
            }
            writer = _Writer(self, function, fault, definition, names, wider, returned)
            try:
                writer.write()
            except _AgainError:
                del self.code.globals[function.name]
                continue
            return function, returned[0] if returned else None
        raise UnsupportedError(f"{name} has variables of no one type")


class _Writer(Expressions):
    """Writes one form of a function out.

    Args:
        module: Whose function it is.
        function: The empty function in LLVM.
        fault: Where a fault is written down, in the checked form.
        definition: Its text.
        names: Its arguments.
        wider: Types of variables that hold more than is assigned first; grows.
        returned: What it returns, or nothing; filled when it is found out.
    """

    def __init__(  # noqa: PLR0917
        self,
        module: Module,
        function: ir.Function,
        fault: ir.Value | None,
        definition: ast.FunctionDef,
        names: dict[str, Value],
        wider: dict[str, ir.Type] | None = None,
        returned: list[Value] | None = None,
    ) -> None:
        self._module, self._function, self._definition = module, function, definition
        self._slots = ir.IRBuilder(function.append_basic_block("slots"))
        self.builder = ir.IRBuilder(function.append_basic_block())
        self._slots.branch(self.builder.block)
        self._slots.position_at_start(self._slots.block)
        self.constants, self.names, self.flags = module.constants, {}, {}
        self.checks = Checks(self.builder, fault)
        self.sums = Arithmetic(self.builder, self.checks)
        # How many branches and loops stand around a statement.
        self._depth = 0
        self._wider = {} if wider is None else wider
        self._returned = [] if returned is None else returned
        self._loops: list[tuple[ir.Block, ir.Block]] = []
        for name, value in names.items():
            self._assign_name(name, value)

    def write(self) -> None:
        """Write all statements out."""
        self._statements(self._definition.body)
        if self.builder.block.is_terminated:
            return
        if self._function.function_type.return_type == _VOID:
            self.builder.ret_void()
        else:
            self.checks.never(self._definition)

    def slot(self, kind: ir.Type) -> ir.Value:
        """Return room for a number, which LLVM turns into a register."""
        return self._slots.alloca(kind)

    def called(self, name: str, arguments: list[Value]) -> Value:
        """Call a function of the module; nothing is returned as no values."""
        function, like = self._module.form(name, arguments)
        handed = flattened(arguments)
        if self.checks.words is not None:
            handed.insert(0, self.checks.words)
        found = self.builder.call(function, handed)
        self.checks.called()
        if like is None:
            return ()
        count = len(flattened([like]))
        singles = [found]
        if count > 1:
            singles = [self.builder.extract_value(found, at) for at in range(count)]
        return gathered(like, singles)

    def _statements(self, body: Sequence[ast.stmt]) -> None:
        self._depth += 1
        for node in body:
            if not self.builder.block.is_terminated:
                self._statement(node)
        self._depth -= 1

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                found = self.value(value)
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    self._assign(target, found)
            case ast.AugAssign():
                self._augment(node)
            case ast.Expr(value=ast.Call() as call):
                self.value(call)
            case ast.Return():
                self._leave(node.value)
            case _:
                self._turn(node)

    def _turn(self, node: ast.stmt) -> None:
        """Write a statement out that says where the code goes on."""
        match node:
            case ast.If():
                self._branch(node)
            case ast.While(test=test, body=body):
                self._repeat(test, body)
            case ast.For(target=ast.Name(id=name), iter=ast.Call() as bounds, body=body):
                self._count(name, bounds, body)
            case ast.Break() | ast.Continue():
                self.builder.branch(self._loops[-1][isinstance(node, ast.Continue)])
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case _:
                raise UnsupportedError(ast.unparse(node))

    def _assign(self, target: ast.expr, value: Value) -> None:
        match target:
            case ast.Name(id=name):
                self._assign_name(name, value)
            case ast.Tuple(elts=targets) if isinstance(value, tuple):
                for each, part in zip(targets, value, strict=True):
                    self._assign(each, part)
            case ast.Subscript() if isinstance(value, ir.Value):
                self._store(target, self._place(target), value)
            case _:
                raise UnsupportedError(ast.unparse(target))

    def _place(self, target: ast.Subscript) -> View:
        array = self.value(target.value)
        found = self.place_of(array, target.slice) if isinstance(array, View) else None
        if found is None or found.sizes:
            raise UnsupportedError(ast.unparse(target))
        return found

    def _store(self, target: ast.expr, place: View, value: ir.Value) -> None:
        number = self.turned(target, value, place.start.type.pointee)
        self.tagged(self.builder.store(number, place.start), place.origin)

    def _assign_name(self, name: str, value: Value) -> None:
        if isinstance(value, tuple):
            for at, part in enumerate(value):
                self._assign_name(f"{name}.{at}", part)
            self.names[name] = tuple(self.names[f"{name}.{at}"] for at in range(len(value)))
            return
        if not isinstance(value, ir.Value):
            if name in self.names:
                raise UnsupportedError(f"{name} stands for two arrays")
            self.names[name] = value
            return
        if name not in self.names:
            self.names[name] = self.slot(self._wider.get(name, value.type))
            self._watch(name)
        kept = self.names[name]
        if not isinstance(kept, ir.Value):
            raise UnsupportedError(f"{name} is an array and a number")
        kind = kept.type.pointee
        if kind != value.type and _is_wider(value.type, kind):
            self._wider[name] = value.type
            raise _AgainError
        self.builder.store(as_type(self.builder, value, kind), kept)
        if name in self.flags:
            self.builder.store(ir.Constant(TRUTH, 1), self.flags[name])

    def _watch(self, name: str) -> None:
        """Give a variable a flag if it might be read before it is assigned."""
        if self.checks.are_on and self._depth > 1:
            self.flags[name] = self.slot(TRUTH)
            self._slots.store(ir.Constant(TRUTH, 0), self.flags[name])

    def _augment(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            before, value = self.number(node.target), self.number(node.value)
            self._assign_name(node.target.id, self.sums.combined(node, node.op, before, value))
            return
        if not isinstance(node.target, ast.Subscript):
            raise UnsupportedError(ast.unparse(node))
        place = self._place(node.target)
        before = self.tagged(self.builder.load(place.start), place.origin)
        number = before if before.type == FLOAT else as_whole(self.builder, before)
        found = self.sums.combined(node, node.op, number, self.number(node.value))
        self._store(node.target, place, found)

    def _branch(self, node: ast.If) -> None:
        build, test = self.builder, self.truth(node.test)
        first, done = build.append_basic_block(), build.append_basic_block()
        second = build.append_basic_block() if node.orelse else done
        build.cbranch(test, first, second)
        for block, body in ((first, node.body), (second, node.orelse)):
            if block is not done:
                build.position_at_end(block)
                self._statements(body)
                self._go_on(done)
        build.position_at_end(done)

    def _go_on(self, block: ir.Block) -> None:
        if not self.builder.block.is_terminated:
            self.builder.branch(block)

    def _repeat(self, test: ast.expr, body: Sequence[ast.stmt]) -> None:
        build = self.builder
        again, turn, done = (build.append_basic_block() for _ in range(3))
        build.branch(again)
        build.position_at_end(again)
        build.cbranch(self.truth(test), turn, done)
        build.position_at_end(turn)
        self._loop(body, done, again)

    def _loop(self, body: Sequence[ast.stmt], done: ir.Block, again: ir.Block) -> None:
        self._loops.append((done, again))
        self._statements(body)
        self._loops.pop()
        self._go_on(again)
        self.builder.position_at_end(done)

    def _count(self, name: str, call: ast.Call, body: Sequence[ast.stmt]) -> None:
        """Write a loop over `range` out; its step is a plain number."""
        if ast.unparse(call.func) != "range":
            raise UnsupportedError(ast.unparse(call))
        build, bounds, step = self.builder, call.args, 1
        if len(bounds) == 3:
            step = int(ast.literal_eval(bounds[2]))
        start = self.whole(bounds[0]) if len(bounds) > 1 else whole(0)
        end, at = self.whole(bounds[min(len(bounds) - 1, 1)]), self.slot(INT)
        build.store(start, at)
        again, turn, following, done = (build.append_basic_block() for _ in range(4))
        build.branch(again)
        build.position_at_end(again)
        now = build.load(at)
        build.cbranch(build.icmp_signed("<" if step > 0 else ">", now, end), turn, done)
        build.position_at_end(following)
        build.store(build.add(build.load(at), whole(step), flags=["nsw"]), at)
        build.branch(again)
        build.position_at_end(turn)
        self._assign_name(name, now)
        self._loop(body, done, following)

    def _leave(self, node: ast.expr | None) -> None:
        if node is None:
            self.builder.ret_void()
            return
        found = self.value(node)
        wanted = self._function.function_type.return_type
        singles = flattened([found])
        if not self._returned:
            self._returned.append(found)
            raise _AgainError
        kinds = list(wanted.elements) if isinstance(wanted, ir.LiteralStructType) else [wanted]
        if len(kinds) != len(singles):
            raise UnsupportedError(f"{self._definition.name} returns different things")
        if any(_is_wider(each.type, kind) for each, kind in zip(singles, kinds, strict=True)):
            self._returned[0] = found
            raise _AgainError
        singles = [
            each if each.type == kind else as_type(self.builder, each, kind)
            for each, kind in zip(singles, kinds, strict=True)
        ]
        if isinstance(wanted, ir.LiteralStructType):
            whole_one: ir.Value = ir.Constant(wanted, ir.Undefined)
            for at, each in enumerate(singles):
                whole_one = self.builder.insert_value(whole_one, each, at)
            singles = [whole_one]
        self.builder.ret(singles[0])


def _is_wider(kind: ir.Type, other: ir.Type) -> bool:
    """Return whether a number of a type does not fit into a variable of another."""
    order = {TRUTH: 0, INT: 1, FLOAT: 2}
    return kind in order and other in order and order[kind] > order[other]
