"""`jts sample`: a small made-up market as files, to try the other commands on."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.table import Table


class SampleDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts sample --json` prints: the files that were written."""

    daily: str
    minute: str
    symbols: int
    seed: int


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--symbols",
    type=click.IntRange(4, 2_000),
    default=60,
    show_default=True,
    help="Symbols of the daily panel.",
)
@click.option(
    "--seed", type=int, default=20_231_205, show_default=True, help="Decides every price."
)
@console.json_option
def sample(directory: Path, *, symbols: int, seed: int, as_json: bool) -> None:
    """Write generated KRX bars below DIRECTORY: a daily panel and one symbol's minutes.

    The same seed gives the same bars. They carry what real files carry: halted days as zeros, an
    unadjusted split, codes such as 37550L, a closing auction after a gap. No price is real.
    """
    from jts_pipelines.ingest.generated import write_generated

    files = write_generated(directory, seed=seed, symbols=symbols)
    document = SampleDocument(
        daily=str(files.daily), minute=str(files.minute), symbols=symbols, seed=seed
    )
    console.emit(document, as_json=as_json, table=lambda: _table(document))


def _table(document: SampleDocument) -> "Table":
    from rich.table import Table

    table = Table("interval", "file", title="Generated KRX bars")
    table.add_row("1d", document.daily)
    table.add_row("1m", document.minute)
    return table
