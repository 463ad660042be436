"""The batch form of a plan: one function that walks the bars of many instruments.

It is made from the text of `step`, so it cannot mean anything else: calls are written out
(`inline`), slots that stand in the text as plain numbers become local variables, which a compiler
keeps in registers, and only windows stay in the state. The bits are those of `step`, bar by bar
and in the state that is left at the end; `tests/property/test_dsl_lowering.py` holds both
together for every indicator and for generated strategies.

Which slots can become variables is worked out by `reach`, from the invariants of
`indicators.definition`.
"""

import ast
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from jts_trading.dsl.grammar import CLOCK_COLUMNS, DOUBT_COLUMN, QUOTE_COLUMNS
from jts_trading.dsl.inline import Inliner
from jts_trading.dsl.plan import Plan
from jts_trading.dsl.reach import reached_slots, slot_of
from jts_trading.dsl.running import first_sums, last_sums, running_sums, with_running_sums

_COLUMNS = {
    "open_": "float(prices[bar, 0])",
    "high": "float(prices[bar, 1])",
    "low": "float(prices[bar, 2])",
    "close": "float(prices[bar, 3])",
    "volume": "float(volumes[bar])",
    "tf_closed": "frames_closed[bar]",
    "session": "sessions[moments[row + shift[instrument]]]",
    **{
        name: f"clock[moments[row + shift[instrument]], {place}]"
        for place, name in enumerate(CLOCK_COLUMNS)
    },
    DOUBT_COLUMN: "doubts[bar]",
    "spread": "spreads[bar]",
}
SPREADS, CLOCK, DOUBTS, VALUES = "spreads", "clock", "doubts", "values"
ROWS_FUNCTION = "run_rows"
WHOLE_ROWS_FUNCTION = "run_whole_rows"
_HEAD = """
def NAME(
    prices, volumes, frames_closed, moments, shift, sessions, offsets, scales, state, masks, first,
    last
    EXTRAS
):
    for instrument in range(first, last):
        START
        LOADS
"""
_ROWS = """
        for row in range(offsets[instrument], offsets[instrument + 1]):
            BODY
        END
"""
_WHOLE_ROWS = """
        begin = offsets[instrument]
        end = offsets[instrument + 1]
        full = min(begin + LONGEST, end)
        for row in range(begin, full):
            BODY
        END
        if full < end:
            SUMS
            for row in range(full, end):
                RUNNING
            KEPT
"""
# The step whose sums run over the bars; no function of a source has such a name.
_RUNNING = "step__running"


def row_column(name: str, *, has_frames: bool) -> str:
    """Return how `run_rows` reads what an argument of a step takes; see `lower_step`.

    `bar` is the row as an unsigned number.
    """
    return "0" if name == "tf_closed" and not has_frames else _COLUMNS[name]


def row_extras(plan: Plan) -> tuple[str, ...]:
    """Return what `run_rows` takes behind its other arguments for a plan, by name.

    `spreads` has the spread of each row, NaN without quotes; `clock`, by instant, the columns of
    `dsl.grammar.CLOCK_COLUMNS`; `doubts` is 1 on rows that are doubtful; `values` [row, place] is
    filled with what the step leaves for drivers.
    """
    is_taken = {
        SPREADS: any(name in plan.needs for name in QUOTE_COLUMNS),
        CLOCK: any(name in plan.needs for name in CLOCK_COLUMNS),
        DOUBTS: DOUBT_COLUMN in plan.needs,
        VALUES: plan.values > 0,
    }
    return tuple(name for name, is_so in is_taken.items() if is_so)


def lower_plan(plan: Plan) -> str:
    """Return the text of `run_rows` for a plan, with the arguments that `row_extras` names.

    Where sums can run over the bars themselves, it has `run_whole_rows`, too, which does the same
    for whole prices of 32 bits, see `running`.
    """
    return _lowered(plan.source, row_extras(plan), (plan.values_slot, plan.values), has_sums=True)


def lower_step(
    source: str, extras: tuple[str, ...] = (), exported: tuple[int, int] = (0, 0)
) -> str:
    """Return a text that defines `run_rows` for the generated source of a strategy.

    `run_rows(prices, volumes, frames_closed, moments, shift, sessions, offsets, scales, state,
    masks, first, last)` starts at each instrument from `first` to before `last` with a fresh state
    and writes the mask of each of its rows to `masks`. Prices are [row, open high low close] in
    steps, of which `scales` says how many make one unit of an instrument's currency; volumes are
    shares or coins; `frames_closed` is empty where a plan has one time frame; `sessions` holds the
    trading day of an instant, and the instant of a row stands in `moments` at
    row + shift of the instrument. `state` has the size of the plan's and is left as after the last
    bar.

    Args:
        source: Of the step.
        extras: Further arguments, see `row_extras`.
        exported: First slot, and number, of the values that the step leaves for drivers.
    """
    return _lowered(source, extras, exported, has_sums=False)


def _lowered(
    source: str, extras: tuple[str, ...], exported: tuple[int, int], *, has_sums: bool
) -> str:
    tree = ast.parse(source)
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    sums = running_sums(functions) if has_sums else []
    inliner = Inliner({**functions, _RUNNING: with_running_sums(functions["step"], sums)})
    start = _start(functions["init_state"])
    usual = _body(inliner, "step", exported)
    head = {"EXTRAS": [f", {', '.join(extras)}"] if extras else [], "START": start}
    filled = {**head, "LOADS": usual.loads, "BODY": usual.lines, "END": usual.stores}
    texts = [_with_lines(_HEAD + _ROWS, {"NAME": ROWS_FUNCTION}, filled)]
    if sums:
        running = _body(inliner, _RUNNING, exported)
        names = {"NAME": WHOLE_ROWS_FUNCTION, "LONGEST": str(max(each.period for each in sums))}
        again = {
            "SUMS": [*running.loads, *first_sums(sums)],
            "RUNNING": running.lines,
            "KEPT": [*running.stores, *last_sums(sums)],
        }
        texts.append(_with_lines(_HEAD + _WHOLE_ROWS, names, {**filled, **again}))
    kept = [
        ast.unparse(functions[name]) for name in sorted(_with_callees(inliner.kept, functions))
    ]
    imports = [ast.unparse(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    imports.append("import numpy as np")
    return "\n\n\n".join(("\n".join(imports), *kept, *texts)) + "\n"


class _Body(NamedTuple):
    """What is done for each row, and before the first and after the last one."""

    loads: list[str]
    lines: list[str]
    stores: list[str]


def _body(inliner: Inliner, name: str, exported: tuple[int, int]) -> _Body:
    body = inliner.body_of(name, ["mask"])
    slot, count = exported
    kept_values = (f"{VALUES}[bar, {place}] = state[{slot + place}]" for place in range(count))
    body += ast.parse("\n".join(kept_values)).body
    scalars = Scalars(reached_slots(body))
    body = [scalars.visit(node) for node in body]
    scalars.settle()
    body = [_Unsigned().visit(node) for node in body]
    read = _read(body)
    lines = [
        "bar = np.uint64(row)",
        *(f"{name} = {column}" for name, column in _COLUMNS.items() if name in read),
        *_lines(body),
        "masks[bar] = mask",
    ]
    return _Body(scalars.loads(), lines, scalars.stores())


class Scalars(ast.NodeTransformer):
    """Turns slots that stand in a text as plain numbers into variables.

    A slot that is read, and only as a whole number, is kept as one.

    Args:
        reached: Slots that computed indices may reach, which stay in the state.
    """

    def __init__(self, reached: frozenset[int]) -> None:
        self._reached = reached
        self._as_float: set[int] = set()
        self._as_whole: set[int] = set()
        self._names: dict[int, list[ast.Name]] = {}
        self._stored: list[tuple[int, ast.Assign]] = []

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Read a whole number from a slot."""
        inner = node.args[0] if node.args else None
        if isinstance(node.func, ast.Name) and node.func.id == "int":
            slot = self._slot(inner)
            if slot is not None:
                # What the call becomes is settled when all reads are known.
                self._as_whole.add(slot)
                node.args = [self._name(slot, ast.Load())]
                return node
        self.generic_visit(node)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Read or write a slot."""
        slot = self._slot(node)
        if slot is None:
            self.generic_visit(node)
            return node
        if isinstance(node.ctx, ast.Load):
            self._as_float.add(slot)
        return self._name(slot, node.ctx)

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        """Write a slot: what it holds is a float, as in the state."""
        slot = self._slot(node.targets[0])
        self.generic_visit(node)
        if slot is not None:
            self._stored.append((slot, node))
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        """Add to a slot."""
        slot = self._slot(node.target)
        if slot is not None:
            self._as_float.add(slot)
            value = ast.BinOp(
                ast.Subscript(_STATE, ast.Constant(slot), ast.Load()), node.op, node.value
            )
            return self.visit_Assign(ast.Assign([node.target], value))
        self.generic_visit(node)
        return node

    def settle(self) -> None:
        """Decide, once all slots are known, in which type each is kept."""
        for slot, node in self._stored:
            kind = "int" if self._is_whole(slot) else "float"
            node.value = ast.Call(ast.Name(kind, ast.Load()), [node.value], [])

    def loads(self) -> list[str]:
        """Return lines that take all slots out of the state."""
        return [
            f"s{slot} = int(state[{slot}])" if self._is_whole(slot) else f"s{slot} = state[{slot}]"
            for slot in sorted(self._names)
        ]

    def stores(self) -> list[str]:
        """Return lines that put all slots back."""
        return [f"state[{slot}] = s{slot}" for slot in sorted(self._names)]

    def _is_whole(self, slot: int) -> bool:
        return slot in self._as_whole and slot not in self._as_float

    def _slot(self, node: ast.expr | None) -> int | None:
        slot = slot_of(node)
        return None if slot in self._reached else slot

    def _name(self, slot: int, context: ast.expr_context) -> ast.Name:
        name = ast.Name(f"s{slot}", context)
        self._names.setdefault(slot, []).append(name)
        return name


class _Unsigned(ast.NodeTransformer):
    """Turns computed places in the state into unsigned numbers.

    None is negative, see `reach`; a compiler that does not know that asks of each whether it
    counts from the end.
    """

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Turn `state[at + i]` into `state[np.uint64(at + i)]`."""
        self.generic_visit(node)
        is_state = isinstance(node.value, ast.Name) and node.value.id == "state"
        if is_state and not isinstance(node.slice, ast.Constant):
            unsigned = ast.Attribute(ast.Name("np", ast.Load()), "uint64", ast.Load())
            node.slice = ast.Call(unsigned, [node.slice], [])
        return node


_STATE = ast.Name("state", ast.Load())


def _start(init_state: ast.FunctionDef) -> list[str]:
    """Return the lines of `init_state` without slices, which are slow to compile."""
    lines = []
    for node in init_state.body:
        assert isinstance(node, ast.Assign)  # noqa: S101 - `emit` writes nothing else
        target = node.targets[0]
        value = ast.unparse(node.value).replace("price_scale", "scales[instrument]")
        assert isinstance(target, ast.Subscript)  # noqa: S101 - as above
        if isinstance(target.slice, ast.Slice):
            low, high = target.slice.lower, target.slice.upper
            assert low is not None  # noqa: S101 - as above
            assert high is not None  # noqa: S101 - as above
            lines += [
                f"for slot in range({ast.unparse(low)}, {ast.unparse(high)}):",
                f"    state[slot] = {value}",
            ]
        else:
            lines.append(f"{ast.unparse(target)} = {value}")
    return lines


def _read(body: Iterable[ast.stmt]) -> set[str]:
    return {
        each.id
        for node in body
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
    }


def _lines(body: list[ast.stmt]) -> list[str]:
    return ast.unparse(ast.fix_missing_locations(ast.Module(body, []))).splitlines()


def _filled(text: str, mark: str, lines: Sequence[str]) -> str:
    """Put lines where a mark stands, as deep as it does."""
    found = []
    for line in text.splitlines():
        depth = line[: len(line) - len(line.lstrip())]
        found += [depth + each for each in lines] if line.strip() == mark else [line]
    return "\n".join(found)


def _with_lines(text: str, names: Mapping[str, str], lines: Mapping[str, Sequence[str]]) -> str:
    """Put words and lines where their marks stand."""
    for name, word in names.items():
        text = text.replace(name, word)
    for mark, each in lines.items():
        text = _filled(text, mark, each)
    return "\n".join(line for line in text.splitlines() if line.strip())


def _with_callees(names: Iterable[str], functions: dict[str, ast.FunctionDef]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            called = {n.id for n in ast.walk(functions[name]) if isinstance(n, ast.Name)}
            waiting += called & functions.keys()
    return found
