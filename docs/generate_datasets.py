"""Write docs/datasets.md from the declarations in `storage.schema.datasets`.

Run `.venv/bin/python docs/generate_datasets.py`; with `--check` nothing is written and the exit
code says whether the page is up to date.
"""

import sys
from pathlib import Path

from storage.schema.datasets import DATASETS, Dataset, Kind

TARGET = Path(__file__).resolve().parent / "datasets.md"
KINDS = {
    Kind.TIMESTAMP_MS: "time, ms",
    Kind.TIMESTAMP_NS: "time, ns",
    Kind.DAY: "day",
    Kind.LABEL: "label",
    Kind.TEXT: "text",
    Kind.PRICE: "price",
    Kind.VOLUME: "quantity",
    Kind.MONEY: "money",
    Kind.COUNT: "whole number",
    Kind.FLAG: "true or false",
}
INTRODUCTION = """# Datasets

What JTS keeps at rest, each dataset declared once in `storage/schema/datasets.py`; this page is
generated from there (`docs/generate_datasets.py`). Every dataset is a view of `jts sql` under its
name, with a column `tier` (hot, warm or cold), and a dataset of `Lake.scan`.

Times are UTC. Prices, quantities and money are exact decimals: won and shares are whole, crypto
has eight decimals; `jts sql` shows eight everywhere, and times to the microsecond. Of rows with
the same key the one with the highest `revision` is the valid one, in every tier and every view.

`candles` come in loads (`jts ingest`), each visible as a whole. All others are written by the
recorder while they happen, from the bus and from the journal; a batch of a day is visible whole or
not at all, and what is repeated after a crash adds nothing (ADR 0012). Order books are not kept at
rest; they are in the raw frames.

Two more views: `positions`, what the fills add up to by broker, account, instance and instrument
(quantity held, bought and sold, paid and received, fee, tax; the position at average cost stands
in the ledger, which alone computes it), and `quarantine`, rows that a load refused.
"""


def render() -> str:
    """Return the page as Markdown."""
    return "\n".join([INTRODUCTION, *(_section(dataset) for dataset in DATASETS.values())])


def _section(dataset: Dataset) -> str:
    lines = [
        f"## {dataset.name}",
        "",
        f"Key: {', '.join(dataset.key)}.",
        "",
        "| Column | Kind | Meaning |",
        "|---|---|---|",
    ]
    for column in dataset.columns:
        kind = KINDS[column.kind] + (", or null" if column.nullable else "")
        lines.append(f"| {column.name} | {kind} | {column.meaning} |")
    return "\n".join([*lines, ""])


def main() -> int:
    """Write or check the page."""
    page = render()
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.read_text(encoding="utf-8") == page else 1
    TARGET.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
