"""Market data is deleted in one room: the text of the whole product is searched for others."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PRODUCT = [
    path
    for building in ("storage", "jts_trading", "jts_pipelines")
    for path in sorted((ROOT / building).rglob("*.py"))
]


def places(pattern: str) -> set[str]:
    """Files of the product in which a pattern occurs outside comments."""
    found = set()
    for path in PRODUCT:
        code = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
        if re.search(pattern, code):
            found.add(path.relative_to(ROOT).as_posix())
    return found


def test_product_is_found() -> None:
    """The search below looks at something."""
    assert len(PRODUCT) > 50


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (r"(DROP|DETACH|MOVE|REPLACE|CLEAR) PARTITION", r"storage/hot/transit\.py"),
        (
            r"(?i)\b(alter\s+table\s+\S+\s+delete|delete\s+from|truncate\s+table)\b",
            # Messages that were published, and projections before they are rebuilt: PostgreSQL.
            r"jts_trading/journal/(outbox|tables)\.py",
        ),
        (r"\.transit\b", r"storage/(moves|hot)/.*"),
        (r"\.(withdraw|discard|put_back)\(partition", r"storage/(moves|hot)/.*"),
    ],
)
def test_statement_that_deletes_rows_when_searched_stands_only_in_its_room(
    pattern: str, allowed: str
) -> None:
    """Partitions leave hot through `storage.moves` and the transit that it alone calls."""
    strangers = {place for place in places(pattern) if not re.fullmatch(allowed, place)}

    assert strangers == set()


def test_journal_when_it_deletes_rows_then_it_cannot_reach_market_data() -> None:
    """The two files that may delete rows of their own know neither the hot tier nor a dataset."""
    for name in ("outbox", "tables"):
        code = (ROOT / f"jts_trading/journal/{name}.py").read_text(encoding="utf-8")
        assert re.search(r"(?i)delete from", code)
        assert not re.search(r"(?i)\bstorage\.|clickhouse|candles|market_store", code)


def test_file_deletion_in_storage_when_searched_stands_only_in_its_rooms() -> None:
    """Files of the tiers are removed by the moves and by the atomic write's own draft alone."""
    deleting = places(r"\.(unlink|rmdir|rmtree)\(|\bos\.remove\(")
    strangers = {
        place
        for place in deleting
        if place.startswith("storage/")
        and not re.fullmatch(r"storage/(moves/.*|embedded/.*|manifest/durable\.py)", place)
    }

    assert strangers == set()


def test_evict_when_called_takes_a_manifest_id_and_nothing_else() -> None:
    """There is no way to name a partition, a path or a tier to delete."""
    import inspect

    from storage.moves.mover import Mover

    assert list(inspect.signature(Mover.evict).parameters) == ["self", "manifest_id"]
