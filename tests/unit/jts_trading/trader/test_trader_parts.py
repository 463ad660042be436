"""Parts of the trader: files that survive anything, bounded publishing, settings, lost entries."""

import asyncio
import gc
import weakref
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from jts_trading.bootstrap.memory import settle_memory, tidy_memory
from jts_trading.config.source import ConfigError
from jts_trading.domain.feed_messages import RiskAlert
from jts_trading.engine.events import Effect
from jts_trading.engine.halves import AccountHalf, MarketHalf, account_half, market_half
from jts_trading.engine.state import EngineState
from jts_trading.engine.tallies import Counts, FeedPlace
from jts_trading.ports.bus import BusUnavailableError
from jts_trading.services.trader.publishing import Publisher
from jts_trading.services.trader.reading import split_after
from jts_trading.services.trader.settings import TraderSettings
from jts_trading.services.trader.snapshots import (
    ACCOUNT_FILE,
    MARKET_FILE,
    AccountFile,
    MarketFile,
    Snapshots,
)
from jts_trading.telemetry.metrics import Counters


def files(rigs: ModuleType) -> tuple[MarketFile, AccountFile]:
    """Return both files of a state that has seen one trade."""
    rig = rigs.Rig(rigs.describe(NEVER))
    rig.trade(rigs.Print("KRX:005930", rigs.instant("2024-06-03T09:00:00+09:00"), "71000"))
    return (
        MarketFile(places={"a": "1-1"}, half=market_half(rig.state)),
        AccountFile(
            ts_ns=1,
            places={"a": "1-2"},
            ticks={"kis-1": 0},
            half=account_half(rig.state),
            pending=[],
        ),
    )


NEVER = 'strategy("Never") { entry.long { when (close < 0) { buy(quantity: "1%") } } }'


def test_snapshots_when_written_then_they_are_read_back_as_they_were(
    trader_rigs: ModuleType, tmp_path: Path
) -> None:
    """Both or none; a directory that is not there is none."""
    market, accounts = files(trader_rigs.engine_rig())
    snapshots = Snapshots(tmp_path / "deep" / "trader")
    assert snapshots.read() is None
    snapshots.write_accounts(accounts)
    assert snapshots.read() is None
    snapshots.write_market(msgspec.msgpack.encode(market))
    snapshots.settle()

    found = snapshots.read()
    assert found is not None
    assert found[0].half.builders == market.half.builders
    assert (found[0].places, found[1].ticks) == ({"a": "1-1"}, {"kis-1": 0})
    assert snapshots.damaged == []


@pytest.mark.parametrize("name", [MARKET_FILE, ACCOUNT_FILE])
@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "other"])
def test_snapshots_when_a_file_is_damaged_then_neither_is_used_and_it_is_named(
    trader_rigs: ModuleType, tmp_path: Path, name: str, harm: str
) -> None:
    """A state that may be wrong is worse than none."""
    market, accounts = files(trader_rigs.engine_rig())
    snapshots = Snapshots(tmp_path)
    snapshots.write_market(msgspec.msgpack.encode(market))
    snapshots.write_accounts(accounts)
    stored = bytearray((tmp_path / name).read_bytes())
    if harm == "flip":
        stored[len(stored) // 2] ^= 1
    (tmp_path / name).write_bytes(
        {"flip": bytes(stored), "cut": bytes(stored[:-1]), "empty": b"", "other": b"x" * 99}[harm]
    )

    assert snapshots.read() is None
    assert [text.partition(":")[0] for text in snapshots.damaged] == [str(tmp_path / name)]


def test_trader_when_its_snapshot_is_damaged_then_it_starts_from_the_stores(play: Any) -> None:
    """And says so; recorded ticks put the state where it was."""
    text = NEVER

    async def scenario(trial: Any) -> None:
        trial.inputs(trial.rigs.describe(text))
        at = "2024-06-03T09:00:00+09:00"
        async with trial.running():
            await trial.minutes(at, [71_000, 71_100, 71_200], is_recorded=True)
        (trial.home / "trading/trader" / MARKET_FILE).write_bytes(b"nonsense")
        async with trial.running() as trader:
            row = trader._state.instances["trial"].symbols["KRX:005930"]
            assert row.bars == 2
            assert len(trader._start._snapshots.damaged) == 1

    play(scenario)


class DeadBus:
    """A bus that answers when it likes."""

    def __init__(self) -> None:
        self.is_up = False
        self.published: list[str] = []

    async def publish(self, topic: str, envelope: Any, entry_id: str | None = None) -> bool:
        """Keep the id, or fail."""
        del topic, entry_id
        if not self.is_up:
            raise BusUnavailableError("away")
        self.published.append(envelope.id)
        return True


def test_publisher_when_the_bus_is_away_then_messages_wait_in_order_and_are_bounded() -> None:
    """The oldest are dropped and counted; nothing is published twice."""
    bus, counters = DeadBus(), Counters()
    publisher = Publisher(bus, 3, counters)  # type: ignore[arg-type] # only publish is called
    for number in range(5):
        alert = RiskAlert(severity="info", check="c", subject="s", text="t", ts_ns=number)
        publisher.add(Effect(alert, f"a{number}"), 0)
    asyncio.run(publisher.flush())
    assert (bus.published, publisher.is_empty) == ([], False)
    bus.is_up = True
    asyncio.run(publisher.flush())

    assert (bus.published, publisher.is_empty) == (["a2", "a3", "a4"], True)
    assert counters.read("dropped_messages_total") == 2


def test_settings_when_the_clock_runs_fast_then_limits_on_ages_allow_for_our_own_way() -> None:
    """At speed 1 nothing is added; at 240 it is 239 times half a second."""
    settings = TraderSettings()
    real = settings.for_engine(Fraction(1), 0.5, Decimal("0.03"))
    fast = settings.for_engine(Fraction(240), 0.5, Decimal("0.03"))

    assert (real.grace_ns, real.decision_age_ns, real.intent_valid_ns) == (
        10**9,
        5 * 10**9,
        5 * 10**9,
    )
    assert fast.grace_ns == 120_500_000_000
    assert fast.decision_age_ns == fast.intent_valid_ns == 124_500_000_000
    assert settings.sizes().kelly == (20, 10_000, 500_000, 200_000)


@pytest.mark.parametrize("text", ["x", "-1", "101", "0.00001"])
def test_settings_when_a_percentage_is_none_then_it_is_refused(text: str) -> None:
    """With the key and what is accepted."""
    with pytest.raises(ConfigError, match=r"trader.entry_percent is .* accepted: 0 to 100"):
        TraderSettings(entry_percent=text).sizes()


def test_entry_when_a_number_lies_inside_then_it_is_split_behind_it(
    trader_rigs: ModuleType,
) -> None:
    """What was decided on before is taken in without deciding, the rest is judged."""
    rigs = trader_rigs.engine_rig()
    rig = rigs.Rig(rigs.describe(NEVER))
    start = rigs.instant("2024-06-03T09:00:00+09:00")
    entry = rig.entry([rigs.Print("KRX:005930", start + at, "71000") for at in range(4)])
    head, tail = split_after(entry, 1)

    assert (head.ticks + tail.ticks, head.frames + tail.frames) == (entry.ticks, entry.frames)
    assert (head.first_tick, tail.first_tick, len(head.ticks)) == (0, 2, 2)
    assert split_after(entry, -1) == split_after(entry, 3) == [entry]


def test_halves_when_encoded_then_every_part_is_there() -> None:
    """An empty state goes through bytes, too."""
    state = EngineState(TraderSettings().for_engine(Fraction(1), 0.5, Decimal(0)))
    state.feeds["kis-1"] = FeedPlace(last_tick=7)
    market = msgspec.msgpack.decode(msgspec.msgpack.encode(market_half(state)), type=MarketHalf)
    accounts = msgspec.msgpack.decode(
        msgspec.msgpack.encode(account_half(state)), type=AccountHalf
    )
    assert (market.feeds["kis-1"].last_tick, market.counts) == (7, Counts())
    assert accounts.instances == {}


def test_take_over_when_ticks_come_during_the_warm_up_then_none_is_missing(play: Any) -> None:
    """The new instance reads what the running ones took in meanwhile."""
    text = """strategy("Mean") { indicators { mean = SMA(period: 3) }
      entry.long { when (close > mean) { buy(quantity: "1%") } } }"""

    async def scenario(trial: Any) -> None:
        first = trial.rigs.describe(NEVER)
        trial.inputs(first)
        at = "2024-06-03T09:0{}:00+09:00"
        async with trial.running() as trader:
            await trial.minutes(at.format(0), [71_000, 71_100], is_recorded=True)
            trial.market.is_down = True
            second = trial.rigs.describe(text, instance="second")
            await trial.announce(trial.inputs(first, second, version=2))
            await trial.until(lambda: "warming up second" in str(trader.readiness()))
            # Recorded later, or never: the running engine has them.
            await trial.minutes(at.format(2), [71_200, 71_300])
            trial.market.is_down = False
            await trial.until(lambda: "second" in trader._state.instances)
            await trial.minutes(at.format(4), [71_400])
            joined = trader._state.instances["second"]
            assert joined.symbols["KRX:005930"].bars == 4
            notes = [n.subject for n in trial.facts("note_recorded")]
            assert notes == ["trial", "second"]
        signals = trial.facts("signal_recorded")
        assert {s.instance for s in signals} == {"second"}

    play(scenario)


def test_take_over_when_a_warm_up_is_overrun_then_it_begins_again(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept for a warm-up is bounded: then the store has it, and a new one starts."""
    monkeypatch.setattr("jts_trading.services.trader.taking_over.KEPT_TICKS_MAX", 3)

    async def scenario(trial: Any) -> None:
        first = trial.rigs.describe(NEVER)
        trial.inputs(first)
        gate, read = asyncio.Event(), trial.market.read

        async def slow(*wanted: Any, **named: Any) -> Any:
            await gate.wait()
            return await read(*wanted, **named)

        async with trial.running() as trader:
            monkeypatch.setattr(trial.market, "read", slow)
            second = trial.rigs.describe(NEVER, instance="second")
            await trial.announce(trial.inputs(first, second, version=2))
            await trial.until(lambda: "warming up second" in str(trader.readiness()))
            at = "2024-06-03T09:00:00+09:00"
            await trial.minutes(at, [71_000, 71_100, 71_200], is_recorded=True)
            assert trader._inputs._kept_ticks < 6
            gate.set()
            await trial.until(lambda: "second" in trader._state.instances)
            joined = trader._state.instances["second"]
            assert joined.symbols["KRX:005930"].bars == 2

    play(scenario)


def test_inputs_when_they_drop_a_held_instrument_then_somebody_is_told(play: Any) -> None:
    """A position that no strategy watches any more is named."""
    text = """strategy("Up") { entry.long { when (close > open) { buy(quantity: "1%") } } }"""

    async def scenario(trial: Any) -> None:
        spec = trial.rigs.describe(text)
        trial.inputs(spec)
        await trial.deposit()
        async with trial.running() as trader:
            await trial.minutes("2024-06-03T09:00:00+09:00", [71_000, 71_100])
            at = trial.rigs.instant("2024-06-03T09:01:40+09:00")
            await trial.trade(trial.rigs.Print("KRX:005930", at, "71300"))
            await trial.minutes("2024-06-03T09:02:00+09:00", [71_400])
            await trial.fill_orders()
            account = trader._state.instances["trial"].account
            await trial.until(lambda: not account.is_flat("KRX:005930"))
            other = trial.rigs.describe(text, instance="other")
            await trial.announce(trial.inputs(other, version=2))
            await trial.until(lambda: list(trader._state.instances) == ["other"])
            entries, _ = await trial.bus.read({"risk.alerts": "0-0"}, count=9, wait_ms=500)
        texts = [msgspec.msgpack.decode(e.envelope.payload)["text"] for e in entries]
        assert any("trial holds" in text and "KRX:005930" in text for text in texts)

    play(scenario)


def test_memory_when_settled_then_full_collections_leave_it_alone_and_garbage_is_gone() -> None:
    """What is there is frozen, once or twice; a cycle that nobody reaches is collected first."""

    class Node:
        def __init__(self) -> None:
            self.itself = self

    lost, before = weakref.ref(Node()), gc.get_threshold()
    try:
        settle_memory()
        frozen = gc.get_freeze_count()
        settle_memory()

        assert lost() is None
        assert frozen > 10_000
        assert gc.get_freeze_count() > frozen // 2
        assert gc.get_threshold()[0] > 10_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_memory_when_tidied_then_young_garbage_goes_once_there_is_enough() -> None:
    """A few objects are not worth a look."""

    class Node:
        def __init__(self) -> None:
            self.itself = self

    gc.disable()
    try:
        gc.collect()
        lost = weakref.ref(Node())
        tidy_memory()
        assert lost() is not None
        kept = [[number] for number in range(2_000)]
        tidy_memory()
        assert (lost(), len(kept)) == (None, 2_000)
    finally:
        gc.enable()
