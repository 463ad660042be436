"""Bars that trades of one entry close: run together, announced and judged one after another."""

import random
from decimal import Decimal
from types import ModuleType
from typing import Any

import msgspec
import pytest

from jts_trading.domain.feed_messages import BarsClosed, TicksCollected
from jts_trading.engine.events import TicksArrived
from jts_trading.engine.halves import account_half, market_half
from jts_trading.engine.step import step

MINUTE = 60 * 10**9
NAMES = ("KRX:000660", "KRX:005380", "KRX:005930", "KRX:035420")
PRICES = (200_000, 250_000, 71_000, 170_000)
START = "2024-06-03T09:00:00+09:00"
CROSS = """strategy("Cross") {
  timeframes { base = "1m" coarse = "5m" }
  indicators { on base { mean = SMA(period: 3) } on coarse { top = high } }
  entry.long { when (base.close > base.mean and coarse.top > 0) { buy(quantity: "30%") } }
  exit.long { when (base.close < base.mean) { sell(quantity: "all") } }
  risk_management { stop_loss = "0.2%" trailing_stop = "0.3%" max_positions = 2 }
}"""
GUARDED = """strategy("Guarded") {
  entry.long {
    when (close > open and portfolio.positions < 3 and spread < 1%) { buy(quantity: "20%") }
  }
  exit.long { when (position.profit > 0.1%) { sell(quantity: "all") } }
}"""
STOPS = """strategy("Stops") {
  entry.long {
    when (close > open) { buy(quantity: "20%", type: "stop", stop: close + close / 2000) }
  }
  exit.long { when (close < open) { sell(quantity: "all") } }
}"""
SURGES = """strategy("Surges") {
  surge_detection { when (price_change(1m) > 0.2%) { execute_immediately(1) } }
  exit.long { when (close < open) { sell(quantity: "all") } }
}"""


def walk(rigs: ModuleType, seed: int) -> list[list[Any]]:
    """Return entries of prints over forty minutes: most have the ends of several bars in them."""
    draw = random.Random(seed)
    prices, at_ns, prints = list(PRICES), rigs.instant(START), []
    for _ in range(900):
        at = draw.randrange(len(NAMES))
        price = prices[at] = prices[at] + 100 * draw.randint(-3, 3)
        at_ns += draw.choice((0, 10**6, 10**9, 5 * 10**9)) + MINUTE * (draw.random() < 0.01)
        # Now and then one is late.
        late_ns = draw.choice((0,) * 9 + (MINUTE,))
        quoted = str(price - 100), str(price + 100)
        prints.append(rigs.Print(NAMES[at], at_ns - late_ns, str(price), "3", *quoted))
    entries = []
    while prints:
        count = draw.choice((1, 5, 40, 90))
        entries.append(prints[:count])
        del prints[:count]
    return entries


def play(rigs: ModuleType, seed: int, *texts: str, alone: bool) -> Any:
    """Return a rig that took the walk in, entry by entry, or each trade in an entry of its own."""
    specs = [
        rigs.describe(text, instance=f"trial-{at}", instrument_ids=NAMES)
        for at, text in enumerate(texts)
    ]
    rig = rigs.Rig(*specs)
    for prints in walk(rigs, seed):
        entry = rig.entry(prints)
        now_ns = entry.ticks[-1].ts_recv_ns
        effects = []
        for part in parts_of(entry) if alone else [entry]:
            effects += step(rig.state, TicksArrived(part, f"entry-{entry.first_tick}"), now_ns)
        rig._keep(effects)
        for each in prints[-len(NAMES) :]:
            rig._fill_waiting(each)
    return rig


def parts_of(entry: TicksCollected) -> list[TicksCollected]:
    """Return the ticks of an entry as entries of one each."""
    return [
        msgspec.structs.replace(
            entry,
            first_frame=entry.first_frame + at,
            first_tick=entry.first_tick + at,
            ticks=(tick,),
            frames=(0,),
        )
        for at, tick in enumerate(entry.ticks)
    ]


@pytest.mark.parametrize(
    "texts",
    [(CROSS,), (CROSS, GUARDED), (GUARDED, SURGES)],
    ids=("coarse", "guarded", "surges"),
)
@pytest.mark.parametrize("seed", range(3))
def test_bars_when_trades_of_one_entry_close_them_then_are_judged_as_if_alone(
    rigs: ModuleType, texts: tuple[str, ...], seed: int
) -> None:
    """Every effect in its order, and every number of the state, with positions held and not."""
    together = play(rigs, seed, *texts, alone=False)
    alone = play(rigs, seed, *texts, alone=True)

    assert together.effects == alone.effects
    assert market_half(together.state) == market_half(alone.state)
    assert account_half(together.state) == account_half(alone.state)
    assert len(together.filled) > 3


def test_stop_when_a_trade_of_the_same_entry_reaches_it_then_it_is_given(
    rigs: ModuleType,
) -> None:
    """What follows from a bar that a trade closes is there before the next trade."""
    rig = rigs.Rig(rigs.describe(STOPS, instrument_ids=NAMES))
    start, name = rigs.instant(START), NAMES[2]
    prints = [
        rigs.Print(name, start + seconds * 10**9, price)
        for seconds, price in ((0, "71000"), (50, "71100"), (60, "71100"), (61, "71200"))
    ]

    rig.take(rig.entry(prints))

    (decision,) = rig.decisions
    assert decision.outcome == "waits for its stop price"
    (intent,) = rig.intents
    assert (intent.instrument_id, rig.state.held) == (name, set())


def test_bars_when_trades_close_all_in_another_order_then_each_has_its_own_steps(
    rigs: ModuleType,
) -> None:
    """One message each, in the order of the trades, with prices in the steps of its instrument."""
    rig = rigs.Rig(rigs.describe(GUARDED, instrument_ids=NAMES))
    rig.state.lines[0].price_steps[:] = steps = [Decimal(1), Decimal(2), Decimal(5), Decimal(10)]
    start = rigs.instant(START)
    first = [
        rigs.Print(name, start, str(price)) for name, price in zip(NAMES, PRICES, strict=True)
    ]
    later = [each._replace(at_ns=start + MINUTE) for each in reversed(first)]

    rig.take(rig.entry([*first, *later]))

    messages = [e for e in rig.effects if isinstance(e.event, BarsClosed)]
    assert [each.event.instrument_ids for each in messages] == [(n,) for n in reversed(NAMES)]
    assert [each.event.price_steps for each in messages] == [(s,) for s in reversed(steps)]
    assert [each.event.closes for each in messages] == [(p,) for p in reversed(PRICES)]
    assert [each.correlation_id for each in messages] == [f"kis-1:{1004 + at}" for at in range(4)]
