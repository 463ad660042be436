"""How an indicator is defined: once, as a step over flat state.

Theory of operation. A definition is a table row and one plain Python function, its *step*:

    step(state, at, *parameters, *inputs) -> value, or a tuple with one value per output

`state` is the float64 row of one instrument, `at` the first slot that belongs to this indicator,
parameters and inputs follow in the order in which the definition lists them. The row starts as
zeros. The compiler pastes the text of the step into the generated source, so a step may use only
its arguments, `math`, and the steps that the definition names in `uses`; nothing else reaches a
kernel, and a new indicator needs no change of the compiler.

One null rule holds for all: a null input (NaN) leaves the state as it was and the output null.
So halted and absent bars, and the warm-up of an inner indicator, never advance an outer one. A
quotient by zero is null, as everywhere in the language.

Two inputs are no columns of the bar: `session` is the trading day of the bar as a number that
differs between days (days since 1970-01-01), `price_scale` the number of price units in one unit
of currency.

The docstring of a step is part of its definition: after the first sentence, paragraphs headed
`Formula:`, `Source:` and, where the general rule is not all, `Null:` become the page
`docs/indicators.md`; `Slots:` is for those who change the step.

Invariants: a step reads and writes only `state[at : at + state_size]`. A computed index is a plain
number plus something that is not negative (`at + 2 + place`), and the slots from that number on
belong to the function with that index and those that it calls or that call it: a backtest keeps
all others in registers (`dsl.reach`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Protocol

from jts_trading.indicators.symbols import derive, written

Settings = Mapping[str, Fraction]

PERIOD_MAX = 10_000
EPOCH = date(1970, 1, 1)
SESSION = "session"
PRICE_SCALE = "price_scale"
SOURCE = "source"


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
    DATE = "date"  # held as days since 1970-01-01


class Unit(StrEnum):
    """In what an output is measured."""

    INPUT = "input"  # as the input: SMA of prices is a price
    SQUARE = "square of the input"  # the variance of prices
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

    `divisor` gives the whole number by which the returned number is to be divided: a mean is
    returned as its sum, so that means of whole numbers stay exact and are compared exactly.
    """

    name: str
    unit: Unit
    divisor: Callable[[Settings], int] | None = None
    aliases: tuple[str, ...] = ()


def _no_constraint(_settings: Settings) -> str | None:
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """An indicator; two are the same when they are the same object.

    `is_linear`: outputs with a divisor are whole-number combinations of the inputs (or the
    greatest, least or middle one), so inputs may be fed as numerators over a common divisor.
    `state_size` counts float64 slots, `warmup` the bars with inputs until the first bar on which
    all outputs are defined (1: at once), `waits_for` what else has to pass. `constraint` returns
    what is wrong with a combination of parameters, or None. `sources` names the arguments that
    replace the first inputs by any series. `imports` are lines that the step needs above it.
    `passes_time`: a period that is given as a duration is one of time, where a condition is judged
    on trades; the value is then the change since the last trade before it.
    """

    name: str
    summary: str
    inputs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    outputs: tuple[Output, ...]
    step: Callable[..., float | tuple[float, ...]]
    state_size: Callable[[Settings], int]
    warmup: Callable[[Settings], int]
    uses: tuple[Callable[..., float | tuple[float, ...]], ...] = ()
    is_linear: bool = False
    constraint: Callable[[Settings], str | None] = _no_constraint
    aliases: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    waits_for: str = ""
    imports: tuple[str, ...] = ()
    passes_time: bool = False

    @property
    def source_names(self) -> tuple[str, ...]:
        """The arguments that replace the first inputs by any series."""
        return self.sources or ((SOURCE,) if len(self.inputs) == 1 else ())

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


def number(name: str, default: str, low: str, high: str) -> Parameter:
    """Return a parameter that is any number of a range; bounds and default as decimals."""
    return Parameter(name, ParameterKind.NUMBER, Fraction(low), Fraction(high), Fraction(default))


def date_parameter(name: str) -> Parameter:
    """Return a parameter that is a date of 1970 to 2199, written "2024-06-14"."""
    first, last = Fraction(0), Fraction((date(2199, 12, 31) - EPOCH).days)
    return Parameter(name, ParameterKind.DATE, first, last)


def setting_text(kind: ParameterKind, value: Fraction) -> str:
    """Return the value of a parameter as it would be written."""
    return written(_day_text if kind is ParameterKind.DATE else short_text, value)


def short_text(value: Fraction) -> str:
    """Return a number in few digits."""
    return str(value.numerator) if value.denominator == 1 else f"{float(value):g}"


def _day_text(value: Fraction) -> str:
    return str(EPOCH + timedelta(days=int(value)))


def whole(settings: Settings, name: str = "period") -> int:
    """Return the value of a parameter that counts bars."""
    found: int = derive(int, settings[name])
    return found


def fast_below_slow(settings: Settings) -> str | None:
    """Return what is wrong when `fast` is not below `slow`, or None."""
    if settings["fast"] < settings["slow"]:
        return None
    return f"fast ({settings['fast']}) must be below slow ({settings['slow']})"


# What most indicators are made of: outputs, inputs, sizes.
VALUE = Output("value", Unit.INPUT)
NUMBER_VALUE = Output("value", Unit.NUMBER)
CLOSE = ("close",)
VOLUME = ("volume",)
HIGH_LOW = ("high", "low")
HIGH_LOW_CLOSE = ("high", "low", "close")
OPEN_HIGH_LOW_CLOSE = ("open", "high", "low", "close")
HIGH_LOW_CLOSE_VOLUME = ("high", "low", "close", "volume")
