"""Scales along a symbol: a price series that leaps by powers of ten and comes back.

Rule. Between neighbouring bars of a symbol, a close that changes by a power of ten, give or take
one day's limit of 30 %, is a step of that power. A series whose steps all point one way is a
split or a consolidation and stays. One with steps both ways stands on several scales: if at
least two thirds of its rows share a scale, the others are refused; else nothing says which is
right and all are.
"""

from typing import Final

MIXED_SCALE_SHARE: Final = 2 / 3
_WIDEST_FALL = "log10(0.7)"
_WIDEST_RISE = "log10(1.3)"


def mixed_scale_sql(relation: str) -> str:
    """Return the DuckDB query for rows that stand on another scale than their symbol.

    Args:
        relation: SQL of a relation with `row`, `symbol`, `broker`, `timestamp` and a positive
            `close`.

    Returns:
        A query with the one column `row`.
    """
    order = "PARTITION BY symbol, broker ORDER BY timestamp, row"
    return f"""
        WITH changes AS (
            SELECT row, symbol, broker, timestamp,
                log10(close::DOUBLE / lag(close::DOUBLE) OVER ({order})) AS change
            FROM {relation}
        ), steps AS (
            SELECT row, symbol, broker, timestamp,
                CASE WHEN change - round(change) BETWEEN {_WIDEST_FALL} AND {_WIDEST_RISE}
                    THEN round(change) ELSE 0 END AS step
            FROM changes
        ), leaping AS (
            SELECT symbol, broker FROM steps GROUP BY symbol, broker
            HAVING max(step) > 0 AND min(step) < 0
        ), levels AS (
            SELECT row, symbol, broker,
                sum(coalesce(step, 0)) OVER ({order} ROWS UNBOUNDED PRECEDING) AS level
            FROM steps SEMI JOIN leaping USING (symbol, broker)
        ), counted AS (
            SELECT symbol, broker, level, count(*) AS rows,
                sum(count(*)) OVER (PARTITION BY symbol, broker) AS total
            FROM levels GROUP BY symbol, broker, level
        ), trusted AS (
            SELECT symbol, broker, level FROM counted WHERE rows >= {MIXED_SCALE_SHARE} * total
        )
        SELECT row FROM levels ANTI JOIN trusted USING (symbol, broker, level)
    """  # noqa: S608 - the relation is named by the caller in code
