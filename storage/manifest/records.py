"""What a manifest says: one record per step of a partition's life, chained by hashes.

A record is written once and never edited. Its canonical bytes (compact JSON, fields in the
order of the struct) are what is stored, hashed and named by the next record's `prev_hash`.
"""

import hashlib
from datetime import date
from enum import StrEnum

import msgspec

from storage.schema.partitions import Partition
from storage.schema.tiers import Tier

MANIFEST_VERSION = 1
GENESIS = "0" * 64


class Step(StrEnum):
    """What happened to a partition.

    PUBLISHED  a verified copy stands in `tier`; readers may use it from this record on
    CONFIRMED  hot rows of the fence are all contained in the newest revision; no new file
    EVICTING   the copy in `tier` is being removed: readers use the colder one from here on
    KEPT       the eviction was called off, the copy in `tier` serves again
    EVICTED    the copy in `tier` is gone
    RESTORED   the copy in `tier` is back and serves
    """

    PUBLISHED = "published"
    CONFIRMED = "confirmed"
    EVICTING = "evicting"
    KEPT = "kept"
    EVICTED = "evicted"
    RESTORED = "restored"


class Summary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the rows of a partition add up to, exactly; equal in every store that holds them.

    Attributes:
        rows: Number of rows.
        min_timestamp_ms, max_timestamp_ms: First and last bar start, UTC; None without rows.
        symbols: Distinct symbols.
        sums: Per numeric column the sum in units of the file's last decimal place, as text.
        nulls: Per nullable column the number of nulls.
        statuses: Rows per status.
    """

    rows: int
    min_timestamp_ms: int | None
    max_timestamp_ms: int | None
    symbols: int
    sums: dict[str, str]
    nulls: dict[str, int]
    statuses: dict[str, int]

    def differences(self, other: "Summary") -> list[str]:
        """Return what differs, one phrase each, as `name: mine against theirs`."""
        mine, theirs = msgspec.to_builtins(self), msgspec.to_builtins(other)
        return [
            f"{name}: {mine[name]} against {theirs[name]}"
            for name in mine
            if mine[name] != theirs[name]
        ]


class Fence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Content of a hot partition at one moment, independent of merges: rows and their hash."""

    rows: int
    digest: str


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Parquet file: its path below the tier's root, its bytes and what they hold."""

    path: str
    bytes: int
    sha256: str
    summary: Summary


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the chain of a dataset.

    Attributes:
        sequence: 1, 2, 3 ... without a gap; also the file name.
        prev_hash: SHA-256 of the bytes of the entry before.
        revision: Of the content: 1, and one more with late or corrected rows.
        files: Of the copy; empty where the step concerns no file.
        source: Fence of the hot partition that the copy contains.
        subject: Manifest id of the copy that the step removes or relies on.
        created_at: ISO 8601 instant of the instance clock.
        correction: Why fewer rows than before were accepted.
    """

    manifest_version: int = MANIFEST_VERSION
    sequence: int
    prev_hash: str
    step: Step
    dataset: str
    venue: str
    interval: str
    from_day: date
    to_day: date
    tier: Tier
    revision: int
    files: tuple[FileEntry, ...] = ()
    source: Fence | None = None
    subject: str = ""
    schema_version: int
    schema_hash: str
    writer: str
    created_at: str
    correction: str = ""

    @property
    def partition(self) -> Partition:
        """The partition that the record is about."""
        return Partition(self.dataset, self.venue, self.interval, self.from_day, self.to_day)

    @property
    def rows(self) -> int:
        """Rows in the files."""
        return sum(entry.summary.rows for entry in self.files)

    @property
    def bytes(self) -> int:
        """Bytes in the files."""
        return sum(entry.bytes for entry in self.files)

    @property
    def manifest_id(self) -> str:
        """Name of exactly this record: dataset, sequence and the head of its hash."""
        return f"{self.dataset}/{self.sequence:08d}-{digest(encode(self))[:12]}"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """Return the canonical bytes of a record."""
    return _encoder.encode(record) + b"\n"


def decode(content: bytes) -> Record:
    """Parse a record.

    Raises:
        msgspec.MsgspecError: The bytes are not a record of this version.
    """
    return _decoder.decode(content)


def digest(content: bytes) -> str:
    """Return the SHA-256 of canonical bytes as hexadecimal text."""
    return hashlib.sha256(content).hexdigest()
