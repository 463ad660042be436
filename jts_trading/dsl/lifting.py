"""One program for many parameter sets: numbers that differ become arguments.

Theory of operation. Compiling a strategy costs a second, running it over a year of bars a
millisecond, so a sweep would spend its time compiling. The batch forms of a strategy with other
parameters mostly differ in numbers only: lengths, places in the state, factors. Sources that are
equal but for numbers (and for the names of state slots, which carry their place) form a group;
the numbers in which they differ are read from two arrays that are handed over at each call. The
arithmetic stays what it was, so results are equal to the bit; exponents are left in place, because
numba works out a written power in another way than one that is only known later.
"""

import ast
import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jts_trading.dsl.lowering import ROWS_FUNCTION

_SLOT = re.compile(r"s\d+")


@dataclass(frozen=True, slots=True)
class Lifted:
    """One source as a member of its group.

    Attributes:
        text: Of the group; `run_rows` takes `whole` and `real` behind its other arguments.
        whole: Whole numbers of this source, where the group differs.
        real: Other numbers, likewise.
    """

    text: str
    whole: tuple[int, ...]
    real: tuple[float, ...]


def lift(sources: Sequence[str]) -> list[Lifted]:
    """Return each source as a member of its group, in the order of the sources.

    Args:
        sources: Batch forms of plans.
    """
    trees = [_canonical(ast.parse(source)) for source in sources]
    groups: dict[str, list[int]] = {}
    for at, tree in enumerate(trees):
        groups.setdefault(_shape(tree), []).append(at)
    found: dict[int, Lifted] = {}
    for members in groups.values():
        values = [tuple(node.value for node in _numbers(trees[at])) for at in members]
        arguments = _arguments(values)
        text = _text(trees[members[0]], arguments)
        for at, own in zip(members, values, strict=True):
            chosen = [own[places[0]] for places in arguments]
            found[at] = Lifted(
                text,
                tuple(number for number in chosen if isinstance(number, int)),
                tuple(number for number in chosen if isinstance(number, float)),
            )
    return [found[at] for at in range(len(sources))]


def with_arguments(tree: ast.Module, whole: int, real: int) -> str:
    """Return the text of a program whose `run_rows` takes its numbers out of arrays first.

    Args:
        tree: Its `run_rows` reads `whole__k` and `real__k`.
        whole: How many whole numbers there are.
        real: How many others.
    """
    loads = [f"whole__{k} = whole[{k}]" for k in range(whole)]
    loads += [f"real__{k} = real[{k}]" for k in range(real)]
    entry = _entry(tree)
    entry.body[:0] = ast.parse("\n".join(loads)).body
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _entry(tree: ast.Module) -> ast.FunctionDef:
    (found,) = (
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == ROWS_FUNCTION
    )
    return found


def _canonical(tree: ast.Module) -> ast.Module:
    """Number the names of state slots by their first appearance, not by their place."""
    names: dict[str, str] = {}
    for node in ast.walk(_entry(tree)):
        if isinstance(node, ast.Name) and _SLOT.fullmatch(node.id):
            node.id = names.setdefault(node.id, f"slot_{len(names)}")
    return tree


def _numbers(tree: ast.Module) -> list[ast.Constant]:
    """Return the constants that may become arguments, in the order of the walk."""
    nodes = list(ast.walk(_entry(tree)))
    exponents = {
        id(node.right)
        for node in nodes
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
    }
    return [
        node
        for node in nodes
        if isinstance(node, ast.Constant)
        and type(node.value) in (int, float)
        and id(node) not in exponents
    ]


def _shape(tree: ast.Module) -> str:
    """Return a source without its numbers; their types stay."""
    numbers = _numbers(tree)
    values = [node.value for node in numbers]
    for node in numbers:
        node.value = type(node.value).__name__
    shape = ast.dump(tree)
    for node, value in zip(numbers, values, strict=True):
        node.value = value
    return shape


def _arguments(values: list[tuple[Any, ...]]) -> list[list[int]]:
    """Return the places of each number that differs; those equal in every source are one."""
    found: dict[tuple[object, ...], list[int]] = {}
    for at, column in enumerate(zip(*values, strict=True)):
        if len(set(column)) > 1:
            found.setdefault((type(column[0]), *column), []).append(at)
    return list(found.values())


def _text(tree: ast.Module, arguments: list[list[int]]) -> str:
    lifted = copy.deepcopy(tree)
    numbers = _numbers(lifted)
    names: dict[int, str] = {}
    counts = {"whole": 0, "real": 0}
    for places in arguments:
        kind = "whole" if isinstance(numbers[places[0]].value, int) else "real"
        names |= {id(numbers[at]): f"{kind}__{counts[kind]}" for at in places}
        counts[kind] += 1
    entry = _entry(_Names(names).visit(lifted))
    entry.args.args += [ast.arg("whole"), ast.arg("real")]
    return with_arguments(lifted, counts["whole"], counts["real"])


class _Names(ast.NodeTransformer):
    """Puts names in the place of numbers."""

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Replace a number that differs in its group."""
        name = self._names.get(id(node))
        return node if name is None else ast.Name(name, ast.Load())
