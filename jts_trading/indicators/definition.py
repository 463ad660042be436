"""How an indicator is defined: once, as a step over flat state.

Theory of operation. A definition is a table row and one plain Python function, its *step*:

    step(state, at, *parameters, *inputs) -> value, or a tuple with one value per output

`state` is the float64 row of one instrument, `at` the first slot that belongs to this indicator,
parameters and inputs follow in the order in which the definition lists them. The row starts as
zeros. The compiler pastes the text of the step into the generated source, so a step may use only
its arguments, `math`, and the steps that the definition names in `uses`; nothing else reaches a
kernel, and a new indicator needs no change of the compiler.

One null rule holds for all: a null input (NaN) leaves the state as it was and the output null.
So halted and absent bars, and the warm-up of an inner indicator, never advance an outer one.

Invariant: a step reads and writes only `state[at : at + state_size]`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Protocol

Settings = Mapping[str, Fraction]

PERIOD_MAX = 10_000


class State(Protocol):
    """The row of one instrument, as far as a step may touch it: a flat float64 array."""

    def __getitem__(self, slot: int) -> float:
        """Read a slot."""

    def __setitem__(self, slot: int, value: float) -> None:
        """Write a slot."""


class ParameterKind(StrEnum):
    """What a parameter accepts."""

    WHOLE = "whole number"
    NUMBER = "number"
    BARS = "whole number of bars or a duration"


class Unit(StrEnum):
    """In what an output is measured."""

    INPUT = "input"  # as the input: SMA of prices is a price
    NUMBER = "number"
    PERCENT = "percent"  # a fraction: 0.03 is 3%


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: name, what it accepts, inclusive range, default (None: must be given)."""

    name: str
    kind: ParameterKind
    low: Fraction
    high: Fraction
    default: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """One output.

    `divisor` names the parameter by which the returned number is to be divided: a mean is
    returned as its sum, so that means of whole numbers stay exact and are compared exactly.
    """

    name: str
    unit: Unit
    divisor: str | None = None
    aliases: tuple[str, ...] = ()


def _no_constraint(_settings: Settings) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Definition:
    """An indicator.

    `is_linear`: outputs are whole-number combinations of the inputs before division, so inputs
    may be fed as numerators over a common divisor. `state_size` counts float64 slots, `warmup`
    the bars with inputs until the first value (1: at once). `constraint` returns what is wrong
    with a combination of parameters, or None.
    """

    name: str
    summary: str
    inputs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    outputs: tuple[Output, ...]
    step: Callable[..., float | tuple[float, ...]]
    state_size: Callable[[Settings], int]
    warmup: Callable[[Settings], int]
    uses: tuple[Callable[..., float], ...] = ()
    is_linear: bool = False
    constraint: Callable[[Settings], str | None] = _no_constraint

    @property
    def accepts_source(self) -> bool:
        """Whether its one input can be replaced by any series (`source: ...`)."""
        return len(self.inputs) == 1

    def output_index(self, name: str) -> int | None:
        """Return the position of an output by name or alias, or None."""
        for index, output in enumerate(self.outputs):
            if name == output.name or name in output.aliases:
                return index
        return None


def period(default: int | None = None, *, name: str = "period", low: int = 1) -> Parameter:
    """Return a parameter that counts bars."""
    return Parameter(
        name,
        ParameterKind.WHOLE,
        Fraction(low),
        Fraction(PERIOD_MAX),
        None if default is None else Fraction(default),
    )
