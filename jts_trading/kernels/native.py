"""Compiles the portfolio straight to machine code and keeps that on disk.

numba types and lowers a program of a thousand lines in Python, which takes seconds, and hands
arrays from function to function as ten words each. The portfolio needs none of what that buys: it
is plain functions over whole numbers and a record of arrays whose types are known. So it is
written out as LLVM code here (`native_functions`), in a few tenths of a second, and compiled by
the same LLVM that numba brings along. What is kept is the object code; to load it takes
milliseconds. The form that users run asks nothing before it reads and writes; a checked one, which
the tests run too, asks before everything (`native_checks`).

Only text that this program generated may come here: it is compiled and run.
"""

import ctypes
import hashlib
import inspect
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from jts_trading.kernels import (
    native_arithmetic,
    native_checks,
    native_expressions,
    native_functions,
    native_values,
)
from jts_trading.kernels.native_checks import FAULT_WORDS, FaultError, fault_message, require_apart
from jts_trading.kernels.native_functions import Module
from jts_trading.kernels.native_values import Kind, Shape

_DIGEST_SIZE = hashlib.sha256().digest_size
_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
# How hard LLVM tries. Thousands of questions take it as many times as long to improve as the
# rest, and whoever wants the checked form wants its answers, not its speed.
_LEVEL, _CHECKED_LEVEL = 3, 1
Arrays = tuple[np.ndarray[Any, Any], ...]


class Native:
    """Compiled functions of a text, each over a record of arrays and one more array.

    Args:
        text: Gives functions, and constants before them; only asked for what is not kept yet.
        identity: What tells this text from any other one: itself, or what it is made of.
        entries: By name of the functions that are called: the kind of the other array.
        shape: Of the record.
        cache_dir: Where object code is kept; made if it does not exist.
        are_checked: Whether a function asks before each read and write, see `native_checks`.

    Raises:
        UnsupportedError: The text says something that has no form in LLVM: it is wrong.
        OSError: The directory cannot be written.
    """

    def __init__(
        self,
        text: Callable[[], str],
        identity: str,
        entries: Mapping[str, Kind],
        shape: Shape,
        cache_dir: Path,
        *,
        are_checked: bool = False,
    ) -> None:
        self._text, self._are_checked = text, are_checked
        self._entries, self._shape = dict(entries), dict(shape)
        digest = native_digest(identity, entries, shape, are_checked=are_checked)
        path = cache_dir.resolve() / f"{digest}.o"
        code = _read(path)
        if code is None:
            code = _compiled(text(), self._entries, self._shape, are_checked=are_checked)
            _write(path, code)
        # The engine owns the code that the functions run, and the machine that it is given.
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self._functions: dict[str, Callable[[Any], int]] = {
            name: _CALL(self._engine.get_function_address(f"jts_{name}")) for name in entries
        }

    def call(self, name: str, record: Arrays, array: np.ndarray[Any, Any]) -> int:
        """Call a function; the lock of the interpreter is free while it runs.

        Args:
            name: Of the function.
            record: The arrays of the record, in the order of its shape.
            array: The other one.

        Raises:
            TypeError: An array is not of its kind.
            FaultError: The checked form met what has no meaning.
        """
        return self.bind(name, record, array)()

    def bind(self, name: str, record: Arrays, array: np.ndarray[Any, Any]) -> Callable[[], int]:
        """Return the call of a function over arrays, which it keeps, to be made again and again.

        Args:
            name: Of the function.
            record: See `call`.
            array: The other one.

        Raises:
            TypeError: An array is not of its kind.
            FaultError: In the checked form arrays share memory.
        """
        words: list[int] = []
        if self._are_checked:
            words = [0] * FAULT_WORDS
            require_apart(dict(zip(self._shape, record, strict=True)) | {"the other one": array})
        for each, kind in zip(record, self._shape.values(), strict=True):
            words += kind.words_of(each)
        words += self._entries[name].words_of(array)
        frame, kept = (ctypes.c_int64 * len(words))(*words), (*record, array)
        function = partial(_call, self._functions[name], frame, kept)
        return partial(self._ask, function, frame) if self._are_checked else function

    def _ask(self, function: Callable[[], int], frame: "ctypes.Array[ctypes.c_int64]") -> int:
        """Call a function in its checked form."""
        found = function()
        if frame[0]:
            fault, frame[0] = frame[:FAULT_WORDS], 0
            raise FaultError(fault_message(self._text(), fault))
        return found


def _call(function: Callable[[Any], int], frame: object, kept: Arrays) -> int:  # noqa: ARG001
    """Call a function; `kept` are the arrays that the words of its frame point into."""
    return function(frame)


def _machine() -> Any:
    """Return what emits code for this processor: no fast-math, bits are equal in every run."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
    )


@cache
def _compiler_sources() -> str:
    modules = (native_values, native_checks, native_arithmetic)
    sources = map(inspect.getsource, (*modules, native_expressions, native_functions))
    return "\0".join((*sources, inspect.getsource(sys.modules[__name__])))


def native_digest(
    identity: str,
    entries: Mapping[str, Kind] | None = None,
    shape: Shape | None = None,
    *,
    are_checked: bool = False,
) -> str:
    """Return the digest of a text and of everything else that decides its machine code."""
    parts = (
        _compiler_sources(),
        llvmlite.__version__,
        platform.machine(),
        llvm.get_host_cpu_name(),
        repr(sorted((entries or {}).items())),
        repr(list((shape or {}).items())),
        repr(are_checked),
        identity,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _compiled(text: str, entries: Mapping[str, Kind], shape: Shape, *, are_checked: bool) -> bytes:
    machine, module = _machine(), Module(text, are_checked=are_checked)
    for name, kind in entries.items():
        module.add_entry(name, shape, kind)
    module.code.triple, module.code.data_layout = machine.triple, str(machine.target_data)
    parsed = llvm.parse_assembly(str(module.code))
    options = llvm.create_pipeline_tuning_options(_CHECKED_LEVEL if are_checked else _LEVEL)
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return bytes(machine.emit_object(parsed))


def _read(path: Path) -> bytes | None:
    """Return object code that is whole, or None."""
    try:
        kept = path.read_bytes()
    except FileNotFoundError:
        return None
    code = kept[_DIGEST_SIZE:]
    return code if hashlib.sha256(code).digest() == kept[:_DIGEST_SIZE] else None


def _write(path: Path, code: bytes) -> None:
    # What is loaded from here is run: nobody else may write to it.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-", suffix=".o")
    with os.fdopen(handle, "wb") as file:
        file.write(hashlib.sha256(code).digest() + code)
    Path(unfinished).replace(path)
