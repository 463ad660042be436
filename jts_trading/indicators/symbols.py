"""Numbers that stand for parameters, so that one compilation serves many parameter sets.

Theory of operation. A `Recording` hands out a symbol for each parameter. What is calculated with
symbols is a symbol again, and is written down as an operation. What is decided by one - a
comparison, or a conversion to a plain number - is written down with its outcome. So what was made
with symbols is what would be made of all values that bring the same outcomes: `replay` works the
operations out for other values, and stops at the first other outcome. Nothing leaks: a use for
which there is no rule here asks for the plain number, and then the outcome is that very number.

In a text a symbol leaves a hole, a name that says how its number is written; `filled` puts the
numbers in.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Exact = int | Fraction
_HOLE = re.compile(r"(?:whole|real|text)_hole_(\d+)")


class Symbol:
    """A number that follows from parameters; see `Recording`."""

    __slots__ = ("place", "recording")

    def __init__(self, recording: "Recording", place: int) -> None:
        self.recording = recording
        self.place = place

    def __add__(self, other: Any) -> Any:
        return self.recording.calculate(operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return self.recording.calculate(operator.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return self.recording.calculate(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.recording.calculate(operator.sub, other, self)

    def __mul__(self, other: Any) -> Any:
        return self.recording.calculate(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.recording.calculate(operator.mul, other, self)

    def __truediv__(self, other: Any) -> Any:
        return self.recording.calculate(_quotient, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.recording.calculate(_quotient, other, self)

    def __floordiv__(self, other: Any) -> Any:
        return self.recording.calculate(operator.floordiv, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self.recording.calculate(operator.floordiv, other, self)

    def __mod__(self, other: Any) -> Any:
        return self.recording.calculate(operator.mod, self, other)

    def __rmod__(self, other: Any) -> Any:
        return self.recording.calculate(operator.mod, other, self)

    def __neg__(self) -> Any:
        return self.recording.calculate(operator.neg, self)

    def __abs__(self) -> Any:
        return self.recording.calculate(abs, self)

    @property
    def numerator(self) -> Any:
        """As of a fraction in lowest terms."""
        return self.recording.calculate(_NUMERATOR, self)

    @property
    def denominator(self) -> Any:
        """As of a fraction in lowest terms."""
        return self.recording.calculate(_DENOMINATOR, self)

    def __lt__(self, other: Any) -> bool:
        return self.recording.decide(operator.lt, self, other)

    def __le__(self, other: Any) -> bool:
        return self.recording.decide(operator.le, self, other)

    def __gt__(self, other: Any) -> bool:
        return self.recording.decide(operator.gt, self, other)

    def __ge__(self, other: Any) -> bool:
        return self.recording.decide(operator.ge, self, other)

    def __eq__(self, other: object) -> bool:
        return self.recording.decide(operator.eq, self, other)

    def __ne__(self, other: object) -> bool:
        return self.recording.decide(operator.ne, self, other)

    def __bool__(self) -> bool:
        return self.recording.decide(operator.ne, self, 0)

    def __hash__(self) -> int:
        return hash(self.recording.pinned(self))

    def __int__(self) -> int:
        return int(self.recording.pinned(self))

    __index__ = __int__

    def __float__(self) -> float:
        return float(self.recording.pinned(self))

    def __str__(self) -> str:
        return self.recording.hole(str, self)

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return self.recording.hole(str, self) if spec == "" else format(float(self), spec)


def derive(deed: Callable[..., Any], left: Any, right: Any = None) -> Any:
    """Return what a pure function makes of one or two numbers: a symbol, if one of them is.

    Args:
        deed: Of plain numbers; what it raises for other values ends a `replay`.
        left: A plain number or a symbol.
        right: Another one, or None for a function of one number.
    """
    for number in (left, right):
        if isinstance(number, Symbol):
            return number.recording.calculate(deed, left, right)
    return deed(left) if right is None else deed(left, right)


def written(form: Callable[[Any], str], number: Any) -> str:
    """Return how a number is written: a hole, if it is a symbol."""
    return number.recording.hole(form, number) if isinstance(number, Symbol) else form(number)


def real_text(number: Exact) -> str:
    """Return a number as float64, in the shortest way that gives it back."""
    return repr(float(number))


def filled(parts: Sequence[str], texts: Sequence[str]) -> str:
    """Return a text that `split_holes` cut, with the texts of all holes in it."""
    found = (part if at % 2 == 0 else texts[int(part)] for at, part in enumerate(parts))
    return "".join(found)


def split_holes(text: str) -> list[str]:
    """Return what stands between holes, and the numbers of the holes, in turns."""
    return _HOLE.split(text)


def _quotient(left: Exact, right: Exact) -> Exact:
    return plain(Fraction(left) / right)


def is_symbol(number: object) -> bool:
    """Return whether a number, whatever it is declared to be, is a symbol."""
    return isinstance(number, Symbol)


def plain(number: Fraction) -> Exact:
    """Return a number as an int, if it is whole."""
    return number.numerator if number.denominator == 1 else number


_NONE = -1
_NUMERATOR, _DENOMINATOR = operator.attrgetter("numerator"), operator.attrgetter("denominator")

_Deed = Callable[..., Any]
_Step = tuple[_Deed, int, int, int, bool]
"""What is done to which values; where the result goes (nowhere: a decision), and its outcome."""


@dataclass(slots=True)
class Recording:
    """Everything that was made of, and decided by, the parameters of one compilation.

    Attributes:
        values: Of the parameters, then of constants and results in the order in which they came.
        steps: Operations and decisions, likewise.
        holes: How, and which, number is written in each hole.
    """

    values: list[Any] = field(default_factory=list)
    steps: list[_Step] = field(default_factory=list)
    holes: list[tuple[Callable[[Any], str], int]] = field(default_factory=list)
    _constants: dict[tuple[type, Any], int] = field(default_factory=dict)
    _known: dict[tuple[_Deed, int, int], Symbol | bool] = field(default_factory=dict)
    _numbers: dict[tuple[Callable[[Any], str], int], int] = field(default_factory=dict)

    def parameter(self, value: Fraction) -> Any:
        """Return the symbol of the next parameter; all of them come before anything else.

        What takes it for a number need not know that it is none.
        """
        return self._symbol(plain(value))

    def calculate(self, deed: _Deed, left: Any, right: Any = None) -> Symbol:
        """Return the result of a pure function of one or two numbers as a symbol."""
        places = self._place(left), _NONE if right is None else self._place(right)
        known = self._known.get((deed, *places))
        if isinstance(known, Symbol):
            return known
        found = self._symbol(self._done(deed, *places))
        self._known[deed, *places] = found
        self.steps.append((deed, *places, found.place, True))
        return found

    def decide(self, deed: _Deed, left: Any, right: Any) -> bool:
        """Return the outcome of a comparison; what is made from now on depends on it."""
        places = self._place(left), self._place(right)
        known = self._known.get((deed, *places))
        if isinstance(known, bool):
            return known
        outcome = bool(self._done(deed, *places))
        self._known[deed, *places] = outcome
        self.steps.append((deed, *places, _NONE, outcome))
        return outcome

    def pinned(self, symbol: Symbol) -> Any:
        """Return the plain number; what is made from now on is made of this one only."""
        value = self.values[symbol.place]
        self.decide(operator.eq, symbol, value)
        return value

    def hole(self, form: Callable[[Any], str], symbol: Symbol) -> str:
        """Return what stands in a text for a number that is written in some form."""
        key = form, symbol.place
        number = self._numbers.setdefault(key, len(self.holes))
        if number == len(self.holes):
            self.holes.append(key)
        kind = {str: "whole", real_text: "real"}.get(form, "text")
        return f"{kind}_hole_{number}"

    def replay(self, parameters: Sequence[Exact]) -> list[Any] | None:
        """Return `values` of other parameters; None where something would be decided otherwise."""
        values = self.values.copy()
        values[: len(parameters)] = parameters
        try:
            for deed, left, right, target, outcome in self.steps:
                found = deed(values[left]) if right < 0 else deed(values[left], values[right])
                if target >= 0:
                    values[target] = found
                elif found is not outcome:
                    return None
        except (ArithmeticError, ValueError, TypeError):
            return None
        return values

    def _done(self, deed: _Deed, left: int, right: int) -> Any:
        values = self.values
        return deed(values[left]) if right < 0 else deed(values[left], values[right])

    def _symbol(self, value: Any) -> Symbol:
        self.values.append(value)
        return Symbol(self, len(self.values) - 1)

    def _place(self, number: Any) -> int:
        if isinstance(number, Symbol):
            return number.place
        key = type(number), number
        if key not in self._constants:
            self._constants[key] = len(self.values)
            self.values.append(number)
        return self._constants[key]
