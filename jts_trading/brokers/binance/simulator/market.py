"""What the simulated venue knows of a pair when it is asked: book, bars, figures of the day.

Everything is learnt from the lines of the tape as they pass, so REST and streams cannot disagree.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from jts_trading.brokers.binance import codec, wire
from jts_trading.brokers.binance.depth import DepthBook
from jts_trading.brokers.binance.simulator.capture import NS_PER_MS, Line

_SECOND_MS, _MINUTE_MS = 1000, 60_000
# Bars that are kept: an hour of seconds, two days of minutes.
_SECONDS_MAX, _MINUTES_MAX = 3_600, 2_880
INTERVALS_MS = {
    "1s": _SECOND_MS,
    "1m": _MINUTE_MS,
    "3m": 3 * _MINUTE_MS,
    "5m": 5 * _MINUTE_MS,
    "15m": 15 * _MINUTE_MS,
    "30m": 30 * _MINUTE_MS,
    "1h": 60 * _MINUTE_MS,
}


@dataclass(slots=True)
class Bar:
    """One bar; start in ms, UTC."""

    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trades: int
    taker_buys: Decimal
    taker_quote: Decimal

    def add(self, other: "Bar") -> None:
        """Take a later bar, or a trade as one, in."""
        self.high, self.low = max(self.high, other.high), min(self.low, other.low)
        self.close = other.close
        self.volume += other.volume
        self.quote_volume += other.quote_volume
        self.trades += other.trades
        self.taker_buys += other.taker_buys
        self.taker_quote += other.taker_quote


class PairMarket:
    """One pair.

    Args:
        symbol: Such as BTCUSDT.
    """

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.book = DepthBook()
        self.last: Decimal | None = None
        self._snapshot: tuple[int, bytes] | None = None
        self._seconds: deque[Bar] = deque(maxlen=_SECONDS_MAX)
        self._minutes: deque[Bar] = deque(maxlen=_MINUTES_MAX)

    def take(self, line: Line) -> None:
        """Learn from a line of the tape."""
        if line.stream.endswith(f"@{wire.STREAM_SNAPSHOT}"):
            self.begin(line.raw)
            return
        if line.stream.endswith(f"@{wire.STREAM_QUOTE}"):
            # The book knows its best prices from its changes.
            return
        message = codec.decode_message(line.raw)
        if isinstance(message, wire.Depth):
            self.book.change(message)
        elif isinstance(message, wire.Trade):
            self._trade(message)

    def begin(self, snapshot: bytes) -> None:
        """Take a snapshot as the whole book, unless the book is further already."""
        found = codec.decode_snapshot(snapshot)
        reached = self.book.chain.reached
        if reached is not None and reached >= found.last_id:
            return
        if reached is not None:
            self.book = DepthBook()
        self.book.begin(found)
        self._snapshot = found.last_id, snapshot

    def forget_book(self) -> None:
        """Know nothing of the book until the next snapshot."""
        self.book = DepthBook()
        self._snapshot = None

    def depth(self, limit: int) -> bytes | None:
        """Return the answer of `/api/v3/depth`; None while no book is known."""
        reached = self.book.chain.reached
        if reached is None:
            return None
        if self._snapshot is not None and self._snapshot[0] == reached:
            found = codec.decode_snapshot(self._snapshot[1])
            if max(len(found.bids), len(found.asks)) <= limit:
                # Byte for byte what the venue answered.
                return self._snapshot[1]
        asks, bids = self.book.best(limit)
        return msgspec.json.encode(
            {
                "lastUpdateId": reached,
                "bids": [[f"{price:f}", f"{quantity:f}"] for price, quantity in bids],
                "asks": [[f"{price:f}", f"{quantity:f}"] for price, quantity in asks],
            }
        )

    def klines(
        self, interval: str, first_ms: int | None, last_ms: int | None, limit: int
    ) -> list[list[Any]]:
        """Return rows of `/api/v3/klines`, oldest first; an interval without a trade is flat."""
        width = INTERVALS_MS[interval]
        source: Iterable[Bar] = self._seconds if width < _MINUTE_MS else self._minutes
        bars = _filled(_rolled(source, width), width)
        wanted = [
            bar
            for bar in bars
            if (first_ms is None or bar.start_ms >= first_ms)
            and (last_ms is None or bar.start_ms <= last_ms)
        ]
        wanted = wanted[:limit] if first_ms is not None else wanted[-limit:]
        return [_row(bar, width) for bar in wanted]

    def day(self) -> dict[str, Any] | None:
        """Return the answer of `/api/v3/ticker/24hr` over what is kept; None without a trade."""
        if self.last is None:
            return None
        total: Bar | None = None
        for bar in list(self._minutes)[-1440:]:
            if total is None:
                total = _copy(bar)
            else:
                total.add(bar)
        if total is None:
            return None
        asks, bids = self.book.best(1)
        (ask, ask_quantity), (bid, bid_quantity) = (
            side[0] if side else (Decimal(0), Decimal(0)) for side in (asks, bids)
        )
        change = total.close - total.open
        return {
            "symbol": self.symbol,
            "priceChange": f"{change:f}",
            "priceChangePercent": f"{100 * change / total.open:.3f}",
            "weightedAvgPrice": f"{total.quote_volume / total.volume:.8f}",
            "prevClosePrice": f"{total.open:f}",
            "lastPrice": f"{total.close:f}",
            "lastQty": "0.00000000",
            "bidPrice": f"{bid:f}",
            "bidQty": f"{bid_quantity:f}",
            "askPrice": f"{ask:f}",
            "askQty": f"{ask_quantity:f}",
            "openPrice": f"{total.open:f}",
            "highPrice": f"{total.high:f}",
            "lowPrice": f"{total.low:f}",
            "volume": f"{total.volume:f}",
            "quoteVolume": f"{total.quote_volume:f}",
            "openTime": total.start_ms,
            "closeTime": self._minutes[-1].start_ms + _MINUTE_MS - 1,
            "firstId": -1,
            "lastId": -1,
            "count": total.trades,
        }

    def _trade(self, trade: wire.Trade) -> None:
        price, quantity = codec.amount(trade.price), codec.amount(trade.quantity)
        self.last = price
        amount = price * quantity
        bought = Decimal(0) if trade.is_buyer_maker else quantity
        for bars, width in ((self._seconds, _SECOND_MS), (self._minutes, _MINUTE_MS)):
            start_ms = trade.trade_ms - trade.trade_ms % width
            bar = Bar(
                start_ms,
                *(price, price, price, price),
                quantity,
                amount,
                1,
                bought,
                bought * price,
            )
            if bars and bars[-1].start_ms >= start_ms:
                bars[-1].add(bar)
            else:
                bars.append(bar)


def at_ms(ts_ns: int) -> int:
    """Return an instant in ms."""
    return ts_ns // NS_PER_MS


def _copy(bar: Bar) -> Bar:
    return Bar(*(getattr(bar, name) for name in Bar.__slots__))


def _rolled(bars: Iterable[Bar], width: int) -> list[Bar]:
    rolled: list[Bar] = []
    for bar in bars:
        start_ms = bar.start_ms - bar.start_ms % width
        if rolled and rolled[-1].start_ms == start_ms:
            rolled[-1].add(bar)
        else:
            rolled.append(_copy(bar))
            rolled[-1].start_ms = start_ms
    return rolled


def _filled(bars: list[Bar], width: int) -> list[Bar]:
    filled: list[Bar] = []
    for bar in bars:
        while filled and filled[-1].start_ms + width < bar.start_ms:
            close = filled[-1].close
            flat = (close, close, close, close, *(Decimal(0),) * 2)
            start_ms = filled[-1].start_ms + width
            filled.append(Bar(start_ms, *flat, 0, Decimal(0), Decimal(0)))
        filled.append(bar)
    return filled


def _row(bar: Bar, width: int) -> list[Any]:
    amounts = (bar.open, bar.high, bar.low, bar.close, bar.volume)
    return [
        bar.start_ms,
        *(f"{amount:.8f}" for amount in amounts),
        bar.start_ms + width - 1,
        f"{bar.quote_volume:.8f}",
        bar.trades,
        f"{bar.taker_buys:.8f}",
        f"{bar.taker_quote:.8f}",
        "0",
    ]
