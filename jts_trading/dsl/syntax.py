"""The syntax tree: what was written, nothing resolved yet.

Every node carries `at`, its offset in the text. Chains are flat (`a + b + c` is one Sum), so the
depth of a tree is bounded by the nesting limit and walking it may recurse.
"""

from dataclasses import dataclass
from fractions import Fraction

from jts_trading.dsl.grammar import Block, Measure


@dataclass(frozen=True, slots=True)
class Literal:
    """A number with what it measures; percent as a fraction, duration in seconds."""

    at: int
    value: Fraction
    measure: Measure
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted text."""

    at: int
    value: str


@dataclass(frozen=True, slots=True)
class Truth:
    """A truth value."""

    at: int
    value: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """A dotted name."""

    at: int
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument; `name` is empty when it is given by position."""

    at: int
    name: str
    value: "Expression | Record"


@dataclass(frozen=True, slots=True)
class Call:
    """A call: indicator, sizing or routing function."""

    at: int
    name: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Selected:
    """One output of a call."""

    at: int
    operand: Call
    name: str


@dataclass(frozen=True, slots=True)
class Record:
    """Named values in braces."""

    at: int
    entries: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class History:
    """A series some bars ago."""

    at: int
    operand: "Expression"
    bars: "Expression"


@dataclass(frozen=True, slots=True)
class Negative:
    """The negative of a value."""

    at: int
    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Chain:
    """Arithmetic from left to right: a first operand, then (sign, offset of it, operand)."""

    at: int
    first: "Expression"
    rest: tuple[tuple[str, int, "Expression"], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values and a comparison sign."""

    at: int
    sign: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Crossing:
    """One series crosses another, upwards or downwards."""

    at: int
    upwards: bool
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Between:
    """A value inside an interval that includes its ends."""

    at: int
    operand: "Expression"
    low: "Expression"
    high: "Expression"


@dataclass(frozen=True, slots=True)
class Negation:
    """The opposite of a condition."""

    at: int
    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions of which all (`every`) or at least one must hold."""

    at: int
    every: bool
    operands: tuple["Expression", ...]


Expression = (
    Literal
    | Text
    | Truth
    | Reference
    | Call
    | Selected
    | History
    | Negative
    | Chain
    | Comparison
    | Crossing
    | Between
    | Negation
    | Junction
)


@dataclass(frozen=True, slots=True)
class Definition:
    """A name for an expression; `frame` is the time frame of its block, or empty."""

    at: int
    name: str
    value: Expression
    frame: str = ""
    frame_at: int = 0


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the strategy, with the range that a sweep may use."""

    at: int
    name: str
    value: Literal
    low: Literal | None = None
    high: Literal | None = None
    step: Literal | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a block of settings."""

    at: int
    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class SourceRange:
    """A range of symbols that one source delivers; both ends belong to it."""

    at: int
    name: str
    collection: str
    first: Literal
    last: Literal


@dataclass(frozen=True, slots=True)
class Selection:
    """What an instrument must be: a setting of the universe with the texts that it accepts."""

    at: int
    name: str
    values: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Requirement:
    """A demand on the data; `bars` is how far it reaches back, or None for the warm-up."""

    at: int
    bars: Literal | None


@dataclass(frozen=True, slots=True)
class Action:
    """An order that a rule gives."""

    at: int
    name: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class When:
    """A condition and what happens when it is true."""

    at: int
    condition: Expression
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class RuleBlock:
    """Rules of one side."""

    at: int
    block: Block
    rules: tuple[When, ...]


@dataclass(frozen=True, slots=True)
class Strategy:
    """A whole text."""

    at: int
    name: Text
    params: tuple[Parameter, ...]
    timeframes: tuple[Setting, ...]
    definitions: tuple[Definition, ...]
    sources: tuple[SourceRange, ...]
    rules: tuple[RuleBlock, ...]
    risk: tuple[Setting, ...]
    selections: tuple[Selection, ...] = ()
    filters: tuple[Expression, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    ranks: tuple[Expression, ...] = ()
