"""One text for many parameter sets: the numbers in which they differ become arguments.

Theory of operation. The sources of a strategy with different parameters differ in numbers, so one
compiled function serves all sets of a shape (`lifting`). Sets that differ in more than numbers
have another shape, and a function of their own.

Indicators of bar columns alone come out the same in every set that has the same periods. Their
calls are taken out and computed once, into columns that the sets read. Where nothing else is
called (`sheets`), numbers are compared before anything is lowered, which is quick; else each set
is lowered.

Nothing is computed otherwise than in the step: `tests/property/test_backtest_sets.py` holds fills
and equity together.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jts_trading.dsl.lifting import lift, with_arguments
from jts_trading.dsl.lowering import lower_step
from jts_trading.dsl.plan import Plan
from jts_trading.dsl.sheets import BAR_COLUMNS, Sheet, by_skeleton, number_of

SeriesKey = tuple[str, tuple[int | float, ...], tuple[str, ...], int]
"""Function, its numbers without the slot, the bar columns that it reads, how many outputs."""

_COLUMNS = "columns"
_ARGUMENTS = (_COLUMNS, "whole", "real")


@dataclass(frozen=True, slots=True)
class Member:
    """One parameter set of a shape.

    Attributes:
        place: Among all sets.
        whole: Numbers that its function takes, int.
        real: The others, float.
    """

    place: int
    whole: tuple[int, ...]
    real: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What sets that differ in numbers only have in common.

    Attributes:
        text: Defines `run_rows` with `columns`, `whole` and `real` behind its other arguments.
    """

    text: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """Parameter sets, and the columns that they read.

    Attributes:
        series: Shapes whose members fill columns in.
        sets: Shapes of the sets; members have the place of their plan.
        columns: How many columns there are.
    """

    series: tuple[Shape, ...]
    sets: tuple[Shape, ...]
    columns: int


def share(plans: Sequence[Plan]) -> Shared:
    """Return the shapes of plans that were compiled from one text.

    Raises:
        ValueError: A plan leaves values for drivers or asks for the account: it cannot be shared.
    """
    if any(plan.values or plan.guard for plan in plans):
        raise ValueError("rules that ask for the account, or order prices, differ by set")
    keys: dict[SeriesKey, int] = {}
    quick, rest, functions = [], [], dict[str, str]()
    for sheet, places in by_skeleton([plan.source for plan in plans]):
        functions |= _functions(plans[places[0]].source)
        shape = _quick_shape(sheet, places, keys)
        if shape is None:
            rest += places
        else:
            quick.append(shape)
    texts = {place: _read_columns(plans[place].source, keys) for place in rest}
    columns = sum(key[3] for key in keys)
    return Shared(_series(keys, functions), (*quick, *_shapes(texts)), columns)


def _series(keys: dict[SeriesKey, int], functions: dict[str, str]) -> tuple[Shape, ...]:
    """Return the shapes that fill in the columns: one for each indicator and what it reads."""
    kinds: dict[tuple[object, ...], list[tuple[SeriesKey, int]]] = {}
    for key, first in keys.items():
        name, numbers, inputs, outputs = key
        kind = (name, tuple(map(type, numbers)), inputs, outputs)
        kinds.setdefault(kind, []).append((key, first))
    found = []
    for each in kinds.values():
        members = tuple(
            Member(
                place,
                (first, *(n for n in key[1] if isinstance(n, int))),
                tuple(float(n) for n in key[1] if not isinstance(n, int)),
            )
            for place, (key, first) in enumerate(each)
        )
        found.append(Shape(_series_text(each[0][0], functions), members))
    return tuple(found)


def _quick_shape(sheet: Sheet, places: list[int], keys: dict[SeriesKey, int]) -> Shape | None:
    """Return the shape of sources that differ in numbers; None where each is to be lowered."""
    form = sheet.form()
    if form is None:
        return None
    whole: list[list[int]] = []
    for call in form.calls:
        first = []
        for numbers in sheet.rows:
            plain = tuple(number_of(numbers[at]) for at in call.numbers)
            key = (call.function, plain, call.inputs, call.outputs)
            first.append(keys.setdefault(key, sum(known[3] for known in keys)))
        whole.append(first)
    real = [[float(numbers[at]) for numbers in sheet.rows] for at in form.real]
    text = _with_loads(form.source, len(whole), len(real))
    members = tuple(
        Member(place, tuple(column[at] for column in whole), tuple(column[at] for column in real))
        for at, place in enumerate(places)
    )
    return Shape(text, members)


def _read_columns(source: str, keys: dict[SeriesKey, int]) -> str:
    """Return the source of a step that reads its indicators from columns, where it can."""
    tree = ast.parse(source)
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    step, found = functions["step"], []
    given = {
        node.targets[0].id: node.value.id
        for node in step.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Name)
        and node.value.id in BAR_COLUMNS
    }
    for node in step.body:
        key = _key_of(node, functions, given)
        if key is None or not isinstance(node, ast.Assign):
            found.append(node)
            continue
        first = keys.setdefault(key, sum(known[3] for known in keys))
        target = node.targets[0]
        outputs = target.elts if isinstance(target, ast.Tuple) else [target]
        for place, each in enumerate(outputs):
            read = f"{ast.unparse(each)} = {_COLUMNS}[{first + place}, row]"
            found += ast.parse(read).body
    step.body = found
    return lower_step(ast.unparse(tree), (_COLUMNS,))


def _key_of(
    node: ast.stmt, functions: dict[str, ast.FunctionDef], given: dict[str, str]
) -> SeriesKey | None:
    if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
        return None
    call, target = node.value, node.targets[0]
    if not isinstance(call.func, ast.Name) or call.func.id not in functions:
        return None
    numbers = [a.value for a in call.args if isinstance(a, ast.Constant)]
    names = [a.id for a in call.args[1:] if isinstance(a, ast.Name)]
    is_plain = len(numbers) + len(names) + 1 == len(call.args)
    if not is_plain or not all(name in given for name in names):
        return None
    plain = [n for n in numbers if isinstance(n, int | float)]
    outputs = len(target.elts) if isinstance(target, ast.Tuple) else 1
    return call.func.id, tuple(plain[1:]), tuple(given[name] for name in names), outputs


def _series_text(key: SeriesKey, functions: dict[str, str]) -> str:
    """Return the text of `run_rows` that fills in the columns of an indicator, from `whole[0]` on.

    Its settings are `whole` behind that, and `real`.
    """
    name, numbers, inputs, outputs = key
    whole = iter([f"whole__{k}" for k in range(1, len(numbers) + 1)])
    real = iter([f"real__{k}" for k in range(len(numbers))])
    settings = [next(whole) if isinstance(number, int) else next(real) for number in numbers]
    targets = ", ".join(f"o{place}" for place in range(outputs))
    call = f"{name}({', '.join(['state', '0', *settings, *inputs])})"
    stores = [f"{_COLUMNS}[whole__0 + {place}, row] = o{place}" for place in range(outputs)]
    lines = "\n    ".join([f"{targets} = {call}", *stores, "fired = 0", "return fired"])
    parts = [
        "import math",
        *(text for known, text in functions.items() if known not in ("step", "init_state")),
        # The state of an indicator begins with zeros.
        "def init_state(state):\n    state[0:len(state)] = 0.0",
        f"def step(state, open_, high, low, close, volume, tf_closed):\n    {lines}",
    ]
    count = sum(isinstance(number, int) for number in numbers)
    return _with_loads("\n\n".join(parts), 1 + count, len(numbers) - count)


def _with_loads(source: str, whole: int, real: int) -> str:
    """Return the batch form of a source that reads columns and has arguments by name."""
    return with_arguments(ast.parse(lower_step(source, _ARGUMENTS)), whole, real)


def _functions(source: str) -> dict[str, str]:
    nodes = ast.parse(source).body
    return {n.name: ast.unparse(n) for n in nodes if isinstance(n, ast.FunctionDef)}


def _shapes(texts: Mapping[int, str]) -> tuple[Shape, ...]:
    """Put texts that differ in numbers only together."""
    found: dict[str, list[Member]] = {}
    for place, lifted in zip(texts, lift(list(texts.values())), strict=True):
        found.setdefault(lifted.text, []).append(Member(place, lifted.whole, lifted.real))
    return tuple(Shape(text, tuple(members)) for text, members in found.items())
