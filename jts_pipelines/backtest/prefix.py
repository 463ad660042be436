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

from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.history import History
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
    decide: Decide, history: History, whole: Callable[[], Decided], seed: str
) -> PrefixCheck:
    """Decide again on bars that end earlier, and compare.

    Args:
        decide: Runs the strategy over rows of bars.
        history: All bars.
        whole: Returns what was decided on all of them.
        seed: Hexadecimal digest of the run.
    """
    chance = np.random.default_rng(int(seed[:16], 16))
    chosen = _chosen(history.table, chance)
    kept = history.rows_of(chosen)
    if kept.height > ROWS_MAX:
        kept = kept.head(ROWS_MAX)
    expected = whole() if kept.height == history.table.rows else decide(kept)
    instants = kept["timestamp"].dt.epoch("ms").unique().sort()
    cuts = []
    if len(instants) >= _INSTANTS_MIN:
        for low, high in _CUTS:
            cut = int(instants[int(chance.uniform(low, high) * len(instants))])
            difference = _difference_at(decide, kept, expected, cut)
            cuts.append(cut)
            if difference:
                return PrefixCheck(tuple(cuts), kept.height, len(chosen), difference)
    return PrefixCheck(tuple(cuts), kept.height, len(chosen))


def _chosen(bars: BarTable, chance: np.random.Generator) -> list[int]:
    """Return as many instruments, drawn at random, as are checked; one at least."""
    count = len(bars.symbols)
    if bars.rows <= ROWS_MAX:
        return list(range(count))
    drawn = chance.permutation(count)
    inside = drawn[np.cumsum(np.diff(bars.offsets)[drawn]) <= ROWS_MAX]
    return sorted(inside.tolist()) or [int(drawn[0])]


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
