"""Bytes of Binance to our events: pure, and raises nothing but DecodeError.

A message of a stream names its stream; what follows the `@` says what it is. Prices and quantities
become exact decimals of the strings that the venue sends, times become UTC ns.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec

from jts_trading.brokers.binance import wire
from jts_trading.brokers.binance.errors import DecodeError
from jts_trading.domain.instruments import Venue
from jts_trading.domain.ticks import Aggressor, BookLevel, BookTick, HistoryBar, TradeTick
from jts_trading.domain.ticks import Quote as QuoteOfDay

BROKER = "binance"
VENUE = Venue.BINANCE.value
NS_PER_MS = 1_000_000
KLINE_FIELDS_MIN = 7
_AMOUNT = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
_SYMBOL = re.compile(r"[A-Z0-9]{2,24}")
_MS_MAX = 1 << 43
_T = TypeVar("_T")


class SnapshotOf(msgspec.Struct, frozen=True):
    """A snapshot and whose it is: the venue does not say, so the request does."""

    symbol: str
    snapshot: wire.Snapshot


class Shutdown(msgspec.Struct, frozen=True):
    """The server will end this connection."""


Message = wire.Trade | wire.Quote | wire.Depth | SnapshotOf | Shutdown | wire.Control


def decode_message(raw: bytes) -> Message:
    """Read one message of a combined stream, an answer to a control message, or a kept snapshot.

    Raises:
        DecodeError: The bytes are not what the venue documents; `reason` says in what way.
    """
    if not raw.startswith(b'{"stream"'):
        control = _decode(raw, wire.Control)
        if control.id is None and control.error is None and not control.code:
            raise DecodeError("control", f"{raw[:60]!r}; accepted: an id, or a code")
        return control
    combined = _decode(raw, wire.Combined)
    if combined.stream == wire.SHUTDOWN_STREAM:
        return Shutdown()
    symbol, _, kind = combined.stream.partition("@")
    if kind == wire.STREAM_SNAPSHOT:
        return SnapshotOf(symbol.upper(), _decode(bytes(combined.data), wire.Snapshot))
    struct = _STREAMS.get(kind)
    if struct is None:
        raise DecodeError("stream", f"{combined.stream[:40]!r}; accepted: {', '.join(_STREAMS)}")
    message = _decode(bytes(combined.data), struct)
    if message.symbol != symbol.upper():
        raise DecodeError("symbol", f"{message.symbol[:24]!r} on {combined.stream[:40]!r}")
    return message


_STREAMS: dict[str, type[wire.Trade] | type[wire.Quote] | type[wire.Depth]] = {
    wire.STREAM_TRADE: wire.Trade,
    wire.STREAM_QUOTE: wire.Quote,
    wire.STREAM_DEPTH: wire.Depth,
}


def stream_names(symbol: str, *, with_depth: bool) -> tuple[str, ...]:
    """Return the streams of a symbol that we read, as the venue spells them."""
    kinds = [wire.STREAM_TRADE, wire.STREAM_QUOTE]
    kinds += [wire.STREAM_DEPTH] if with_depth else []
    return tuple(f"{symbol.lower()}@{kind}" for kind in kinds)


def encode_control(method: str, params: Sequence[str], number: int) -> str:
    """Return a control message such as SUBSCRIBE."""
    message = {"method": method, "params": list(params), "id": number}
    return msgspec.json.encode(message).decode()


def wrap_snapshot(symbol: str, body: bytes) -> bytes:
    """Return a snapshot as a frame: the bytes of the answer with the symbol that they lack."""
    return b'{"stream":"%s@%s","data":%s}' % (
        symbol.lower().encode(),
        wire.STREAM_SNAPSHOT.encode(),
        body,
    )


def trade_tick(trade: wire.Trade, ts_recv_ns: int, quote: wire.Quote | None) -> TradeTick:
    """Return a trade; the venue tells no volume of the day with it.

    Args:
        trade: The message.
        ts_recv_ns: When it arrived.
        quote: The newest one of its symbol on the same connection; the venue sends it apart.
    """
    return TradeTick(
        instrument_id=instrument_id(trade.symbol),
        venue=VENUE,
        broker=BROKER,
        ts_event_ns=_ns(trade.trade_ms),
        ts_recv_ns=ts_recv_ns,
        price=amount(trade.price),
        quantity=amount(trade.quantity),
        aggressor=Aggressor.SELL if trade.is_buyer_maker else Aggressor.BUY,
        cumulative_quantity=Decimal(0),
        trade_id=trade.trade_id,
        bid=None if quote is None else amount(quote.bid),
        ask=None if quote is None else amount(quote.ask),
    )


def quote_tick(quote: wire.Quote, ts_recv_ns: int) -> BookTick:
    """Return the best prices as a book of one level; dated by us, as the venue does not."""
    return book_tick(
        quote.symbol,
        [(amount(quote.ask), amount(quote.ask_quantity))],
        [(amount(quote.bid), amount(quote.bid_quantity))],
        ts_event_ns=ts_recv_ns,
        ts_recv_ns=ts_recv_ns,
    )


def book_tick(
    symbol: str,
    asks: Sequence[tuple[Decimal, Decimal]],
    bids: Sequence[tuple[Decimal, Decimal]],
    *,
    ts_event_ns: int,
    ts_recv_ns: int,
) -> BookTick:
    """Return a book; without a level on either side it says that nothing is known."""
    return BookTick(
        instrument_id=instrument_id(symbol),
        venue=VENUE,
        broker=BROKER,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=ts_recv_ns,
        asks=tuple(BookLevel(price, quantity) for price, quantity in asks),
        bids=tuple(BookLevel(price, quantity) for price, quantity in bids),
    )


def levels(pairs: Sequence[wire.Level]) -> list[tuple[Decimal, Decimal]]:
    """Return prices and quantities as decimals."""
    return [(amount(price), amount(quantity)) for price, quantity in pairs]


def depth_ns(depth: wire.Depth) -> int:
    """Return when the venue made a depth event, UTC ns."""
    return _ns(depth.event_ms)


def decode_snapshot(body: bytes) -> wire.Snapshot:
    """Read `/api/v3/depth`."""
    return _decode(body, wire.Snapshot)


def decode_time_ns(body: bytes) -> int:
    """Read `/api/v3/time`: UTC ns."""
    return _ns(_decode(body, wire.ServerTime).server_ms)


def decode_exchange(body: bytes) -> wire.ExchangeRules:
    """Read `/api/v3/exchangeInfo`."""
    return _decode(body, wire.ExchangeRules)


def decode_refusal(body: bytes) -> wire.Refusal | None:
    """Return the refusal in an answer, if it is one."""
    try:
        return _decode(body, wire.Refusal)
    except DecodeError:
        return None


def decode_klines(body: bytes, symbol: str, ts_recv_ns: int) -> list[tuple[HistoryBar, int]]:
    """Read `/api/v3/klines`: bars, each with its last instant (UTC ns), oldest first."""
    bars = []
    for row in _decode(body, list[list[int | str]]):
        if len(row) < KLINE_FIELDS_MIN:
            raise DecodeError("kline", f"{len(row)} fields; accepted: {KLINE_FIELDS_MIN} and more")
        opened, closed = row[0], row[6]
        if not isinstance(opened, int) or not isinstance(closed, int):
            raise DecodeError("kline", f"times are {opened!r} and {closed!r}; accepted: integers")
        at_open, high, low, close, volume = (amount(str(text)) for text in row[1:6])
        bar = HistoryBar(
            instrument_id=instrument_id(symbol),
            venue=VENUE,
            broker=BROKER,
            start_ns=_ns(opened),
            ts_recv_ns=ts_recv_ns,
            open=at_open,
            high=high,
            low=low,
            close=close,
            volume=volume,
        )
        bars.append((bar, _ns(closed)))
    return bars


def decode_day(body: bytes, ts_recv_ns: int) -> QuoteOfDay:
    """Read `/api/v3/ticker/24hr`; its reference is the last price of 24 hours ago."""
    day = _decode(body, wire.DayTicker)
    return QuoteOfDay(
        instrument_id=instrument_id(day.symbol),
        venue=VENUE,
        broker=BROKER,
        ts_recv_ns=ts_recv_ns,
        last=amount(day.last_price),
        open=amount(day.open_price),
        high=amount(day.high_price),
        low=amount(day.low_price),
        reference=amount(day.prev_close_price),
        quantity=amount(day.volume),
        bid=amount(day.bid_price),
        ask=amount(day.ask_price),
    )


def instrument_id(symbol: str) -> str:
    """Return `BINANCE:<symbol>`."""
    if not _SYMBOL.fullmatch(symbol):
        raise DecodeError("symbol", f"{symbol[:24]!r}; accepted: 2 to 24 of A-Z and 0-9")
    return f"{VENUE}:{symbol}"


def amount(text: str) -> Decimal:
    """Return a price or a quantity."""
    if not _AMOUNT.fullmatch(text):
        raise DecodeError("number", f"{text[:40]!r}; accepted: digits with a point at most")
    return Decimal(text)


def _ns(ms: int) -> int:
    # Thousands of years away: the unit has changed.
    if not 0 <= ms < _MS_MAX:
        raise DecodeError("time", f"{ms}; accepted: milliseconds since 1970")
    return ms * NS_PER_MS


def _decode(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise DecodeError("shape", str(error)[:120]) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DecodeError("json", str(error)[:120]) from None
