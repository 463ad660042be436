"""Bytes of Binance to ticks: exact, and nothing but DecodeError for what is not documented."""

import contextlib
import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.brokers.binance import codec, wire
from jts_trading.brokers.binance.depth import Chain, DepthBook, Step, topped
from jts_trading.brokers.binance.errors import (
    DecodeError,
    VenueBusyError,
    VenueRefusedError,
    error_for,
)
from jts_trading.brokers.binance.feed import BinanceFeed
from jts_trading.brokers.binance.limits import depth_weight
from jts_trading.brokers.binance.settings import BinanceSettings
from jts_trading.domain.ticks import Aggressor, BookTick, TradeTick
from jts_trading.ports.feed import BookLost, Frame, FrameError

TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT",'
    b'"t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}'
)
QUOTE = (
    b'{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT",'
    b'"b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}'
)
RECV = 1_723_161_254_087_896_568


def depth(first: int, last: int, bids: Any = (), asks: Any = ()) -> bytes:
    """A change of a book."""
    fields = {"e": "depthUpdate", "E": 1_723_161_255_208, "s": "BTCUSDT", "U": first, "u": last}
    message = {"stream": "btcusdt@depth@100ms", "data": {**fields, "b": bids, "a": asks}}
    return msgspec.json.encode(message)


def snapshot(last: int, bids: Any = (), asks: Any = ()) -> bytes:
    """A snapshot as it is kept."""
    body = msgspec.json.encode({"lastUpdateId": last, "bids": bids, "asks": asks})
    return codec.wrap_snapshot("BTCUSDT", body)


def feed(**changes: Any) -> BinanceFeed:
    """A feed whose socket is never opened."""
    return BinanceFeed(None, BinanceSettings(**changes))  # type: ignore[arg-type]


def said(source: BinanceFeed, *frames: bytes, session: int = 1) -> list[Any]:
    """What frames say, in order."""
    return [item for raw in frames for item in source.decode(Frame(raw, RECV, session))]


def prices(tick: BookTick) -> tuple[list[str], list[str]]:
    """Asks and bids of a book."""
    return [str(a.price) for a in tick.asks], [str(b.price) for b in tick.bids]


def test_trade_when_captured_then_every_field_is_exact() -> None:
    """Decimals as the venue wrote them, the trade's own time, the taker's side, its number."""
    (tick,) = said(feed(), TRADE)
    assert tick == TradeTick(
        instrument_id="BINANCE:BTCUSDT",
        venue="BINANCE",
        broker="binance",
        ts_event_ns=1_723_161_255_342_000_000,
        ts_recv_ns=RECV,
        price=Decimal("61837.63000000"),
        quantity=Decimal("0.02000000"),
        aggressor=Aggressor.SELL,
        cumulative_quantity=Decimal(0),
        trade_id=3_735_683_259,
    )
    assert str(tick.price) == "61837.63000000"


def test_trade_when_quotes_came_before_it_then_it_carries_the_newest_of_its_connection() -> None:
    """The venue sends them apart; what a rule on spreads reads is recorded with the trade."""
    source = feed()
    moved = QUOTE.replace(b'"61837.64', b'"61837.90').replace(b"239212", b"239213")
    unreadable = QUOTE.replace(b'"61837.64000000"', b'"x"').replace(b"239212", b"239214")

    (before,) = said(source, TRADE)
    (first,) = said(source, QUOTE, TRADE)[1:]
    (second,) = said(source, moved, TRADE)[1:]
    with pytest.raises(FrameError, match="number"):
        said(source, unreadable)
    (third,) = said(source, TRADE)
    (other,) = said(source, TRADE, session=2)

    quotes = [(str(tick.bid), str(tick.ask)) for tick in (first, second, third)]
    assert quotes == [
        ("61837.63000000", "61837.64000000"),
        *([("61837.63000000", "61837.90000000")] * 2),
    ]
    assert [(tick.bid, tick.ask) for tick in (before, other)] == [(None, None)] * 2


def test_quote_when_only_quantities_change_then_it_is_passed_on_if_asked() -> None:
    """By default a best price is a tick when it changes; every frame is kept in any case."""
    more = QUOTE.replace(b"1.54698000", b"9.00000000").replace(b"239212", b"239213")
    moved = QUOTE.replace(b'"61837.64', b'"61837.65').replace(b"239212", b"239214")
    assert len(said(feed(), QUOTE, more, moved)) == 2
    every = said(feed(quotes="all"), QUOTE, more, moved)
    assert [str(tick.asks[0].quantity) for tick in every] == [
        *("1.54698000", "9.00000000", "1.54698000")
    ]
    assert every[0].ts_event_ns == RECV


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "json"),
        (b"<html>502</html>", "json"),
        (b"{}", "control"),
        (b'{"stream":1,"data":{}}', "shape"),
        (TRADE[:-9], "json"),
        (TRADE + b"x", "json"),
        (TRADE[:-2] + b'"\xed\xa0\x80"}}', "json"),
        (TRADE.replace(b"@trade", b"@unknown"), "stream"),
        (TRADE.replace(b'"BTCUSDT"', b'"ETHUSDT"'), "symbol"),
        (TRADE.replace(b'"t":3735683259', b'"t":"3735683259"'), "shape"),
        (TRADE.replace(b'"61837.63000000"', b"61837.63"), "shape"),
        (TRADE.replace(b'"T":1723161255342,', b""), "shape"),
        (TRADE.replace(b"1723161255342", b"1723161255342000"), "time"),
        (TRADE.replace(b"61837.63000000", b"-1"), "number"),
        (TRADE.replace(b"61837.63000000", b"1e5"), "number"),
        (TRADE.replace(b"61837.63000000", b"NaN"), "number"),
        (TRADE.replace(b"61837.63000000", b"61,837"), "number"),
        (TRADE.replace(b"61837.63000000", b""), "number"),
        (TRADE.replace(b"61837.63000000", b"1" * 40), "number"),
        (QUOTE.replace(b'"A":"1.54698000"', b'"A":""'), "number"),
    ],
)
def test_in26_message_when_not_as_documented_then_one_named_error(raw: bytes, reason: str) -> None:
    """New, missing and changed fields: unknown ones pass, broken ones are refused by name."""
    with pytest.raises(FrameError) as error:
        said(feed(), raw)
    assert str(error.value).partition(":")[0] == reason


def test_message_when_fields_are_added_then_it_is_read() -> None:
    """The venue adds fields often."""
    assert said(feed(), TRADE.replace(b'"M":true', b'"M":true,"zz":[1,{"y":null}]'))


@given(st.binary(max_size=200))
def test_bytes_when_random_then_only_decode_errors(raw: bytes) -> None:
    """No bytes end the stream."""
    for body in (raw, b'{"stream":"btcusdt@trade","data":' + raw):
        with contextlib.suppress(DecodeError):
            codec.decode_message(body)


@given(st.integers(0, len(TRADE) - 1), st.integers(0, 255))
def test_frame_when_one_byte_is_changed_then_it_is_read_or_refused(at: int, byte: int) -> None:
    """A damaged frame is a tick of its own text or a FrameError."""
    raw = TRADE[:at] + bytes([byte]) + TRADE[at + 1 :]
    with contextlib.suppress(FrameError):
        assert all(isinstance(tick, TradeTick) for tick in said(feed(), raw))


@pytest.mark.parametrize(
    "raw", [b'{"result":null,"id":1}', b'{"error":{"code":2,"msg":"no"},"id":1}']
)
def test_control_when_answered_then_it_says_nothing_of_the_market(raw: bytes) -> None:
    """Answers to subscriptions are frames without ticks."""
    assert said(feed(), raw) == []


def test_book_when_snapshot_lies_among_changes_then_it_is_whole() -> None:
    """Changes before the snapshot are dropped, those behind it applied, zero removes a price."""
    source = feed(levels=2)
    frames = (
        depth(1, 5, [["100.0", "9"]]),
        depth(6, 8, [["99.0", "0"], ["98.0", "4"]], [["102.0", "0"]]),
        snapshot(7, [["99.0", "1"], ["97.0", "3"]], [["101.0", "1"], ["102.0", "2"]]),
        depth(9, 9, [], [["101.5", "7"]]),
    )
    books = said(source, *frames)
    assert [prices(tick) for tick in books] == [
        (["101.0"], ["98.0", "97.0"]),
        (["101.0", "101.5"], ["98.0", "97.0"]),
    ]
    assert books[1].ts_event_ns == 1_723_161_255_208_000_000


def test_f28_book_when_changes_are_lost_then_it_is_unknown_until_a_snapshot_fits() -> None:
    """A gap in the ids: told with how many, an empty book, silence, then the whole book again."""
    source = feed()
    begin = (depth(1, 1), snapshot(1, [["99.0", "1"]], [["101.0", "1"]]))
    assert len(said(source, *begin)) == 1
    lost = said(source, depth(5, 6, [["98.0", "1"]]), depth(7, 7))
    assert lost[0] == BookLost("BINANCE:BTCUSDT", 3, 1_723_161_255_208_000_000)
    assert (lost[1].asks, lost[1].bids) == ((), ())
    assert len(lost) == 2
    assert said(source, snapshot(3, [["1.0", "1"]])) == []
    (again,) = said(source, snapshot(6, [["98.0", "2"]], [["103.0", "1"]]))
    assert prices(again) == (["103.0"], ["98.0"])


def test_book_when_the_session_is_another_then_it_begins_anew() -> None:
    """Changes of two connections are never mixed."""
    source = feed()
    assert said(source, depth(1, 1), snapshot(1, [["9.0", "1"]]), depth(2, 2))
    assert said(source, depth(3, 3), session=2) == []


def test_book_when_a_quote_is_newer_then_its_best_prices_stand() -> None:
    """Best prices come faster than changes; none of the older levels may cross them."""
    source = feed(levels=3)
    bids, asks = [["100.0", "1"], ["99.0", "2"]], [["101.0", "1"], ["102.0", "2"]]
    said(source, depth(1, 1), snapshot(5, bids, asks))
    fields = {"u": 9, "s": "BTCUSDT", "b": "101.0", "B": "5", "a": "101.5", "A": "6"}
    raw = msgspec.json.encode({"stream": "btcusdt@bookTicker", "data": fields})
    (tick,) = said(source, raw)
    assert prices(tick) == (["101.5", "102.0"], ["101.0", "100.0", "99.0"])
    (tick,) = said(source, depth(6, 8, [["98.0", "1"]]))
    assert prices(tick) == (["101.5", "102.0"], ["101.0", "100.0", "99.0"])
    (tick,) = said(source, depth(9, 12, [["100.0", "0"]], [["101.0", "0"]]))
    assert prices(tick) == (["102.0"], ["99.0", "98.0"])


@given(st.integers(0, 2**32), st.integers(0, 60))
def test_books_when_built_from_any_snapshot_then_they_are_the_same(seed: int, at: int) -> None:
    """Whenever the snapshot is taken, and however late it comes, the book is the venue's."""
    chance = random.Random(seed)
    true: dict[str, dict[Decimal, Decimal]] = {"b": {}, "a": {}}
    changes: list[wire.Depth] = []
    taken: list[wire.Snapshot] = []
    update = 0
    for number in range(60):
        fresh: dict[str, list[tuple[str, str]]] = {"b": [], "a": []}
        for side in "ba":
            for _ in range(chance.randrange(4)):
                price = str(chance.randrange(1, 30))
                quantity = str(chance.randrange(3))
                fresh[side].append((price, quantity))
                true[side][Decimal(price)] = Decimal(quantity)
        first, update = update + 1, update + 1 + chance.randrange(3)
        changes.append(
            wire.Depth("BTCUSDT", number, first, update, tuple(fresh["b"]), tuple(fresh["a"]))
        )
        if number == min(at, 59):
            sides = [tuple((str(p), str(q)) for p, q in true[side].items() if q) for side in "ba"]
            taken.append(wire.Snapshot(update, *sides))
    book = DepthBook()
    arrives = chance.randrange(min(at, 59), 60)
    for number, change in enumerate(changes):
        book.change(change)
        if number == arrives:
            assert book.begin(taken[0])
    asks, bids = book.best(100)
    assert asks == sorted((p, q) for p, q in true["a"].items() if q)
    assert bids == sorted(((p, q) for p, q in true["b"].items() if q), reverse=True)


def test_chain_when_followed_then_each_step_has_a_name() -> None:
    """Waits for a snapshot, applies, ignores what is old, and counts what is lost."""
    chain = Chain()
    assert chain.follow(1, 2) is Step.WAIT
    chain.reached = 2
    steps = [chain.follow(*ids) for ids in ((1, 2), (3, 4), (4, 6), (9, 9), (10, 10))]
    assert steps == [Step.IGNORE, Step.APPLY, Step.APPLY, Step.LOST, Step.WAIT]
    assert chain.missing == 2


def test_topped_when_the_quote_is_inside_then_other_levels_stay() -> None:
    """Only the best level is replaced."""
    one = Decimal(1)
    asks, bids = topped(
        [(Decimal(5), one)], [(Decimal(2), one)], [(Decimal(4), one)], [(Decimal(3), one)]
    )
    assert [p for p, _ in asks] == [4, 5]
    assert [p for p, _ in bids] == [3, 2]


@pytest.mark.parametrize(
    ("code", "kind"),
    [(-1003, VenueBusyError), (-1121, VenueRefusedError), (-99_999, VenueBusyError)],
)
def test_code_when_refused_then_it_says_whether_to_ask_again(code: int, kind: type) -> None:
    """What the table lacks may pass."""
    assert isinstance(error_for(code, "text", 3.0), kind)


@pytest.mark.parametrize(
    ("levels", "weight"), [(5, 5), (100, 5), (101, 25), (1000, 50), (5000, 250)]
)
def test_snapshot_when_weighed_then_as_published(levels: int, weight: int) -> None:
    """The weight of a snapshot goes by its levels."""
    assert depth_weight(levels) == weight
    with pytest.raises(ValueError, match="accepted: 1 to 5000"):
        depth_weight(5001)
