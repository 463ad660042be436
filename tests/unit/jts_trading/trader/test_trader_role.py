"""The trader as a role: start, restart, lost entries, new inputs."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from jts_trading.domain.feed_messages import BarsClosed, RiskAlert
from jts_trading.domain.journal_events import OrderCancelled
from jts_trading.domain.messages import MESSAGES
from jts_trading.engine.halves import market_digest
from jts_trading.market_store.batches import find_dataset
from jts_trading.market_store.memory import MemoryMarket
from storage.schema.arrow import file_schema

TEXT = """strategy("Up") {
  indicators { quick = SMA(period: 2) slow = SMA(period: 4) }
  entry.long { when (quick crosses above slow) { buy(quantity: "20%") } }
  exit.long { when (quick crosses below slow) { sell(quantity: "all") } }
}
"""
# Falls, rises (crossing above at 09:06), falls (crossing below at 09:10).
WAVE = [71_500, 71_300, 71_100, 71_000, 71_000, 71_400, 71_800, 72_000, 71_200, 70_500, 70_400]
OPEN = "2024-06-03T09:00:00+09:00"
SAMSUNG = "KRX:005930"


async def messages(trial: Any, topic: str) -> list[Any]:
    """Return everything on a topic."""
    entries, _ = await trial.bus.read({topic: "0-0"}, count=1_000, wait_ms=0)
    return [
        MESSAGES.decode(e.envelope.type, e.envelope.version, e.envelope.payload) for e in entries
    ]


def sides(trial: Any) -> list[str]:
    """Return the sides of the intents in the journal."""
    return [event.intent.side.value for event in trial.facts("intent_recorded")]


def test_trader_when_ticks_come_then_bars_signals_and_intents_go_out(play: Any) -> None:
    """One transaction for decision, signal and intent, with the place of the entry."""

    async def scenario(trial: Any) -> None:
        trial.inputs(trial.rigs.describe(TEXT))
        await trial.deposit()
        async with trial.running() as trader:
            await trial.minutes(OPEN, WAVE[:8])
            await trial.settle()
            assert trader.readiness() == ()
            figures = trader.metrics()
        assert sides(trial) == ["buy"]
        kinds = [row.type for row in trial.store.events]
        assert kinds[:2] == ["cash_moved", "note_recorded"]
        assert kinds[2:] == ["decision_recorded", "signal_recorded", "intent_recorded"]
        facts = trial.store.events[2:]
        assert len({row.consumed for row in facts}) == 1
        assert facts[0].consumed.source == "market-data.krx.ticks"
        closed = await messages(trial, "market-data.krx.candles")
        assert all(isinstance(each, BarsClosed) for each in closed)
        assert [int(bar.close) for each in closed for bar in each.bars()] == WAVE[:7]
        assert (figures["bars_total"], figures["intents_total"]) == (7, 1)
        assert figures["decision_count"] == 1

    play(scenario)


def test_trader_when_an_order_fills_then_it_leaves_what_it_holds(play: Any) -> None:
    """What became of orders comes from the journal."""

    async def scenario(trial: Any) -> None:
        trial.inputs(trial.rigs.describe(TEXT))
        await trial.deposit()
        async with trial.running() as trader:
            await trial.minutes(OPEN, WAVE[:8])
            await trial.settle()
            await trial.fill_orders()
            account = trader._state.instances["trial"].account
            await trial.until(lambda: not account.is_flat("KRX:005930"))
            await trial.minutes("2024-06-03T09:08:00+09:00", WAVE[8:])
            await trial.settle()
            await trial.fill_orders()
            await trial.until(lambda: account.is_flat("KRX:005930"))
            assert account.record.closed == 1
        assert sides(trial) == ["buy", "sell"]

    play(scenario)


LIMIT_TEXT = """strategy("Low") {
  entry.long { when (close > open) { buy(quantity: 10, type: "limit", price: close * 0.99) } }
  exit.long { when (close < open) { close() } }
}"""


def test_trader_when_an_exit_rule_fires_then_the_entry_that_rests_is_called_back_even_if_killed(
    play: Any,
) -> None:
    """The cancel is asked for in the journal, once; what was bought is left when it has ended."""

    async def scenario(trial: Any) -> None:
        trial.inputs(trial.rigs.describe(LIMIT_TEXT))
        await trial.deposit()
        async with trial.running():
            await trial.minutes(OPEN, [71_000, 71_100, 71_100])
            await trial.until(lambda: len(trial.facts("intent_recorded")) == 1)
            order = await trial.rest(filled=4)
            await trial.minutes("2024-06-03T09:03:00+09:00", [71_100, 71_000, 71_000])
            await trial.settle()
        # Killed before or after it had asked: the next one knows that it is to be asked.
        async with trial.running() as trader:
            await trial.until(lambda: bool(trial.facts("cancel_requested")))
            await trial.tell(OrderCancelled(order_id=order.id))
            state = trader._state
            await trial.until(lambda: not state.called_back)
            await trial.minutes("2024-06-03T09:06:00+09:00", [71_000])
            await trial.until(lambda: len(trial.facts("intent_recorded")) == 2)
        assert len(trial.facts("cancel_requested")) == 1
        intents = [fact.intent for fact in trial.facts("intent_recorded")]
        assert [(i.side, int(i.quantity), i.price) for i in intents] == [
            ("buy", 10, 70_300),
            ("sell", 4, None),
        ]

    play(scenario)


def test_signals_when_the_trader_was_down_then_they_are_recorded_late_and_not_ordered(
    play: Any,
) -> None:
    """Nothing that happened is lost, and nothing is bought on old news."""

    async def scenario(trial: Any) -> None:
        trial.inputs(trial.rigs.describe(TEXT))
        await trial.deposit()
        async with trial.running():
            await trial.minutes(OPEN, WAVE[:3])
        await trial.minutes("2024-06-03T09:03:00+09:00", WAVE[3:])
        async with trial.running():
            await trial.settle()
        found = [d.outcome for d in trial.facts("decision_recorded")]
        assert found == ["decided too late to order", "nothing to sell"]
        assert len(trial.facts("signal_recorded")) == 2
        assert sides(trial) == []

    play(scenario)


@pytest.mark.parametrize("cut", [3, 6, 7, 9])
def test_trader_when_killed_at_any_minute_then_it_goes_on_as_if_it_had_not_been(
    play: Any, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same facts, once each, and the same state to the bit."""

    async def ended(trial: Any, trader: Any) -> tuple[str, list[Any]]:
        await trial.settle()
        # The entry that nobody sent is taken back when the exit rule fires.
        await trial.until(lambda: "order_expired" in [row.type for row in trial.store.events])
        return market_digest(trader._state), [row.event_id for row in trial.store.events]

    async def undisturbed(trial: Any) -> tuple[str, list[Any]]:
        trial.inputs(trial.rigs.describe(TEXT))
        await trial.deposit()
        async with trial.running() as trader:
            await trial.minutes(OPEN, WAVE)
            return await ended(trial, trader)

    async def killed(trial: Any) -> tuple[str, list[Any]]:
        trial.inputs(trial.rigs.describe(TEXT))
        await trial.deposit()
        async with trial.running():
            await trial.minutes(OPEN, WAVE[:cut])
            await trial.settle()
        async with trial.running() as trader:
            at = f"2024-06-03T09:{cut:02}:00+09:00"
            await trial.minutes(at, WAVE[cut:])
            return await ended(trial, trader)

    assert play(killed, home=tmp_path_factory.mktemp("killed")) == play(undisturbed)


SURGE_TEXT = """strategy("Surge") {
  surge_detection {
    when (price_change(2m) > 0.8% and volume > avg_volume(3) * 0.5) { execute_immediately("20%") }
  }
  exit.long { when (close < 70_600) { sell("all") } }
}
"""
# At 09:05:30 it is 0.56 % above the last price of two minutes before, at 09:06:30 1.1 %.
SURGES_AT = "2024-06-03T09:06:30+09:00"


async def wave(trial: Any, first: int, end: int) -> None:
    """Let minutes of the wave trade: at the close before, and half a minute later at their own."""
    for minute in range(first, end):
        at_ns = trial.rigs.instant(OPEN) + minute * 60 * 10**9
        for second, price in ((0, WAVE[max(minute - 1, 0)]), (30, WAVE[minute])):
            await trial.trade(trial.rigs.Print(SAMSUNG, at_ns + second * 10**9, str(price), "10"))


@pytest.mark.parametrize("cut", [6, 7, 9])
def test_trader_when_trades_surge_then_it_orders_once_and_within_the_minute_even_if_killed(
    play: Any, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Killed before, in and after the surge, with a snapshot of any age: the same facts."""

    async def ended(trial: Any, trader: Any) -> tuple[str, list[Any]]:
        await trial.settle()
        await trial.until(lambda: "order_expired" in [row.type for row in trial.store.events])
        surge, leaves = trial.facts("decision_recorded")
        assert surge.triggered_ns == trial.rigs.instant(SURGES_AT)
        assert (surge.outcome, leaves.fired) == ("ordered", 2)
        return market_digest(trader._state), [row.event_id for row in trial.store.events]

    async def undisturbed(trial: Any) -> tuple[str, list[Any]]:
        trial.inputs(trial.rigs.describe(SURGE_TEXT))
        await trial.deposit()
        async with trial.running() as trader:
            await wave(trial, 0, len(WAVE))
            return await ended(trial, trader)

    async def killed(trial: Any) -> tuple[str, list[Any]]:
        trial.inputs(trial.rigs.describe(SURGE_TEXT))
        await trial.deposit()
        async with trial.running():
            await wave(trial, 0, cut)
            await trial.settle()
        async with trial.running() as trader:
            await wave(trial, cut, len(WAVE))
            return await ended(trial, trader)

    assert play(killed, home=tmp_path_factory.mktemp("killed")) == play(undisturbed)


def test_trader_when_it_starts_amid_a_surge_then_recorded_trades_say_that_it_was_one(
    play: Any,
) -> None:
    """The past price and the surge come from the store; what fired before the start is history."""

    async def scenario(trial: Any) -> None:
        trial.inputs(trial.rigs.describe(SURGE_TEXT))
        await trial.deposit()
        await trial.minutes(OPEN, WAVE[:7], is_recorded=True, is_lost=True)
        async with trial.running() as trader:
            watch = trader._state.instances["trial"].watch
            assert list(watch.trails[0].prices)[-1] == WAVE[6]
            await trial.minutes("2024-06-03T09:07:00+09:00", WAVE[7:8], is_recorded=True)
            await trial.settle()
            assert trial.facts("decision_recorded") == []

    play(scenario)


def test_trader_when_the_journal_does_not_cover_an_order_then_the_decision_says_so(
    play: Any,
) -> None:
    """No order without cash; the place is consumed all the same."""

    async def scenario(trial: Any) -> None:
        trial.inputs(trial.rigs.describe(TEXT))
        async with trial.running() as trader:
            await trial.minutes(OPEN, WAVE[:8])
            await trial.settle()
            assert trader._state.instances["trial"].account.orders == {}
        (decision,) = trial.facts("decision_recorded")
        assert decision.outcome == "the account does not cover it"
        assert trial.facts("intent_recorded") == []
        assert len(trial.facts("signal_recorded")) == 1

    play(scenario)


def test_trader_when_ticks_are_missing_on_the_bus_then_the_recorded_ones_fill_them_up(
    play: Any,
) -> None:
    """By number, in their order, before what follows; and it says so."""

    async def scenario(trial: Any) -> None:
        trial.inputs(trial.rigs.describe(TEXT))
        await trial.deposit()
        async with trial.running() as trader:
            await trial.minutes(OPEN, WAVE[:3], is_recorded=True)
            lost = "2024-06-03T09:03:00+09:00"
            await trial.minutes(lost, WAVE[3:6], is_recorded=True, is_lost=True)
            await trial.minutes("2024-06-03T09:06:00+09:00", WAVE[6:8], is_recorded=True)
            await trial.settle()
            await trial.until(lambda: trader.metrics().get("filled_ticks_total") == 6)
        closed = await messages(trial, "market-data.krx.candles")
        assert [int(bar.close) for each in closed for bar in each.bars()] == WAVE[:7]
        alerts = [a for a in await messages(trial, "risk.alerts") if isinstance(a, RiskAlert)]
        assert [a.check for a in alerts] == ["ticks_missing"]
        assert "ticks 6 to 11" in alerts[0].text

    play(scenario)


def test_trader_when_the_bus_was_wiped_while_it_was_down_then_recorded_ticks_close_the_gap(
    play: Any,
) -> None:
    """Its place means nothing any more; numbers of ticks do."""

    async def scenario(trial: Any) -> None:
        trial.inputs(trial.rigs.describe(TEXT))
        await trial.deposit()
        async with trial.running():
            await trial.minutes(OPEN, WAVE[:3], is_recorded=True)
            await trial.settle()
            await trial.until((trial.home / "trading/trader/market.snapshot").exists)
        lost = "2024-06-03T09:03:00+09:00"
        await trial.minutes(lost, WAVE[3:6], is_recorded=True, is_lost=True)
        trial.bus.streams.clear()
        async with trial.running():
            await trial.minutes("2024-06-03T09:06:00+09:00", WAVE[6:8], is_recorded=True)
            await trial.settle()
        assert sides(trial) == ["buy"]

    play(scenario)


def test_trader_when_started_in_mid_session_then_recorded_ticks_warm_it_up(play: Any) -> None:
    """Bars before the start are history: taken in, not decided on."""

    async def scenario(trial: Any) -> None:
        trial.inputs(trial.rigs.describe(TEXT))
        await trial.deposit()
        await trial.minutes(OPEN, WAVE[:8], is_recorded=True, is_lost=True)
        async with trial.running() as trader:
            row = trader._state.instances["trial"].symbols["KRX:005930"]
            assert row.bars == 7
            await trial.minutes("2024-06-03T09:08:00+09:00", WAVE[8:], is_recorded=True)
            await trial.settle()
        decisions = trial.facts("decision_recorded")
        assert [d.outcome for d in decisions] == ["nothing to sell"]

    play(scenario)


def test_trader_when_a_release_changes_then_it_is_warm_and_keeps_its_position(play: Any) -> None:
    """Hot reload: no restart, no lost position, unchanged instances go on."""

    async def scenario(trial: Any) -> None:
        first = trial.rigs.describe(TEXT)
        other = trial.rigs.describe(TEXT, instance="other")
        trial.inputs(first, other)
        await trial.deposit()
        async with trial.running() as trader:
            await trial.minutes(OPEN, WAVE[:8], is_recorded=True)
            await trial.settle()
            await trial.fill_orders()
            state = trader._state
            await trial.until(
                lambda: all(not i.account.is_flat("KRX:005930") for i in state.instances.values())
            )
            changed = trial.rigs.describe(TEXT.replace("period: 4", "period: 5"))
            rows = state.instances["other"].rows
            await trial.announce(trial.inputs(changed, other, version=2))
            await trial.until(lambda: state.instances["trial"].spec.release == changed.release)
            trial_instance = state.instances["trial"]
            assert trial_instance.symbols["KRX:005930"].bars == 7
            assert not trial_instance.account.is_flat("KRX:005930")
            assert state.instances["other"].rows is rows
            assert trader.readiness() == ()
            # Memory settles after the start, and when the new release has joined.
            assert len(trial.settled) == 2
            await trial.minutes("2024-06-03T09:08:00+09:00", WAVE[8:], is_recorded=True)
            await trial.settle()
        assert sides(trial) == ["buy", "buy", "sell", "sell"]
        sold = trial.facts("intent_recorded")[-2:]
        assert {e.intent.release for e in sold} == {first.release, changed.release}

    play(scenario)


def test_trader_when_an_instance_joins_and_one_leaves_then_the_inputs_say_who_trades(
    play: Any,
) -> None:
    """And an older version changes nothing."""

    async def scenario(trial: Any) -> None:
        first = trial.rigs.describe(TEXT)
        trial.inputs(first, version=5)
        async with trial.running() as trader:
            state = trader._state
            second = trial.rigs.describe(TEXT, instance="second")
            await trial.announce(trial.inputs(second, version=6))
            await trial.until(lambda: list(state.instances) == ["second"])
            await trial.announce(trial.inputs(first, version=4))
            paused = trial.rigs.describe(TEXT, instance="second", status="paused")
            await trial.announce(trial.inputs(paused, version=7))
            await trial.until(lambda: state.inputs_version == 7)
            assert list(state.instances) == ["second"]
            assert state.instances["second"].spec.status == "paused"

    play(scenario)


def test_trader_when_a_text_cannot_run_then_the_others_do_and_the_reason_is_told(
    play: Any,
) -> None:
    """A refused instance is named in the readiness."""

    async def scenario(trial: Any) -> None:
        good = trial.rigs.describe(TEXT)
        wrong = trial.rigs.describe(TEXT, instance="wrong", release="Up@000000000000")
        coin = trial.rigs.describe(
            TEXT, instance="coin", venue="BINANCE", instrument_ids=("BINANCE:NOSUCH",)
        )
        trial.inputs(good, wrong, coin)
        async with trial.running() as trader:
            reasons = trader.readiness()
        assert len(reasons) == 2
        assert any("wrong is refused" in r and "release it again" in r for r in reasons)
        assert any("coin is refused" in r and "NOSUCH" in r for r in reasons)

    play(scenario)


def test_trader_when_stores_are_away_then_it_says_which_and_goes_on_when_they_are_back(
    play: Any,
) -> None:
    """No inputs, no market store: reasons, no crash."""

    async def scenario(trial: Any) -> None:
        trial.market.is_down = True
        async with trial.running(is_awaited=False) as trader:
            await trial.until(lambda: "no trading inputs" in str(trader.readiness()))
            trial.inputs(trial.rigs.describe(TEXT))
            await trial.until(lambda: "market store" in str(trader.readiness()))
            trial.market.is_down = False
            await trial.until(lambda: trader.readiness() == ())

    play(scenario)


def test_trader_when_prices_come_after_warm_up_bars_then_it_signals_a_purchase(play: Any) -> None:
    """C30: create SMA_Cross, send prices, expect a BUY signal on its topic."""
    text = """strategy("SMA_Cross") {
      indicators { quick = SMA(period: 2) slow = SMA(period: 3) }
      entry.long { when (quick crosses above slow) { buy(quantity: "10%") } }
    }"""

    async def scenario(trial: Any) -> None:
        start = datetime(2024, 5, 31, tzinfo=UTC)
        rows = [
            {
                "timestamp": start + timedelta(minutes=at),
                "venue": "KRX",
                "symbol": "005930",
                "broker": "test",
                "interval": "1m",
                **{name: Decimal(close) for name in ("open", "high", "low", "close")},
                "volume": Decimal(10),
                "bid": None,
                "ask": None,
                "trade_date": date(2024, 5, 31),
                "received_at": start,
                "available_at": start,
                "revision": 1,
                "status": "traded",
                "quality": "ok",
                "ingest_id": "test",
            }
            for at, close in enumerate((151, 150, 149, 148, 147))
        ]
        schema = file_schema(find_dataset("candles"), "KRX")
        trial.market = MemoryMarket(pl.DataFrame(pa.Table.from_pylist(rows, schema)))
        trial.inputs(trial.rigs.describe(text, epoch="2024-05-31"))
        async with trial.running() as trader:
            assert trader._state.instances["trial"].symbols["KRX:005930"].bars == 5
            await trial.minutes(OPEN, [150, 150])
            await trial.settle()
        (signal,) = trial.facts("signal_recorded")
        assert (signal.kind, signal.side.value, signal.price) == ("entry", "buy", 150)
        assert json.loads(trial.facts("decision_recorded")[0].bar)["close"] == "150"

    play(scenario)
