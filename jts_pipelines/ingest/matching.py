"""New rows of whole partitions against each other and against what is stored.

A key is (symbol, timestamp, broker); venue and interval are those of the load. Of rows with one
key the first of the file counts. A later one that repeats it in every value is a duplicate; one
that differs is refused, and the first is marked as disputed. Against a stored row the same holds,
unless the load is a correction: then the new row becomes the next revision, which readers prefer
wherever the older one stands, and the next export of the partition takes in.
"""

from dataclasses import dataclass

import polars as pl

from jts_pipelines.ingest.spill import PREVIOUS_CLOSE
from storage.quality.candles import NUMBERS
from storage.quality.reasons import Doubt, Reason

KEY = ("symbol", "timestamp", "broker")
VALUES = (*NUMBERS, "status")


@dataclass(frozen=True, slots=True)
class Matched:
    """What became of some rows.

    Attributes:
        accepted: Rows to store, sorted by key.
        refused: Columns `row` and `reason`.
        duplicates: Rows that say nothing new.
        corrected: Accepted rows that replace a stored one.
    """

    accepted: pl.DataFrame
    refused: pl.DataFrame
    duplicates: int
    corrected: int


def match(
    rows: pl.DataFrame,
    stored: pl.DataFrame | None,
    *,
    is_correction: bool,
    jump_limit: float | None,
) -> Matched:
    """Sort the rows of whole partitions into new ones, duplicates and conflicts.

    Args:
        rows: With each key in the order of row numbers.
        stored: The stored rows of these partitions, one per key; None when there are none.
        is_correction: Store other values for a stored key as its next revision.
        jump_limit: Relative change of the close that is marked; None for no limit.
    """
    inside = _within_file(rows)
    firsts = inside.filter(pl.col("verdict") == "first")
    judged = firsts if stored is None else _against_stored(firsts, stored)
    if stored is None:
        judged = firsts.with_columns(fate=pl.lit("new"))
    conflicts = judged.filter(pl.col("fate") == "conflict")
    kept = judged.filter(pl.col("fate").is_in(["new", "conflict"] if is_correction else ["new"]))
    refused = [_refusals(inside.filter(pl.col("verdict") == "differs"), Reason.DUPLICATE_CONFLICT)]
    if not is_correction:
        refused.append(_refusals(conflicts, Reason.CONFLICTS_WITH_STORED))
    repeats = inside.filter(pl.col("verdict") == "repeats").height
    return Matched(
        accepted=_labelled(kept, jump_limit),
        refused=pl.concat(refused),
        duplicates=repeats + judged.filter(pl.col("fate") == "stored").height,
        corrected=conflicts.height if is_correction else 0,
    )


def _within_file(rows: pl.DataFrame) -> pl.DataFrame:
    same = pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(name).first().over(KEY)) for name in VALUES
    )
    is_first = pl.col("row") == pl.col("row").first().over(KEY)
    return rows.with_columns(
        verdict=pl.when(is_first)
        .then(pl.lit("first"))
        .when(same)
        .then(pl.lit("repeats"))
        .otherwise(pl.lit("differs"))
    ).with_columns(is_disputed=(pl.col("verdict") == "differs").any().over(KEY))


def _against_stored(firsts: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    known = stored.select(
        *KEY,
        *(pl.col(name).alias(f"stored_{name}") for name in (*VALUES, "revision")),
    )
    joined = firsts.join(known, on=list(KEY), how="left", maintain_order="left", validate="1:1")
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"stored_{name}")) for name in VALUES)
    return joined.with_columns(
        revision=pl.col("stored_revision").fill_null(0) + 1,
        fate=pl.when(pl.col("stored_revision").is_null())
        .then(pl.lit("new"))
        .when(same)
        .then(pl.lit("stored"))
        .otherwise(pl.lit("conflict")),
    )


def _refusals(rows: pl.DataFrame, reason: Reason) -> pl.DataFrame:
    return rows.select("row", reason=pl.lit(reason.value))


def _labelled(rows: pl.DataFrame, jump_limit: float | None) -> pl.DataFrame:
    quality = pl.col("quality")
    if jump_limit is not None:
        change = pl.col("close").cast(pl.Float64) / pl.col(PREVIOUS_CLOSE).cast(pl.Float64) - 1
        quality = (
            pl.when((quality == Doubt.OK.value) & (change.abs() > jump_limit))
            .then(pl.lit(Doubt.PRICE_JUMP.value))
            .otherwise(quality)
        )
    return rows.with_columns(
        quality=pl.when("is_disputed").then(pl.lit(Doubt.DISPUTED.value)).otherwise(quality)
    )
