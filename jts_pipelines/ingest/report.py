"""What a load did, in numbers; kept with the load and shown when the same file comes again."""

from datetime import date

import msgspec


class IngestReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one file; rows = accepted + quarantined + duplicates.

    Attributes:
        path: The file.
        ingest_id: Column `ingest_id` of its rows.
        rows: Rows read.
        accepted: Rows stored, corrections among them.
        corrected: Rows stored as a new revision of a stored row.
        quarantined: Rows refused.
        duplicates: Rows that repeat a row of the file or of the store in every value.
        reasons: Rows per leading reason of refusal.
        doubts: Accepted rows per label in `quality` other than `ok`.
        statuses: Accepted rows per `status`.
        symbols: Different symbols among the accepted rows.
        first_day: Earliest trade date accepted.
        last_day: Latest trade date accepted.
        partitions: Keys of the partitions that received rows, sorted.
        quarantine_file: Where the refused rows lie; empty when there are none.
        correction: Why stored rows were replaced; empty for a load that replaces none.
        already: The same file came before with the same options; nothing was loaded now.
        seconds: Elapsed.
        rows_per_second: Rows read per second.
    """

    path: str
    ingest_id: str
    dataset: str
    venue: str
    interval: str
    rows: int
    accepted: int
    corrected: int
    quarantined: int
    duplicates: int
    reasons: dict[str, int]
    doubts: dict[str, int]
    statuses: dict[str, int]
    symbols: int
    first_day: date | None
    last_day: date | None
    partitions: list[str]
    quarantine_file: str
    correction: str = ""
    already: bool = False
    seconds: float = 0.0
    rows_per_second: float = 0.0


def encode_report(report: IngestReport) -> str:
    """Return the report as JSON text."""
    return msgspec.json.encode(report).decode()


def decode_report(text: str) -> IngestReport:
    """Return the report of a JSON text made by `encode_report`."""
    return msgspec.json.decode(text, type=IngestReport)
