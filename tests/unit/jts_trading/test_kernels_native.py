"""Functions that are compiled without numba: they mean what Python says."""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.kernels import native
from jts_trading.kernels.native import Native
from jts_trading.kernels.native_checks import FaultError
from jts_trading.kernels.native_values import Kind, Shape, UnsupportedError

SHAPE = {
    "wide": Kind("int64", (0,)),
    "narrow": Kind("int32", (0, 3)),
    "bytes": Kind("uint8", (0,)),
    "reals": Kind("float64", (0, 0)),
}
CELLS = Kind("int64", (0,))
TEXT = """
LIMIT, STEP = 7, 1 << 40
FIRST = 0
FACTOR = 0.1

def divide(record, cells):
    cells[2], cells[3] = cells[0] // cells[1], cells[0] % cells[1]
    return 0

def orders(record, cells):
    a, b = cells[0], cells[1]
    found = 0
    if a < b and not a == 0:
        found += 1
    if a >= b or b != 3:
        found += 2
    if 0 < a <= LIMIT:
        found += 4
    if a in (1, 2, LIMIT):
        found += 8
    if b not in (1, -a):
        found += 16
    return found + (32 if -a > b else 0) + min(a, b, 5) * 64 + abs(max(a, b)) * STEP

def bits(record, cells):
    a, b = cells[0], cells[1] & 31
    return ((a << b) ^ (a >> b)) | (a & 255)

def count(record, cells):
    total, at = 0, 10
    for i in range(cells[0]):
        if i == 3:
            continue
        if i > 8:
            break
        total += i
    for j in range(5, 1, -2):
        total += j * 100
    while at > 0:
        at -= 1
        if at == cells[1]:
            break
    else_at = at
    return total * 1000 + else_at

def halves(value):
    half = value // 2
    if half > 10:
        return half, True
    return value - half, False

def row_sum(row, times):
    found = 0
    for at in range(len(row)):
        found += row[at]
    return found * times

def keep(record, at, value):
    if value < 0:
        return
    record.wide[at] = value

def calls(record, cells):
    half, is_large = halves(cells[0])
    pair = halves(cells[1])
    keep(record, 0, half)
    keep(record, 1, -5)
    chosen, other = (pair[0], half) if is_large else (half, pair[0])
    third = bool(chosen) + is_large
    return row_sum(record.narrow[1], 2) + chosen * 10 + other + third

def wider(record, cells):
    total = FIRST
    for at in range(record.reals.shape[0]):
        total = total + record.reals[at, 1]
        total *= 1.5
    record.reals[0, 0] = total / 3 if total != 0 else math.nan
    record.bytes[0] = 250 + cells[0]
    is_null = math.isnan(record.reals[0, 0])
    return int(math.sqrt(abs(total)) + float(record.bytes[0]) * FACTOR) + is_null
"""
NAMES = ("divide", "orders", "bits", "count", "calls", "wider")


def plain_of(text: str) -> dict[str, Any]:
    """Return the functions of a text as Python has them."""
    functions: dict[str, Any] = {"math": math}
    exec(text, functions)  # noqa: S102 - the text above
    return functions


PLAIN = plain_of(TEXT)


def compile_text(
    text: str, names: Iterable[str], shape: Shape, cache_dir: Path, *, are_checked: bool = False
) -> Native:
    """Return the functions of a text, each over a record and cells."""
    entries = dict.fromkeys(names, CELLS)
    return Native(lambda: text, text, entries, shape, cache_dir, are_checked=are_checked)


@pytest.fixture(scope="module", params=[False, True], ids=["fast", "checked"])
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Native:
    """The functions of the text in machine code, in both forms."""
    cache_dir = tmp_path_factory.mktemp("native")
    return compile_text(TEXT, NAMES, SHAPE, cache_dir, are_checked=request.param)


def arrays(reals: list[float]) -> dict[str, Any]:
    """Return a record of arrays."""
    return {
        "wide": np.zeros(2, np.int64),
        "narrow": np.arange(-3, 3, dtype=np.int32).reshape(2, 3),
        "bytes": np.zeros(1, np.uint8),
        "reals": np.array([[0.0, each] for each in reals]),
    }


WHOLE = st.one_of(st.integers(-12, 12), st.integers(-(1 << 40), 1 << 40))


@settings(max_examples=300, deadline=None)
@given(left=WHOLE, right=WHOLE.filter(lambda n: n != 0))
def test_quotients_and_remainders_are_rounded_as_python_does(
    left: int, right: int, compiled: Native
) -> None:
    """Down, whatever the signs are."""
    cells = np.array([left, right, 0, 0])

    compiled.call("divide", tuple(arrays([0.0]).values()), cells)

    assert cells[2:].tolist() == [left // right, left % right]


def test_division_by_zero_is_zero(compiled: Native) -> None:
    """It neither stops the program nor depends on the processor."""
    cells = np.array([7, 0, 1, 1])

    compiled.call("divide", tuple(arrays([0.0]).values()), cells)

    assert cells[2:].tolist() == [0, 0]


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(("orders", "bits", "count", "calls")),
    left=st.one_of(st.integers(-3, 40), st.integers(-(1 << 20), 1 << 20)),
    right=st.integers(-3, 40),
)
def test_functions_return_and_write_what_python_does(
    name: str, left: int, right: int, compiled: Native
) -> None:
    """Orders, loops, calls with tuples and rows, branches that return early."""
    left = min(left, 1 << 12) if name == "count" else left
    expected, found = arrays([0.0]), arrays([0.0])

    wanted = PLAIN[name](SimpleNamespace(**expected), [left, right])
    seen = compiled.call(name, tuple(found.values()), np.array([left, right]))

    # What is shifted out of 64 bits is gone.
    assert seen == (int(wanted) + (1 << 63)) % (1 << 64) - (1 << 63)
    assert found["wide"].tolist() == expected["wide"].tolist()


@settings(max_examples=200, deadline=None)
@given(
    reals=st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=1, max_size=5),
    more=st.integers(0, 5),
)
def test_floats_are_the_bits_of_python(reals: list[float], more: int, compiled: Native) -> None:
    """A sum that begins whole and goes on in floats, a quotient, a root, a narrow element."""
    expected, found = arrays(reals), arrays(reals)

    wanted = PLAIN["wider"](SimpleNamespace(**expected), [more])
    seen = compiled.call("wider", tuple(found.values()), np.array([more]))

    assert seen == int(wanted)
    assert found["reals"].tobytes() == expected["reals"].tobytes()
    assert found["bytes"].tolist() == [250 + more]


@pytest.mark.parametrize(
    "text",
    [
        "def f(record, cells):\n    return cells[0] ** 2",
        "def f(record, cells):\n    return other(cells)",
        "def f(record, cells):\n    return record.missing[0]",
        "def f(record, cells):\n    return unknown",
        "def f(record, cells):\n    for at in cells:\n        pass\n    return 0",
        "def f(record, cells):\n    with cells:\n        return 0",
        "def f(record, cells):\n    x = record.wide\n    x = cells\n    return x[0]",
        "def f(record, cells):\n    return record.wide",
        "def f(record, cells):\n    return 'text'",
        "def f(record, cells):\n    return math.gamma(cells[0])",
        "def f(record, cells):\n    return cells[0, 0]",
        "def f(record, cells):\n    return record.narrow[0, 3]",
        "def f(record, cells):\n    return record.narrow[0, -1]",
        "def f(record, cells):\n    return cells[0] or cells[1]",
    ],
)
def test_what_has_no_form_is_refused(text: str, tmp_path: Path) -> None:
    """It is said, and nothing is compiled to something else."""
    with pytest.raises(UnsupportedError):
        compile_text(text, "f", SHAPE, tmp_path)


def test_arrays_of_another_kind_are_refused(compiled: Native) -> None:
    """Another type, another number of dimensions or size, or elements that lie apart."""
    record = arrays([0.0])
    for name, wrong in (
        ("wide", np.zeros(2, np.int32)),
        ("narrow", np.zeros((2, 4), np.int32)),
        ("bytes", np.zeros((1, 1), np.uint8)),
        ("reals", np.zeros((4, 4))[:, ::2]),
        ("narrow", np.zeros((2, 0), np.int32)),
    ):
        with pytest.raises(TypeError, match="needed: Kind"):
            compiled.call("count", tuple((record | {name: wrong}).values()), np.zeros(2, np.int64))


def test_object_code_is_kept_and_a_damaged_file_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was compiled before is loaded; what is not whole is not run."""
    text = "def f(record, cells):\n    return cells[0] + 1"
    compile_text(text, "f", {}, tmp_path)
    (file,) = tmp_path.iterdir()
    kept = file.read_bytes()
    file.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))

    again = compile_text(text, "f", {}, tmp_path)

    assert again.call("f", (), np.array([4])) == 5
    assert file.read_bytes() == kept
    monkeypatch.delattr(native, "Module")
    assert compile_text(text, "f", {}, tmp_path).call("f", (), np.array([5])) == 6


FAULTS = {
    "cells[cells[0]]": (9, "index 9 is outside of a dimension of 2"),
    "cells[cells[0] - 10]": (9, "index -1 is outside of a dimension of 2"),
    "record.narrow[1][cells[0]]": (3, "index 3 is outside of a dimension of 3"),
    "record.narrow[cells[0]][1]": (2, "index 2 is outside of a dimension of 2"),
    "record.reals[cells[0], 1]": (-1, "index -1 is outside of a dimension of 1"),
    "1 << cells[0]": (64, "shifts by 64, outside of 0 to 63"),
    "cells[1] >> cells[0]": (-1, "shifts by -1, outside of 0 to 63"),
    "int(cells[0] * 10000000000.0)": (1 << 40, "turns a float into a whole number"),
    "int(0.0 * (1e+300 * 1e+300) * cells[0])": (1, "turns a float into a whole number"),
    "cells[0] * 4": (1 << 61, "makes a number that has no place in 64 bits"),
    "cells[0] + 1": ((1 << 63) - 1, "makes a number that has no place in 64 bits"),
    "cells[0] // (cells[1] - 1)": (-1 << 63, "makes a number that has no place in 64 bits"),
    "-cells[0]": (-1 << 63, "makes a number that has no place in 64 bits"),
}

# The part of an expression that is wrong, where it is not all of it.
FAULTY = {
    "cells[cells[0]]": "cells[0]",
    "cells[cells[0] - 10]": "cells[0] - 10",
    "record.narrow[1][cells[0]]": "cells[0]",
    "record.narrow[cells[0]][1]": "cells[0]",
    "record.reals[cells[0], 1]": "cells[0]",
}


@pytest.mark.parametrize("expression", FAULTS)
def test_checked_form_says_what_went_wrong_and_where(expression: str, tmp_path: Path) -> None:
    """Through two calls and out of a loop, with what was being worked out; then it goes on."""
    text = f"""
def inner(record, cells):
    return {expression}

def outer(record, cells):
    while True:
        cells[1] += inner(record, cells)

def f(record, cells):
    if cells[0] == 0:
        return 5
    outer(record, cells)
    return 1
"""
    first, message = FAULTS[expression]
    what = FAULTY.get(expression, expression)
    checked = compile_text(text, "f", SHAPE, tmp_path, are_checked=True)

    with pytest.raises(FaultError, match=re.escape(message)) as raised:
        checked.call("f", tuple(arrays([0.0]).values()), np.array([first, 0]))

    assert str(raised.value).startswith(f"inner, line 3: {what}: ")
    assert checked.call("f", tuple(arrays([0.0]).values()), np.array([0, 0])) == 5


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "for at in range(cells[0]):\n        found = at\n    return found",
            "found: has no value",
        ),
        ("if cells[0] > 0:\n        return 3", "ends without a result"),
        ("record.bytes[0] = 256 + cells[0]\n    return 1", "has no place in 8 bits"),
        ("record.narrow[0, 0] = (1 << 31) + cells[0]\n    return 1", "has no place in 32 bits"),
        ("record.wide[2] += 1\n    return 1", "index 2 is outside of a dimension of 2"),
    ],
)
def test_checked_form_finds_what_python_raises(body: str, message: str, tmp_path: Path) -> None:
    """A variable without a value, a function without a result, an element that is too narrow."""
    text = f"def f(record, cells):\n    {body}\n"
    checked = compile_text(text, "f", SHAPE, tmp_path, are_checked=True)

    with pytest.raises(FaultError, match=message):
        checked.call("f", tuple(arrays([0.0]).values()), np.array([0, 0]))


def test_checked_form_finds_arrays_that_overlap(tmp_path: Path) -> None:
    """What is written to one of them is not looked for in the other one."""
    shape = {"one": CELLS, "two": CELLS}
    text = "def f(record, cells):\n    record.one[0] = 3\n    return record.two[0]"
    checked = compile_text(text, "f", shape, tmp_path, are_checked=True)
    cells = np.zeros(4, np.int64)

    assert checked.call("f", (cells[:2], cells[2:]), np.zeros(1, np.int64)) == 0
    with pytest.raises(FaultError, match="one and two share memory"):
        checked.call("f", (cells[:3], cells[2:]), np.zeros(1, np.int64))


def test_least_number_is_divided_by_minus_one(tmp_path: Path) -> None:
    """No processor has a place for the result: it wraps, as sums do."""
    cells = np.array([-1 << 63, -1, 1, 1])

    compile_text(TEXT, NAMES, SHAPE, tmp_path).call("divide", tuple(arrays([0.0]).values()), cells)

    assert cells[2:].tolist() == [-1 << 63, 0]
