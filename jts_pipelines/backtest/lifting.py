"""One compiled program for many parameter sets: numbers that differ become arguments.

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
from types import ModuleType

import numpy as np

from jts_pipelines.backtest.columns import Floats, Ints

ENTRY = "run_rows"
_SLOT = re.compile(r"s\d+")


@dataclass(frozen=True, slots=True)
class Lifted:
    """One source as a member of its group.

    Attributes:
        text: Of the group; the entry takes `ints` and `floats` after its other arguments.
        ints: Whole numbers of this source, where the group differs.
        floats: Other numbers, likewise.
    """

    text: str
    ints: Ints
    floats: Floats


def lift(sources: Sequence[str]) -> list[Lifted]:
    """Return each source as a member of its group, in the order of the sources.

    Args:
        sources: Batch forms of plans: an entry function and nothing else that is called.
    """
    trees = [_canonical(ast.parse(source)) for source in sources]
    groups: dict[str, list[int]] = {}
    for at, tree in enumerate(trees):
        groups.setdefault(_shape(tree), []).append(at)
    found: dict[int, Lifted] = {}
    for members in groups.values():
        values = [[node.value for node in _numbers(trees[at])] for at in members]
        columns = list(zip(*values, strict=True))
        differing = [n for n, column in enumerate(columns) if len(set(column)) > 1]
        text = _text(trees[members[0]], differing)
        for at, own in zip(members, values, strict=True):
            chosen = [own[n] for n in differing]
            found[at] = Lifted(
                text,
                np.array([v for v in chosen if isinstance(v, int)], np.int64),
                np.array([v for v in chosen if isinstance(v, float)], np.float64),
            )
    return [found[at] for at in range(len(sources))]


def bound(module: ModuleType, lifted: Lifted) -> ModuleType:
    """Return a compiled group with the numbers of one member in place."""
    entry = getattr(module, ENTRY)
    found = ModuleType(f"{module.__name__}_bound")

    def run_rows(*arguments: object) -> None:
        entry(*arguments, lifted.ints, lifted.floats)

    setattr(found, ENTRY, run_rows)
    return found


def _canonical(tree: ast.Module) -> ast.Module:
    """Number the names of state slots by their first appearance, not by their place."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and _SLOT.fullmatch(node.id):
            node.id = names.setdefault(node.id, f"slot_{len(names)}")
    return tree


def _numbers(tree: ast.Module) -> list[ast.Constant]:
    """Return the constants that may become arguments, in the order of the walk."""
    exponents = {
        id(node.right)
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
    }
    return [
        node
        for node in ast.walk(tree)
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


def _text(tree: ast.Module, differing: list[int]) -> str:
    lifted = copy.deepcopy(tree)
    numbers = _numbers(lifted)
    names = {id(numbers[n]): f"lifted_{n}" for n in differing}
    counts = {"ints": 0, "floats": 0}
    reads = []
    for n in differing:
        kind = "ints" if isinstance(numbers[n].value, int) else "floats"
        reads.append(f"lifted_{n} = {kind}[{counts[kind]}]")
        counts[kind] += 1
    _Names(names).visit(lifted)
    for node in lifted.body:
        if isinstance(node, ast.FunctionDef) and node.name == ENTRY:
            node.args.args += [ast.arg("ints"), ast.arg("floats")]
            node.body[:0] = ast.parse("\n".join(reads)).body
    return ast.unparse(ast.fix_missing_locations(lifted))


class _Names(ast.NodeTransformer):
    """Puts names in the place of numbers."""

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Replace a number that differs in its group."""
        name = self._names.get(id(node))
        return node if name is None else ast.Name(name, ast.Load())
