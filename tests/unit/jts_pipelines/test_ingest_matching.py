"""Duplicates are counted, conflicts refused, corrections become the next revision."""

from typing import Any

import polars as pl
import pytest

from jts_pipelines.ingest.matching import Matched, match

BAR: dict[str, Any] = {
    "symbol": "005930",
    "timestamp": 1,
    "broker": "krx",
    "open": 10,
    "high": 12,
    "low": 9,
    "close": 11,
    "volume": 5,
    "bid": None,
    "ask": None,
    "status": "traded",
    "quality": "ok",
    "revision": 1,
    "previous_close": None,
}


def bars(*changes: dict[str, Any]) -> pl.DataFrame:
    """Return bars of one key, each with some values changed, numbered from 1."""
    rows = [{"row": at, **BAR, **change} for at, change in enumerate(changes, 1)]
    schema = {"bid": pl.Int64, "ask": pl.Int64, "previous_close": pl.Int64}
    return pl.DataFrame(rows, schema_overrides=schema)


def matched(
    rows: pl.DataFrame, stored: pl.DataFrame | None = None, *, is_correction: bool = False
) -> Matched:
    """Match rows against stored ones."""
    return match(rows, stored, is_correction=is_correction, jump_limit=0.305)


def test_match_when_row_is_repeated_then_it_is_a_duplicate() -> None:
    """The same key with the same values says nothing new."""
    found = matched(bars({}, {}, {}))

    assert (found.accepted["row"].to_list(), found.duplicates) == ([1], 2)
    assert found.refused.height == 0


def test_match_when_rows_of_a_key_differ_then_the_first_is_disputed() -> None:
    """The later one is refused, the first kept with a doubt."""
    found = matched(bars({}, {"close": 12}))

    assert found.accepted.select("row", "quality").rows() == [(1, "disputed")]
    assert found.refused.rows() == [(2, "duplicate_conflict")]


def test_match_when_row_is_stored_then_it_is_a_duplicate() -> None:
    """What is stored with the same values is not stored again."""
    found = matched(bars({}), bars({}))

    assert (found.accepted.height, found.duplicates, found.refused.height) == (0, 1, 0)


def test_match_when_null_is_stored_as_null_then_it_is_a_duplicate() -> None:
    """Nulls of a halted bar are equal to each other."""
    halted = {"open": None, "high": None, "low": None, "status": "halted"}

    assert matched(bars(halted), bars(halted)).duplicates == 1


def test_match_when_stored_row_differs_then_the_new_one_is_refused() -> None:
    """Stored rows are not overwritten in passing."""
    found = matched(bars({"close": 12}), bars({}))

    assert found.accepted.height == 0
    assert found.refused.rows() == [(1, "conflicts_with_stored")]


def test_match_when_load_is_a_correction_then_revision_grows() -> None:
    """A correction is a new revision; what it does not change stays."""
    stored = bars({"revision": 3})

    found = matched(bars({"close": 12}), stored, is_correction=True)

    assert found.accepted.select("close", "revision").rows() == [(12, 4)]
    assert found.corrected == 1


@pytest.mark.parametrize(("previous", "quality"), [(11, "ok"), (None, "ok"), (5, "price_jump")])
def test_match_when_close_jumps_then_it_is_doubted(previous: int | None, quality: str) -> None:
    """A move beyond the limit is kept and marked, never refused."""
    assert matched(bars({"previous_close": previous})).accepted["quality"].to_list() == [quality]
