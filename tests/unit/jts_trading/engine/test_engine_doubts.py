"""Bars that trades were lost before: recorded ticks say so, and strategies that ask wait."""

from datetime import date
from types import ModuleType
from typing import Any

import msgspec

from jts_trading.engine.halves import MarketHalf, market_half, state_digest
from jts_trading.engine.setup import load_market, new_state
from jts_trading.engine.stored import DOUBTFUL
from storage.quality.reasons import TAINTED

SAMSUNG, BTC = "KRX:005930", "BINANCE:BTCUSDT"
SECOND, MINUTE = 10**9, 60 * 10**9
WARY = """strategy("Wary") {
  require quality within 2
  entry.long { when (close > 0) { buy(1) } }
}"""
DOUBTS = 'strategy("D") { entry.long { when (not quality) { buy(1) } } }'
# Quantity of the day after a trade of ten shares in each minute: 5 were lost before the third.
REACHED = (10, 20, 35, 45, 55, 65)


def play(rigs: ModuleType, rig: Any, reached: tuple[int, ...], begin: int) -> None:
    """Let a trade of ten shares come in each minute."""
    for at, total in enumerate(reached):
        now = begin + at * MINUTE + 10 * SECOND
        rig.trade(rigs.Print(SAMSUNG, now, "71000", "10", reached=str(total)))
    rig.clock(begin + len(reached) * MINUTE + SECOND)


def minutes(rigs: ModuleType, rig: Any) -> list[int]:
    """Return the minutes after ten whose bars something fired on."""
    begin = rigs.instant("2024-06-03T10:00:00+09:00")
    return [(decision.bar_start_ns - begin) // MINUTE for decision in rig.decisions]


def test_bar_when_trades_were_lost_before_one_of_it_then_doubtful(rigs: ModuleType) -> None:
    """The jump of the quantity is in the third minute; the next day counts anew."""
    rig = rigs.Rig(rigs.describe(DOUBTS), fills=False)
    play(rigs, rig, REACHED, rigs.instant("2024-06-03T10:00:00+09:00"))
    assert minutes(rigs, rig) == [2]
    play(rigs, rig, (10, 20), rigs.instant("2024-06-04T09:00:00+09:00"))
    assert minutes(rigs, rig) == [2]
    play(rigs, rig, (50,), rigs.instant("2024-06-05T09:00:00+09:00"))
    assert len(rig.decisions) == 2


def test_entries_when_quality_is_required_then_wait_for_the_window(rigs: ModuleType) -> None:
    """The doubtful bar and the one after it hold entries back."""
    rig = rigs.Rig(rigs.describe(WARY), fills=False)
    play(rigs, rig, REACHED, rigs.instant("2024-06-03T10:00:00+09:00"))

    assert minutes(rigs, rig) == [1, 4, 5]


def test_trades_when_late_or_repeated_in_quantity_then_no_doubt(rigs: ModuleType) -> None:
    """A trade that fills a hole, and one that overlaps, tell of no further loss."""
    rig = rigs.Rig(rigs.describe(DOUBTS), fills=False)
    play(rigs, rig, (10, 30, 20, 40), rigs.instant("2024-06-03T10:00:00+09:00"))

    assert minutes(rigs, rig) == [1]


def test_connection_when_another_one_then_doubtful_where_no_quantity_tells(
    rigs: ModuleType,
) -> None:
    """The first trade of a coin after a reconnect may follow lost ones; later ones do not."""
    spec = {"venue": "BINANCE", "instrument_ids": (BTC,), "currency": "USDT", "broker": "paper"}
    rig = rigs.Rig(rigs.describe(DOUBTS, **spec), fills=False)
    begin = rigs.instant("2024-06-03T10:00:00+09:00")
    for at, session in enumerate((1, 1, 2, 2, 3)):
        each = rigs.Print(BTC, begin + at * MINUTE, "61000.01", "1", reached="0")
        rig.take(msgspec.structs.replace(rig.entry([each]), session=session))
    rig.clock(begin + 5 * MINUTE + SECOND)

    assert minutes(rigs, rig) == [2, 4]


def test_rules_on_trades_when_they_ask_for_quality_then_that_of_the_bar_so_far(
    rigs: ModuleType,
) -> None:
    """The trade after the loss is judged with it, and those behind it in the bar."""
    text = 'strategy("S") { surge_detection { when (not quality and close > 71_000) { buy(1) } } }'
    rig = rigs.Rig(rigs.describe(text), fills=False)
    begin = rigs.instant("2024-06-03T10:00:00+09:00")
    for at, (price, total) in enumerate(((71_100, 10), (71_000, 35), (71_100, 45))):
        each = rigs.Print(SAMSUNG, begin + at * SECOND, str(price), "10", reached=str(total))
        rig.trade(each)

    assert [d.triggered_ns - begin for d in rig.decisions] == [2 * SECOND]


def test_state_when_stored_between_two_trades_then_the_loss_is_still_seen(
    rigs: ModuleType,
) -> None:
    """Where the trades of an instrument are belongs to the market half."""
    rig = rigs.Rig(rigs.describe(DOUBTS), fills=False)
    begin = rigs.instant("2024-06-03T10:00:00+09:00")
    rig.trade(rigs.Print(SAMSUNG, begin, "71000", "10", reached="10"))
    stored = msgspec.msgpack.encode(market_half(rig.state))
    fresh = new_state(
        rig.state.settings,
        [rigs.prepare(rig.instance.spec, rig.state.settings)],
        lambda _: rigs.KOSPI,
        date(2024, 6, 3),
    )
    load_market(fresh, msgspec.msgpack.decode(stored, type=MarketHalf))
    assert state_digest(fresh) == state_digest(rig.state)

    rig.state = fresh
    rig.trade(rigs.Print(SAMSUNG, begin + MINUTE, "71000", "10", reached="25"))
    rig.clock(begin + 2 * MINUTE + SECOND)

    assert minutes(rigs, rig) == [1]


def test_doubts_when_named_then_as_the_lake_names_them() -> None:
    """The engine knows no storage: it spells them itself."""
    assert set(DOUBTFUL) == set(TAINTED)
