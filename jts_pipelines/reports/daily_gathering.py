"""Read the records of an account's day: from the lake, and from the ledger beside it.

The lake says what the daemon recorded (orders, fills, signals, decisions, gaps, ticks), the
ledger what the journal booked. They are compared elsewhere: nothing is taken from one to fill a
hole in the other.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl

from jts_pipelines.reports.amounts import trimmed
from jts_pipelines.reports.daily_records import (
    Account,
    DayRecords,
    Entry,
    Fill,
    Gap,
    Note,
    Order,
    Prices,
    Span,
    day_span,
)
from jts_trading.domain.journal_events import EVENTS, NoteRecorded, OrderDenied
from jts_trading.domain.orders import OrderSide
from storage.lake.lake import Lake
from storage.ledger.reading import Snapshot

_NS_PER_S = 1_000_000_000
# A row is partitioned by its session and found by when it was recorded: a late one lies behind.
_DAYS_AROUND = 7
_POINTS_MAX = 900
_BUCKETS_S = (1, 5, 10, 30, 60, 300)
_SAME_IN_BOTH = (
    "trade_id", "order_id", "instance", "instrument_id", "venue", "quantity", "price", "gross",
    "fee", "tax", "fee_quantity", "seq",
)  # fmt: skip


def gather(
    ledger: Snapshot, lake: Lake, account: Account, day: date, names: Mapping[str, str]
) -> DayRecords:
    """Read an account's day.

    Args:
        ledger: The journal's database at one instant.
        lake: All tiers.
        account: Whose.
        day: In Korea.
        names: What people call instruments, by id.

    Raises:
        StorageError: The ledger or a tier does not answer.
    """
    span = day_span(day)
    opening = ledger.balances(*account, before_ns=span.from_ns)
    entries = ledger.entries(*account, from_ns=span.from_ns, before_ns=span.before_ns)
    booked = ledger.fills(*account, before_ns=span.before_ns)
    orders = _orders(lake, account, span)
    instances = sorted({order.instance for order in orders})
    held = {row["instrument_id"] for row in (*opening, *entries) if row["instrument_id"]}
    concerned = sorted(held | {order.instrument_id for order in orders})
    denied, notes = _said(ledger, span)
    return DayRecords(
        account=account,
        span=span,
        opening=[_entry(row) for row in opening],
        entries=[_entry(row) for row in entries],
        booked=[_booked(row) for row in booked],
        orders=orders,
        fills=_fills(lake, account, span),
        signals=_counts(lake, "signals", "instance", instances, span),
        decisions=_counts(lake, "decisions", "outcome", instances, span),
        denied=denied,
        notes=notes,
        gaps=_gaps(lake, concerned, span),
        prices=_prices(lake, concerned, span),
        imbalances=[
            f"journal row {row['seq']}: off by {row['difference']} {row['currency']}"
            for row in ledger.imbalances()
        ],
        names=names,
    )


def _entry(row: Mapping[str, Any]) -> Entry:
    amount = row["amount"] if "amount" in row else row["debit"] - row["credit"]
    return Entry(
        ledger=row["ledger"],
        instance=row["instance"],
        instrument_id=row["instrument_id"],
        amount=trimmed(amount),
        quantity=trimmed(row["quantity"]),
        seq=row.get("seq", 0),
        ts_ns=row.get("ts_ns", 0),
        type=row.get("type", ""),
    )


def _booked(row: Mapping[str, Any]) -> Fill:
    return Fill(
        **{name: _plain(row[name]) for name in _SAME_IN_BOTH},
        side=OrderSide(row["side"]),
        ts_ns=row["ts_event_ns"],
    )


def _orders(lake: Lake, account: Account, span: Span) -> list[Order]:
    lived = (pl.col("updated_at") >= _at(span.from_ns)) & (
        pl.col("created_at") < _at(span.before_ns)
    )
    times = {"created_ns": _ns_of("created_at"), "updated_ns": _ns_of("updated_at")}
    rows = _rows_of(lake, "orders", account, span).filter(lived).with_columns(**times)
    ordered = rows.select(Order.__struct_fields__).sort("created_ns", "order_id")
    return [
        Order(**(_plain_row(row) | {"side": OrderSide(row["side"])}))
        for row in ordered.collect().to_dicts()
    ]


def _fills(lake: Lake, account: Account, span: Span) -> list[Fill]:
    booked = pl.col("recorded_at").is_between(
        _at(span.from_ns), _at(span.before_ns), closed="left"
    )
    rows = _rows_of(lake, "fills", account, span).filter(booked)
    rows = rows.with_columns(ts_ns=_ns_of("timestamp")).select(*_SAME_IN_BOTH, "side", "ts_ns")
    found = rows.sort("seq").collect().to_dicts()
    return [Fill(**(_plain_row(row) | {"side": OrderSide(row["side"])})) for row in found]


def _counts(
    lake: Lake, dataset: str, column: str, instances: Sequence[str], span: Span
) -> Mapping[str, int]:
    """Count rows of the instances by a column; the day is when they were decided."""
    decided = pl.col("decided_at").is_between(
        _at(span.from_ns), _at(span.before_ns), closed="left"
    )
    rows = _around(lake, dataset, span).filter(pl.col("instance").is_in(instances) & decided)
    found = rows.group_by(column).len().sort(column).collect()
    return dict(found.iter_rows())


def _gaps(lake: Lake, instruments: Sequence[str], span: Span) -> list[Gap]:
    """Return the gaps of some instruments, and those of whole feeds of their venues."""
    venues = {each.partition(":")[0] for each in instruments}
    symbols = {"", *(each.partition(":")[2] for each in instruments)}
    began = pl.col("timestamp").is_between(_at(span.from_ns), _at(span.before_ns), closed="left")
    rows = _around(lake, "gaps", span).filter(
        pl.col("venue").is_in(venues) & pl.col("symbol").is_in(symbols) & began
    )
    times = {"from_ns": _ns_of("timestamp"), "until_ns": _ns_of("ended_at")}
    found = (
        rows.with_columns(**times).select(Gap.__struct_fields__).sort("from_ns", "feed", "kind")
    )
    return [Gap(**_plain_row(row)) for row in found.collect().to_dicts()]


def _prices(lake: Lake, instruments: Sequence[str], span: Span) -> dict[str, Prices]:
    """Return the trades of instruments, one point per bucket, so that a chart can hold them."""
    by_venue: dict[str, list[str]] = {}
    for instrument in instruments:
        venue, _, symbol = instrument.partition(":")
        by_venue.setdefault(venue, []).append(symbol)
    found = {}
    for venue, symbols in by_venue.items():
        for symbol, prices in _prices_at(lake, venue, symbols, span).items():
            found[f"{venue}:{symbol}"] = prices
    return found


def _prices_at(lake: Lake, venue: str, symbols: Sequence[str], span: Span) -> dict[str, Prices]:
    """Return the prices of some symbols of a venue; aggregated as they are read."""
    at_ns = _ns_of("timestamp")
    ticks = _around(lake, "ticks", span, venue=venue, symbols=symbols)
    last = pl.col("price").sort_by("timestamp", "tick").last()
    earlier = ticks.filter(at_ns < span.from_ns).group_by("symbol").agg(last).collect()
    before = {symbol: trimmed(price) for symbol, price in earlier.iter_rows()}
    today = ticks.filter(at_ns.is_between(span.from_ns, span.before_ns, closed="left"))
    first_ns, last_ns = (
        today.select(at_ns.min().alias("first"), at_ns.max().alias("last")).collect().row(0)
    )
    points: dict[str, list[tuple[int, Decimal]]] = {symbol: [] for symbol in symbols}
    if first_ns is not None:
        bucket_ns = _bucket_s(last_ns - first_ns) * _NS_PER_S
        ends = ((at_ns // bucket_ns + 1) * bucket_ns).alias("ends")
        rows = today.group_by("symbol", ends).agg(last).collect().sort("symbol", "ends")
        for symbol, end_ns, price in rows.iter_rows():
            points[symbol].append((end_ns, trimmed(price)))
    return {
        symbol: Prices(
            before=before.get(symbol),
            ts_ns=tuple(end_ns for end_ns, _ in points[symbol]),
            last=tuple(price for _, price in points[symbol]),
        )
        for symbol in symbols
    }


def _bucket_s(span_ns: int) -> int:
    wanted = span_ns / _NS_PER_S / _POINTS_MAX
    return next((bucket for bucket in _BUCKETS_S if bucket >= wanted), _BUCKETS_S[-1])


def _said(ledger: Snapshot, span: Span) -> tuple[dict[str, str], list[Note]]:
    """Return which check refused which order, and all notes of the day."""
    types = ["order_denied", "note_recorded"]
    denied: dict[str, str] = {}
    notes: list[Note] = []
    for row in ledger.events(types, from_ns=span.from_ns, before_ns=span.before_ns):
        kind = EVENTS.find(row["type"], row["schema_version"])
        match msgspec.json.decode(row["payload"], type=kind):
            case OrderDenied(order_id=order_id, check=check):
                denied[order_id] = check
            case NoteRecorded(topic=topic, subject=subject, body=body):
                notes.append(Note(topic=topic, subject=subject, body=body, ts_ns=row["ts_ns"]))
    return denied, notes


def _plain(value: Any) -> Any:
    return trimmed(value) if isinstance(value, Decimal) else value


def _plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in row.items()}


def _rows_of(lake: Lake, dataset: str, account: Account, span: Span) -> pl.LazyFrame:
    return _around(lake, dataset, span).filter(
        broker=account.broker, account=account.account, currency=account.currency
    )


def _around(
    lake: Lake,
    dataset: str,
    span: Span,
    *,
    venue: str | None = None,
    symbols: Sequence[str] | None = None,
) -> pl.LazyFrame:
    """Return rows of a dataset, without the partitions that lie far away from the day."""
    return lake.scan(
        dataset,
        venue=venue,
        symbols=symbols,
        start=span.day - timedelta(days=_DAYS_AROUND),
        end=span.day + timedelta(days=1),
    )


def _at(ts_ns: int) -> pl.Expr:
    return pl.lit(ts_ns, dtype=pl.Int64).cast(pl.Datetime("ns", "UTC"))


def _ns_of(column: str) -> pl.Expr:
    return pl.col(column).dt.epoch("ns")
