"""Rules that ask for the account, live: the guard decides with the facts of the moment."""

import json
from types import ModuleType

import numpy as np
import pytest

from jts_trading.dsl.facts import FACTS
from jts_trading.strategy.instants import instant, instants

SAMSUNG, HYNIX = "KRX:005930", "KRX:000660"
SECOND, MINUTE = 10**9, 60 * 10**9
TEXT = """strategy("Guarded") {
  entry.long { when (close > open and ENTRY) { buy(quantity: "10%") } }
  exit.long { when (EXIT) { close() } }
}
"""


def play(rigs: ModuleType, text: str, minutes: list[tuple[int, int]], **more: object) -> object:
    """Return a rig that saw minutes of an instrument: a first and a last print each."""
    rig = rigs.Rig(rigs.describe(text, **more))
    now = rigs.instant("2024-06-03T10:00:00+09:00")
    for first, last in minutes:
        rig.trade(rigs.Print(SAMSUNG, now, str(first)))
        rig.trade(rigs.Print(SAMSUNG, now + 30 * SECOND, str(last)))
        now += MINUTE
        rig.clock(now + SECOND)
    return rig


FLAT_MINUTES = [(100, 101), (101, 101), (101, 101), (101, 101), (101, 101)]


@pytest.mark.parametrize(
    ("leave", "at", "minutes"),
    [
        ("position.profit >= 1%", 3, [(100, 101), (101, 101), (101, 101), (102, 103), (1, 1)]),
        ("position.bars >= 3", 3, FLAT_MINUTES),
        ("position.age >= 2m and not (close > 103_200)", 3, FLAT_MINUTES),
        ("close < position.highest - 500", 2, [(100, 101), (101, 103), (102, 102), (102, 102)]),
        ("position.value < 9_000_000 KRW", 2, [(100, 101), (101, 101), (90, 90), (90, 90)]),
        ("position.value < position.quantity * close * 0.99", 9, FLAT_MINUTES),
        ("portfolio.day_profit < -1% or position.quantity > 900", 1, [(100, 101), (101, 80)]),
        ("close * 1.1 < position.entry_price", 2, [(100, 101), (101, 101), (90, 90), (90, 90)]),
    ],
)
def test_exit_when_the_account_says_so_then_ordered_on_that_bar(
    rigs: ModuleType, leave: str, at: int, minutes: list[tuple[int, int]]
) -> None:
    """The entry of the first minute fills in the second; the exit comes with its minute."""
    scaled = [(1_000 * first + 100, 1_000 * last + 100) for first, last in minutes]
    text = TEXT.replace("ENTRY", "portfolio.positions == 0").replace("EXIT", leave)

    rig = play(rigs, text, scaled)

    sides = [str(intent.side) for intent in rig.intents]
    assert sides[:2] == (["buy", "sell"] if at < len(minutes) else ["buy"])
    if at < len(minutes):
        begins = [decision.bar_start_ns for decision in rig.decisions if decision.fired & 2]
        assert begins[0] == rigs.instant("2024-06-03T10:00:00+09:00") + at * MINUTE
    shown = json.loads(rig.decisions[0].values)
    assert shown[0]["text"].startswith("close > open and portfolio")
    assert shown[0]["children"][0]["value"] is True
    asked = shown[0]["children"][1]
    assert (asked["text"], asked["value"]) == ("portfolio.positions == 0", True)
    assert asked["children"][0] == {"text": "portfolio.positions", "value": 0.0}


def test_entry_when_the_account_forbids_then_nothing_is_recorded(rigs: ModuleType) -> None:
    """What the guard takes away never fired; a flat instance judges no exit that asks."""
    text = TEXT.replace("ENTRY", "portfolio.cash > 1_000_000_000 KRW")

    rig = play(rigs, text.replace("EXIT", "portfolio.equity > 0"), [(71_000, 71_100)] * 2)

    assert rig.decisions == []
    assert rig.intents == []


def test_state_when_positions_differ_then_rows_of_the_step_do_not(rigs: ModuleType) -> None:
    """What is worked out from ticks stays the same whoever trades on it."""
    minutes = [(71_000, 71_100), (71_100, 71_300), (71_300, 71_200)]
    rows = []
    for entry in ("portfolio.cash > 1", "portfolio.cash < 1"):
        text = TEXT.replace("ENTRY", entry).replace("EXIT", "close < position.highest - SMA(2)")
        rig = play(rigs, text, minutes)
        rows.append(rig.instance.rows[SAMSUNG].tolist())
    assert str(rows[0]) == str(rows[1])


def test_clock_when_bars_are_judged_then_says_when_they_start(rigs: ModuleType) -> None:
    """`time` is local, minutes count from the open of the session."""
    text = 'strategy("T") { entry.long { when (time == 10:01 and minutes_since_open == 61 '
    text += "and not auction and close > session.open) { buy(1) } } }"

    rig = play(rigs, text, [(71_000, 71_100), (71_000, 71_200), (71_000, 71_300)])

    assert len(rig.decisions) == 1
    assert rig.intents[0].quantity == 1


def test_instants_when_looked_up_then_as_one_by_one(rigs: ModuleType) -> None:
    """KRX knows its auctions, a bar of a day starts with its session, Binance counts in UTC."""
    at = rigs.instant
    day, opened = 19877, at("2024-06-03T09:00:00+09:00") // 10**6
    closing = at("2024-06-03T15:25:00+09:00") // 10**6
    midnight = at("2024-06-03T00:00:00+09:00") // 10**6

    assert instant("KRX", day, closing, opened) == (day, 385, 55_500, 1)
    assert instant("KRX", day, midnight, opened) == (day, 0, 32_400, 0)
    assert instant("BINANCE", day, opened, midnight + 9 * 3_600_000) == (day, 0, 0, 0)
    found = instants(
        "KRX", np.array([day] * 2), np.array([opened, closing]), np.array([opened] * 2)
    )
    assert found.tolist() == [[day, 0, 32_400, 0], [day, 385, 55_500, 1]]
    assert len(FACTS) == 13
