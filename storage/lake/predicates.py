"""From a Polars predicate to bounds that a store can use.

DuckDB and Polars hand a scan the filters of the query as an expression. What is understood here
(`=`, `IN`, `<`, `<=`, `>`, `>=`, `BETWEEN` and `AND` over venue, symbol, interval, timestamp and
trade_date) narrows what is fetched; everything else is left alone, because the whole predicate
is applied again to the fetched rows. So an expression of a form that we do not know costs time,
never rows.
"""

import io
from datetime import date, timedelta
from typing import Any

import msgspec
import polars as pl

from storage.lake.selection import Selection

_LABELS = frozenset({"venue", "interval", "symbol"})
_PER_MS = {"Milliseconds": 1, "Microseconds": 1_000, "Nanoseconds": 1_000_000}
_FLIPPED = {"Lt": "Gt", "LtEq": "GtEq", "Gt": "Lt", "GtEq": "LtEq", "Eq": "Eq"}
_EPOCH = date(1970, 1, 1)


def bounds(predicate: pl.Expr | None) -> Selection:
    """Return the bounds that every row satisfying the predicate lies in."""
    if predicate is None:
        return Selection()
    text = predicate.meta.serialize(format="json")
    return _bounds(msgspec.json.decode(text))


def _bounds(node: Any) -> Selection:
    match node:
        case {"BinaryExpr": {"left": left, "op": "And", "right": right}}:
            return _bounds(left).narrowed(_bounds(right))
        case {"BinaryExpr": {"left": left, "op": op, "right": right}} if op in _FLIPPED:
            return _comparison(left, op, right)
        case {"Ternary": {"predicate": null_test, "falsy": inner}} if _is_null_test(null_test):
            # A null satisfies no filter, so the branch for nulls brings no rows.
            return _bounds(inner)
        case {"Function": {"input": [column, values], "function": {"Boolean": {"IsIn": _}}}}:
            return _membership(_column(column), values)
        case {"Function": {"input": [column, low, high], "function": {"Boolean": kind}}} if (
            isinstance(kind, dict) and "IsBetween" in kind
        ):
            return _comparison(column, "GtEq", low).narrowed(_comparison(column, "LtEq", high))
        case _:
            return Selection()


def _is_null_test(node: Any) -> bool:
    match node:
        case {"Function": {"function": {"Boolean": "IsNull"}}}:
            return True
        case _:
            return False


def _comparison(left: Any, op: str, right: Any) -> Selection:
    name, value = _column(left), _literal(right)
    if name is None:
        name, value, op = _column(right), _literal(left), _FLIPPED[op]
    if name is None or value is None:
        return Selection()
    if name in _LABELS:
        return _labels(name, frozenset({value})) if op == "Eq" else Selection()
    # A strict bound may stay inclusive: bounds only have to contain the wanted rows.
    lower = value if op in {"Eq", "Gt", "GtEq"} else None
    upper = value if op in {"Eq", "Lt", "LtEq"} else None
    if name == "timestamp" and isinstance(value, int):
        return Selection(start_ms=lower, end_ms=upper)
    if name == "trade_date" and isinstance(value, date):
        return Selection(from_day=lower, to_day=upper)
    return Selection()


def _labels(name: str, values: frozenset[Any]) -> Selection:
    match name:
        case "venue":
            return Selection(venues=values)
        case "interval":
            return Selection(intervals=values)
        case _:
            return Selection(symbols=values)


def _membership(name: str | None, node: Any) -> Selection:
    match node:
        case {"Literal": {"Series": content}} | {"Literal": {"Scalar": {"List": content}}}:
            series = pl.read_ipc_stream(io.BytesIO(bytes(content))).to_series()
        case _:
            return Selection()
    if series.dtype.is_nested():
        series = series.explode()
    if name in _LABELS:
        return _labels(name, frozenset(series.drop_nulls().to_list()))
    if name == "trade_date" and series.dtype == pl.Date and len(series.drop_nulls()):
        days = series.drop_nulls().sort().to_list()
        return Selection(from_day=days[0], to_day=days[-1])
    return Selection()


def _column(node: Any) -> str | None:
    match node:
        case {"Column": str(name)}:
            return name
        case {"Function": {"input": [inner], "function": {"TemporalExpr": {"CastTimeUnit": _}}}}:
            return _column(inner)
        case _:
            return None


def _literal(node: Any) -> Any:
    match node:
        case {"Literal": {"Scalar": {"String": str(text)}}}:
            return text
        case {"Literal": {"Scalar": {"Date": int(days)}}}:
            return _EPOCH + timedelta(days=days)
        case {"Literal": {"Scalar": {"Datetime": [int(ticks), str(unit), *_]}}}:
            return ticks // _PER_MS[unit]
        case _:
            return None
