"""Sums over the last bars of a price, in the batch form: read from the bars themselves.

Theory of operation. A step keeps the last values of a sum in its state, because live bars come one
by one. A pass over rows has them all: once as many bars are there as a sum has values, each
further bar changes it by its price less the one that leaves, and both stand in the columns. Whole
prices of 32 bits make sums below 2**53, which floats hold exactly, so a sum in whole numbers is
the same one to the bit. So the batch form has two loops for such prices: the step as it is until
the longest sum is full, then the step with running sums. After the last bar the state is put where
the step would have left it.

Only sums are treated like this that the step computes on every bar, from a price as it is.
"""

import ast
import copy
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from jts_trading.dsl.exactness import MULTIPLIER_MAX
from jts_trading.dsl.folding import whole_of
from jts_trading.indicators.windows import sum_step

_PLACES = {"open_": 0, "high": 1, "low": 2, "close": 3}
# So many values of 32 bits have a sum below 2**53.
_PERIOD_MAX = 1 << 20
_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
}


class RunningSum(NamedTuple):
    """A sum that a step computes on every bar.

    Attributes:
        at: Its first slot, see `sum_step`.
        period: Of how many bars.
        place: Of its price among open, high, low and close.
    """

    at: int
    period: int
    place: int

    @property
    def name(self) -> str:
        """The variable that holds it."""
        return f"sum__{self.at}"


def running_sums(functions: Mapping[str, ast.FunctionDef]) -> list[RunningSum]:
    """Return the sums of the step of a source that can run over the bars themselves."""
    if "sum_step" not in functions or not _is_ours(functions["sum_step"]):
        return []
    body = functions["step"].body
    found = (_sum_of(node, _prices(body)) for node in body)
    return [each for each in found if each is not None]


def with_running_sums(step: ast.FunctionDef, sums: Sequence[RunningSum]) -> ast.FunctionDef:
    """Return a step that reads sums from their variables, after it has moved them on.

    Such sums are never null, nor are prices; what compares them is told so.
    """
    changed, prices, stored = copy.deepcopy(step), _prices(step.body), _stored(step.body)
    sure, waiting, body = set(prices), list(sums), list[ast.stmt]()
    for node in changed.body:
        name = node.targets[0] if isinstance(node, ast.Assign) else None
        found = _sum_of(node, prices)
        if found not in waiting:
            found = None
        if found is not None and isinstance(node, ast.Assign):
            waiting.remove(found)
            body += ast.parse(f"{found.name} += {_change(found)}").body
            node.value = ast.parse(f"float({found.name})", mode="eval").body
        elif isinstance(node, ast.Assign):
            node.value = _Surely(sure).visit(node.value)
        is_sure = isinstance(node, ast.Assign) and (found or _is_sure(node.value, sure))
        if is_sure and isinstance(name, ast.Name) and stored.count(name.id) == 1:
            sure.add(name.id)
        body.append(node)
    assert not waiting  # noqa: S101 - `running_sums` found them in the same step
    changed.body = body
    return changed


def first_sums(sums: Sequence[RunningSum]) -> list[str]:
    """Return lines that take sums out of the state."""
    return [f"{each.name} = int(state[{each.at + 1}])" for each in sums]


def last_sums(sums: Sequence[RunningSum]) -> list[str]:
    """Return lines that leave sums and their last values in the state as the step does.

    The rows of the instrument go from `begin` to before `end`: more than any sum has values.
    """
    lines = []
    for at, period, place in sums:
        value = _price("other", place)
        lines += [
            f"state[{at}] = {period} + (end - begin) % {period}",
            f"state[{at + 1}] = sum__{at}",
            f"for other in range(end - {period}, end):",
            f"    state[{at + 2} + (other - begin) % {period}] = {value}",
        ]
    return lines


def _change(found: RunningSum) -> str:
    return f"{_price('row', found.place)} - {_price(f'row - {found.period}', found.place)}"


def _price(row: str, place: int) -> str:
    return f"int(prices[np.uint64({row}), {place}])"


def _is_ours(definition: ast.FunctionDef) -> bool:
    """Return whether a function of a source says what `sum_step` of the library says."""
    known = ast.parse(inspect.getsource(sum_step)).body[0]
    assert isinstance(known, ast.FunctionDef)  # noqa: S101 - it is one
    return _said(known.body) == _said(definition.body)


def _said(body: Sequence[ast.stmt]) -> list[str]:
    return [ast.unparse(node) for node in body if not _is_docstring(node)]


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _prices(body: Sequence[ast.stmt]) -> dict[str, int]:
    """Return the places of the prices that names of a step stand for, whatever happens."""
    stored = _stored(body)
    found = {name: place for name, place in _PLACES.items() if name not in stored}
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=source)):
                if source in found and stored.count(name) == 1:
                    found[name] = found[source]
    return found


def _stored(body: Sequence[ast.stmt]) -> list[str]:
    """Return the names that are assigned, each as often as it is."""
    return [
        each.id
        for node in body
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]


def _is_sure(node: ast.expr, sure: Collection[str]) -> bool:
    """Return whether an expression is never null, from names that never are."""
    match node:
        case ast.Name(id=name):
            return name in sure
        case ast.BinOp(left=left, op=ast.Mult(), right=ast.Constant(value=float(factor))):
            return _is_sure(left, sure) and abs(factor) <= MULTIPLIER_MAX
    return False


class _Surely(ast.NodeTransformer):
    """Writes `1 + (a > b) - (a <= b)`, which is 1 for null, as `2 * (a > b)` where none is."""

    def __init__(self, sure: Collection[str]) -> None:
        self._sure = sure

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Replace the form in which steps hold what may be true, false or null."""
        match node:
            case ast.BinOp(
                left=ast.BinOp(
                    left=ast.Constant(value=1), op=ast.Add(), right=ast.Compare() as yes
                ),
                op=ast.Sub(),
                right=ast.Compare() as no,
            ) if _is_opposite(yes, no):
                if all(_is_sure(each, self._sure) for each in (yes.left, *yes.comparators)):
                    return ast.BinOp(ast.Constant(2), ast.Mult(), yes)
        return node


def _is_opposite(yes: ast.Compare, no: ast.Compare) -> bool:
    """Return whether one of two comparisons of the same numbers holds, if none is null."""
    (order,), (other,) = yes.ops, no.ops
    operands = [ast.unparse(each) for each in (yes.left, *yes.comparators)]
    others = [ast.unparse(each) for each in (no.left, *no.comparators)]
    return operands == others and _OPPOSITES.get(type(order)) is type(other)


def _sum_of(node: ast.stmt, prices: Mapping[str, int]) -> RunningSum | None:
    match node:
        case ast.Assign(
            targets=[ast.Name()],
            value=ast.Call(func=ast.Name(id="sum_step"), args=[_, at, period, ast.Name(id=name)]),
        ):
            first, count = whole_of(at), whole_of(period)
            if first is None or count is None or name not in prices:
                return None
            if 0 < count <= _PERIOD_MAX:
                return RunningSum(first, count, prices[name])
    return None
