"""State: stored and loaded it is the same to the bit, and goes on as if nothing had happened."""

import random
from datetime import date
from decimal import Decimal
from types import ModuleType
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.engine.events import ClockRead, JournalRead, TicksArrived
from jts_trading.engine.halves import (
    AccountHalf,
    MarketHalf,
    account_half,
    market_digest,
    market_half,
    state_digest,
)
from jts_trading.engine.setup import load_accounts, load_market, new_state, take_over
from jts_trading.engine.state import EngineSettings
from jts_trading.engine.step import step
from jts_trading.portfolio.holding import Holding

SECOND = 10**9
SYMBOLS = ("KRX:000660", "KRX:005930")
TEXT = """strategy("Trial") {
  timeframes { base = "1m" coarse = "5m" }
  indicators { quick = EMA(period: 3) slow = SMA(period: 6) on coarse { top = high } }
  entry.long { when (quick crosses above slow and coarse.top > base.low) { buy(quantity: "30%") } }
  exit.long { when (quick crosses below slow) { sell(quantity: "all") } }
  risk_management { trailing_stop = "1%" }
}
"""
SURGING = """strategy("Surging") {
  timeframes { base = "1m" coarse = "5m" }
  indicators { slow = SMA(period: 3) on coarse { top = high } }
  surge_detection {
    when (price_change(2m) > 0.2% and volume > 5) { execute_immediately("20%") }
    when (coarse.top < base.high and close crosses above slow) { buy(10) }
  }
  exit.long { when (close < slow) { sell(quantity: "all") } }
  risk_management { cooldown = 1 }
}
"""


def text_of(seed: int) -> str:
    """Return rules on bars, or rules on trades."""
    return SURGING if seed % 2 else TEXT


def day_of_events(rigs: ModuleType, seed: int, count: int) -> list[tuple[Any, int]]:
    """Return ticks in entries, clock readings and fills, as they would reach a trader."""
    chance = random.Random(seed)
    rig = rigs.Rig(rigs.describe(TEXT, instrument_ids=SYMBOLS))
    events: list[tuple[Any, int]] = []
    now = rigs.instant("2024-06-03T09:00:00+09:00")
    prices = dict.fromkeys(SYMBOLS, 71_000)
    for _ in range(count):
        now += chance.randint(1, 25) * SECOND
        if chance.random() < 0.2:
            events.append((ClockRead(now), now))
        prints = []
        for symbol in chance.choices(SYMBOLS, k=chance.randint(1, 4)):
            prices[symbol] += chance.randint(-300, 310)
            at = now - chance.choice((0, 0, 0, 0, 90)) * SECOND
            prints.append(rigs.Print(symbol, at, str(prices[symbol]), str(chance.randint(1, 9))))
        entry = rig.entry(prints, recv_ns=now)
        events.append((TicksArrived(entry, f"e{len(events)}"), now))
    return events


def run(state: Any, rigs: ModuleType, rig: Any, events: list[tuple[Any, int]]) -> list[Any]:
    """Feed events; every intent fills at once at 71,000. Returns the effects."""
    effects = []
    for event, now in events:
        for effect in step(state, event, now):
            effects.append(effect)
            intent = getattr(effect.event, "intent", None)
            if intent is not None:
                rig.state = state
                rig._seq = iter([state.journal_seq + 1, state.journal_seq + 2])
                rig.fill(intent, rigs.Print(intent.instrument_id, now, "71000"))
    return effects


def restored(state: Any, rigs: ModuleType) -> Any:
    """Return the state after a way through bytes, in a process that knows only its inputs."""
    market = msgspec.msgpack.encode(market_half(state))
    accounts = msgspec.msgpack.encode(account_half(state))
    fresh = new_state(
        state.settings,
        [rigs.prepare(state.instances["trial"].spec, state.settings)],
        lambda _: rigs.KOSPI,
        date(2024, 6, 3),
    )
    assert load_market(fresh, msgspec.msgpack.decode(market, type=MarketHalf)) == {"trial"}
    assert load_accounts(fresh, msgspec.msgpack.decode(accounts, type=AccountHalf)) == {"trial"}
    return fresh


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(0, 120))
def test_state_when_stored_and_loaded_anywhere_then_it_goes_on_bit_for_bit(
    seed: int, cut: int, rigs: ModuleType
) -> None:
    """The rest of the day has the same effects and the same digest."""
    events = day_of_events(rigs, seed, 120)
    spec = rigs.describe(text_of(seed), instrument_ids=SYMBOLS)
    rig = rigs.Rig(spec)
    undisturbed = run(rig.state, rigs, rig, events)
    whole = rig.state

    rig = rigs.Rig(spec)
    before = run(rig.state, rigs, rig, events[:cut])
    state = restored(rig.state, rigs)
    assert state_digest(state) == state_digest(rig.state)
    after = run(state, rigs, rig, events[cut:])

    assert before + after == undisturbed
    assert state_digest(state) == state_digest(whole)
    assert state.counts == whole.counts


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), again=st.integers(0, 100))
def test_events_when_delivered_twice_then_nothing_is_done_twice(
    seed: int, again: int, rigs: ModuleType
) -> None:
    """A bus that hands the last entries over again changes no bar, signal or order."""
    events = day_of_events(rigs, seed, 100)
    spec = rigs.describe(text_of(seed), instrument_ids=SYMBOLS)
    once, twice = rigs.Rig(spec), rigs.Rig(spec)
    first = run(once.state, rigs, once, events)
    second = run(twice.state, rigs, twice, events)
    repeated = [(e, now) for e, now in events[again:] if isinstance(e, TicksArrived)]
    more = [step(twice.state, event, now) for event, now in repeated]

    assert second == first
    assert all(not effects for effects in more)
    assert market_digest(twice.state) == market_digest(once.state)
    assert twice.state.counts.ticks == once.state.counts.ticks


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_bars_when_clock_readings_fall_away_then_arrival_times_make_the_same_ones(
    seed: int, rigs: ModuleType
) -> None:
    """Recorded ticks alone, in the order of their numbers, make the same bars and signals."""
    events = day_of_events(rigs, seed, 120)
    end = (ClockRead(events[-1][1] + 300 * SECOND), events[-1][1] + 300 * SECOND)
    spec = rigs.describe(text_of(seed), instrument_ids=SYMBOLS)
    live, later = rigs.Rig(spec, fills=False), rigs.Rig(spec, fills=False)
    for event, now in [*events, end]:
        live._keep(step(live.state, event, now))
    for event, now in [*(e for e in events if isinstance(e[0], TicksArrived)), end]:
        later._keep(step(later.state, event, now))

    def values(rig: Any) -> list[Any]:
        bars = [msgspec.structs.replace(bar, closed_by="event") for bar in rig.bars]
        return sorted(bars, key=lambda bar: (bar.instrument_id, bar.start_ns))

    assert values(later) == values(live)
    assert {s.signal_id for s in later.signals} == {s.signal_id for s in live.signals}
    assert market_digest(later.state) == market_digest(live.state)


def split(entry: TicksCollected, at: int) -> list[TicksCollected]:
    """Return an entry in two."""
    parts = (slice(0, at), slice(at, None))
    return [
        msgspec.structs.replace(
            entry,
            first_tick=entry.first_tick + (part.start or 0),
            ticks=entry.ticks[part],
            frames=entry.frames[part],
        )
        for part in parts
        if entry.ticks[part]
    ]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_trades_when_they_come_in_other_entries_then_the_same_fires(
    seed: int, rigs: ModuleType
) -> None:
    """One by one, or cut anywhere: the same decisions on the same trades, the same state."""
    chance = random.Random(seed)
    spec = rigs.describe(SURGING, instrument_ids=SYMBOLS)
    single, cut = rigs.Rig(spec, fills=False), rigs.Rig(spec, fills=False)
    for event, now in day_of_events(rigs, seed, 120):
        if isinstance(event, ClockRead):
            parts = ones = [event]
        else:
            ones, rest = [], event.ticks
            while len(rest.ticks) > 1:
                one, rest = split(rest, 1)
                ones.append(TicksArrived(one, event.message_id))
            ones.append(TicksArrived(rest, event.message_id))
            parts = split(event.ticks, chance.randint(0, len(event.ticks.ticks)))
            parts = [TicksArrived(part, event.message_id) for part in parts]
        for rig, each in ((single, ones), (cut, parts)):
            for part in each:
                rig._keep(step(rig.state, part, now))

    assert cut.decisions == single.decisions
    assert market_digest(cut.state) == market_digest(single.state)
    assert state_digest(cut.state) == state_digest(single.state)


def test_surges_when_the_day_is_wild_then_some_fire(rigs: ModuleType) -> None:
    """What the tests above compare is there."""
    spec = rigs.describe(SURGING, instrument_ids=SYMBOLS)
    rig = rigs.Rig(spec)
    run(rig.state, rigs, rig, day_of_events(rigs, 3, 120))

    signals = rig.state.counts.signals
    assert (signals > 5, len(rig.filled) > 3) == (True, True)


def test_state_of_another_release_when_loaded_then_its_money_stays_and_its_rows_do_not(
    rigs: ModuleType,
) -> None:
    """A new text starts unwarmed, with the positions that the instance has."""
    rig = rigs.Rig(rigs.describe(TEXT, instrument_ids=SYMBOLS))
    events = day_of_events(rigs, 7, 200)
    run(rig.state, rigs, rig, events)
    account = rig.instance.account
    assert account.flow
    changed = rigs.describe(
        TEXT.replace("period: 6", "period: 7"), instrument_ids=SYMBOLS, release="Trial@other"
    )
    state = new_state(
        EngineSettings(),
        [rigs.prepare(changed, EngineSettings())],
        lambda _: rigs.KOSPI,
        date(2024, 6, 3),
    )

    assert load_market(state, market_half(rig.state)) == frozenset()
    assert load_accounts(state, account_half(rig.state)) == {"trial"}
    assert state.instances["trial"].account.cash == account.cash
    assert state.instances["trial"].symbols["KRX:005930"].bars == 0


def test_take_over_when_a_release_changes_then_positions_and_other_instances_stay(
    rigs: ModuleType,
) -> None:
    """The changed instance gets warm rows and keeps its money; a new one joins, one leaves."""
    old = rigs.describe(TEXT, instrument_ids=SYMBOLS)
    leaving = rigs.describe(TEXT, instance="leaving", instrument_ids=SYMBOLS[:1])
    same = rigs.describe(TEXT, instance="same", instrument_ids=SYMBOLS[1:])
    rig = rigs.Rig(old, leaving, same)
    events = day_of_events(rigs, 7, 200)
    run(rig.state, rigs, rig, events[:150])
    text = TEXT.replace("period: 6", "period: 7")
    changed = rigs.describe(text, instrument_ids=SYMBOLS)
    joining = rigs.describe(text, instance="joining", interval="1m", instrument_ids=SYMBOLS[:1])
    ready = rigs.Rig(changed, joining, fills=False)
    for event, now in events[:150]:
        if not isinstance(event, JournalRead):
            step(ready.state, event, now)
    account, rows = rig.state.instances["trial"].account, rig.state.instances["same"].rows
    warm = ready.state.instances["trial"].rows["KRX:005930"]

    specs = {spec.instance: spec for spec in (changed, same, joining)}
    take_over(rig.state, ready.state, specs)

    state = rig.state
    assert sorted(state.instances) == ["joining", "same", "trial"]
    assert state.instances["trial"].account is account
    assert state.instances["trial"].rows["KRX:005930"] is warm
    assert state.instances["same"].rows is rows
    run(state, rigs, rig, events[150:])
    assert state.instances["joining"].symbols["KRX:000660"].bars > 0


def test_equity_when_held_in_steps_of_several_decimals_then_each_is_valued_to_the_last_digit(
    rigs: ModuleType,
) -> None:
    """Marked ones at their marks, others and those that nobody trades at cost."""
    names = ("BINANCE:BTCUSDT", "BINANCE:ETHUSDT")
    spec = rigs.describe(TEXT, venue="BINANCE", currency="USDT", instrument_ids=names)
    (instance,) = rigs.Rig(spec).state.instances.values()
    held = {names[0]: "0.12345", names[1]: "7", "BINANCE:XRPUSDT": "3"}
    for at, (name, quantity) in enumerate(held.items(), 1):
        instance.account.holdings[name] = Holding(Decimal(quantity), Decimal(at))
    for name, mark in zip(names, (6_000_001, 350_007), strict=True):
        instance.look_at_holding(name)
        instance.books[name].mark = mark
    cash, steps = instance.account.cash, [instance.units[name].price_step for name in names]
    values = Decimal("0.12345") * steps[0] * 6_000_001, 7 * steps[1] * 350_007

    assert str(instance.equity()) == str(cash + values[0] + values[1] + 3)

    instance.books[names[0]].mark = 0
    assert str(instance.equity()) == str(cash + values[1] + 1 + 3)

    for name in names:
        del instance.account.holdings[name]
        instance.look_at_holding(name)
    assert str(instance.equity()) == str(cash + 3)
