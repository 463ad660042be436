"""What a step that is not ours has to fulfil before its text may become machine code.

Compiled code checks no bounds: a step that writes outside its slots would damage the state of
others. So each one is first run as plain Python over made-up bars, on a state that refuses every
other slot; what it reads, what it calls and its null rule are checked as well. A backtest runs
the batch form of a step (`dsl.lowering`), so that is tried beside it.
"""

import ast
import inspect
import math
import random
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jts_trading.domain.errors import TerminalError
from jts_trading.dsl.grammar import COLUMNS, NAME_LENGTH_MAX, QUOTE_COLUMNS, RESERVED
from jts_trading.dsl.lowering import ROWS_FUNCTION, lower_step
from jts_trading.dsl.pasting import function_text
from jts_trading.indicators.catalog import NATIVE
from jts_trading.indicators.definition import (
    PRICE_SCALE,
    SESSION,
    Definition,
    ParameterKind,
    Settings,
)

BARS = 400
Floats = NDArray[np.float64]
INPUTS = (*COLUMNS, SESSION, PRICE_SCALE)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# What a step may call besides `math` and the functions that its definition names.
BUILTINS = frozenset({"abs", "bool", "float", "int", "len", "max", "min", "range", "round"})


class OwnIndicatorError(TerminalError):
    """An indicator of the user's cannot be used; the message names file, indicator and reason."""


class GuardedState:
    """A row of which only some slots may be touched."""

    def __init__(self, slots: int) -> None:
        self.values = [np.float64(0.0)] * slots

    def __getitem__(self, slot: int) -> np.float64:
        """Read a slot."""
        return self.values[self._checked(slot)]

    def __setitem__(self, slot: int, value: float) -> None:
        """Write a slot."""
        self.values[self._checked(slot)] = np.float64(value)

    def _checked(self, slot: int) -> int:
        place = slot - FIRST_SLOT
        if not 0 <= place < len(self.values):
            raise IndexError(f"slot {place} of {len(self.values)}")
        return place


# A step must add `at` to every slot: with a first slot of 0 nobody would notice.
FIRST_SLOT = 1_000


def check_definition(definition: Definition) -> None:
    """Check that an indicator can be compiled into strategies.

    Raises:
        OwnIndicatorError: The message names the indicator and what is wrong with it.
    """
    if not isinstance(definition, Definition):
        raise OwnIndicatorError(f"{definition!r} is no Definition")
    try:
        _check_names(definition)
        _check_functions(definition)
        # As in compiled code a division by zero is an infinity, or no number.
        with np.errstate(all="ignore"):
            usual, *others = _tried(definition)
            _check_run(definition, usual, is_usual=True)
            for settings in others:
                _check_run(definition, settings, is_usual=False)
    except OwnIndicatorError as error:
        raise OwnIndicatorError(f"{definition.name}: {error}") from error
    except Exception as error:
        raise OwnIndicatorError(f"{definition.name}: {type(error).__name__}: {error}") from error


def _check_names(definition: Definition) -> None:
    outputs = [name for o in definition.outputs for name in (o.name, *o.aliases)]
    parameters = [*(p.name for p in definition.parameters), *definition.source_names]
    for name in (definition.name, *definition.aliases, *outputs, *parameters):
        if not _NAME.fullmatch(name) or len(name) > NAME_LENGTH_MAX or name.lower() in RESERVED:
            raise OwnIndicatorError(
                f"{name!r} is no name; accepted: letters, digits and _, no word of the language"
            )
    for names in (outputs, parameters):
        if len(set(names)) != len(names):
            raise OwnIndicatorError(f"a name stands twice: {', '.join(names)}")
    if not definition.outputs:
        raise OwnIndicatorError("has no outputs")
    unknown = [name for name in definition.inputs if name not in INPUTS]
    if unknown or not definition.inputs:
        readable = ", ".join(name for name in INPUTS if name not in QUOTE_COLUMNS)
        raise OwnIndicatorError(f"reads {', '.join(unknown) or 'nothing'}; accepted: {readable}")


def _check_functions(definition: Definition) -> None:
    native = {
        function.__name__: function
        for known in NATIVE.definitions.values()
        for function in (*known.uses, known.step)
    }
    used = (*definition.uses, definition.step)
    for function in used:
        ours = native.get(function.__name__)
        if ours is not None and ours is not function:
            raise OwnIndicatorError(
                f"{function.__name__} is the name of a native step; give yours another name"
            )
        if ours is None:
            _check_text(function, {f.__name__ for f in used})
    expected = 2 + len(definition.parameters) + len(definition.inputs)
    found = len(inspect.signature(definition.step).parameters)
    if found != expected:
        raise OwnIndicatorError(
            f"{definition.step.__name__} takes {found} arguments; accepted: state, at, "
            f"{len(definition.parameters)} parameters and {len(definition.inputs)} inputs"
        )


def _check_text(function: Callable[..., object], callable_names: set[str]) -> None:
    tree = ast.parse(function_text(function))
    (definition,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    plain = definition.args
    if plain.vararg or plain.kwarg or plain.kwonlyargs or plain.defaults or plain.posonlyargs:
        raise OwnIndicatorError(f"{function.__name__} may take plain arguments only")
    stored = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    known = {a.arg for a in plain.args} | stored | callable_names | BUILTINS | {"math"}
    for node in ast.walk(definition):
        if isinstance(node, ast.Name) and node.id not in known:
            raise OwnIndicatorError(
                f"{function.__name__} reads {node.id!r}; accepted: its arguments, math, "
                f"{', '.join(sorted(BUILTINS))} and the functions named in `uses`"
            )
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal):
            raise OwnIndicatorError(f"{function.__name__} may not import or share names")
        if isinstance(node, ast.Attribute) and not _is_of_math(node):
            raise OwnIndicatorError(f"{function.__name__} may use attributes of math only")


def _is_of_math(node: ast.Attribute) -> bool:
    return (
        isinstance(node.value, ast.Name) and node.value.id == "math" and hasattr(math, node.attr)
    )


def _tried(definition: Definition) -> list[Settings]:
    """Return the defaults (or small values) and the lower ends of all ranges."""
    usual = {
        p.name: p.default if p.default is not None else min(max(p.low, Fraction(5)), p.high)
        for p in definition.parameters
    }
    lowest = {p.name: p.low for p in definition.parameters}
    found: list[Settings] = [s for s in (usual, lowest) if definition.constraint(s) is None]
    if not found:
        raise OwnIndicatorError("its constraint refuses its own defaults and smallest values")
    return found


def _check_run(definition: Definition, settings: Settings, *, is_usual: bool) -> None:
    size, warmup = definition.state_size(settings), definition.warmup(settings)
    if not {type(size), type(warmup)} <= {int} or size < 0 or warmup < 1:
        raise OwnIndicatorError("state_size must be a whole number from 0, warmup one from 1")
    values = [
        float(settings[p.name]) if p.kind is ParameterKind.NUMBER else int(settings[p.name])
        for p in definition.parameters
    ]
    state = GuardedState(size)
    for number, bar in enumerate(_bars(max(BARS, warmup + 50))):
        inputs: list[float] = [np.float64(bar[name]) for name in definition.inputs]
        found = _outputs(definition, definition.step(state, FIRST_SLOT, *values, *inputs))
        if number + 1 < warmup and all(not math.isnan(value) for value in found):
            raise OwnIndicatorError(f"has a value on bar {number + 1}, its warmup says {warmup}")
        if number % 7 == 0:
            _check_null(definition, state, values, inputs)
    _check_batch(definition, values, size)
    # The smallest window of all may have no deviation, no range, no change.
    if is_usual and not definition.waits_for and any(map(math.isnan, found)):
        raise OwnIndicatorError(f"has no value after {number + 1} bars, its warmup says {warmup}")


def _check_null(
    definition: Definition, state: GuardedState, values: list[float], inputs: list[float]
) -> None:
    for place, name in enumerate(definition.inputs):
        if name in (SESSION, PRICE_SCALE):
            continue
        before = repr(state.values)
        holed = [*inputs[:place], np.float64(math.nan), *inputs[place + 1 :]]
        found = _outputs(definition, definition.step(state, FIRST_SLOT, *values, *holed))
        if not all(map(math.isnan, found)):
            raise OwnIndicatorError(f"has a value where {name} is null")
        if repr(state.values) != before:
            raise OwnIndicatorError(f"changes its state where {name} is null")


def _check_batch(definition: Definition, values: Sequence[float], size: int) -> None:
    """Check that the batch form of a step leaves the state, and compares, as the step does."""
    source = _strategy_of(definition, values, size)
    bars = _bars(BARS)
    stepped = _ran(source, size, lambda module, state: _step_all(module, state, bars))
    at_once = _ran(lower_step(source), size, lambda module, state: _run_all(module, state, bars))
    if stepped != at_once:
        raise OwnIndicatorError(
            "its functions reach the same slots by plain numbers and by computed ones; accepted: "
            "a computed index is a plain number plus something that is not negative, and slots "
            "from that number on belong to one function and those that it calls"
        )


def _strategy_of(definition: Definition, values: Sequence[float], size: int) -> str:
    """Return a source, as the compiler writes it, that compares each output with the close."""
    columns = {"open": "open_", SESSION: "session", PRICE_SCALE: "100.0", "spread": "close"}
    inputs = [columns.get(name, name) for name in definition.inputs]
    arguments = ", ".join(["state", "0", *map(repr, values), *inputs])
    outputs = [f"v{number}" for number in range(len(definition.outputs))]
    masks = " | ".join(f"(({v} > close) << {bit})" for bit, v in enumerate(outputs[:60]))
    step = (
        "def step(state, open_, high, low, close, volume, tf_closed, session):\n"
        f"    {', '.join(outputs)} = {definition.step.__name__}({arguments})\n"
        f"    fired = {masks}\n"
        "    return fired"
    )
    functions = {f.__name__: f for f in (*definition.uses, definition.step)}
    start = f"def init_state(state):\n    state[0:{size}] = 0.0"
    return "\n\n".join(("import math", *map(function_text, functions.values()), start, step))


def _ran(
    source: str, size: int, run: Callable[[dict[str, Any], Floats], list[int]]
) -> tuple[list[int], bytes]:
    """Return the masks of a source over bars, and the bits of the state that is left."""
    module: dict[str, Any] = {"float": np.float64}
    exec(compile(source, "<step>", "exec"), module)  # noqa: S102 - checked above
    state = np.zeros(size)
    return run(module, state), state.tobytes()


def _step_all(module: dict[str, Any], state: Floats, bars: list[dict[str, float]]) -> list[int]:
    module["init_state"](state)
    return [
        int(
            module["step"](
                state, *(np.float64(bar[name]) for name in COLUMNS), 0, int(bar[SESSION])
            )
        )
        for bar in bars
    ]


def _run_all(module: dict[str, Any], state: Floats, bars: list[dict[str, float]]) -> list[int]:
    masks = np.zeros(len(bars), np.int64)
    module[ROWS_FUNCTION](
        np.array([[bar[name] for name in COLUMNS[:4]] for bar in bars]),
        np.array([bar["volume"] for bar in bars]),
        np.zeros(len(bars), np.uint8),
        np.arange(len(bars), dtype=np.int32),
        np.zeros(1, np.int64),
        np.array([bar[SESSION] for bar in bars], np.int64),
        np.array([0, len(bars)], np.int64),
        np.ones(1),
        state,
        masks,
        0,
        1,
    )
    return [int(mask) for mask in masks]


def _outputs(definition: Definition, found: object) -> tuple[float, ...]:
    answer = found if isinstance(found, tuple) else (found,)
    if len(answer) != len(definition.outputs):
        raise OwnIndicatorError(
            f"returns {len(answer)} values for {len(definition.outputs)} outputs"
        )
    return tuple(float(value) for value in answer)


def _bars(count: int) -> list[dict[str, float]]:
    """Return bars in whole ticks with gaps, over sessions of eleven bars."""
    source = random.Random(count)  # noqa: S311 - made-up prices
    close, found = 10_000.0, []
    for number in range(count):
        opened = close + source.randint(-4, 4)
        close = max(opened + source.randint(-9, 9), 1_000.0)
        found.append(
            {
                "open": opened,
                "high": max(opened, close) + source.randint(0, 4),
                "low": min(opened, close) - source.randint(0, 4),
                "close": close,
                "volume": float(source.randint(1, 1_000)),
                SESSION: 19_723.0 + number // 11,
                PRICE_SCALE: 100.0,
            }
        )
    return found
