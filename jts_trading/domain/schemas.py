"""Versioned structs: what crosses the bus or enters the journal, by name and version.

A registry knows each struct by its tag and its version and can say its shape in one line per
field. The shapes are kept in a file beside the code; `differences` compares the two. Inside one
version a struct may only gain fields that have a default: everything else needs a new version,
because entries of the old shape are still in streams and in the journal.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

import msgspec

from jts_trading.domain.errors import TerminalError

Shape = dict[str, str]
"""Field name to type and whether it may be missing, such as `Decimal, optional`."""


class SchemaError(TerminalError):
    """A type or version is not registered, or bytes are not of its shape."""


class Registry:
    """Structs by (type, version).

    Args:
        structs: Tagged structs with their version, as `(version, struct)`.
    """

    def __init__(self, structs: Iterable[tuple[int, type[msgspec.Struct]]]) -> None:
        self._structs: dict[tuple[str, int], type[msgspec.Struct]] = {}
        self._versions: dict[type[msgspec.Struct], tuple[str, int]] = {}
        for version, struct in structs:
            tag = struct.__struct_config__.tag
            if not isinstance(tag, str) or version < 1 or (tag, version) in self._structs:
                raise SchemaError(f"{struct.__name__} version {version}: no tag of its own")
            self._structs[tag, version] = struct
            self._versions[struct] = (tag, version)

    def identify(self, message: msgspec.Struct) -> tuple[str, int]:
        """Return type and version of a message.

        Raises:
            SchemaError: Its struct is not registered.
        """
        try:
            return self._versions[type(message)]
        except KeyError:
            raise SchemaError(f"{type(message).__name__} is not a registered message") from None

    def find(self, name: str, version: int) -> type[msgspec.Struct]:
        """Return the struct of a type and version.

        Raises:
            SchemaError: It is not registered; the message names the versions that are.
        """
        try:
            return self._structs[name, version]
        except KeyError:
            known = sorted(number for tag, number in self._structs if tag == name)
            raise SchemaError(
                f"type {name!r} version {version} is unknown; known versions: {known or 'none'}"
            ) from None

    def decode(self, name: str, version: int, payload: bytes) -> msgspec.Struct:
        """Return the message in a payload of the bus.

        Raises:
            SchemaError: It is not registered, or the bytes are not of its shape.
        """
        struct = self.find(name, version)
        try:
            return msgspec.msgpack.decode(payload, type=struct)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise SchemaError(f"{name} version {version}: {error}") from error

    def shapes(self) -> dict[str, Shape]:
        """Return the shape of every struct by `type@version`, and of those inside by name."""
        found: dict[str, Shape] = {}
        for (tag, version), struct in sorted(self._structs.items()):
            found[f"{tag}@{version}"] = _shape(struct)
            for inner in _structs_in(struct):
                found[inner.__name__] = _shape(inner)
        return found


def differences(kept: Mapping[str, Shape], now: Mapping[str, Shape]) -> list[str]:
    """Return why the shapes of now cannot read what was written in the kept ones.

    A new type or version and a new optional field are no difference.
    """
    found = []
    for name, shape in kept.items():
        if name not in now:
            found.append(f"{name} is gone: entries of it can no longer be read")
            continue
        for field, kind in shape.items():
            if now[name].get(field) != kind:
                found.append(f"{name}.{field} was {kind}, is {now[name].get(field, 'gone')}")
        found += [
            f"{name}.{field} is new and not optional"
            for field in sorted(now[name].keys() - shape.keys())
            if not now[name][field].endswith(", optional")
        ]
    return found


def _shape(struct: type[msgspec.Struct]) -> Shape:
    shape = {}
    for field in msgspec.structs.fields(struct):
        optional = "" if field.required else ", optional"
        shape[field.encode_name] = f"{_spell(field.type)}{optional}"
    return shape


def _structs_in(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """Yield every struct that a struct holds, at any depth."""
    for field in msgspec.structs.fields(struct):
        for inner in _structs_of(field.type):
            yield inner
            yield from _structs_in(inner)


def _structs_of(kind: object) -> Iterator[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for part in get_args(kind):
        yield from _structs_of(part)


def _spell(kind: object) -> str:
    if isinstance(kind, type) and not get_args(kind):
        return kind.__name__
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", str(kind).replace("typing.", ""))
