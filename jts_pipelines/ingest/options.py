"""How a file is to be read, and what of that can be checked before a store is there."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from jts_pipelines.ingest.mapping import resolve_columns
from jts_pipelines.ingest.sources import Source, open_source
from storage.errors import InputError
from storage.schema.datasets import CANDLES, INTERVALS, PRICE_SCALE

_BROKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
# Raised when the same options would make other rows of the same file.
_CODE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """How the rows of a file are to be read.

    Attributes:
        venue: KRX, NXT, US, UPBIT or BINANCE.
        interval: 1m, 5m, 1h, 1d ...
        dataset: The only one so far is `candles`.
        mapping: Field -> column where the names do not say it.
        broker: Source of the rows where the file has no such column.
        symbol: Of all rows where the file has no such column.
        timezone: IANA zone of times that name none.
        correct: Why other values for stored keys replace them; None to refuse such rows.
    """

    venue: str
    interval: str
    dataset: str = CANDLES.name
    mapping: Mapping[str, str] = field(default_factory=dict)
    broker: str | None = None
    symbol: str | None = None
    timezone: str | None = None
    correct: str | None = None

    def digest(self) -> str:
        """Return the SHA-256 of everything here that decides what the rows become."""
        content = msgspec.json.encode(self, order="sorted") + str(_CODE_VERSION).encode()
        return hashlib.sha256(content).hexdigest()


def inspect(path: Path, options: IngestOptions) -> Source:
    """Check everything that can be checked without a store and without reading the rows.

    Raises:
        InputError: An option is unknown, the file cannot be read, or a column is missing.
    """
    _check(options)
    source = open_source(path)
    columns_of(source, options)
    return source


def columns_of(source: Source, options: IngestOptions) -> dict[str, str]:
    """Return field -> column of a file.

    Raises:
        InputError: A column is missing or named twice.
    """
    given = {"symbol"} if options.symbol else set[str]()
    return resolve_columns(str(source.path), source.columns, dict(options.mapping), given)


def _check(options: IngestOptions) -> None:
    accepted: dict[str, tuple[str, Collection[str]]] = {
        "dataset": (options.dataset, (CANDLES.name,)),
        "venue": (options.venue, PRICE_SCALE),
        "interval": (options.interval, INTERVALS),
    }
    if options.correct is not None and not options.correct.strip():
        raise InputError("a correction needs its reason, such as --correct 'vendor fixed a split'")
    if options.broker is not None and not _BROKER.fullmatch(options.broker):
        raise InputError(
            f"broker {options.broker[:40]!r}: accepted are up to 32 letters, digits, _ and -"
        )
    for name, (value, known) in accepted.items():
        if value not in known:
            raise InputError(f"unknown {name} {value!r}; known: {', '.join(known)}")
