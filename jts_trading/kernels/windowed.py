"""Indicators of pandas-ta-classic by name, each over one bounded window.

Theory of operation. A step of this kind keeps the last `window` bars in its state and, on each
bar, leaves compiled code to call the library on exactly these; the last row of the answer is the
value. So a backtest, live trading and a restart from a snapshot ask the same question and get the
same bits, and nothing can look ahead: the library never sees more than the window. The price is a
call of about a millisecond per bar and instrument.

The library is given prices in units of currency. Which outputs are prices is found out once, by
asking again with all prices four times as high.
"""

import importlib
import importlib.metadata
import importlib.util
import inspect
import linecache
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jts_trading.indicators.catalog import Catalog, UnusableIndicatorError
from jts_trading.indicators.definition import (
    PERIOD_MAX,
    PRICE_SCALE,
    SOURCE,
    Definition,
    Output,
    Parameter,
    ParameterKind,
    Unit,
    whole,
)

Floats = NDArray[np.float64]

PACKAGE = "pandas_ta_classic"
DISTRIBUTION = "pandas-ta-classic"
WINDOW = "window"
WINDOW_DEFAULT, WINDOW_MAX = 250, 2_000
_SERIES = {name: name.rstrip("_") for name in ("open_", "open", "high", "low", "close", "volume")}
# `offset` below zero would show the future; both change nothing else.
_LEFT_OUT = frozenset({"offset", "talib", "append"})
_FOLDERS = (
    *("candles", "cycles", "momentum", "overlap", "performance", "statistics", "trend"),
    *("volatility", "volume"),
)
_FACTOR = 4.0
_UNITS = {0: Unit.NUMBER, 1: Unit.INPUT, 2: Unit.SQUARE}


class WideCatalog(Catalog):
    """A catalogue that looks names it does not hold up in pandas-ta-classic."""

    def find(self, name: str) -> Definition | None:
        """Return the indicator of this name, native, own, or of the library, or None.

        Raises:
            UnusableIndicatorError: The library has it, but it cannot be asked over a window.
        """
        return super().find(name) or library_definition(name.lower())


@dataclass(frozen=True, slots=True)
class Question:
    """How one function of the library is called.

    Attributes:
        function: The function.
        series: Its arguments that are columns, in their order.
        names: Its numeric arguments that can be set; 0 leaves one to the library.
        has_talib: Whether it would use TA-Lib where that is installed; it is told not to.
    """

    function: Callable[..., object]
    series: tuple[str, ...]
    names: tuple[str, ...]
    has_talib: bool

    def ask(self, columns: Sequence[Floats], values: Sequence[float]) -> Floats:
        """Return the last row of the answer, or an empty one."""
        given: dict[str, object] = {
            name: int(value) if value.is_integer() else value
            for name, value in zip(self.names, values, strict=True)
            if value != 0.0
        }
        if self.has_talib:
            given["talib"] = False
        series = dict(zip(self.series, map(pd.Series, columns), strict=True))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            answer = self.function(**series, **given)
        table = answer[0] if isinstance(answer, tuple) else answer
        if isinstance(table, pd.Series):
            return np.array([table.iloc[-1]], dtype=float)
        if isinstance(table, pd.DataFrame) and len(table):
            row: Floats = table.iloc[-1].to_numpy(dtype=float)
            return row
        return np.empty(0)


def last_values(  # noqa: PLR0917 - compiled code calls by position
    name: str,
    state: Floats,
    first: int,
    window: int,
    newest: int,
    scale: float,
    values: tuple[float, ...],
    powers: tuple[int, ...],
) -> tuple[float, ...]:
    """Return what the library says about the window: called by compiled steps.

    Args:
        name: Of the function.
        state: The row that holds the window.
        first: Its first slot; the columns follow one another.
        window: Bars in it.
        newest: Place of the newest bar.
        scale: Price units in one unit of currency.
        values: Numeric arguments; 0 leaves one to the library.
        powers: Of each output: 1 for a price, 2 for its square, 0 for any other number.
    """
    question = question_of(name)
    columns = []
    for place, series in enumerate(question.series):
        ring = state[first + place * window : first + (place + 1) * window]
        column = np.concatenate((ring[newest + 1 :], ring[: newest + 1]))
        columns.append(column if series == "volume" else column / scale)
    try:
        row = question.ask(columns, values)
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError):
        row = np.empty(0)  # Too short a window for these arguments has no value.
    if len(row) != len(powers):
        return (math.nan,) * len(powers)
    return tuple(float(x) * scale**power for x, power in zip(row, powers, strict=True))


def library_names() -> frozenset[str]:
    """Return the names of the library's indicators, without importing it."""
    return frozenset(_folders())


@cache
def _folders() -> dict[str, str]:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return {}
    root = Path(spec.submodule_search_locations[0])
    files = (path for folder in _FOLDERS for path in root.glob(f"{folder}/*.py"))
    return {path.stem: path.parent.name for path in files if not path.stem.startswith("_")}


@cache
def library_definition(name: str) -> Definition | None:
    """Return the definition of an indicator of the library, or None for an unknown name.

    Raises:
        UnusableIndicatorError: It cannot be asked over a window; the message says why.
    """
    if name not in library_names():
        return None
    question = question_of(name)
    labels, powers = _probe(name, question)
    numeric = _parameters(question)
    window = Parameter(
        WINDOW,
        ParameterKind.WHOLE,
        Fraction(2),
        Fraction(WINDOW_MAX),
        Fraction(WINDOW_DEFAULT),
    )
    columns = tuple(_SERIES[series] for series in question.series)
    return Definition(
        name=name.upper(),
        summary=f"{name} of {DISTRIBUTION} over the last bars",
        inputs=(*columns, PRICE_SCALE),
        sources=(SOURCE,) if columns == ("close",) else (),
        parameters=(*numeric, window),
        outputs=tuple(
            Output(label, _UNITS[power]) for label, power in zip(labels, powers, strict=True)
        ),
        step=_step(name, numeric, columns, powers),
        state_size=lambda s: 1 + len(columns) * whole(s, WINDOW),
        warmup=lambda s: whole(s, WINDOW),
        waits_for=f"as many bars as {DISTRIBUTION} needs",
        imports=(
            "from numba import objmode",
            f"from {__name__} import {last_values.__name__}",
        ),
    )


@cache
def question_of(name: str) -> Question:
    """Return how a function of the library is called.

    Raises:
        UnusableIndicatorError: It needs something that is neither a column nor a number.
    """
    module = importlib.import_module(f"{_library().__name__}.{_folders()[name]}.{name}")
    function = getattr(module, name, None)
    if not callable(function):
        raise UnusableIndicatorError(f"{DISTRIBUTION} has no function {name}")
    series: list[str] = []
    optional: list[str] = []
    names: list[str] = []
    has_talib = False
    for parameter in inspect.signature(function).parameters.values():
        is_required = parameter.default is inspect.Parameter.empty
        if parameter.kind is inspect.Parameter.VAR_KEYWORD or parameter.name == "talib":
            has_talib = True
        elif parameter.name in _SERIES:
            (series if is_required else optional).append(parameter.name)
        elif _kind(parameter) and parameter.name not in _LEFT_OUT:
            names.append(parameter.name)
        elif is_required:
            raise UnusableIndicatorError(
                f"{name} of {DISTRIBUTION} needs {parameter.name!r}, which is no column of bars"
            )
    series = series or optional
    if not series:
        raise UnusableIndicatorError(f"{name} of {DISTRIBUTION} reads no column of bars")
    return Question(function, tuple(series), tuple(names), has_talib)


def _library() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It reads a deprecated field of the clock on import.
        return importlib.import_module(PACKAGE)


def _kind(parameter: inspect.Parameter) -> ParameterKind | None:
    words = set(re.findall(r"\w+", str(parameter.annotation)))
    if parameter.name in _SERIES or isinstance(parameter.default, bool) or "bool" in words:
        return None
    if "float" in words:
        return ParameterKind.NUMBER
    return ParameterKind.WHOLE if "int" in words else None


def _parameters(question: Question) -> tuple[Parameter, ...]:
    signature = inspect.signature(question.function).parameters
    found = []
    for name in question.names:
        kind = _kind(signature[name]) or ParameterKind.NUMBER
        low = 0 if kind is ParameterKind.WHOLE else -PERIOD_MAX
        found.append(Parameter(name, kind, Fraction(low), Fraction(PERIOD_MAX), Fraction(0)))
    return tuple(found)


def _probe(name: str, question: Question) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Ask about made-up bars; return labels and powers of the outputs."""
    source = np.random.default_rng(7)
    close = 200.0 + np.cumsum(source.normal(0.0, 1.0, WINDOW_DEFAULT))
    opened = close + source.normal(0.0, 0.5, WINDOW_DEFAULT)
    bars = {
        "open": opened,
        "high": np.maximum(opened, close) + source.random(WINDOW_DEFAULT),
        "low": np.minimum(opened, close) - source.random(WINDOW_DEFAULT),
        "close": close,
        "volume": source.integers(100, 9_000, WINDOW_DEFAULT).astype(float),
    }
    given = [bars[_SERIES[series]] for series in question.series]
    taller = [
        column if series == "volume" else column * _FACTOR
        for series, column in zip(question.series, given, strict=True)
    ]
    nothing = [0.0] * len(question.names)
    try:
        plain, tall = question.ask(given, nothing), question.ask(taller, nothing)
        labels = _labels(question, given)
    except Exception as error:
        raise UnusableIndicatorError(
            f"{name} of {DISTRIBUTION} cannot be asked over a window: {error}"
        ) from error
    if not len(plain) or len(plain) != len(labels):
        raise UnusableIndicatorError(f"{name} of {DISTRIBUTION} has no numbers as its answer")
    return labels, tuple(map(_power, plain, tall))


def _power(plain: float, tall: float) -> int:
    for power in _UNITS:
        if plain != 0.0 and math.isclose(tall, plain * _FACTOR**power, rel_tol=1e-6):
            return power
    return 0


def _labels(question: Question, given: Sequence[Floats]) -> tuple[str, ...]:
    """Return names of outputs: those of the library's columns without their settings."""
    series = dict(zip(question.series, map(pd.Series, given), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = question.function(**series, **({"talib": False} if question.has_talib else {}))
    table = answer[0] if isinstance(answer, tuple) else answer
    if isinstance(table, pd.Series):
        return ("value",)
    assert isinstance(table, pd.DataFrame)  # noqa: S101 - `ask` had numbers from it
    found: list[str] = []
    for column in map(str, table.columns):
        words = [re.sub(r"\W", "", word) for word in column.split("_")]
        label = "_".join(word for word in words if word and not word.isdecimal()).lower()
        label = label or "value"
        taken = sum(each == label or each.startswith(f"{label}__") for each in found)
        found.append(label if not taken else f"{label}__{taken + 1}")
    return tuple(found)


def _step(
    name: str, numeric: tuple[Parameter, ...], columns: tuple[str, ...], powers: tuple[int, ...]
) -> Callable[..., float | tuple[float, ...]]:
    """Return the step of an indicator, written out for its columns and outputs."""
    inputs = [f"x{place}" for place in range(len(columns))]
    arguments = [f"p_{parameter.name}" for parameter in numeric]
    results = [f"r{place}" for place in range(len(powers))]
    nulls = ", ".join(["math.nan"] * len(powers))
    version = importlib.metadata.version(DISTRIBUTION)
    values = "".join(f"1.0 * {argument}, " for argument in arguments)
    types = ", ".join(f'{result}="float64"' for result in results)
    lines = [
        f"def ta_{name}_step({', '.join(['state', 'at', *arguments, WINDOW, *inputs, 'scale'])}):",
        f'    library = "{DISTRIBUTION} {version}"',
        f"    if {' or '.join(f'math.isnan({x})' for x in inputs)}:",
        f"        return {nulls}",
        "    place = int(state[at])",
        f"    inside = place - {WINDOW} if place >= {WINDOW} else place",
        *(f"    state[at + 1 + {k} * {WINDOW} + inside] = {x}" for k, x in enumerate(inputs)),
        "    place += 1",
        f"    state[at] = {WINDOW} if place == {WINDOW} + {WINDOW} else place",
        f"    if place < {WINDOW}:",
        f"        return {nulls}",
        f"    with objmode({types}):",
        f"        {', '.join(results)}, = {last_values.__name__}(",
        f'            "{name}", state, at + 1, {WINDOW}, inside, scale,',
        f"            ({values}), {powers!r},",
        "        )",
        f"    return {', '.join(results)}",
    ]
    text = "\n".join(lines) + "\n"
    # Registered where `inspect` looks for the texts of functions: the compiler pastes it.
    file = f"<{DISTRIBUTION} {name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, object] = {"math": math, last_values.__name__: last_values}
    space["objmode"] = importlib.import_module("numba").objmode
    exec(compile(text, file, "exec"), space)  # noqa: S102 - made of names of our own above
    step = space[f"ta_{name}_step"]
    assert callable(step)  # noqa: S101 - it was defined in the line before
    return step
