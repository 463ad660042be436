"""One batch form for all parameter sets of a pattern: numbers that differ are arguments.

Theory of operation. A pattern (`patterns`) has a step with holes for the numbers that follow from
parameters. In its shape the holes are read from two arrays that are handed over at each call, so
one compiled function serves every set, and no set has to be known when it is compiled.

Indicators of bar columns alone come out the same in every set that has the same periods. Their
calls are taken out and computed once, into columns that the sets read. Where nothing else is
called, the rest is lowered (`lowering`): state in registers, no calls. Else the step is called bar
by bar. Either way the arithmetic is that of the step, so results are equal to the bit.
"""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

from jts_trading.dsl.lowering import ROWS_FUNCTION, VALUES, lower_step, row_column, row_extras
from jts_trading.dsl.patterns import Member, Pattern
from jts_trading.dsl.plan import Plan
from jts_trading.dsl.runtime import ARITHMETIC, gather, past, since

SeriesKey = tuple[str, tuple[int | float, ...], tuple[str, ...], int]
"""Function, its numbers without the slot, the bar columns that it reads, how many outputs."""

_BAR_COLUMNS = ("open_", "high", "low", "close", "volume")
_COLUMNS = "columns"
_ARGUMENTS = (_COLUMNS, "whole", "real")
_HOLE = re.compile(r"(whole|real)_hole_(\d+)")
# Functions of the language itself: the state of an indicator begins with zeros, theirs does not.
_OWN = {function.__name__ for function in (*ARITHMETIC.values(), gather, past, since)}
# What a step reads beside its own arguments.
_GIVEN = re.compile(rf"\b(?:{_COLUMNS}|bar|whole__\d+|(?:whole|real)_hole_\d+)\b")
_HEAD = (
    *("prices", "volumes", "frames_closed", "moments", "shift", "sessions", "offsets", "scales"),
    *("state", "masks", "first", "last"),
)


@dataclass(frozen=True, slots=True)
class SeriesCall:
    """A call of an indicator that reads bar columns only.

    Attributes:
        numbers: Its settings: plain numbers, and names of holes.
        inputs: Names of bar columns.
        outputs: How many.
    """

    function: str
    numbers: tuple[int | float | str, ...]
    inputs: tuple[str, ...]
    outputs: int


@dataclass(frozen=True, slots=True)
class Shape:
    """The batch form of a pattern.

    Attributes:
        text: Defines `run_rows` with `columns`, `whole` and `real` behind its other arguments.
        calls: What its columns hold; the first column of each call comes first in `whole`.
        whole, real: Holes whose numbers follow, by their number.
        functions: Texts of the functions that the calls name.
    """

    text: str
    calls: tuple[SeriesCall, ...]
    whole: tuple[int, ...]
    real: tuple[int, ...]
    functions: tuple[str, ...]

    def series(self, member: Member) -> list[SeriesKey]:
        """Return which series a set reads, in the order of the calls."""
        return [
            (
                call.function,
                tuple(_number(n, member) if isinstance(n, str) else n for n in call.numbers),
                call.inputs,
                call.outputs,
            )
            for call in self.calls
        ]

    def numbers(
        self, member: Member, columns: Iterable[int]
    ) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return `whole` and `real` of a set.

        Args:
            member: The set.
            columns: The first column of each of its series.
        """
        return (
            (*columns, *(int(_value(hole, member)) for hole in self.whole)),
            tuple(float(_value(hole, member)) for hole in self.real),
        )


def _value(hole: int, member: Member) -> int | float:
    found: int | float = member.values[member.pattern.recording.holes[hole][1]]
    return found


def _number(name: str, member: Member) -> int | float:
    kind, _, hole = name.partition("_hole_")
    value = _value(int(hole), member)
    return int(value) if kind == "whole" else float(value)


def shape_of(pattern: Pattern, *, has_columns: bool = True) -> Shape:
    """Return the shape of a pattern.

    Args:
        pattern: Of some parameter sets.
        has_columns: Take indicators of bar columns out; else each set computes its own.
    """
    plan = pattern.plan
    tree = ast.parse(plan.source)
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    step, start = functions.pop("step"), functions.pop("init_state")
    calls = _taken_out(step, functions) if has_columns else []
    texts = tuple(map(ast.unparse, functions.values()))
    if plan.values == 0 and _calls_nothing(step, functions):
        _renumber_slots(step, start)
        imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        text = lower_step(_unparsed([*imports, start, step]), (*row_extras(plan), *_ARGUMENTS))
    else:
        text = _bar_by_bar(plan, tree, step, start)
    holes = [(kind, int(number)) for kind, number in dict.fromkeys(_HOLE.findall(text))]
    whole, real = ([n for kind, n in holes if kind == which] for which in ("whole", "real"))
    loads = [f"whole__{k} = whole[{k}]" for k in range(len(calls))]
    for kind, numbers, first in (("whole", whole, len(calls)), ("real", real, 0)):
        for k, number in enumerate(numbers, start=first):
            loads.append(f"{kind}__{k} = {kind}[{k}]")
            text = re.sub(rf"\b{kind}_hole_{number}\b", f"{kind}__{k}", text)
    return Shape(_with_loads(text, loads), tuple(calls), tuple(whole), tuple(real), texts)


def series_text(key: SeriesKey, functions: Iterable[str]) -> str:
    """Return the text of `run_rows` that fills in the columns of an indicator, from `whole[0]` on.

    Its settings are `whole` behind that, and `real`, in their order.

    Args:
        key: Of any series of the function with numbers of these types.
        functions: Texts of the functions of its strategy.
    """
    name, numbers, inputs, outputs = key
    whole = iter([f"whole__{k}" for k in range(1, len(numbers) + 1)])
    real = iter([f"real__{k}" for k in range(len(numbers))])
    settings = [next(whole) if isinstance(number, int) else next(real) for number in numbers]
    targets = ", ".join(f"o{place}" for place in range(outputs))
    call = f"{name}({', '.join(['state', '0', *settings, *inputs])})"
    stores = [f"{_COLUMNS}[whole__0 + {place}, bar] = o{place}" for place in range(outputs)]
    lines = "\n    ".join([f"{targets} = {call}", *stores, "fired = 0", "return fired"])
    parts = [
        "import math",
        *functions,
        # The state of an indicator begins with zeros.
        "def init_state(state):\n    state[0:len(state)] = 0.0",
        f"def step(state, open_, high, low, close, volume, tf_closed):\n    {lines}",
    ]
    count = sum(isinstance(number, int) for number in numbers)
    loads = [f"whole__{k} = whole[{k}]" for k in range(1 + count)]
    loads += [f"real__{k} = real[{k}]" for k in range(len(numbers) - count)]
    return _with_loads(lower_step("\n\n".join(parts), _ARGUMENTS), loads)


def series_numbers(key: SeriesKey, column: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return `whole` and `real` of a series that is written from a column on."""
    whole = (column, *(n for n in key[1] if isinstance(n, int)))
    return whole, tuple(n for n in key[1] if not isinstance(n, int))


def _taken_out(step: ast.FunctionDef, functions: dict[str, ast.FunctionDef]) -> list[SeriesCall]:
    """Turn calls of indicators into reads of columns; return the calls."""
    given = {
        node.targets[0].id: node.value.id
        for node in step.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Name)
        and node.value.id in _BAR_COLUMNS
    }
    found: list[ast.stmt] = []
    calls: list[SeriesCall] = []
    for node in step.body:
        call = _call_of(node, functions, given)
        if call is None or not isinstance(node, ast.Assign):
            found.append(node)
            continue
        target = node.targets[0]
        outputs = target.elts if isinstance(target, ast.Tuple) else [target]
        for place, each in enumerate(outputs):
            at = f"whole__{len(calls)} + {place}" if place else f"whole__{len(calls)}"
            found += ast.parse(f"{ast.unparse(each)} = {_COLUMNS}[{at}, bar]").body
        calls.append(call)
    step.body = found
    return calls


def _call_of(
    node: ast.stmt, functions: dict[str, ast.FunctionDef], given: dict[str, str]
) -> SeriesCall | None:
    if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
        return None
    call, target = node.value, node.targets[0]
    if not isinstance(call.func, ast.Name) or call.func.id not in functions.keys() - _OWN:
        return None
    numbers: list[int | float | str] = []
    inputs: list[str] = []
    # The row and the first slot come before settings and inputs.
    for argument in call.args[2:]:
        if isinstance(argument, ast.Constant | ast.UnaryOp):
            numbers.append(ast.literal_eval(argument))
        elif isinstance(argument, ast.Name) and _HOLE.fullmatch(argument.id):
            numbers.append(argument.id)
        elif isinstance(argument, ast.Name) and argument.id in given:
            inputs.append(given[argument.id])
        else:
            return None
    outputs = len(target.elts) if isinstance(target, ast.Tuple) else 1
    return SeriesCall(call.func.id, tuple(numbers), tuple(inputs), outputs)


def _calls_nothing(step: ast.FunctionDef, functions: dict[str, ast.FunctionDef]) -> bool:
    return not any(isinstance(n, ast.Name) and n.id in functions for n in ast.walk(step))


def _renumber_slots(step: ast.FunctionDef, start: ast.FunctionDef) -> None:
    """Number slots by their first appearance: without indicators, none is computed."""
    slots = [n for n in ast.walk(step) if isinstance(n, ast.Subscript) and _is_state(n)]
    numbers: dict[str, int] = {}
    for slot in slots:
        written = ast.unparse(slot.slice)
        slot.slice = ast.Constant(numbers.setdefault(written, len(numbers)))
    begins = {written: _start_value(start, written) for written in numbers} or {"0": "0.0"}
    lines = [f"state[{place}] = {value}" for place, value in enumerate(begins.values())]
    start.body = ast.parse("\n".join(lines)).body


def _is_state(node: ast.Subscript) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "state"


def _start_value(start: ast.FunctionDef, slot: str) -> str:
    """Return what a slot begins with: what was said last of it alone, else zero."""
    found = "0.0"
    for node in start.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            at = node.targets[0].slice
            first = at.lower if isinstance(at, ast.Slice) else at
            if first is not None and ast.unparse(first) == slot:
                found = ast.unparse(node.value)
    return found


def _bar_by_bar(
    plan: Plan, tree: ast.Module, step: ast.FunctionDef, start: ast.FunctionDef
) -> str:
    """Return a batch form that calls the step for every bar."""
    names, of_start = (dict.fromkeys(_GIVEN.findall(_unparsed([n]))) for n in (step, start))
    given = [row_column(a.arg, has_frames=bool(plan.timeframes)) for a in step.args.args[1:]]
    step.args.args += [ast.arg(name) for name in names]
    start.args.args += [ast.arg(name) for name in of_start]
    start.args.defaults = []
    start.body = [line for node in start.body for line in _without_slice(node)]
    kept = [n for n in tree.body if not isinstance(n, ast.Assign)]
    slot = plan.values_slot
    lines = [
        f"def {ROWS_FUNCTION}({', '.join((*_HEAD, *row_extras(plan), *_ARGUMENTS))}):",
        "    for instrument in range(first, last):",
        f"        init_state({', '.join(('state', 'scales[instrument]', *of_start))})",
        "        for row in range(offsets[instrument], offsets[instrument + 1]):",
        "            bar = np.uint64(row)",
        f"            masks[row] = step({', '.join(('state', *given, *names))})",
        *(
            f"            {VALUES}[row, {place}] = state[{slot} + {place}]"
            for place in range(plan.values)
        ),
    ]
    return f"import numpy as np\n{_unparsed(kept)}\n\n\n" + "\n".join(lines) + "\n"


def _without_slice(node: ast.stmt) -> list[ast.stmt]:
    """Return an assignment to a range of slots as a loop, which is quicker to compile."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        at = node.targets[0].slice
        if isinstance(at, ast.Slice) and at.lower is not None and at.upper is not None:
            ends = f"{ast.unparse(at.lower)}, {ast.unparse(at.upper)}"
            text = f"for slot in range({ends}):\n    state[slot] = {ast.unparse(node.value)}"
            return ast.parse(text).body
    return [node]


def _with_loads(text: str, loads: list[str]) -> str:
    """Return a program whose `run_rows` takes its numbers out of arrays first."""
    tree = ast.parse(text)
    (entry,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == ROWS_FUNCTION)
    entry.body[:0] = ast.parse("\n".join(loads)).body
    return _unparsed(tree.body) + "\n"


def _unparsed(nodes: Iterable[ast.stmt]) -> str:
    return ast.unparse(ast.fix_missing_locations(ast.Module(list(nodes), [])))
