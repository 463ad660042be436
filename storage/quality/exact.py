"""From float columns to exact decimals: one of the places where numbers may cross.

A float is taken for the decimal it is the nearest double of. Where even that is finer than a
double can tell apart, the nearest unit is taken; what needs more decimal places is not exact and
becomes null.
"""

import polars as pl
import pyarrow as pa

# Doubles hold integers exactly below this.
_EXACT_BELOW = 2.0**53
# Four units in the last place: the trace that a few float additions leave.
_NOISE = 2.0**-50
_STEPS = (8, 6, 4, 2, 0)


def units(value: pl.Expr, scale: int) -> pl.Expr:
    """Return whole units of 10^-scale as Int128; null where the value is null or not exact.

    Args:
        value: Float64, finite.
        scale: Decimal places, 0 to 8.
    """
    steps = [scale, *(step for step in _STEPS if step < scale)]
    return pl.coalesce(
        [*(_at_step(value, step, scale) for step in steps), _beyond_precision(value, scale)]
    )


def as_decimal(series: pl.Series, kind: pa.DataType) -> pa.Array:
    """Return whole units as decimals of that scale, without looking at them again.

    Args:
        series: Int128 units, each below the precision of the type.
        kind: A `decimal128` type.
    """
    plain = series.rechunk().cast(pl.Decimal(38, 0)).to_arrow()
    if isinstance(plain, pa.ChunkedArray):
        plain = plain.combine_chunks()
    return pa.Array.from_buffers(kind, len(plain), plain.buffers(), plain.null_count, plain.offset)


def _at_step(value: pl.Expr, step: int, scale: int) -> pl.Expr:
    rounded = (value * 10.0**step).round(0)
    is_exact = (rounded.abs() < _EXACT_BELOW) & (
        (rounded / 10.0**step - value).abs() <= value.abs() * _NOISE
    )
    whole = rounded.cast(pl.Int64, strict=False).cast(pl.Int128) * 10 ** (scale - step)
    return pl.when(is_exact).then(whole)


def _beyond_precision(value: pl.Expr, scale: int) -> pl.Expr:
    whole = value.floor()
    part = ((value - whole) * 10.0**scale).round(0)
    is_coarse = (value.abs() * 10.0**scale >= _EXACT_BELOW) & (value.abs() < _EXACT_BELOW)
    joined = whole.cast(pl.Int64, strict=False).cast(pl.Int128) * 10**scale + part.cast(
        pl.Int64, strict=False
    ).cast(pl.Int128)
    return pl.when(is_coarse).then(joined)
