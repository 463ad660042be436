"""Sources of one strategy with different parameters, laid side by side as rows of numbers.

What differs between them is found in their numbers alone, without reading each as a program: a
sweep has hundreds. Numbers have one of three parts: periods of indicators that become columns;
slots of the state, which are numbered anew, so that they no longer differ; and factors.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

BAR_COLUMNS = ("open_", "high", "low", "close", "volume")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.])")
_STEP, _START = "\ndef step(", "\ndef init_state("
_SLOTS = re.compile(r"state\[(\d+)(?::(\d+))?\] = (.+)")


@dataclass(frozen=True, slots=True)
class SeriesCall:
    """A call of an indicator that reads bar columns only.

    Attributes:
        numbers: Places of its settings among the numbers.
        inputs: Names of bar columns.
        outputs: How many.
    """

    function: str
    numbers: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: int


@dataclass(frozen=True, slots=True)
class Form:
    """What sources have in common.

    Attributes:
        source: Reads `columns`, with `whole__k` for the first column of call k and `real__k` for
            factor k.
        calls: Of indicators.
        real: Places of the factors among the numbers.
    """

    source: str
    calls: tuple[SeriesCall, ...]
    real: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Sources that are equal but for the numbers in their steps.

    Attributes:
        functions: Names of what a step may call.
        step: Text of the first step.
        starts: Texts of `init_state`, one per source.
        rows: Numbers of each step, as they are written.
    """

    functions: frozenset[str]
    step: str
    starts: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def form(self) -> Form | None:
        """Return what the sources have in common; None where they call more than indicators."""
        tree = ast.parse(self.step)
        numbered = _numbered(self.step, tree)
        calls = _taken_out(tree, self.functions, numbered)
        if any(isinstance(n, ast.Name) and n.id in self.functions for n in ast.walk(tree)):
            return None
        slots = [n for n in ast.walk(tree) if _is_slot(n) and isinstance(n, ast.Subscript)]
        at = [numbered[id(n.slice)] for n in slots]
        named = {tuple(_first_seen([row[k] for k in at])) for row in self.rows}
        values = {
            tuple(_start_values(start, [row[k] for k in at]))
            for start, row in zip(self.starts, self.rows, strict=True)
        }
        if len(named) > 1 or len(values) > 1:
            return None
        for node, name in zip(slots, *named, strict=True):
            node.slice = ast.Constant(name)
        real = _factors(tree, self.rows, {id(n.slice) for n in slots}, numbered)
        if real is None:
            return None
        begins = dict(zip(*named, *values, strict=True)) or {0: "0.0"}
        lines = [f"    state[{name}] = {value}" for name, value in begins.items()]
        start = "\n".join(["def init_state(state, price_scale=1.0):", *lines])
        text = ast.unparse(ast.fix_missing_locations(tree))
        return Form(f"import math\n\n\n{start}\n\n\n{text}\n", tuple(calls), tuple(real))


def by_skeleton(sources: Sequence[str]) -> list[tuple[Sheet, list[int]]]:
    """Return sources that are equal but for numbers together, with their places."""
    found: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    for place, source in enumerate(sources):
        head, _, step = source.partition(_STEP)
        functions, _, start = head.partition(_START)
        functions = re.sub(r"STATE_SIZE = \d+", "", functions)
        found.setdefault((functions, _NUMBER.sub("#", step)), []).append((place, start, step))
    sheets = []
    for (functions, _), each in found.items():
        names = frozenset(re.findall(r"^def (\w+)\(", functions, flags=re.MULTILINE))
        rows = tuple(tuple(_NUMBER.findall(step)) for _, _, step in each)
        starts = tuple(start for _, start, _ in each)
        sheet = Sheet(names, _STEP.strip("\n") + each[0][2], starts, rows)
        sheets.append((sheet, [place for place, _, _ in each]))
    return sheets


def number_of(text: str) -> int | float:
    """Return a number as it is written."""
    return int(text) if text.isdecimal() else float(text)


def _numbered(text: str, tree: ast.Module) -> dict[int, int]:
    """Return the place among the numbers of each constant of a tree, by identity."""
    lines = text.splitlines(keepends=True)
    starts, total = [], 0
    for line in lines:
        starts.append(total)
        total += len(line)
    places = {match.start(): at for at, match in enumerate(_NUMBER.finditer(text))}
    return {
        id(node): places[starts[node.lineno - 1] + node.col_offset]
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        if starts[node.lineno - 1] + node.col_offset in places
    }


def _taken_out(
    tree: ast.Module, functions: frozenset[str], numbered: dict[int, int]
) -> list[SeriesCall]:
    """Turn calls of indicators into reads of columns; return the calls."""
    (step,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    given = {
        node.targets[0].id: node.value.id
        for node in step.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Name)
        and node.value.id in BAR_COLUMNS
    }
    found: list[ast.stmt] = []
    calls: list[SeriesCall] = []
    for node in step.body:
        call = _call_of(node, functions, given, numbered)
        if call is None or not isinstance(node, ast.Assign):
            found.append(node)
            continue
        target = node.targets[0]
        outputs = target.elts if isinstance(target, ast.Tuple) else [target]
        for place, each in enumerate(outputs):
            at = f"whole__{len(calls)} + {place}" if place else f"whole__{len(calls)}"
            found += ast.parse(f"{ast.unparse(each)} = columns[{at}, row]").body
        calls.append(call)
    step.body = found
    return calls


def _call_of(
    node: ast.stmt, functions: frozenset[str], given: dict[str, str], numbered: dict[int, int]
) -> SeriesCall | None:
    if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
        return None
    call, target = node.value, node.targets[0]
    if not isinstance(call.func, ast.Name) or call.func.id not in functions:
        return None
    numbers = [numbered[id(a)] for a in call.args if id(a) in numbered]
    names = [a.id for a in call.args[1:] if isinstance(a, ast.Name)]
    is_plain = len(numbers) + len(names) + 1 == len(call.args)
    if not is_plain or not all(name in given for name in names):
        return None
    outputs = len(target.elts) if isinstance(target, ast.Tuple) else 1
    inputs = tuple(given[name] for name in names)
    return SeriesCall(call.func.id, tuple(numbers[1:]), inputs, outputs)


def _is_slot(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "state"
    )


def _first_seen(slots: list[str]) -> list[int]:
    """Return slots numbered in the order in which they appear."""
    seen: dict[str, int] = {}
    return [seen.setdefault(slot, len(seen)) for slot in slots]


def _start_values(start: str, slots: list[str]) -> list[str]:
    """Return what each slot begins with."""
    ranges = [
        (int(low), int(high or int(low) + 1), value) for low, high, value in _SLOTS.findall(start)
    ]
    return [
        next(value for low, high, value in reversed(ranges) if low <= slot < high)
        for slot in map(int, slots)
    ]


def _factors(
    tree: ast.Module,
    rows: tuple[tuple[str, ...], ...],
    slots: set[int],
    numbered: dict[int, int],
) -> list[int] | None:
    """Name the other numbers that differ; return their places, None where one is no factor."""
    differing = {at for at in range(len(rows[0])) if len({row[at] for row in rows}) > 1}
    names: dict[int, str] = {}
    real: list[int] = []
    for node in ast.walk(tree):
        at = numbered.get(id(node))
        if at is None or at not in differing or id(node) in slots:
            continue
        if rows[0][at].isdecimal():
            return None
        names[id(node)] = f"real__{len(real)}"
        real.append(at)

    class Named(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.expr:
            name = names.get(id(node))
            return node if name is None else ast.Name(name, ast.Load())

    Named().visit(tree)
    return real
