"""What holds for any numbers: exact units, conservation, the same verdict in any order."""

from decimal import Decimal

import polars as pl
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_pipelines.ingest.matching import match
from storage.quality.exact import as_decimal, units


@given(
    st.integers(0, 8).flatmap(
        lambda scale: st.tuples(st.just(scale), st.lists(st.integers(0, 10**15), min_size=1))
    )
)
@settings(max_examples=200)
def test_units_when_a_decimal_went_through_a_float_then_it_comes_back(
    case: tuple[int, list[int]],
) -> None:
    """Up to fifteen digits a decimal survives the float, at every scale."""
    scale, wanted = case
    floats = [float(Decimal(number).scaleb(-scale)) for number in wanted]
    found = pl.DataFrame({"value": floats}).select(units(pl.col("value"), scale))["value"]

    assert found.to_list() == wanted
    decimals = as_decimal(found, pa.decimal128(38, scale)).to_pylist()
    assert decimals == [Decimal(number).scaleb(-scale) for number in wanted]


ROWS = st.lists(
    st.tuples(st.sampled_from("AB"), st.integers(0, 3), st.integers(10, 12)), max_size=30
)


def frame(rows: list[tuple[str, int, int]], *, revision: int = 1) -> pl.DataFrame:
    """Return bars of (symbol, time, close), sorted by key as the spill sorts them."""
    return pl.DataFrame(
        {
            "row": list(range(1, len(rows) + 1)),
            "symbol": [row[0] for row in rows],
            "timestamp": [row[1] for row in rows],
            "broker": ["krx"] * len(rows),
            **{name: [row[2] for row in rows] for name in ("open", "high", "low", "close")},
            "volume": [1] * len(rows),
            "bid": [None] * len(rows),
            "ask": [None] * len(rows),
            "status": ["traded"] * len(rows),
            "quality": ["ok"] * len(rows),
            "revision": [revision] * len(rows),
            "previous_close": [None] * len(rows),
        },
        schema_overrides={
            "symbol": pl.String, "broker": pl.String, "status": pl.String, "quality": pl.String,
            "previous_close": pl.Int64, "bid": pl.Int64, "ask": pl.Int64, "timestamp": pl.Int64,
            "open": pl.Int64, "high": pl.Int64, "low": pl.Int64, "close": pl.Int64,
            "volume": pl.Int64, "revision": pl.Int64, "row": pl.Int64,
        },
    ).sort("symbol", "timestamp", "broker", "row")  # fmt: skip


@given(ROWS, ROWS, st.booleans())
@settings(max_examples=200)
def test_match_when_rows_are_any_then_none_is_lost_and_keys_are_unique(
    new: list[tuple[str, int, int]], old: list[tuple[str, int, int]], is_correction: bool
) -> None:
    """Rows = accepted + refused + duplicates; a key is accepted once, at a fresh revision."""
    stored = frame(old, revision=4).unique(["symbol", "timestamp"], keep="first")
    rows = frame(new)

    found = match(rows, stored, is_correction=is_correction, jump_limit=None)

    assert found.accepted.height + found.refused.height + found.duplicates == rows.height
    key = ["symbol", "timestamp", "broker"]
    assert found.accepted.select(key).is_duplicated().sum() == 0
    both = found.accepted.join(stored, on=key, suffix="_old")
    assert both.filter(pl.col("revision") <= pl.col("revision_old")).height == 0
    assert both.filter(pl.col("close") == pl.col("close_old")).height == 0
    assert both.height == found.corrected
    assert is_correction or both.height == 0
