"""Rows of the datasets out of what the bus and the journal say: pure functions.

Every row is made of the message or event alone, so that the same one makes the same row again, and
its key identifies it for ever. Times are UTC ns; the trading day is that of the venue's calendar.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from jts_trading.domain.errors import TerminalError
from jts_trading.domain.feed_messages import GapSeen, TicksCollected
from jts_trading.domain.instruments import Venue, parse_venue, price_scale
from jts_trading.domain.journal_events import DecisionRecorded, OrderFilled, SignalRecorded
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.money import Rounding, quantise
from jts_trading.domain.sessions import calendar_for
from jts_trading.domain.ticks import BookTick, TradeTick
from jts_trading.portfolio.fills import gross_of
from jts_trading.ports.journal import StoredEvent
from jts_trading.ports.market import Row

JOURNAL = "journal"
# Where the instruments of a whole feed trade; the feed is named after its broker.
_HOMES = {
    "kis": Venue.KRX,
    "creon": Venue.KRX,
    "upbit": Venue.UPBIT,
    "binance": Venue.BINANCE,
}


class RowError(TerminalError):
    """No row can be made of a message."""


def tick_rows(collected: TicksCollected, topic: str) -> Iterator[Row]:
    """Yield one row per trade; order books have none.

    Raises:
        RowError: Ticks and their frames are not as many.
    """
    if len(collected.frames) != len(collected.ticks):
        raise RowError(
            f"feed {collected.feed}: {len(collected.ticks)} ticks have"
            f" {len(collected.frames)} frames"
        )
    for at, tick in enumerate(collected.ticks):
        if isinstance(tick, BookTick):
            continue
        yield {
            **_trade(tick),
            "feed": collected.feed,
            "session": collected.session,
            "frame": collected.first_frame + collected.frames[at],
            "tick": collected.first_tick + at,
            "revision": 1,
            "ingest_id": topic,
        }


def _trade(tick: TradeTick) -> Row:
    return {
        "timestamp": tick.ts_event_ns,
        "venue": tick.venue,
        "symbol": symbol_of(tick.instrument_id),
        "broker": tick.broker,
        "interval": "tick",
        "price": tick.price,
        "quantity": tick.quantity,
        "aggressor": tick.aggressor.value,
        "cumulative": tick.cumulative_quantity,
        "bid": tick.bid,
        "ask": tick.ask,
        "halted": tick.is_halted,
        "trade_date": trading_day(tick.venue, tick.ts_event_ns),
        "received_at": tick.ts_recv_ns,
        "available_at": tick.ts_recv_ns,
    }


def gap_row(gap: GapSeen, topic: str, entry_id: str, ts_recv_ns: int) -> Row:
    """Return the row of a gap; what is said of the same gap later replaces it.

    Args:
        gap: What the collector saw.
        topic: Where it said so.
        entry_id: Place in the topic, `milliseconds-number`.
        ts_recv_ns: When it was said, instance time.

    Raises:
        RowError: The feed is none of a known broker, and no instrument is named.
    """
    venue = _venue_of(gap)
    major, _, minor = entry_id.partition("-")
    return {
        "timestamp": gap.start_ns,
        "venue": venue,
        "symbol": symbol_of(gap.instrument_id),
        "interval": "gap",
        "instrument_id": gap.instrument_id,
        "feed": gap.feed,
        "kind": gap.kind,
        "ended_at": gap.end_ns or None,
        "missing": gap.missing,
        "reason": gap.reason,
        "trade_date": trading_day(venue, gap.start_ns),
        "available_at": ts_recv_ns,
        "revision": int(major) * 1_000_000 + min(int(minor), 999_999),
        "ingest_id": topic,
    }


def signal_row(signal: SignalRecorded, stored: StoredEvent) -> Row:
    """Return the row of a rule that fired."""
    return {
        **_judged(signal, stored),
        "signal_id": signal.signal_id,
        "rule": signal.rule,
        "kind": signal.kind,
        "side": signal.side.value,
        "condition": signal.condition,
    }


def decision_row(decision: DecisionRecorded, stored: StoredEvent) -> Row:
    """Return the row of a judged bar; equity is rounded to the scale of the venue's prices."""
    unit = Decimal(1).scaleb(-price_scale(parse_venue(decision.venue)))
    return {
        **_judged(decision, stored),
        "fired": decision.fired,
        "outcome": decision.outcome,
        "conditions": decision.values,
        "bar": decision.bar,
        "equity": quantise(decision.equity, unit, Rounding.NEAREST),
        "triggered_at": decision.triggered_ns or None,
    }


def order_row(order: OrderRow) -> Row:
    """Return the row of an order as its newest event left it."""
    return {
        **_of_order(order),
        "timestamp": order.created_ns,
        "interval": "order",
        "order_id": order.id,
        "quantity": order.quantity,
        "price": order.price,
        "time_in_force": order.time_in_force,
        "status": order.status.value,
        "filled": order.filled,
        "reason": order.reason,
        "attempt": order.attempt,
        "client_order_id": order.client_order_id,
        "venue_order_id": order.venue_order_id,
        "created_at": order.created_ns,
        "updated_at": order.updated_ns,
        "correlation_id": order.correlation_id,
        "seq": order.last_seq,
        "trade_date": trading_day(order.venue, order.created_ns),
        "available_at": order.updated_ns,
        "revision": order.last_seq,
        "ingest_id": JOURNAL,
    }


def fill_row(fill: OrderFilled, order: OrderRow, stored: StoredEvent) -> Row:
    """Return the row of a fill of an order.

    Raises:
        InvariantError: An amount is finer than the currency.
    """
    traded_ns = fill.ts_event_ns or stored.ts_ns
    return {
        **_of_order(order),
        "timestamp": traded_ns,
        "interval": "fill",
        "trade_id": fill.trade_id,
        "order_id": order.id,
        "quantity": fill.quantity,
        "price": fill.price,
        "gross": gross_of(fill, order.currency),
        "fee": fill.fee,
        "tax": fill.tax,
        "fee_quantity": fill.fee_quantity,
        "correlation_id": stored.correlation_id or order.correlation_id,
        "seq": stored.seq,
        "trade_date": trading_day(order.venue, traded_ns),
        "recorded_at": stored.ts_ns,
        "available_at": stored.ts_ns,
        "revision": stored.seq,
        "ingest_id": JOURNAL,
    }


def trading_day(venue: str, ts_ns: int) -> date:
    """Return the day of a venue's calendar to which an instant (UTC ns) belongs.

    Raises:
        InstrumentError: The venue is unknown.
    """
    return calendar_for(venue).session_date(ts_ns)


def symbol_of(instrument_id: str) -> str:
    """Return the venue's own spelling; empty where no instrument is named."""
    return instrument_id.partition(":")[2]


def _judged(event: SignalRecorded | DecisionRecorded, stored: StoredEvent) -> Row:
    return {
        "timestamp": event.bar_start_ns,
        "venue": event.venue,
        "symbol": symbol_of(event.instrument_id),
        "interval": event.interval,
        "instance": event.instance,
        "release": event.release,
        "decision_id": event.decision_id,
        "price": event.price,
        "decided_at": event.decided_ns,
        "correlation_id": stored.correlation_id,
        "seq": stored.seq,
        "trade_date": trading_day(event.venue, event.bar_start_ns),
        "available_at": event.decided_ns,
        "revision": stored.seq,
        "ingest_id": JOURNAL,
    }


def _of_order(order: OrderRow) -> Row:
    return {
        "venue": order.venue,
        "symbol": order.symbol,
        "broker": order.broker,
        "instrument_id": order.instrument_id,
        "instance": order.instance,
        "release": order.release,
        "account": order.account,
        "side": order.side.value,
        "currency": order.currency,
        "decision_id": order.decision_id,
    }


def _venue_of(gap: GapSeen) -> str:
    market = gap.instrument_id.partition(":")[0]
    if market:
        return parse_venue(market).value
    broker = gap.feed.rpartition("-")[0] or gap.feed
    try:
        return _HOMES[broker].value
    except KeyError:
        raise RowError(f"feed {gap.feed!r} is of no broker among {', '.join(_HOMES)}") from None
