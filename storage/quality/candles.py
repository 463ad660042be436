"""Validation of candle rows: one pass, every reason found, the first one leads.

A halted session is a fact, not an error: open = high = low = 0 (or absent), no volume, and the
last close carried. It becomes `status = halted` with open, high and low null. A bar with volume
zero and four equal prices is `synthetic`: nobody traded, somebody filled the gap.

Scales inside one row: a close outside [low, high] by a factor of two or more cannot be a price
of that session (the widest daily band was +-30 %, high/low <= 1.86), so its numbers stand on two
scales; less than that is a wrong order. Scales along a symbol: see `quality.scales`.
"""

from dataclasses import dataclass

import polars as pl

from storage.quality.exact import units
from storage.quality.reasons import Doubt, Reason
from storage.schema.datasets import INTERVALS, PRICE_SCALE, VOLUME_SCALE, Status

PRICES = ("open", "high", "low", "close")
QUOTES = ("bid", "ask")
NUMBERS = (*PRICES, *QUOTES, "volume")
SYMBOL_PATTERN = r"^[A-Z0-9][A-Z0-9._-]{0,31}$"
"""What may become part of a path or a key; a venue's own spelling is narrower."""

_FIRST_MS = 86_400_000
_SECOND_AS_MS_BELOW = 10_000_000_000  # 1970-04-26 in ms, 2286 in seconds
_SCALE_FACTOR = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleRules:
    """What validation needs to know besides the rows.

    Attributes:
        venue: Decides the scales.
        interval: Of every row.
        latest_ms: Time of the load; nothing is known of bars that end after it, UTC ms.
    """

    venue: str
    interval: str
    latest_ms: int


def validate(rows: pl.DataFrame, rules: CandleRules) -> pl.DataFrame:
    """Judge candle rows.

    Args:
        rows: Columns `row` (number in the file), `timestamp` (Int64, UTC ms), `symbol`,
            `is_spelled` (the venue spells symbols so), `broker`, `open`, `high`, `low`, `close`,
            `volume`, `bid`, `ask` (Float64), `unreadable` (a value was there but had the wrong
            type), `local_midnight` (the time is 00:00 in the venue's zone), `trade_date` and
            `session_date` (Date), `is_session`, `available_at` (Int64, UTC ms: end of the bar).
        rules: Scales, interval, latest time.

    Returns:
        The same rows in the same order, with `status`, `quality`, `reasons` (a list, empty for
        an accepted row) and each number as Int128 units in a column `<name>_units`.
    """
    halted = rows.with_columns(is_halted=_is_halted())
    blanked = halted.with_columns(
        pl.when("is_halted").then(None).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low")
    )
    scaled = blanked.with_columns(
        units(
            pl.when(pl.col(name).is_finite()).then(pl.col(name)), _scale(name, rules.venue)
        ).alias(f"{name}_units")
        for name in NUMBERS
    )
    found = _findings(rules)
    return scaled.with_columns(
        status=_status(),
        quality=_doubt(),
        reasons=pl.concat_list(
            pl.when(condition.fill_null(value=False)).then(pl.lit(reason.value))
            for reason, condition in found.items()
        ).list.drop_nulls(),
    )


def _findings(rules: CandleRules) -> dict[Reason, pl.Expr]:
    """Return one condition per reason, in order of precedence; null counts as not found."""
    stamp = pl.col("timestamp")
    return {
        Reason.WRONG_TYPE: pl.col("unreadable"),
        Reason.NULL_VALUE: _has_null(),
        Reason.NOT_FINITE: pl.any_horizontal(~pl.col(name).is_finite() for name in NUMBERS),
        Reason.BAD_SYMBOL: ~pl.col("is_spelled")
        | ~pl.col("symbol").str.contains(SYMBOL_PATTERN)
        | pl.col("symbol").str.contains("..", literal=True),
        Reason.TIMESTAMP_UNIT: (stamp.abs() > _FIRST_MS) & (stamp.abs() < _SECOND_AS_MS_BELOW)
        | (stamp > _SECOND_AS_MS_BELOW * 1_000),
        Reason.TIMESTAMP_RANGE: (stamp < _FIRST_MS) | (stamp > rules.latest_ms),
        Reason.NOT_CLOSED: (stamp <= rules.latest_ms) & (pl.col("available_at") > rules.latest_ms),
        Reason.OFF_INTERVAL: _off_interval(rules.interval),
        Reason.TRADE_DATE_DIFFERS: pl.col("session_date") != pl.col("trade_date"),
        Reason.OFF_SESSION: ~pl.col("is_session"),
        Reason.NEGATIVE_VOLUME: pl.col("volume") < 0,
        Reason.NONPOSITIVE_PRICE: pl.any_horizontal(
            pl.col(name) <= 0 for name in (*PRICES, *QUOTES)
        ),
        Reason.MIXED_SCALE: _all_positive() & _is_mixed_scale(),
        Reason.OHLC_ORDER: _all_positive() & _is_out_of_order() & ~_is_mixed_scale(),
        Reason.OFF_SCALE: _off_scale(),
        Reason.OUT_OF_RANGE: _out_of_range(rules.venue),
    }


def _is_halted() -> pl.Expr:
    absent = pl.all_horizontal(
        (pl.col(name) == 0) | pl.col(name).is_null() for name in ("open", "high", "low")
    )
    return (
        absent & (pl.col("volume") == 0) & (pl.col("close") > 0) & ~pl.col("unreadable")
    ).fill_null(value=False)


def _status() -> pl.Expr:
    flat = pl.all_horizontal(pl.col(name) == pl.col("close") for name in ("open", "high", "low"))
    return (
        pl.when("is_halted")
        .then(pl.lit(Status.HALTED.value))
        .when((pl.col("volume") == 0) & flat)
        .then(pl.lit(Status.SYNTHETIC.value))
        .otherwise(pl.lit(Status.TRADED.value))
    )


def _doubt() -> pl.Expr:
    flat = pl.all_horizontal(pl.col(name) == pl.col("close") for name in ("open", "high", "low"))
    return (
        pl.when((pl.col("volume") == 0) & ~flat & ~pl.col("is_halted"))
        .then(pl.lit(Doubt.ZERO_VOLUME.value))
        .otherwise(pl.lit(Doubt.OK.value))
    )


def _has_null() -> pl.Expr:
    needed = pl.any_horizontal(
        pl.col(name).is_null() for name in ("timestamp", "symbol", "broker", "close", "volume")
    )
    bar = pl.any_horizontal(pl.col(name).is_null() for name in ("open", "high", "low"))
    return ~pl.col("unreadable") & (needed | (bar & ~pl.col("is_halted")))


def _off_interval(interval: str) -> pl.Expr:
    if interval == "1d":
        return ~pl.col("local_midnight")
    return pl.col("timestamp") % (min(INTERVALS[interval], 3_600) * 1_000) != 0


def _all_positive() -> pl.Expr:
    return pl.all_horizontal(pl.col(name) > 0 for name in PRICES)


def _is_out_of_order() -> pl.Expr:
    high, low = pl.col("high"), pl.col("low")
    return (high < pl.max_horizontal("open", "close", "low")) | (
        low > pl.min_horizontal("open", "close", "high")
    )


def _is_mixed_scale() -> pl.Expr:
    """An enclosing price and an enclosed one that contradict each other by the factor."""
    enclosed = ("open", "close")
    above = pl.any_horizontal(pl.col(name) >= pl.col("high") * _SCALE_FACTOR for name in enclosed)
    below = pl.any_horizontal(pl.col(name) * _SCALE_FACTOR <= pl.col("low") for name in enclosed)
    return above | below | (pl.col("low") >= pl.col("high") * _SCALE_FACTOR)


def _off_scale() -> pl.Expr:
    return pl.any_horizontal(
        pl.col(name).is_finite() & pl.col(f"{name}_units").is_null() for name in NUMBERS
    )


def _out_of_range(venue: str) -> pl.Expr:
    volume_digits = 38 if VOLUME_SCALE[venue] else 18
    # Prices are widened to eight decimals in the hot tier, which takes as many digits away.
    price_digits = 18 - (8 - PRICE_SCALE[venue])
    limits = dict.fromkeys((*PRICES, *QUOTES), price_digits) | {"volume": volume_digits}
    return pl.any_horizontal(
        pl.col(f"{name}_units").abs() >= 10**digits if digits < 38 else pl.lit(value=False)
        for name, digits in limits.items()
    )


def _scale(name: str, venue: str) -> int:
    return VOLUME_SCALE[venue] if name == "volume" else PRICE_SCALE[venue]
