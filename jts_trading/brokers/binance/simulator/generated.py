"""Made-up ticks of spot pairs: a seed and a start decide every byte.

Ten times a second each pair takes a step: its price walks, some trades happen at the best prices,
and the book of twenty levels a side around it changes. Ids count on without gaps.
"""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from jts_trading.brokers.binance.simulator.capture import NS_PER_MS, Line
from jts_trading.brokers.binance.wire import STREAM_SNAPSHOT

STEP_NS = 100 * NS_PER_MS
LEVELS = 20
# They lie before the book of their step, one in a millisecond.
_TRADES_MAX = 40
_START_PRICES = {"BTCUSDT": "61837.63", "ETHUSDT": "2683.50", "BNBUSDT": "507.20"}
_TICK = Decimal("0.01")
_LOT = Decimal("0.00001")
_EIGHT = Decimal("0.00000001")


@dataclass(slots=True)
class _Pair:
    """One pair: its walk and what its book shows."""

    symbol: str
    walk: random.Random
    bid: Decimal
    trade_id: int
    update_id: int
    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)


def generated_lines(symbols: tuple[str, ...], seed: int, start_ns: int) -> Iterator[Line]:
    """Yield messages without end, ascending in time, each pair beginning with its snapshot.

    Args:
        symbols: The pairs; one that is not known begins at 100.
        seed: Decides everything.
        start_ns: When the tape begins, UTC ns.
    """
    return heapq.merge(
        *(_pair_lines(symbol, seed, start_ns + at) for at, symbol in enumerate(symbols)),
        key=lambda line: line.due_ns,
    )


def _pair_lines(symbol: str, seed: int, start_ns: int) -> Iterator[Line]:
    walk = random.Random(f"{seed}/{symbol}")  # noqa: S311 - made-up prices
    # Numbers from the time: those of a simulator that starts later are greater.
    first = start_ns // NS_PER_MS
    pair = _Pair(symbol, walk, Decimal(_START_PRICES.get(symbol, "100.00")), first, first)
    _change_book(pair)
    yield Line(start_ns, f"{symbol.lower()}@{STREAM_SNAPSHOT}", _snapshot(pair))
    now_ns = start_ns
    while True:
        now_ns += STEP_NS
        yield from _step(pair, now_ns)


def _step(pair: _Pair, now_ns: int) -> Iterator[Line]:
    walk = pair.walk
    for at in range(_count(walk)):
        yield _trade(pair, now_ns + at * NS_PER_MS)
    moves = round(walk.gauss(0, 2)) if walk.random() < 0.6 else 0
    pair.bid = max(pair.bid + moves * _TICK, 100 * _TICK)
    first_id = pair.update_id + 1
    bids, asks = _change_book(pair)
    at_ns = now_ns + 50 * NS_PER_MS
    quote = {
        "u": pair.update_id,
        "s": pair.symbol,
        "b": _text(pair.bid),
        "B": _text(pair.bids[pair.bid]),
        "a": _text(pair.bid + _TICK),
        "A": _text(pair.asks[pair.bid + _TICK]),
    }
    yield _line(pair, "bookTicker", at_ns, quote)
    depth = {
        "e": "depthUpdate",
        "E": at_ns // NS_PER_MS,
        "s": pair.symbol,
        "U": first_id,
        "u": pair.update_id,
        "b": bids,
        "a": asks,
    }
    yield _line(pair, "depth@100ms", at_ns, depth)


def _count(walk: random.Random) -> int:
    dice = walk.random()
    return 0 if dice < 0.3 else min(1 + int(walk.expovariate(0.7)), _TRADES_MAX)


def _trade(pair: _Pair, at_ns: int) -> Line:
    is_sale = pair.walk.random() < 0.5
    price = pair.bid if is_sale else pair.bid + _TICK
    quantity = (Decimal(pair.walk.expovariate(20)).quantize(_LOT)) + _LOT
    pair.trade_id += 1
    ms = at_ns // NS_PER_MS
    trade = {
        "e": "trade",
        "E": ms,
        "s": pair.symbol,
        "t": pair.trade_id,
        "p": _text(price),
        "q": _text(quantity),
        "T": ms,
        "m": is_sale,
        "M": True,
    }
    return _line(pair, "trade", at_ns, trade)


def _change_book(pair: _Pair) -> tuple[list[list[str]], list[list[str]]]:
    """Let the book stand around the price again; returns what changed of bids and asks."""
    wanted_bids = [pair.bid - at * _TICK for at in range(LEVELS)]
    wanted_asks = [pair.bid + (at + 1) * _TICK for at in range(LEVELS)]
    changes = []
    for side, wanted in ((pair.bids, wanted_bids), (pair.asks, wanted_asks)):
        gone = [price for price in side if price not in wanted]
        for price in gone:
            del side[price]
        fresh = {
            price: Decimal(pair.walk.expovariate(0.5)).quantize(_LOT) + _LOT
            for at, price in enumerate(wanted)
            if price not in side or at < 2
        }
        side.update(fresh)
        changes.append(
            [[_text(price), _text(Decimal(0))] for price in sorted(gone)]
            + [[_text(price), _text(quantity)] for price, quantity in sorted(fresh.items())]
        )
    pair.update_id += max(1, len(changes[0]) + len(changes[1]))
    return changes[0], changes[1]


def _snapshot(pair: _Pair) -> bytes:
    return msgspec.json.encode(
        {
            "lastUpdateId": pair.update_id,
            "bids": [[_text(p), _text(q)] for p, q in sorted(pair.bids.items(), reverse=True)],
            "asks": [[_text(p), _text(q)] for p, q in sorted(pair.asks.items())],
        }
    )


def _line(pair: _Pair, kind: str, at_ns: int, fields: dict[str, Any]) -> Line:
    stream = f"{pair.symbol.lower()}@{kind}"
    return Line(at_ns, stream, msgspec.json.encode({"stream": stream, "data": fields}))


def _text(amount: Decimal) -> str:
    return f"{amount.quantize(_EIGHT):f}"
