"""The document in its files: `<home>/trading/inputs.json`, and every version beside it.

Pure of Dagster. `inputs.json` is what a starting role reads; `inputs/<version>.json` is what was
materialised, never changed, from which the sensor publishes.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.ports.inputs import read_inputs, write_inputs
from storage.errors import InputError
from storage.manifest.durable import atomic_write

VERSIONS = Path("trading/inputs")
KEPT_MAX = 200
"""So many versions are kept; older files go."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A version that was written.

    Attributes:
        path: Its own file, which is never changed.
        sha256: Of its bytes.
    """

    inputs: TradingInputs
    path: Path
    sha256: str


def read_kept(path: Path, sha256: str) -> TradingInputs:
    """Read a kept version.

    Args:
        path: Its file.
        sha256: Digest that its bytes must have.

    Raises:
        InputError: It is not there, is not such a document, or is another one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"{path}: its bytes are not those that were materialised ({sha256})")
    return msgspec.json.decode(content, type=TradingInputs)


def newest_version(home: Path) -> int:
    """Return the highest version that the home knows; 0 before the first.

    Raises:
        ConfigError: `inputs.json` is there and cannot be read.
    """
    kept = [int(path.stem) for path in (home / VERSIONS).glob("*.json") if path.stem.isdecimal()]
    current = read_inputs(home)
    return max([*kept, current.version if current is not None else 0])


def write_next(home: Path, make: Callable[[int], TradingInputs]) -> Kept:
    """Write the next version, both files, whole or not at all.

    Args:
        home: The data root.
        make: Returns the document of a version number.

    Raises:
        ConfigError: An older `inputs.json` cannot be read, so nobody knows its version.
    """
    with _one_writer(home):
        inputs = make(newest_version(home) + 1)
        content = msgspec.json.format(msgspec.json.encode(inputs), indent=2) + b"\n"
        path = home / VERSIONS / f"{inputs.version:06}.json"
        atomic_write(path, content, replace=False)
        write_inputs(home, inputs)
        _forget_old(home)
    return Kept(inputs, path, hashlib.sha256(content).hexdigest())


@contextmanager
def _one_writer(home: Path) -> Iterator[None]:
    """Hold the lock under which versions are numbered."""
    (home / VERSIONS).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / VERSIONS / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _forget_old(home: Path) -> None:
    files = sorted(path for path in (home / VERSIONS).glob("*.json") if path.stem.isdecimal())
    for path in files[:-KEPT_MAX]:
        path.unlink(missing_ok=True)
