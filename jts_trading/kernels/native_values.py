"""What plain functions compute with, as LLVM sees it: numbers, arrays, records of arrays, tuples.

Whole numbers have 64 bits, truths one, the rest are floats of 64 bits; narrower elements of an
array become one of these when they are read. An array is C-contiguous and is never indexed from
its end, so the place of an element is a sum of products.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir

INT, FLOAT, TRUTH = ir.IntType(64), ir.DoubleType(), ir.IntType(1)
_ELEMENTS = {
    "int64": INT,
    "int32": ir.IntType(32),
    "uint8": ir.IntType(8),
    "float64": FLOAT,
}
# Sizes that are known at run time only, by the number of dimensions.
_OPEN = tuple((0,) * count for count in range(8))
# Elements that have no sign; the rest are extended by theirs.
_UNSIGNED = ir.IntType(8)


class UnsupportedError(Exception):
    """A function says something that is not turned into LLVM code."""


class Code(ir.Module):  # type: ignore[misc]  # llvmlite ships no types
    """The LLVM module that functions are written into."""

    def __init__(self) -> None:
        super().__init__("jts")
        self._marks: dict[str, ir.MDValue] = {}

    def mark(self, access: ir.Instruction, memory: str) -> ir.Instruction:
        """Note which memory is read or written: other memory is not changed by that."""
        if memory not in self._marks:
            # Looking for an equal note takes longer than all else that an access needs.
            root = self.add_metadata(["arrays"])
            kind = self.add_metadata([memory, root, whole(0)])
            self._marks[memory] = self.add_metadata([kind, kind, whole(0)])
        access.set_metadata("tbaa", self._marks[memory])
        return access


@dataclass(frozen=True, slots=True)
class Kind:
    """Of an array.

    Attributes:
        element: Name of its dtype.
        sizes: Of its dimensions, 0 where they are known at run time only.
    """

    element: str
    sizes: tuple[int, ...]

    @property
    def words(self) -> int:
        """How many words say where it is and how large."""
        return 1 + len(self.sizes)

    def words_of(self, array: np.ndarray[Any, Any]) -> list[int]:
        """Return these words for an array.

        Raises:
            TypeError: It is not of this kind.
        """
        is_kind = array.dtype == self.element and array.ndim == len(self.sizes)
        is_sized = self.sizes in (array.shape, _OPEN[array.ndim]) or self._fits(array)
        if not (is_kind and is_sized and array.flags.c_contiguous):
            raise TypeError(f"array of {array.dtype} {array.shape}; needed: {self}, in order")
        return [array.__array_interface__["data"][0], *array.shape]

    def _fits(self, array: np.ndarray[Any, Any]) -> bool:
        sizes = list(zip(self.sizes, array.shape, strict=False))
        # Nothing is read from an array that has nothing where its size is asked for.
        is_empty = any(size == 0 == found for size, found in sizes)
        return is_empty or all(size in (0, found) for size, found in sizes)


Shape = Mapping[str, Kind]
"""The fields of a record, each an array, in the order of its words."""


@dataclass(frozen=True, slots=True)
class View:
    """An array, or a row of one.

    Attributes:
        start: Pointer to the first element.
        sizes: Of the dimensions.
        origin: The field that it is of; different fields do not overlap. Empty: any of them.
    """

    start: ir.Value
    sizes: tuple[ir.Value, ...]
    origin: str


@dataclass(frozen=True, slots=True)
class Record:
    """Arrays by name: a pointer to their words."""

    words: ir.Value
    fields: Shape


Value: TypeAlias = Any
"""A number (`ir.Value`, of a library without types), a `View`, a `Record`, or a tuple of these."""


def whole(number: int) -> ir.Constant:
    """Return a constant."""
    return ir.Constant(INT, number)


def element_of(kind: Kind) -> ir.Type:
    """Return the type of the elements of an array."""
    return _ELEMENTS[kind.element]


def flattened(values: Sequence[Value]) -> list[ir.Value]:
    """Return the single values that stand for values, as functions take them."""
    found: list[ir.Value] = []
    for value in values:
        match value:
            case View():
                found += [value.start, *value.sizes]
            case Record():
                found.append(value.words)
            case tuple():
                found += flattened(value)
            case _:
                found.append(value)
    return found


def gathered(like: Value, singles: list[ir.Value]) -> Value:
    """Return a value of the same form from single ones, which are taken off the front."""
    match like:
        case View():
            start = singles.pop(0)
            return View(start, tuple(singles.pop(0) for _ in like.sizes), like.origin)
        case Record():
            return Record(singles.pop(0), like.fields)
        case tuple():
            return tuple(gathered(each, singles) for each in like)
        case _:
            return singles.pop(0)


def form_of(value: Value) -> object:
    """Return what tells apart the forms of a function: the types of its arguments."""
    match value:
        case View():
            return str(value.start.type), len(value.sizes), value.origin
        case Record():
            return tuple(value.fields.items())
        case tuple():
            return tuple(form_of(each) for each in value)
        case _:
            return str(value.type)


def as_whole(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Return a truth or a narrow element as a whole number; a whole number as it is."""
    if value.type == INT:
        return value
    if not isinstance(value.type, ir.IntType):
        raise UnsupportedError("a float where a whole number is needed")
    is_unsigned = value.type in (TRUTH, _UNSIGNED)
    return builder.zext(value, INT) if is_unsigned else builder.sext(value, INT)


def as_float(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Return a number as a float."""
    return value if value.type == FLOAT else builder.sitofp(as_whole(builder, value), FLOAT)


def as_truth(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Return whether a number is not zero."""
    if value.type == TRUTH:
        return value
    if value.type == FLOAT:
        return builder.fcmp_unordered("!=", value, ir.Constant(FLOAT, 0.0))
    return builder.icmp_signed("!=", value, whole(0))


def as_type(builder: ir.IRBuilder, value: ir.Value, wanted: ir.Type) -> ir.Value:
    """Return a number in a type that an array or a variable has."""
    if value.type == wanted:
        return value
    if wanted == FLOAT:
        return as_float(builder, value)
    if wanted == TRUTH:
        return as_truth(builder, value)
    if value.type == FLOAT:
        return builder.fptosi(value, wanted)
    number = as_whole(builder, value)
    return number if wanted == INT else builder.trunc(number, wanted)


def paired(
    builder: ir.IRBuilder, left: ir.Value, right: ir.Value
) -> tuple[ir.Value, ir.Value, bool]:
    """Return two numbers in one type, and whether that is float."""
    if FLOAT in (left.type, right.type):
        return as_float(builder, left), as_float(builder, right), True
    return as_whole(builder, left), as_whole(builder, right), False
