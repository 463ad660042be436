"""Generated expressions in machine code against Python, which runs the same text on its own.

Python counts without end, machine code in words of 64 bits: where a number has no word, or is
none, or an index leads out of its array, Python raises here, and the checked form has to.
"""

import math
import random
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from jts_trading.kernels.native import Native
from jts_trading.kernels.native_checks import FaultError
from jts_trading.kernels.native_values import Kind

FUNCTIONS = 6
SHAPE = {"reals": Kind("float64", (0, 3)), "narrow": Kind("int32", (0,))}
NARROW = (7, -3, 0, (1 << 31) - 1)
CELLS = Kind("int64", (4,))


class Word(int):
    """A whole number of 64 bits: a sum that has no place in them raises, shifts drop bits."""

    def __new__(cls, value: float = 0) -> Self:
        """Take a number that has a word."""
        if not -(1 << 63) <= int(value) < 1 << 63:
            raise OverflowError(str(value))
        return super().__new__(cls, value)


def _on_words(name: str) -> Any:
    def combine(left: int, right: Any) -> Any:
        found = getattr(int, name)(int(left), right)
        return Word(found) if isinstance(found, int) else found

    return combine


def _divide(name: str) -> Any:
    def combine(left: int, right: int) -> Word:
        return Word(getattr(int, name)(int(left), int(right)) if right else 0)

    return combine


def _on_floats(name: str) -> Any:
    """What is compared with a float, or divided, is turned into one first."""

    def compare(left: int, right: Any) -> Any:
        if isinstance(right, float) or name == "__truediv__":
            return getattr(float, name)(float(left), float(right))
        return getattr(int, name)(int(left), right)

    return compare


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "and", "or", "xor"):
    setattr(Word, f"__{_name}__", _on_words(f"__{_name}__"))
for _name in ("floordiv", "mod"):
    setattr(Word, f"__{_name}__", _divide(f"__{_name}__"))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "truediv"):
    setattr(Word, f"__{_name}__", _on_floats(f"__{_name}__"))
Word.__hash__ = int.__hash__  # type: ignore[method-assign]
Word.__neg__ = lambda self: Word(-int(self))  # type: ignore[method-assign]
Word.__abs__ = lambda self: Word(abs(int(self)))  # type: ignore[method-assign]
Word.__rshift__ = lambda self, by: Word(int(self) >> by)  # type: ignore[method-assign]
Word.__lshift__ = lambda self, by: Word(  # type: ignore[method-assign]
    ((int(self) << by) + (1 << 63)) % (1 << 64) - (1 << 63)
)


class Row(dict[int, Word]):
    """An array that is not indexed from its end; a number in it is a word."""


MATH = SimpleNamespace(
    floor=lambda number: Word(math.floor(number)),
    ceil=lambda number: Word(math.ceil(number)),
    sqrt=math.sqrt,
    isnan=math.isnan,
)


class Author:
    """Writes expressions, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def whole(self, depth: int) -> str:
        """Return an expression that is a whole number."""
        one_of = self.random.choice
        if depth == 0:
            number = one_of((self.random.randint(-9, 9), 1 << 40, -(1 << 40), 1 << 62))
            return one_of(("a", "b", "c", f"word({number})"))
        one, two = self.whole(depth - 1), self.whole(depth - 1)
        return one_of(
            (
                *(f"({one} {op} {two})" for op in ("+", "-", "*", "//", "%", "&", "|", "^")),
                *(f"({one} {op} ({two} & 63))" for op in ("<<", ">>")),
                *(f"-{one}", f"abs({one})", f"({one} if {self.truth(depth - 1)} else {two})"),
                f"{one_of(('min', 'max'))}({one}, {two}, {self.whole(0)})",
                f"{one_of(('int', 'math.floor', 'math.ceil'))}({self.real(depth - 1)})",
                f"record.narrow[{one} & {one_of((3, 3, 3, 7))}]",
            )
        )

    def real(self, depth: int) -> str:
        """Return an expression that is a float."""
        one_of = self.random.choice
        if depth == 0:
            return one_of(("x", "y", "0.1", "-2.5", "1e300"))
        one, two, whole = self.real(depth - 1), self.real(depth - 1), self.whole(depth - 1)
        return one_of(
            (
                *(f"({one} {op} {two})" for op in "+-*"),
                *(f"({whole} {op} {one})" for op in "+-*"),
                f"({whole} / ({self.whole(0)} % 1000 + word(1000)))",
                *(f"math.sqrt(abs({one}))", f"float({whole})", f"-{one}"),
                f"float({one_of(('min', 'max'))}({one}, {one_of((two, whole))}))",
                f"({one} if {self.truth(depth - 1)} else {two})",
            )
        )

    def truth(self, depth: int) -> str:
        """Return an expression that is true or not."""
        below, one_of = max(depth - 1, 0), self.random.choice
        first, second, third = self.numbers(below)
        order, other = one_of(ORDERS), one_of(ORDERS)
        if depth == 0:
            return f"{first} {order} {second}"
        one, two = self.truth(below), self.truth(below)
        return one_of(
            (
                *(f"({first} {order} {second})", f"({first} {order} {second} {other} {third})"),
                *(f"({one} and {two})", f"({one} or {two})", f"(not {one})"),
                f"({self.whole(0)} in ({self.whole(below)}, {self.whole(0)}))",
                f"math.isnan({self.real(below)})",
            )
        )

    def numbers(self, depth: int) -> list[str]:
        """Return three numbers to compare.

        Python compares a float with what a whole number is; machine code with it as a float.
        """
        found: list[str] = []
        is_real = False
        for _ in range(3):
            was_real, is_real = is_real, self.random.random() < 0.5
            number = self.real(depth) if is_real else self.whole(depth)
            found.append(f"float({number})" if was_real and not is_real else number)
            is_real = is_real or was_real
        return found

    def text(self) -> str:
        """Return functions of three expressions each."""
        functions = (
            f"""
def f{number}(record, cells):
    a, b, c = cells[0], cells[1], cells[2]
    x, y = record.reals[0, 0], record.reals[0, 1]
    cells[3] = {self.whole(3)}
    record.reals[0, 2] = {self.real(3)}
    return 1 if {self.truth(3)} else 0
"""
            for number in range(FUNCTIONS)
        )
        return "\n".join(("def word(number):\n    return number\n", *functions))


ORDERS = ("<", "<=", ">", ">=", "==", "!=")
WORDS = st.one_of(
    st.integers(-9, 9),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from((-1 << 63, (1 << 63) - 1, 1 << 53, (1 << 53) + 1)),
)
FLOATS = st.one_of(
    st.sampled_from((math.nan, math.inf, -math.inf, -0.0, 0.5, 9.3e18)), st.floats(-1e6, 1e6)
)
INPUTS = st.tuples(st.lists(WORDS, min_size=3, max_size=3), st.tuples(FLOATS, FLOATS))


def in_python(text: str, name: str, words: list[int], floats: tuple[float, float]) -> Any:
    """Return what a function returns and leaves in Python, or None where something has no word."""
    space: dict[str, Any] = {"math": MATH, "int": lambda number: Word(int(number))}
    exec(text, space)  # noqa: S102 - the text above
    space["word"] = Word
    cells = Row(enumerate(map(Word, words)))
    real = {(0, 0): floats[0], (0, 1): floats[1]}
    record = SimpleNamespace(reals=real, narrow=Row(enumerate(map(Word, NARROW))))
    try:
        found = space[name](record, cells)
    except (OverflowError, ValueError, KeyError):
        return None
    return found, int(cells[3]), np.float64(real[0, 2]).tobytes()


def in_machine_code(
    compiled: Native, name: str, words: list[int], floats: tuple[float, float]
) -> Any:
    """Return the same of a compiled function."""
    cells, real = np.array([*words, 0], np.int64), np.array([[*floats, 0.0]])
    found = compiled.call(name, (real, np.array(NARROW, np.int32)), cells)
    return found, int(cells[3]), real[0, 2].tobytes()


def without_payload(result: tuple[int, int, bytes]) -> tuple[int, int, bytes]:
    """Return a result in which what is no number has the same bits, whatever made it."""
    is_null = math.isnan(np.frombuffer(result[2])[0])
    return (*result[:2], b"null" if is_null else result[2])


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(seed=st.integers(0, 1 << 32), inputs=st.lists(INPUTS, min_size=4, max_size=8))
def test_generated_expressions_are_what_python_says(
    seed: int, inputs: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Both forms give the bits of Python; where Python raises, so does the checked one."""
    text, cache = Author(seed).text(), tmp_path_factory.mktemp("expressions")
    entries = {f"f{number}": CELLS for number in range(FUNCTIONS)}
    fast = Native(lambda: text, text, entries, SHAPE, cache)
    checked = Native(lambda: text, text, entries, SHAPE, cache, are_checked=True)
    for name in entries:
        for words, floats in inputs:
            wanted = in_python(text, name, words, floats)
            if wanted is None:
                with pytest.raises(FaultError):
                    in_machine_code(checked, name, words, floats)
                continue
            for form in (checked, fast):
                found = in_machine_code(form, name, words, floats)
                assert without_payload(found) == without_payload(wanted), (text, name)
