"""The landing folder: what counts as a complete new file, and where it goes afterwards."""

import os
from pathlib import Path

from jts_pipelines.defs.market_data import inbox


def _drop(folder: Path, name: str, content: str = "x") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_look_when_file_is_new_then_waits_one_look(tmp_path: Path) -> None:
    """A file is ready only when two looks found it unchanged."""
    _drop(tmp_path, "KRX/1d/june.parquet")

    first, cursor = inbox.look(tmp_path, None)
    second, _cursor = inbox.look(tmp_path, cursor)

    assert first == []
    assert [file.path for file in second] == ["KRX/1d/june.parquet"]
    assert (second[0].venue, second[0].interval) == ("KRX", "1d")


def test_look_when_file_grows_then_is_not_ready(tmp_path: Path) -> None:
    """A copy that is still being written is left alone until it rests."""
    path = _drop(tmp_path, "KRX/1d/june.parquet")
    _ready, cursor = inbox.look(tmp_path, None)

    path.write_text("longer than before", encoding="utf-8")
    growing, cursor = inbox.look(tmp_path, cursor)
    rested, _cursor = inbox.look(tmp_path, cursor)

    assert growing == []
    assert [file.size for file in rested] == [18]


def test_look_when_name_is_unfinished_then_ignores_it(tmp_path: Path) -> None:
    """Temporary, hidden, foreign and misplaced names are never picked up."""
    for name in (
        "KRX/1d/june.parquet.tmp",
        "KRX/1d/june.csv.part",
        "KRX/1d/.june.parquet",
        "KRX/1d/notes.txt",
        "KRX/june.parquet",
        "accepted/KRX/1d/old.parquet",
        "rejected/KRX/1d/bad.parquet",
    ):
        _drop(tmp_path, name)

    _first, cursor = inbox.look(tmp_path, None)
    second, _cursor = inbox.look(tmp_path, cursor)

    assert second == []


def test_look_when_folder_is_missing_then_finds_nothing(tmp_path: Path) -> None:
    """A house without a landing folder is not an error."""
    ready, _cursor = inbox.look(tmp_path / "none", None)

    assert ready == []


def test_identity_when_same_name_arrives_again_then_differs(tmp_path: Path) -> None:
    """A second delivery under the same name is another arrival."""
    path = _drop(tmp_path, "KRX/1d/june.parquet")
    _none, cursor = inbox.look(tmp_path, None)
    first, cursor = inbox.look(tmp_path, cursor)

    os.utime(path, ns=(1, first[0].changed_ns + 1_000_000_000))
    _none, cursor = inbox.look(tmp_path, cursor)
    second, _cursor = inbox.look(tmp_path, cursor)

    assert first[0].identity != second[0].identity


def test_set_aside_when_name_is_taken_then_keeps_both(tmp_path: Path) -> None:
    """Nothing that was ever delivered is overwritten."""
    _drop(tmp_path, "KRX/1d/june.parquet", "first")
    first = inbox.set_aside(tmp_path, "KRX/1d/june.parquet", inbox.ACCEPTED)
    _drop(tmp_path, "KRX/1d/june.parquet", "second")
    second = inbox.set_aside(tmp_path, "KRX/1d/june.parquet", inbox.ACCEPTED)

    assert first.read_text(encoding="utf-8") == "first"
    assert second.read_text(encoding="utf-8") == "second"
    assert not (tmp_path / "KRX/1d/june.parquet").exists()


def test_set_aside_when_rejected_then_says_why_beside_it(tmp_path: Path) -> None:
    """A rejected file keeps its reason with it."""
    _drop(tmp_path, "KRX/1d/june.parquet")

    where = inbox.set_aside(tmp_path, "KRX/1d/june.parquet", inbox.REJECTED, "empty file")

    assert where == tmp_path / "rejected/KRX/1d/june.parquet"
    assert where.with_name("june.parquet.reason").read_text(encoding="utf-8") == "empty file\n"
