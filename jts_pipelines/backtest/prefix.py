"""Prefix invariance: a decision must not change when later bars are cut off.

Theory of operation. Bars are cut at two instants and everything is decided again, from the rows
that were handed over to the fills; whatever was decided or filled on bars that had ended before
the cut must be the same. Where there are many bars, a choice of instruments stands for all. Cuts
and choice follow from a digest of the run: the same run is checked in the same places. This sees
any look-ahead, wherever it comes from: rules, time frames, limits, costs, an indicator of the
user's own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from jts_pipelines.backtest.result import PrefixCheck
from storage.errors import InputError

ROWS_MAX = 150_000
"""Above this a choice of instruments is checked."""

_CUTS = ((0.15, 0.6), (0.6, 0.97))
_INSTANTS_MIN = 12


@dataclass(frozen=True, slots=True)
class Decided:
    """What a run decided, in an order that does not depend on later bars.

    Attributes:
        fired: Bars on which rules fired: stamp (UTC ms), symbol, mask; sorted.
        fills: Stamp and symbol, then whatever a fill is; sorted.
        interval_ms: Length of a bar.
    """

    fired: pl.DataFrame
    fills: pl.DataFrame
    interval_ms: int

    def before(self, cut: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return what belongs to bars that ended before an instant."""
        is_over = pl.col("stamp") + self.interval_ms <= cut
        return self.fired.filter(is_over), self.fills.filter(is_over)


Decide = Callable[[pl.DataFrame], Decided]


def check_prefix(
    decide: Decide, bars: pl.DataFrame, whole: Callable[[], Decided], seed: str
) -> PrefixCheck:
    """Decide again on bars that end earlier, and compare.

    Args:
        decide: Runs the strategy over rows of bars.
        bars: All rows.
        whole: Returns what was decided on all of them.
        seed: Hexadecimal digest of the run.
    """
    chance = np.random.default_rng(int(seed[:16], 16))
    kept = _chosen(bars, chance)
    expected = whole() if kept is bars else decide(kept)
    instants = kept["timestamp"].dt.epoch("ms").unique().sort()
    cuts = []
    count = kept["symbol"].n_unique()
    if len(instants) >= _INSTANTS_MIN:
        for low, high in _CUTS:
            cut = int(instants[int(chance.uniform(low, high) * len(instants))])
            difference = _difference_at(decide, kept, expected, cut)
            cuts.append(cut)
            if difference:
                return PrefixCheck(tuple(cuts), kept.height, count, difference)
    return PrefixCheck(tuple(cuts), kept.height, count)


def _chosen(bars: pl.DataFrame, chance: np.random.Generator) -> pl.DataFrame:
    """Return the bars of as many instruments, drawn at random, as are checked."""
    if bars.height <= ROWS_MAX:
        return bars
    runs = bars["symbol"].rle().struct.unnest()
    if runs["value"].n_unique() != runs.height:
        runs = bars.group_by("symbol").len().select("len", value="symbol").sort("value")
        return _first_of(bars, runs[chance.permutation(runs.height)])
    # Bars come sorted by symbol, as a rule: each is one slice.
    drawn = runs.with_columns(start=pl.col("len").cum_sum() - pl.col("len"))
    drawn = drawn[chance.permutation(runs.height)]
    inside = drawn.filter(pl.col("len").cum_sum() <= ROWS_MAX)
    if inside.height == 0:
        return _first_of(bars, drawn)
    slices = inside.sort("start").select("start", "len").rows()
    return pl.concat([bars.slice(start, length) for start, length in slices])


def _first_of(bars: pl.DataFrame, drawn: pl.DataFrame) -> pl.DataFrame:
    """Return the bars of the first drawn symbols; if one alone has too many, its first ones."""
    inside = drawn.filter(pl.col("len").cum_sum() <= ROWS_MAX)["value"]
    if len(inside) == 0:
        only = bars.filter(pl.col("symbol") == drawn["value"][0])
        return only.sort("timestamp").head(ROWS_MAX)
    return bars.filter(pl.col("symbol").is_in(inside.implode()))


def _difference_at(decide: Decide, bars: pl.DataFrame, expected: Decided, cut: int) -> str:
    try:
        found = decide(bars.filter(pl.col("timestamp").dt.epoch("ms") < cut))
    except InputError:
        return ""  # Nothing traded before the cut: there was nothing to decide.
    for what, wanted, seen in zip(
        ("a rule fired", "a fill"), expected.before(cut), found.before(cut), strict=True
    ):
        if not wanted.equals(seen):
            return f"{what} differs when bars end before {_moment(cut)}: {_first(wanted, seen)}"
    return ""


def _first(wanted: pl.DataFrame, seen: pl.DataFrame) -> str:
    """Return the first row in which two tables differ."""
    only = (
        pl.concat(
            [wanted.with_columns(bars=pl.lit("whole")), seen.with_columns(bars=pl.lit("cut"))]
        )
        .filter(pl.len().over(wanted.columns) == 1)
        .sort("stamp", "symbol")
    )
    if only.height == 0:
        return "rows appear more than once"
    row = only.row(0, named=True)
    return f"{row['symbol']} at {_moment(row['stamp'])}, only where bars were {row['bars']}"


def _moment(stamp: int) -> str:
    moment = pl.Series([stamp]).cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone("Asia/Seoul")
    return f"{moment[0]:%Y-%m-%d %H:%M} KST"
