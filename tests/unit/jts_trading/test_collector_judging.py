"""What the collector believes: lost, repeated, late and impossible ticks."""

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.domain.ticks import Aggressor, BookLevel, BookTick, TradeTick
from jts_trading.services.collector.continuity import Continuity, Line, Seen
from jts_trading.services.collector.judging import Judges
from jts_trading.services.collector.sanity import DayLimits, Sanity
from jts_trading.services.collector.settings import CollectorSettings

NOW = 1_717_376_400_000_000_000  # 2024-06-03 10:00 in Korea
S = 10**9
SETTINGS = CollectorSettings()


def trade(**changes: Any) -> TradeTick:
    """A trade of 10 shares at 70,000 won, the first of its day."""
    price, quantity = changes.pop("price", 70_000), changes.pop("quantity", 10)
    fields: dict[str, Any] = {
        "instrument_id": "KRX:005930",
        "venue": "KRX",
        "broker": "kis",
        "ts_event_ns": NOW,
        "ts_recv_ns": NOW,
        "price": Decimal(price),
        "quantity": Decimal(quantity),
        "aggressor": Aggressor.BUY,
        "cumulative_quantity": Decimal(changes.pop("cumulative", quantity)),
    }
    return TradeTick(**(fields | changes))


def book(bid: str, ask: str, **changes: Any) -> BookTick:
    """A book of one level a side."""
    fields: dict[str, Any] = {
        "instrument_id": "KRX:005930",
        "venue": "KRX",
        "broker": "kis",
        "ts_event_ns": NOW,
        "ts_recv_ns": NOW,
        "asks": (BookLevel(Decimal(ask), Decimal(1)),),
        "bids": (BookLevel(Decimal(bid), Decimal(1)),),
    }
    return BookTick(**(fields | changes))


def seen_of(line: Continuity, *ticks: TradeTick, day: int = 1) -> list[Any]:
    """How each trade stands, with what is missing where something is."""
    found: list[Any] = []
    for tick in ticks:
        verdict = line.judge(tick, day)
        is_hole = verdict.seen is Seen.AFTER_A_HOLE
        found.append((verdict.seen, int(verdict.missing)) if is_hole else verdict.seen)
    return found


def test_volume_when_it_jumps_then_the_loss_is_known_exactly() -> None:
    """The cumulative volume says how many shares were lost on the way."""
    ticks = [trade(cumulative=n) for n in (10, 20, 45, 55)]
    assert seen_of(Continuity(5), *ticks) == [
        *(Seen.FOLLOWS, Seen.FOLLOWS, (Seen.AFTER_A_HOLE, 15), Seen.FOLLOWS)
    ]


def test_volume_when_the_day_had_begun_then_what_was_before_is_missing() -> None:
    """Who joins in mid-day knows how much he missed; the next day begins at zero."""
    line = Continuity(5)
    assert seen_of(line, trade(cumulative=500)) == [(Seen.AFTER_A_HOLE, 490)]
    assert seen_of(line, trade(cumulative=10), day=2) == [Seen.FOLLOWS]
    assert seen_of(line, trade(cumulative=510), day=1) == [Seen.CONTRADICTS]


def test_trade_when_late_then_it_fills_the_hole_once() -> None:
    """A reordered frame is believed; the same again is a repeat."""
    line = Continuity(5)
    one, two, three = (trade(cumulative=n) for n in (10, 20, 30))
    assert seen_of(line, one, three, two, two, three) == [
        *(Seen.FOLLOWS, (Seen.AFTER_A_HOLE, 10), Seen.FILLS_A_HOLE),
        *(Seen.REPEATS, Seen.REPEATS),
    ]


def test_volume_when_it_falls_then_it_is_not_believed_until_confirmed() -> None:
    """One contradiction is quarantined; five that follow each other begin the line anew."""
    line = Continuity(5)
    before = [trade(cumulative=1000, quantity=1000), trade(cumulative=300, price=1)]
    assert seen_of(line, *before) == [Seen.FOLLOWS, Seen.CONTRADICTS]
    anew = [trade(cumulative=n, price=2) for n in (110, 120, 130, 140, 150, 160)]
    assert seen_of(line, *anew) == [
        *([Seen.CONTRADICTS] * 4),
        *((Seen.AFTER_A_HOLE, 0), Seen.FOLLOWS),
    ]


def test_numbers_when_they_jump_then_trades_are_missing_over_midnight_too() -> None:
    """Where a venue counts trades one by one, a jump counts the lost ones; no day resets it."""
    line = Continuity(5)
    ticks = [trade(cumulative=0, trade_id=n) for n in (7, 8, 12)]
    assert seen_of(line, *ticks) == [Seen.FOLLOWS, Seen.FOLLOWS, (Seen.AFTER_A_HOLE, 3)]
    assert seen_of(line, trade(cumulative=0, trade_id=13), day=2) == [Seen.FOLLOWS]


def test_numbers_when_two_sockets_repeat_a_long_stretch_then_each_is_a_repeat() -> None:
    """However far apart two sockets read: numbers that happened already are no new line."""
    ticks = [trade(trade_id=n, quantity=1, ts_event_ns=NOW + n * S) for n in range(1, 301)]
    line = Continuity(5)
    assert set(seen_of(line, *ticks)) == {Seen.FOLLOWS}
    assert set(seen_of(line, *ticks)) == {Seen.REPEATS}
    assert seen_of(line, trade(trade_id=301, quantity=1, ts_event_ns=NOW + 301 * S)) == [
        Seen.FOLLOWS
    ]


def test_numbers_when_given_out_anew_then_the_new_line_is_followed() -> None:
    """A venue that counts from the start again has later times: nothing of it is swallowed."""
    line = Continuity(3)
    seen_of(line, *(trade(trade_id=n, quantity=1, ts_event_ns=NOW + n) for n in range(1, 101)))
    anew = [trade(trade_id=n, quantity=1, ts_event_ns=NOW + S + n) for n in range(1, 6)]
    assert seen_of(line, *anew) == [
        Seen.CONTRADICTS,
        Seen.CONTRADICTS,
        (Seen.AFTER_A_HOLE, 0),
        Seen.FOLLOWS,
        Seen.FOLLOWS,
    ]


def test_line_when_restored_then_the_loss_over_a_restart_is_known() -> None:
    """What an earlier process had reached is where this one begins."""
    line = Continuity(5, Line(1, Decimal(100), NOW))
    assert seen_of(line, trade(cumulative=150)) == [(Seen.AFTER_A_HOLE, 40)]


@settings(max_examples=300, deadline=None)
@given(
    quantities=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    seed=st.integers(0, 2**32),
    numbered=st.booleans(),
)
def test_trades_when_lost_repeated_and_swapped_then_shares_are_accounted_for(
    quantities: list[int], seed: int, numbered: bool
) -> None:
    """Believed once, or known to be missing: nothing else happens to a share."""
    chance = random.Random(seed)
    ticks, total = [], 0
    for number, quantity in enumerate(quantities, 1):
        total += quantity
        fields = {"cumulative": total, "price": 100 + number}
        fields |= {"trade_id": number, "cumulative": 0} if numbered else {}
        ticks.append(trade(quantity=quantity, **fields))
    wire = []
    for tick in ticks:
        dice = chance.random()
        wire += [] if dice < 0.15 else [tick, tick] if dice < 0.3 else [tick]
    for at in range(len(wire) - 1):
        if chance.random() < 0.2 and wire[at] is not wire[at + 1]:
            wire[at], wire[at + 1] = wire[at + 1], wire[at]
    line = Continuity(10**6)
    believed, missing = [], 0
    for tick in wire:
        verdict = line.judge(tick, 1)
        if verdict.seen in (Seen.FOLLOWS, Seen.AFTER_A_HOLE, Seen.FILLS_A_HOLE):
            believed.append(tick)
        width = 1 if numbered else tick.quantity
        missing += int(verdict.missing)
        missing -= int(width) if verdict.seen is Seen.FILLS_A_HOLE else 0

    assert len({id(tick) for tick in believed}) == len(believed)
    if not wire:
        return
    if numbered:
        # Numbers say nothing about what was before the first that we saw.
        numbers = [tick.trade_id for tick in wire]
        assert len(believed) + missing == max(numbers) - numbers[0] + 1
    else:
        reached = max(int(tick.cumulative_quantity) for tick in wire)
        assert sum(int(tick.quantity) for tick in believed) + missing == reached


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, ""),
        ({"price": 0}, "price_not_positive"),
        ({"price": -70_000}, "price_not_positive"),
        ({"price": "NaN"}, "price_not_positive"),
        ({"price": 700_000}, "price_jump"),
        ({"price": 7_000}, "price_jump"),
        ({"price": 21}, "price_jump"),
        ({"quantity": -10}, "quantity_not_positive"),
        ({"quantity": 0}, "quantity_not_positive"),
        ({"cumulative": -1}, "cumulative_negative"),
    ],
)
def test_in27_in29_numbers_when_impossible_then_quarantined(
    changes: dict[str, Any], fault: str
) -> None:
    """Price 0, negative, x10, x0.1 and a drop of 99.97 %; volume negative or falling below 0."""
    sanity = Sanity(SETTINGS)
    assert sanity.fault_of_trade(trade(), None) == ""
    assert sanity.fault_of_trade(trade(**changes), None) == fault


@pytest.mark.parametrize(
    ("ts_event_ns", "fault"),
    [
        (NOW + 3 * S, ""),
        (NOW + 6 * S, "time_ahead"),
        (NOW + 9 * 3600 * S, "time_ahead"),
        (NOW - 9 * 3600 * S, "time_behind"),
        (NOW // 1000, "time_behind"),
        (NOW * 1000, "time_ahead"),
        (0, "time_behind"),
        (-(10**30), "time_behind"),
    ],
)
def test_in28_time_when_impossible_then_quarantined(ts_event_ns: int, fault: str) -> None:
    """In the future, 1970, another unit, naive Korean time: none becomes a date."""
    judges = Judges(SETTINGS, 0)
    tick = trade(ts_event_ns=ts_event_ns)
    assert judges.judge(tick, lambda _, __: None).fault == fault
    assert judges.judge(book("1", "2", ts_event_ns=ts_event_ns), lambda _, __: None).fault == fault


def test_in27_price_when_outside_the_daily_limits_then_quarantined() -> None:
    """The limits of the trade date count as soon as they are known."""
    limits = DayLimits(1, Decimal(70_000), Decimal(91_000), Decimal(49_000))
    sanity = Sanity(SETTINGS)
    assert sanity.fault_of_trade(trade(price=91_000), limits) == ""
    assert sanity.fault_of_trade(trade(price=91_100), limits) == "outside_limits"
    assert sanity.fault_of_trade(trade(price=48_900), limits) == "outside_limits"


def test_in27_jump_when_five_ticks_agree_then_it_is_believed() -> None:
    """A halt may end at another price: several ticks in a row are evidence."""
    sanity = Sanity(SETTINGS)
    prices = [100, 1000, 1010, 100, 1000, 1010, 990, 1000, 1005, 1000]
    faults = [sanity.fault_of_trade(trade(price=price), None) for price in prices]
    assert faults == ["", *["price_jump"] * 2, "", *["price_jump"] * 4, "", ""]


@pytest.mark.parametrize(
    ("tick", "fault"),
    [
        (book("69900", "70000"), ""),
        (book("70000", "70000"), "crossed_book"),
        (book("70100", "70000"), "crossed_book"),
        (book("70100", "70000", expected_price=Decimal(70_000)), ""),
        (book("-1", "70000"), "price_not_positive"),
    ],
)
def test_in27_book_when_crossed_or_locked_then_quarantined(tick: BookTick, fault: str) -> None:
    """Outside call auctions no bid reaches the best ask."""
    assert Sanity(SETTINGS).fault_of_book(tick) == fault
