"""Rules on trades: they fire on the trade that makes them true, once, and order at once."""

import json
import random
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SAMSUNG = "KRX:005930"
SECOND, MINUTE = 10**9, 60 * 10**9
SURGE = """strategy("Surge") {
  surge_detection {
    when (price_change(5m) > 3% and volume > avg_volume(3) * 2) { execute_immediately("10%") }
  }
  exit.long { when (close < close[1]) { sell("all") } }
}"""
ABOVE = """strategy("Above") {
  surge_detection { when (close > 71_000) { buy(1) } }
  exit.long { when (close < 1) { close() } }
}"""


@pytest.fixture
def opened(rigs: ModuleType) -> int:
    """Ten in the morning, UTC ns."""
    return rigs.instant("2024-06-03T10:00:00+09:00")


def quiet_minutes(rigs: ModuleType, rig: Any, begin: int, count: int, price: int = 70_000) -> int:
    """Let minutes of one quiet trade each pass; returns the end of the last one."""
    for at in range(count):
        rig.trade(rigs.Print(SAMSUNG, begin + at * MINUTE + 10 * SECOND, str(price), "10"))
    return begin + count * MINUTE


def times(rig: Any) -> list[int]:
    """Return when the trades arrived that rules fired on."""
    return [decision.triggered_ns for decision in rig.decisions if decision.fired]


def test_surge_when_a_trade_makes_it_true_then_ordered_at_that_trade(
    rigs: ModuleType, opened: int
) -> None:
    """Price and running volume of the trade decide, not the close of its minute."""
    rig = rigs.Rig(rigs.describe(SURGE), fills=False)
    now = quiet_minutes(rigs, rig, opened, 6)

    rig.trade(rigs.Print(SAMSUNG, now + 5 * SECOND, "72200", "15"))
    assert rig.intents == []
    rig.trade(rigs.Print(SAMSUNG, now + 6 * SECOND, "72200", "6"))

    (decision,), (intent,) = rig.decisions, rig.intents
    assert (decision.bar_start_ns, decision.triggered_ns) == (now, now + 6 * SECOND)
    assert (decision.price, decision.fired, decision.outcome) == (Decimal(72_200), 1, "ordered")
    assert intent.quantity == 100_000_000 // 10 // 72_200
    bar = json.loads(decision.bar)
    assert (bar["open"], bar["close"], bar["volume"]) == ("72200", "72200", "21")
    assert (bar["ticks"], bar["last_tick"], bar["closed_by"]) == (2, 7, "trade")
    (shown,) = json.loads(decision.values)
    change, volume = shown["children"]
    assert (shown["rule"], shown["value"]) == (0, True)
    assert change["children"][0] == {
        "text": "price_change(5m)",
        "value": float(f"{2_200 / 70_000:.14g}"),
    }
    assert [part["value"] for part in volume["children"]] == [21.0, 20.0]


def test_surge_when_its_minute_closes_then_nothing_is_ordered_again(
    rigs: ModuleType, opened: int
) -> None:
    """At the close the rules on trades are not judged; other rules are."""
    rig = rigs.Rig(rigs.describe(SURGE))
    now = quiet_minutes(rigs, rig, opened, 6)
    rig.trade(rigs.Print(SAMSUNG, now + 5 * SECOND, "72200", "50"))
    rig.trade(rigs.Print(SAMSUNG, now + 6 * SECOND, "72300", "5"))

    rig.clock(now + MINUTE + SECOND)
    assert [str(intent.side) for intent in rig.intents] == ["buy"]
    rig.trade(rigs.Print(SAMSUNG, now + MINUTE + 5 * SECOND, "71000", "5"))
    rig.clock(now + 2 * MINUTE + SECOND)

    assert [str(intent.side) for intent in rig.intents] == ["buy", "sell"]
    assert [decision.fired for decision in rig.decisions] == [1, 2]


def test_change_over_a_duration_when_judged_on_trades_then_it_is_one_of_time(
    rigs: ModuleType, opened: int
) -> None:
    """The last trade at or before five minutes ago, to the nanosecond; unknown before that."""
    text = 'strategy("C") { surge_detection { when (price_change(5m) > 1%) { buy(1) } } }'
    for lag, expected in ((0, True), (-1, False)):
        rig = rigs.Rig(rigs.describe(text), fills=False)
        rig.trade(rigs.Print(SAMSUNG, opened, "70000"))
        rig.trade(rigs.Print(SAMSUNG, opened + MINUTE, "71500"))
        assert rig.decisions == []
        rig.trade(rigs.Print(SAMSUNG, opened + 5 * MINUTE + lag, "71000"))

        assert bool(rig.decisions) is expected


def test_surge_when_true_again_then_only_after_a_full_minute_of_rest(
    rigs: ModuleType, opened: int
) -> None:
    """The minute counts from the first trade on which the condition did not hold."""
    rig = rigs.Rig(rigs.describe(ABOVE), fills=False)
    prints = [
        (0, 70_000),
        (10, 71_500),  # fires
        (20, 70_900),  # rests from here on
        (79, 71_100),  # too early, and it holds again
        (80, 70_900),
        (110, 70_800),
        (140, 71_100),  # a full minute
        (300, 71_200),  # still the same surge
    ]
    for at, price in prints:
        rig.trade(rigs.Print(SAMSUNG, opened + at * SECOND, str(price)))

    assert times(rig) == [opened + 10 * SECOND, opened + 140 * SECOND]
    assert [d.outcome for d in rig.decisions] == ["ordered", "an order works already"]


def test_surge_when_another_session_begins_then_it_may_fire_at_once(rigs: ModuleType) -> None:
    """What held when the market closed is no reason to stay silent the next morning."""
    rig = rigs.Rig(rigs.describe(ABOVE), fills=False)
    for day in (3, 4):
        at = rigs.instant(f"2024-06-0{day}T10:00:00+09:00")
        rig.trade(rigs.Print(SAMSUNG, at, "71500"), rigs.Print(SAMSUNG, at + SECOND, "71600"))

    assert len(times(rig)) == 2


def test_surge_when_trades_do_not_count_then_they_are_not_judged(
    rigs: ModuleType, opened: int
) -> None:
    """Late ones, those between two ticks and those outside the session."""
    rig = rigs.Rig(rigs.describe(ABOVE), fills=False)
    rig.trade(rigs.Print(SAMSUNG, opened, "70000"))
    rig.trade(rigs.Print(SAMSUNG, opened + MINUTE, "70000"))
    rig.trade(rigs.Print(SAMSUNG, opened + 59 * SECOND, "72000"), lag_ns=10 * SECOND)
    rig.trade(rigs.Print(SAMSUNG, opened + 61 * SECOND, "71000.5"))
    rig.trade(rigs.Print(SAMSUNG, rigs.instant("2024-06-03T16:00:00+09:00"), "72000"))

    assert rig.decisions == []


def test_surge_when_history_or_past_then_known_but_not_decided(
    rigs: ModuleType, opened: int
) -> None:
    """What fired in a warm-up does not fire again; nothing is ordered on old trades."""
    rig = rigs.Rig(rigs.describe(ABOVE), fills=False)
    rig.instance.decides_from_ns = opened + 5 * SECOND
    rig.trade(rigs.Print(SAMSUNG, opened, "71500"))
    rig.trade(rigs.Print(SAMSUNG, opened + 6 * SECOND, "71600"))
    assert rig.decisions == []
    rig.trade(rigs.Print(SAMSUNG, opened + 7 * SECOND, "70000"))
    rig.trade(rigs.Print(SAMSUNG, opened + 70 * SECOND, "71500"), now_ns=opened + 90 * SECOND)

    (decision,) = rig.decisions
    assert decision.outcome == "decided too late to order"


def test_surge_when_it_reads_the_spread_then_that_of_the_trade(
    rigs: ModuleType, opened: int
) -> None:
    """Unknown and wide quotes hold it back."""
    text = ABOVE.replace("close > 71_000", "close > 71_000 and spread < 0.5%")
    quotes = [(None, None), ("71400", "72000"), ("71400", "71500")]
    rig = rigs.Rig(rigs.describe(text), fills=False)
    for at, (bid, ask) in enumerate(quotes):
        rig.trade(rigs.Print(SAMSUNG, opened + at * SECOND, "71500", "1", bid, ask))

    assert times(rig) == [opened + 2 * SECOND]
    (shown,) = json.loads(rig.decisions[0].values)
    spread = shown["children"][1]["children"][0]
    assert spread == {"text": "spread", "value": float(f"{200 / 142_900:.14g}")}


def test_surge_when_its_order_has_a_price_then_one_of_the_bar_in_the_making(
    rigs: ModuleType, opened: int
) -> None:
    """The limit follows the trade that fired, not the close before."""
    text = ABOVE.replace("buy(1)", 'buy(1, type: "limit", price: (high + low) / 2 + SMA(2) * 0)')
    rig = rigs.Rig(rigs.describe(text), fills=False)
    for at, price in ((0, 70_000), (60, 70_200), (61, 70_400), (62, 71_200)):
        rig.trade(rigs.Print(SAMSUNG, opened + at * SECOND, str(price)))

    (intent,) = rig.intents
    assert (str(intent.side), intent.price) == ("buy", Decimal(70_700))


def test_surge_when_it_looks_at_other_frames_then_at_their_closed_bars(
    rigs: ModuleType, opened: int
) -> None:
    """The running minute, the clock of its start, the last hour that has closed."""
    text = """strategy("F") {
      timeframes { minute = "1m" coarse = "5m" }
      indicators { on coarse { top = high } }
      surge_detection {
        when (minute.close > coarse.top and time >= 10:05 and close crosses above close[1]) {
          buy(1)
        }
      }
    }"""
    rig = rigs.Rig(rigs.describe(text), fills=False)
    for minute, price in ((0, 71_000), (1, 72_000), (4, 71_500), (5, 71_400)):
        rig.trade(rigs.Print(SAMSUNG, opened + minute * MINUTE, str(price)))
    rig.trade(rigs.Print(SAMSUNG, opened + 5 * MINUTE + SECOND, "71900"))
    assert rig.decisions == []
    rig.trade(rigs.Print(SAMSUNG, opened + 5 * MINUTE + 2 * SECOND, "72100"))

    assert times(rig) == [opened + 5 * MINUTE + 2 * SECOND]


LISTING = Path(__file__).parents[4] / "examples" / "strategies" / "surge_scanner.jts"


def scanned_minutes(
    rigs: ModuleType, begin: int, surges: dict[str, int], wide: set[str], minutes: int
) -> list[Any]:
    """Return trades of 1,800 symbols: two a minute near a price, and what is planted.

    A surge is one trade 4 % above the price, of 7.5 times the usual volume of a minute.
    """
    chance, found = random.Random(20240603), []
    for symbol in (f"KRX:{number:06d}" for number in range(1_800)):
        base, is_wide = 100 * chance.randrange(200, 1_500), symbol in wide
        for at in range(minutes):
            for second in (chance.randrange(30), chance.randrange(30, 60)):
                price = base + chance.choice((-100, 0, 100))
                quote = (price - base // 50, price) if is_wide else (price - 10, price)
                now = begin + at * MINUTE + second * SECOND
                found.append(rigs.Print(symbol, now, str(price), "10", *map(str, quote)))
        if symbol in surges:
            price, now = base * 104 // 100 // 100 * 100 + 100, begin + surges[symbol]
            quote = (price - base // 50, price) if is_wide else (price - 10, price)
            found.append(rigs.Print(symbol, now, str(price), "150", *map(str, quote)))
    return sorted(found, key=lambda each: (each.at_ns, each.symbol))


def test_surges_when_planted_among_1800_symbols_then_each_is_found_at_its_trade_and_no_other(
    rigs: ModuleType, opened: int
) -> None:
    """E11: the third listing, word for word; a wide spread keeps a surge from being bought."""
    minutes, chance = 24, random.Random(1_800)
    names = tuple(f"KRX:{number:06d}" for number in range(1_800))
    chosen = chance.sample(names, 40)
    # From the 21st minute on: the average volume needs twenty minutes before the present one.
    surges = {name: chance.randrange(21 * MINUTE, minutes * MINUTE) for name in chosen}
    wide = set(chosen[:10])
    rig = rigs.Rig(rigs.describe(LISTING.read_text(), instrument_ids=names), fills=False)

    prints = scanned_minutes(rigs, opened, surges, wide, minutes)
    for first in range(0, len(prints), 64):
        rig.take(rig.entry(prints[first : first + 64]))

    fired = [each for each in rig.decisions if each.fired]
    found = {each.instrument_id: each.triggered_ns - opened for each in fired}
    assert found == {name: at for name, at in surges.items() if name not in wide}
    assert sorted(intent.instrument_id for intent in rig.intents) == sorted(found)
