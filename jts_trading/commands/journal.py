"""`jts journal verify`: hash chains, and projections that are what the events add up to."""

import asyncio
from typing import TYPE_CHECKING

import click
import msgspec

from jts_trading.commands.reading import open_ledger
from jts_trading.config.settings import Settings, load_settings
from jts_trading.journal.chain import Verdict
from jts_trading.journal.connection import Database
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.journal.rebuilding import Rebuilt
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.table import Table


class WriterHead(msgspec.Struct, frozen=True, kw_only=True):
    """The chain of one writer.

    Attributes:
        rows: How many rows it has.
        hash: SHA-256 of the newest one, in hexadecimal.
    """

    writer: str
    rows: int
    hash: str


class JournalDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts journal verify --json` prints.

    Attributes:
        is_good: Whether chains and projections are right.
        rows: How many rows are good, counted from the first.
        bad_seq: The first bad row; None when all are good.
        problem: What is wrong with it; empty when all are good.
        projections: How many rows the events add up to.
        digest: SHA-256 of the projections as they are.
        rebuilt_digest: The same of the rebuilt ones.
        difference: The first row that differs; empty when none does.
    """

    is_good: bool
    rows: int
    bad_seq: int | None
    problem: str
    writers: tuple[WriterHead, ...]
    projections: int
    digest: str
    rebuilt_digest: str
    difference: str


@click.group()
def journal() -> None:
    """The journal of events."""


@journal.command()
@console.json_option
def verify(as_json: bool) -> int:
    """Check every hash chain and rebuild all projections from the events; exit 4 if one differs.

    Reads a snapshot: roles may run meanwhile. Nothing is changed.
    """
    settings = load_settings()
    with open_ledger(settings) as reader:
        heads = reader.table("SELECT writer, position, hash FROM writers ORDER BY writer")
    writers = tuple(
        WriterHead(writer=row["writer"], rows=row["position"], hash=row["hash"].hex())
        for row in heads
    )
    verdict, rebuilt = asyncio.run(_verify(settings))
    document = _document(writers, verdict, rebuilt)
    console.emit(document, as_json=as_json, table=lambda: _table(document))
    return console.DONE if document.is_good else console.INVARIANT_BROKEN


async def _verify(settings: Settings) -> tuple[Verdict, Rebuilt | None]:
    opened = PostgresJournal(Database(settings.postgres_dsn), "verify")
    try:
        verdict = await opened.verify()
        # A broken chain says that events were changed: what they add up to means nothing then.
        return verdict, await opened.rebuild() if verdict.is_good else None
    finally:
        await opened.close()


def _document(
    writers: tuple[WriterHead, ...], verdict: Verdict, rebuilt: Rebuilt | None
) -> JournalDocument:
    return JournalDocument(
        is_good=verdict.is_good and rebuilt is not None and rebuilt.is_identical,
        rows=verdict.rows,
        bad_seq=verdict.bad_seq,
        problem=verdict.problem,
        writers=writers,
        projections=rebuilt.rows if rebuilt else 0,
        digest=rebuilt.live_digest if rebuilt else "",
        rebuilt_digest=rebuilt.rebuilt_digest if rebuilt else "",
        difference=rebuilt.difference if rebuilt else "not rebuilt: a chain is broken",
    )


def _table(document: JournalDocument) -> "Table":
    from rich.table import Table

    bad = f"row {document.bad_seq}: {document.problem}" if document.problem else "none"
    equal = "equal" if document.is_good else document.difference
    caption = (
        f"{document.rows} good rows; bad: {bad}\n"
        f"{document.projections} projected rows, rebuilt from the events: {equal}"
    )
    table = Table(caption=caption, caption_justify="left")
    table.add_column("writer")
    table.add_column("rows", justify="right")
    table.add_column("newest hash", no_wrap=True)
    for head in document.writers:
        table.add_row(head.writer, f"{head.rows:,}", head.hash[:16])
    return table
