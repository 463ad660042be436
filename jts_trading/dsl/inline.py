"""Writes the functions that a generated step calls into the step itself.

Theory of operation. A step and what it calls are small plain functions over a flat state; calls
have whole-number slots and periods as arguments. Each call is replaced by the body of what it
calls, with parameters replaced by arguments, own names made unique, and whole-number arithmetic
done, so that in the end `state[at + 1]` reads `state[13]`. A body that returns early becomes
branches; the order of what is computed stays. What has no such form (a return inside a loop, a
call behind `and`) stays a call.

Nothing here knows what an indicator is, and no arithmetic on floats is added, left out or moved:
the result computes the same bits.
"""

import ast
import copy
from collections import Counter
from collections.abc import Sequence

from jts_trading.dsl.folding import Folding, whole_of
from jts_trading.dsl.reach import Path, mark_path

Known = dict[str, ast.expr]


class _StaysError(Exception):
    """The function has no form without a call."""


class Inliner:
    """Replaces calls of the functions of one source; counts them to keep names apart."""

    def __init__(self, functions: dict[str, ast.FunctionDef]) -> None:
        self.functions = functions
        self._count = 0
        self._path: Path = ()
        self.kept: set[str] = set()

    def body_of(self, name: str, results: Sequence[str]) -> list[ast.stmt]:
        """Return the body of a function that leaves what it returns in names of the caller."""
        body = copy.deepcopy(self.functions[name].body)
        return self._statements(_branched(body, results), {}, _assigned_often(body))

    def _statements(
        self, body: Sequence[ast.stmt], known: Known, often: frozenset[str]
    ) -> list[ast.stmt]:
        """Return statements with calls replaced; names that stand for a number are noted."""
        found: list[ast.stmt] = []
        for statement in (each for node in body for each in self._one_by_one(node)):
            for each in self._statement(statement, known, often):
                found.append(each)
                if not isinstance(each, ast.Assign) or whole_of(each.value) is None:
                    continue
                (target,) = each.targets
                if isinstance(target, ast.Name) and target.id not in often:
                    known[target.id] = each.value
        return found

    def _one_by_one(self, node: ast.stmt) -> list[ast.stmt]:
        """Return an assignment to several targets as one for each."""
        if not isinstance(node, ast.Assign) or len(node.targets) == 1:
            return [node]
        self._count += 1
        name = f"shared__{self._count}"
        value = ast.Name(name, ast.Load())
        rest = [ast.Assign([target], value) for target in node.targets]
        return [ast.Assign([ast.Name(name, ast.Store())], node.value), *rest]

    def _statement(self, node: ast.stmt, known: Known, often: frozenset[str]) -> list[ast.stmt]:
        before: list[ast.stmt] = []
        match node:
            case ast.If():
                return self._branch(node, known, often)
            case ast.For(iter=iterated, body=body):
                node.iter = self._value(iterated, known, before)
                node.body = self._statements(body, dict(known), often)
            case ast.Assign(targets=[target], value=ast.Call() as call) if self._is_ours(call):
                return self._replaced(call, known, target)
            case ast.Expr(value=ast.Call() as call) if self._is_ours(call):
                return self._replaced(call, known, None)
            case ast.Assign() | ast.AugAssign() | ast.Expr():
                self._plain(node, known, before)
            case ast.AnnAssign(target=ast.Name() as name, value=ast.expr() as value):
                return self._statement(ast.Assign([name], value), known, often)
            case ast.While():
                return self._repeated(node, known, often)
            case ast.Pass() | ast.Break() | ast.Continue():
                pass
            case _:
                raise _StaysError
        return [*before, node]

    def _plain(
        self, node: ast.Assign | ast.AugAssign | ast.Expr, known: Known, before: list[ast.stmt]
    ) -> None:
        """Replace the calls on the right, and what is known on the left."""
        node.value = self._value(node.value, known, before)
        if isinstance(node, ast.Assign):
            node.targets = [Folding(known).visit(target) for target in node.targets]
        elif isinstance(node, ast.AugAssign):
            node.target = Folding(known).visit(node.target)

    def _branch(self, node: ast.If, known: Known, often: frozenset[str]) -> list[ast.stmt]:
        before: list[ast.stmt] = []
        node.test = self._value(node.test, known, before)
        if isinstance(node.test, ast.Constant):
            chosen = node.body if node.test.value else node.orelse
            return [*before, *self._statements(chosen, known, often)]
        node.body = self._statements(node.body, dict(known), often) or [ast.Pass()]
        node.orelse = self._statements(node.orelse, dict(known), often)
        return [*before, node]

    def _repeated(self, node: ast.While, known: Known, often: frozenset[str]) -> list[ast.stmt]:
        before: list[ast.stmt] = []
        test = self._value(node.test, known, before)
        body = self._statements(node.body, dict(known), often)
        if before:
            # What the condition calls is computed in every turn.
            leave = ast.If(ast.UnaryOp(ast.Not(), test), [ast.Break()], [])
            return [ast.While(ast.Constant(value=True), [*before, leave, *body], [])]
        return [ast.While(test, body, [])]

    def _value(self, node: ast.expr, known: Known, before: list[ast.stmt]) -> ast.expr:
        """Return an expression without calls of ours; what they became is put before."""
        if not any(self._is_ours(each) for each in ast.walk(node)):
            found: ast.expr = Folding(known).visit(node)
            return found
        match node:
            case ast.Call() if self._is_ours(node):
                self._count += 1
                result = ast.Name(f"result__{self._count}", ast.Store())
                before.extend(self._replaced(node, known, result))
                return ast.Name(result.id, ast.Load())
            case ast.IfExp():
                return self._chosen(node, known, before)
            case ast.BoolOp():
                return self._joined(node, known, before)
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                setattr(node, name, self._value(value, known, before))
            elif isinstance(value, list) and value and isinstance(value[0], ast.expr):
                setattr(node, name, [self._value(each, known, before) for each in value])
        folded: ast.expr = Folding({}).visit(node)
        return folded

    def _chosen(self, node: ast.IfExp, known: Known, before: list[ast.stmt]) -> ast.expr:
        """Turn a choice between values with calls into a branch."""
        test = self._value(node.test, known, before)
        if isinstance(test, ast.Constant):
            return self._value(node.body if test.value else node.orelse, known, before)
        self._count += 1
        name = f"chosen__{self._count}"
        sides: list[list[ast.stmt]] = []
        for side in (node.body, node.orelse):
            inner: list[ast.stmt] = []
            value = self._value(side, known, inner)
            sides.append([*inner, ast.Assign([ast.Name(name, ast.Store())], value)])
        before.append(ast.If(test, sides[0], sides[1]))
        return ast.Name(name, ast.Load())

    def _joined(self, node: ast.BoolOp, known: Known, before: list[ast.stmt]) -> ast.expr:
        """Turn `and` and `or` with calls into branches; what comes later may not be needed."""
        self._count += 1
        name = f"joined__{self._count}"
        inner = before
        for place, each in enumerate(node.values):
            value = self._value(each, known, inner)
            inner.append(ast.Assign([ast.Name(name, ast.Store())], value))
            if place + 1 < len(node.values):
                so_far: ast.expr = ast.Name(name, ast.Load())
                if isinstance(node.op, ast.Or):
                    so_far = ast.UnaryOp(ast.Not(), so_far)
                branch = ast.If(so_far, [], [])
                inner.append(branch)
                inner = branch.body
        return ast.Name(name, ast.Load())

    def _is_ours(self, node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in self.functions
            and node.func.id not in self.kept
        )

    def _replaced(self, call: ast.Call, known: Known, target: ast.expr | None) -> list[ast.stmt]:
        """Return what a call whose result goes to a target becomes."""
        before: list[ast.stmt] = []
        call.args = [self._value(argument, known, before) for argument in call.args]
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        try:
            return [*before, *self._inlined(name, call.args, target)]
        except _StaysError:
            self.kept.add(name)
        stays = ast.Expr(call) if target is None else ast.Assign([target], call)
        return [*before, stays]

    def _inlined(
        self, name: str, arguments: list[ast.expr], target: ast.expr | None
    ) -> list[ast.stmt]:
        definition = self.functions[name]
        self._count += 1
        number = self._count
        often = _assigned_often(definition.body)
        stored = _stored(definition.body)
        names: Known = {local: ast.Name(f"{local}__{number}", ast.Load()) for local in stored}
        found: list[ast.stmt] = []
        for parameter, argument in zip(definition.args.args, arguments, strict=True):
            if parameter.arg not in stored and isinstance(argument, ast.Name | ast.Constant):
                names[parameter.arg] = argument
                continue
            own = f"{parameter.arg}__{number}"
            names[parameter.arg] = ast.Name(own, ast.Load())
            found.append(ast.Assign([ast.Name(own, ast.Store())], argument))
        targets = target.elts if isinstance(target, ast.Tuple) else [target] if target else []
        results = [f"result__{number}_{place}" for place in range(len(targets))]
        body = [_Renaming(names).visit(copy.deepcopy(each)) for each in definition.body]
        path = (*self._path, number)
        mark_path(body, path)
        renamed = frozenset(f"{local}__{number}" for local in often)
        outer, self._path = self._path, path
        try:
            found += self._statements(_branched(body, results), {}, renamed)
        finally:
            self._path = outer
        for each, result in zip(targets, results, strict=True):
            found.append(ast.Assign([each], ast.Name(result, ast.Load())))
        return found


class _Renaming(ast.NodeTransformer):
    """Replaces names, those that are assigned too."""

    def __init__(self, names: Known) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        found = self._names.get(node.id)
        if found is None:
            return node
        return ast.Name(found.id, node.ctx) if isinstance(found, ast.Name) else found


def _branched(body: Sequence[ast.stmt], results: Sequence[str]) -> list[ast.stmt]:
    """Return statements that end where they returned, with the value left in `results`."""
    found: list[ast.stmt] = []
    for place, node in enumerate(body):
        rest = list(body[place + 1 :])
        if isinstance(node, ast.Return):
            return [*found, *_result(node.value, results)]
        if isinstance(node, ast.If) and _returns(node):
            node.body = _branched(
                node.body if _ends(node.body) else [*node.body, *copy.deepcopy(rest)], results
            ) or [ast.Pass()]
            node.orelse = _branched(
                node.orelse if _ends(node.orelse) else [*node.orelse, *rest], results
            )
            return [*found, node]
        if not isinstance(node, ast.If) and _returns(node):
            raise _StaysError
        found.append(node)
    return found


def _result(value: ast.expr | None, results: Sequence[str]) -> list[ast.stmt]:
    if value is None or not results:
        return [] if value is None else [ast.Expr(value)]
    names: list[ast.expr] = [ast.Name(result, ast.Store()) for result in results]
    if len(names) == 1:
        return [ast.Assign(names, value)]
    if isinstance(value, ast.Tuple) and len(value.elts) == len(names):
        return [ast.Assign([n], each) for n, each in zip(names, value.elts, strict=True)]
    return [ast.Assign([ast.Tuple(names, ast.Store())], value)]


def _returns(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Return) for each in ast.walk(node))


def _ends(body: Sequence[ast.stmt]) -> bool:
    """Return whether every way through statements returns."""
    if not body:
        return False
    last = body[-1]
    if isinstance(last, ast.If):
        return _ends(last.body) and _ends(last.orelse)
    return isinstance(last, ast.Return)


def _stored(body: Sequence[ast.stmt]) -> Counter[str]:
    """Return how often each name is assigned in statements."""
    return Counter(
        each.id
        for node in body
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    )


def _assigned_often(body: Sequence[ast.stmt]) -> frozenset[str]:
    return frozenset(name for name, count in _stored(body).items() if count > 1)
