"""Versioned structs, batches and topics: what is written stays readable."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jts_trading.bus.batches import AGE_NS_MAX, ITEMS_MAX, Batcher, decode_batch
from jts_trading.bus.topics import TOPICS
from jts_trading.domain.journal_events import EVENTS, OrderFilled
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.schemas import Registry, SchemaError, differences

KEPT = Path(__file__).parent / "shapes.json"
DAY_S = 86_400


class Price(msgspec.Struct, frozen=True, tag="price"):
    """A message."""

    symbol: str
    price: Decimal


class PriceWithVenue(msgspec.Struct, frozen=True, tag="price"):
    """The same with an optional field."""

    symbol: str
    price: Decimal
    venue: str = ""


class PriceAsFloat(msgspec.Struct, frozen=True, tag="price"):
    """The same with another type."""

    symbol: str
    price: float


class PriceWithNeed(msgspec.Struct, frozen=True, tag="price"):
    """The same with a field that old entries lack."""

    symbol: str
    price: Decimal
    venue: str


def shapes(struct: Any) -> Any:
    """The shapes of one struct as version 1."""
    return Registry([(1, struct)]).shapes()


def test_structs_when_compared_with_the_kept_shapes_then_nothing_was_changed() -> None:
    """A changed struct needs a new version; additive changes are noted in `shapes.json`."""
    now = {**EVENTS.shapes(), **MESSAGES.shapes()}
    kept = msgspec.json.decode(KEPT.read_bytes(), type=dict[str, dict[str, str]])

    assert differences(kept, now) == []
    assert kept == now, f"note the additions in {KEPT.name}: {msgspec.json.encode(now).decode()}"


class Basket(msgspec.Struct, frozen=True, tag="basket"):
    """A message that holds others."""

    prices: tuple[Price | None, ...]


def test_shapes_when_structs_stand_in_others_then_each_is_kept_by_its_name() -> None:
    """A changed struct is noticed wherever it is used; one more optional field of it is none."""
    now = shapes(Basket)

    assert now["Price"] == {"symbol": "str", "price": "Decimal"}
    assert differences({**now, "Price": {"symbol": "str"}}, now) == [
        "Price.price is new and not optional"
    ]
    assert differences(now, {**now, "Price": {**now["Price"], "venue": "str, optional"}}) == []


@pytest.mark.parametrize(
    ("struct", "found"),
    [
        (Price, []),
        (PriceWithVenue, []),
        (PriceAsFloat, ["price@1.price was Decimal, is float"]),
        (PriceWithNeed, ["price@1.venue is new and not optional"]),
    ],
)
def test_struct_when_it_changes_then_the_difference_is_named(struct: Any, found: Any) -> None:
    """Only an optional field may be added inside one version."""
    assert differences(shapes(Price), shapes(struct)) == found


def test_struct_when_it_is_gone_then_that_is_named() -> None:
    """Old entries must stay readable."""
    assert differences(shapes(Price), {}) == [
        "price@1 is gone: entries of it can no longer be read"
    ]


def test_registry_when_asked_then_it_knows_types_and_versions() -> None:
    """A struct is found by its name and version, an unknown one is refused with what is known."""
    registry = Registry([(1, Price), (2, PriceWithVenue)])

    assert registry.find("price", 2) is PriceWithVenue
    assert registry.identify(Price("a", Decimal(1))) == ("price", 1)
    with pytest.raises(SchemaError, match=r"version 3 is unknown; known versions: \[1, 2\]"):
        registry.find("price", 3)
    with pytest.raises(SchemaError, match="not a registered"):
        registry.identify(PriceAsFloat("a", 1.0))
    with pytest.raises(SchemaError, match="no tag of its own"):
        Registry([(1, Price), (1, PriceWithVenue)])


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80", b"\x82\xa6symbol\x01\xa5price\x02"])
def test_payload_when_not_of_its_shape_then_it_is_refused_by_name(payload: bytes) -> None:
    """A payload that is not what its envelope says is one kind of error, whatever is wrong."""
    registry = Registry([(1, Price)])
    good = msgspec.msgpack.encode(Price("a", Decimal("1.5")))

    assert registry.decode("price", 1, good) == Price("a", Decimal("1.5"))
    with pytest.raises(SchemaError, match="price version 1"):
        registry.decode("price", 1, payload)


def test_events_when_encoded_sorted_then_decoded_equal() -> None:
    """The journal's bytes come back as the same event, decimals exact."""
    event = OrderFilled(
        order_id="o", trade_id="t", quantity=Decimal("0.10"), price=Decimal("1E+3")
    )
    body = msgspec.json.encode(event, order="sorted")

    assert msgspec.json.decode(body, type=OrderFilled) == event


def test_batch_when_full_or_old_then_it_goes() -> None:
    """256 items or 2 ms, whichever is first; order and content survive."""
    now = [0]
    batcher = Batcher(lambda: now[0])
    items = [Price(str(number), Decimal(number)) for number in range(ITEMS_MAX)]

    assert batcher.due_in_ns() is None
    assert [batcher.add(item) for item in items[:-1]] == [None] * (ITEMS_MAX - 1)
    full = batcher.add(items[-1])
    assert full is not None
    assert decode_batch(full, Price) == items
    assert batcher.take() is None
    assert batcher.add(items[0]) is None
    now[0] += AGE_NS_MAX - 1
    assert batcher.due_in_ns() == 1
    now[0] += 1
    old = batcher.add(items[1])
    assert old is not None
    assert decode_batch(old, Price) == items[:2]


def test_topics_when_listed_then_names_and_retentions_are_the_contract() -> None:
    """The topics of the user's document keep their names and days; ours are beside them."""
    days = {name: topic.retention_s // DAY_S for name, topic in TOPICS.items()}

    assert days == {
        "market-data.krx.ticks": 1,
        "market-data.krx.candles": 7,
        "market-data.crypto.ticks": 1,
        "market-data.crypto.candles": 7,
        "signals.entry.buy": 30,
        "signals.entry.sell": 30,
        "signals.exit.all": 30,
        "orders.pending": 1,
        "orders.executions": 30,
        "orders.failures": 7,
        "orders.notices": 1,
        "portfolio.updates": 30,
        "risk.alerts": 7,
        "risk.metrics": 1,
        "system.health": 3,
        "system.errors": 7,
        "system.metrics": 1,
        "backtest.requests": 1,
        "backtest.results": 30,
        "strategies.releases": 30,
        "trading.inputs": 30,
        "market-data.gaps": 7,
    }
    assert [name for name, topic in TOPICS.items() if topic.is_market] == list(days)[:4]
    assert TOPICS["orders.executions"].is_archived
    assert not TOPICS["orders.pending"].is_archived
