"""Decisions: who may enter, when an exit waits, and what is recorded of it."""

import json
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest

from jts_trading.domain.feed_messages import RiskAlert
from jts_trading.domain.journal_events import (
    DecisionRecorded,
    IntentRecorded,
    OrderCancelled,
    OrderFilled,
    SignalRecorded,
)
from jts_trading.domain.orders import OrderSide
from jts_trading.engine.events import InputsChanged, IntentRefused
from jts_trading.engine.outcomes import Outcome
from jts_trading.engine.state import EngineSettings
from jts_trading.engine.step import step

SAMSUNG, HYNIX, BTC = "KRX:005930", "KRX:000660", "BINANCE:BTCUSDT"
SECOND, MINUTE = 10**9, 60 * 10**9
TEXT = """strategy("Up") {
  entry.long { when (close > open) { buy(quantity: "50%") } }
  exit.long { when (close < open) { sell(quantity: "all") } }
  risk_management { RISK }
}
"""


class Day:
    """A rig whose minutes go up or down: each has two prints and is closed by the clock."""

    def __init__(self, rigs: ModuleType, *, risk: str = "", begins: str = "10:00", **more: Any):
        self.rigs = rigs
        rig = {key: more.pop(key) for key in ("settings", "fills") if key in more}
        text = more.pop("text", TEXT).replace("RISK", risk)
        self.rig = rigs.Rig(rigs.describe(text, **more), **rig)
        self.now = rigs.instant(f"2024-06-03T{begins}:00+09:00")

    def minute(self, first: int, last: int, symbol: str = SAMSUNG) -> list[Any]:
        """Print two trades of the next minute and let it close; returns its facts."""
        before = len(self.rig.effects)
        self.rig.trade(self.rigs.Print(symbol, self.now, str(first)))
        self.rig.trade(self.rigs.Print(symbol, self.now + 30 * SECOND, str(last)))
        self.now += MINUTE
        self.rig.clock(self.now + SECOND)
        return [e.event for e in self.rig.effects[before:] if e.is_fact]

    def outcome(self) -> str:
        """Return the outcome of the newest decision."""
        return self.rig.decisions[-1].outcome


def test_decision_when_a_rule_fires_then_decision_signal_and_intent_are_recorded(rigs) -> None:
    """Sized from the equity, reserved at the upper limit with commission, traced to the frame."""
    day = Day(rigs)
    facts = day.minute(71_000, 71_100)
    decision, signal, intent = facts

    assert isinstance(decision, DecisionRecorded)
    assert isinstance(signal, SignalRecorded)
    assert isinstance(intent, IntentRecorded)
    assert (decision.outcome, decision.fired, decision.equity) == ("ordered", 1, 100_000_000)
    assert (signal.kind, signal.side, signal.condition) == ("entry", "buy", "close > open")
    order = intent.intent
    # 50 % of 100,000,000 at 71,100 are 703 shares; no session before: the close is the base price,
    # its upper limit 92,400.
    assert (order.quantity, order.side, order.price) == (703, OrderSide.BUY, None)
    assert intent.reservation.amount == 703 * 92_400 + 703 * 92_400 * 140_527 // 10**9
    assert order.decision_id == signal.decision_id == decision.decision_id
    assert order.valid_until_ns == decision.decided_ns + 5 * SECOND
    assert (order.reduces, order.triggered_ns) == (False, 0)
    kinds = [e for e in day.rig.effects if e.is_fact]
    assert {e.correlation_id for e in kinds} == {"kis-1:1001"}
    assert {e.causation_id for e in kinds} == {"entry-1"}
    assert kinds[2].event_id == f"intent/{order.order_id}"
    bar = json.loads(decision.bar)
    assert (bar["close"], bar["ticks"], bar["last_tick"]) == ("71100", 2, 1)
    assert json.loads(decision.values)[0] == {
        "rule": 0,
        "text": "close > open",
        "value": True,
        "children": [{"text": "close", "value": 71_100}, {"text": "open", "value": 71_000}],
    }


def test_decision_when_a_trade_closed_the_bar_then_latency_counts_from_its_frame(rigs) -> None:
    """The frame that closed the bar is what triggered the order."""
    day = Day(rigs)
    day.rig.trade(rigs.Print(SAMSUNG, day.now, "71000"), lag_ns=7)
    day.rig.trade(rigs.Print(SAMSUNG, day.now + 59 * SECOND, "71100"), lag_ns=7)
    day.rig.trade(rigs.Print(SAMSUNG, day.now + MINUTE, "71100"), lag_ns=7)

    assert day.rig.intents[0].triggered_ns == day.now + MINUTE + 7
    assert day.rig.effects[-1].correlation_id == "kis-1:1002"


def test_ids_when_the_same_bars_are_judged_again_then_they_are_the_same(rigs) -> None:
    """Another process that sees the same makes the same facts."""
    made = []
    for _ in range(2):
        day = Day(rigs)
        day.minute(71_000, 71_100)
        made.append([e for e in day.rig.effects if e.is_fact])

    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("risk", "minutes", "outcome"),
    [
        ("", [(71_000, 71_100), (71_100, 71_200)], Outcome.HELD),
        ("", [(71_100, 71_000)], Outcome.FLAT),
        ("cooldown = 2", [(71_000, 71_100), (71_100, 71_000), (71_000, 71_100)], "cooldown"),
        (
            'daily_loss_limit = "1%"',
            [(71_000, 71_100), (71_100, 69_000), (69_000, 69_100)],
            "loss",
        ),
    ],
)
def test_decision_when_it_may_not_act_then_the_outcome_says_why(
    rigs, risk: str, minutes: list[tuple[int, int]], outcome: str
) -> None:
    """Signals are recorded all the same."""
    day = Day(rigs, risk=risk)
    for first, last in minutes:
        facts = day.minute(first, last)

    assert outcome in day.outcome()
    assert [type(fact) for fact in facts] == [DecisionRecorded, SignalRecorded]


def test_entry_when_an_order_works_then_it_is_refused(rigs) -> None:
    """Nothing is bought twice while the first order has not ended."""
    day = Day(rigs, fills=False)
    day.minute(71_000, 71_100)
    day.minute(71_100, 71_200)

    assert day.outcome() == Outcome.ORDER_WORKS
    assert len(day.rig.intents) == 1


def test_exit_when_the_entry_still_works_then_it_leaves_as_soon_as_the_entry_has_ended(
    rigs,
) -> None:
    """A position that the strategy does not want any more is not kept."""
    day = Day(rigs, fills=False)
    day.minute(71_000, 71_100)
    day.minute(71_100, 71_000)
    assert day.outcome() == Outcome.ENTRY_CALLED_BACK
    (entry,) = day.rig.waiting
    day.rig.fill(entry, rigs.Print(SAMSUNG, day.now, "71000"))
    day.rig.trade(rigs.Print(SAMSUNG, day.now + SECOND, "71000"))

    leave = day.rig.intents[-1]
    assert (leave.side, leave.quantity, leave.reduces) == (OrderSide.SELL, entry.quantity, True)
    assert leave.decision_id == day.rig.decisions[-1].decision_id


def test_exit_when_the_entry_ends_without_a_fill_then_nothing_is_wanted_any_more(rigs) -> None:
    """A wish to leave what was never entered is dropped."""
    day = Day(rigs, fills=False)
    day.minute(71_000, 71_100)
    day.minute(71_100, 71_000)
    day.rig.deny(day.now)
    day.rig.trade(rigs.Print(SAMSUNG, day.now + SECOND, "71000"))
    day.rig.clock(day.now + 2 * SECOND)

    assert len(day.rig.intents) == 1
    assert day.rig.instance.books[SAMSUNG].wanted is None
    assert day.rig.state.waiting == set()


def test_exit_when_its_order_is_denied_then_it_is_ordered_again_ever_more_rarely(rigs) -> None:
    """10, 20, 40 s: a position that should be left is tried again, and somebody is told."""
    day = Day(rigs)
    day.minute(71_000, 71_100)
    day.minute(71_100, 71_000)
    waited, asked = [], []
    for second in range(1, 200):
        if day.rig.waiting:
            asked.append(day.rig.waiting[0].order_id)
            waited.append(second)
            day.rig.deny(day.now + second * SECOND)
        day.rig.trade(rigs.Print(HYNIX, day.now, "1"), lag_ns=second * SECOND)

    assert waited == [1, 12, 33, 74, 155]
    assert len(set(asked)) == 5
    assert [a.severity for a in day.rig.of(RiskAlert)] == ["warning", "critical", "critical"]
    assert {i.decision_id for i in day.rig.intents[1:]} == {day.rig.decisions[-1].decision_id}


def test_exit_when_its_order_fills_in_part_then_the_rest_is_sold_after_it_ended(rigs) -> None:
    """Whatever is left of the position is sold by the next order."""
    day = Day(rigs)
    day.minute(71_000, 71_100)
    day.minute(71_100, 71_000)
    (leave,) = day.rig.waiting
    part = OrderFilled(
        order_id=leave.order_id, trade_id="part", quantity=Decimal(100), price=Decimal(71_000)
    )
    day.rig.tell(part, OrderCancelled(order_id=leave.order_id), ts_ns=day.now)
    day.rig.waiting.clear()
    day.rig.trade(rigs.Print(SAMSUNG, day.now + 11 * SECOND, "71000"))

    assert day.rig.intents[-1].quantity == leave.quantity - 100


@pytest.mark.parametrize(
    ("risk", "price", "rule", "text"),
    [
        ('stop_loss = "3%"', 68_000, 100, "stop_loss 3%"),
        ('trailing_stop = "3%"', 68_000, 101, "trailing_stop 3%"),
        ('take_profit = "3%"', 74_000, 102, "take_profit 3%"),
    ],
)
def test_risk_block_when_it_is_hit_then_a_signal_names_it(
    rigs, risk: str, price: int, rule: int, text: str
) -> None:
    """Rule numbers from 100 on are the risk block; they need no rule that fires."""
    day = Day(rigs, risk=risk)
    day.minute(71_000, 71_100)
    assert day.minute(71_100, 71_100) == []
    facts = day.minute(price, price)

    decision, signal, intent = facts
    assert (decision.fired, signal.rule, signal.condition) == (0, rule, text)
    assert (signal.kind, intent.intent.side) == ("exit", OrderSide.SELL)
    (node,) = json.loads(decision.values)
    assert (node["rule"], node["text"], node["value"]) == (rule, text, True)
    assert node["children"][0] == {"text": "close", "value": price}


def test_decision_when_it_is_made_late_then_nothing_is_bought_and_the_exit_waits_for_fresh_data(
    rigs,
) -> None:
    """After a pause, entries are history; a position is still left."""
    day = Day(rigs)
    late = 60 * SECOND
    for at, price in ((0, "71000"), (30, "71100"), (60, "71100")):
        day.rig.trade(
            rigs.Print(SAMSUNG, day.now + at * SECOND, price), now_ns=day.now + 60 * SECOND + late
        )
    assert (day.outcome(), day.rig.intents) == (Outcome.OLD, [])

    day = Day(rigs)
    day.minute(71_000, 71_100)
    for at, price in ((0, "71100"), (30, "71000"), (60, "71000")):
        day.rig.trade(
            rigs.Print(SAMSUNG, day.now + at * SECOND, price), now_ns=day.now + 60 * SECOND + late
        )
    assert (day.outcome(), len(day.rig.intents)) == (Outcome.OLD_EXIT, 1)
    day.rig.trade(rigs.Print(SAMSUNG, day.now + 61 * SECOND + late, "71000"))
    assert day.rig.intents[-1].side is OrderSide.SELL


def test_decision_when_the_session_is_over_then_the_order_is_given_at_the_next_open(rigs) -> None:
    """Decided on the last bar, reserved for the limits of the next session."""
    day = Day(rigs, begins="15:29")
    day.rig.trade(rigs.Print(SAMSUNG, day.now, "71000"))
    day.rig.trade(rigs.Print(SAMSUNG, day.now + 70 * SECOND, "71100"))
    day.rig.clock(day.now + 91 * SECOND)
    assert (day.outcome(), day.rig.intents) == (Outcome.WAITS, [])

    morning = rigs.instant("2024-06-04T08:59:59+09:00")
    day.rig.clock(morning)
    day.rig.clock(morning + 2 * SECOND)
    assert day.rig.intents == []
    day.rig.trade(rigs.Print(SAMSUNG, morning + 3 * SECOND, "72000"))

    (intent,) = day.rig.intents
    assert intent.decision_id == day.rig.decisions[0].decision_id
    assert day.rig.of(IntentRecorded)[0].reservation.amount == 703 * 92_400 + 9_128


def test_entry_that_waits_when_an_exit_rule_fires_then_it_is_dropped(rigs) -> None:
    """As a backtest cancels an entry that waits."""
    day = Day(rigs, begins="15:29", interval="1m")
    day.rig.trade(rigs.Print(SAMSUNG, day.now, "71000"))
    day.rig.trade(rigs.Print(SAMSUNG, day.now + SECOND, "71100"))
    day.rig.clock(day.now + 91 * SECOND)
    book = day.rig.instance.books[SAMSUNG]
    assert book.wanted is not None
    # No print in the session yet that would give it: the next bar that closes is a falling one.
    day.rig.state.settings = EngineSettings(decision_age_ns=-1)
    morning = rigs.instant("2024-06-04T09:00:00+09:00")
    day.rig.trade(rigs.Print(SAMSUNG, morning, "71100"))
    day.rig.trade(rigs.Print(SAMSUNG, morning + SECOND, "71000"))
    day.rig.clock(morning + 61 * SECOND)

    assert (day.outcome(), book.wanted) == (Outcome.CANCELLED, None)


def test_instance_when_paused_then_it_leaves_but_does_not_enter(rigs) -> None:
    """Paused is decided anew by the inputs, without touching what is computed."""
    day = Day(rigs)
    day.minute(71_000, 71_100)
    spec = rigs.describe(TEXT.replace("RISK", ""), status="paused")
    step(day.rig.state, InputsChanged(2, (spec,)), day.now)
    day.minute(71_100, 71_000)
    assert day.rig.intents[-1].side is OrderSide.SELL
    day.minute(71_000, 71_100)

    assert day.outcome() == Outcome.PAUSED
    assert day.rig.state.inputs_version == 2


def test_intent_when_the_journal_refuses_it_then_its_cash_is_free_again(rigs) -> None:
    """An order that was never recorded does not count as working."""
    day = Day(rigs, fills=False)
    day.minute(71_000, 71_100)
    (intent,) = day.rig.intents
    step(day.rig.state, IntentRefused("trial", intent.order_id), day.now)

    assert day.rig.instance.account.reserved == 0
    day.minute(71_100, 71_200)
    assert len(day.rig.intents) == 2


def test_coins_when_bought_then_sizes_are_in_lots_and_a_fee_in_coins_leaves_only_dust(
    rigs,
) -> None:
    """Prices of 0.01, quantities of 0.00001; less than a lot counts as flat."""
    text = TEXT.replace("RISK", "").replace("50%", "20%")
    day = Day(
        rigs,
        text=text,
        venue="BINANCE",
        broker="paper",
        currency="USDT",
        interval="1s",
        instrument_ids=(BTC,),
        allocation=Decimal(10_000),
        fills=False,
    )
    start = rigs.instant("2024-08-09T00:00:00+00:00")
    for at, price in ((0, "61000.00"), (500, "61000.01"), (1000, "61000.02")):
        day.rig.trade(rigs.Print(BTC, start + at * 10**6, price, "0.1"))
    (intent,) = day.rig.intents
    # 20 % of 10,000 USDT at 61,000.01 are 0.03278 coins.
    assert (intent.quantity, intent.price) == (Decimal("0.03278"), None)
    assert day.rig.of(IntentRecorded)[0].reservation.asset == "USDT"
    bought = OrderFilled(
        order_id=intent.order_id,
        trade_id="b",
        quantity=intent.quantity,
        price=Decimal("61000.02"),
        fee_quantity=Decimal("0.00003278"),
        ts_event_ns=start + 1100 * 10**6,
    )
    day.rig.tell(bought, ts_ns=start + 1100 * 10**6)
    for at, price in ((1200, "60000.00"), (2000, "60000.00")):
        day.rig.trade(rigs.Print(BTC, start + at * 10**6, price, "0.1"))
    leave = day.rig.intents[-1]
    assert (leave.side, leave.quantity) == (OrderSide.SELL, Decimal("0.03274"))
    sold = OrderFilled(
        order_id=leave.order_id, trade_id="s", quantity=leave.quantity, price=Decimal(60_000)
    )
    day.rig.tell(sold, ts_ns=start + 2100 * 10**6)

    account = day.rig.instance.account
    assert account.is_flat(BTC)
    assert account.holding(BTC).quantity == Decimal("0.00000722")
    assert (account.record.closed, account.record.won) == (1, 0)


def test_order_when_below_the_smallest_value_of_the_venue_then_it_is_not_given(rigs) -> None:
    """Binance takes nothing below 5 USDT."""
    day = Day(
        rigs,
        venue="BINANCE",
        broker="paper",
        currency="USDT",
        interval="1s",
        instrument_ids=(BTC,),
        allocation=Decimal(6),
    )
    start = rigs.instant("2024-08-09T00:00:00+00:00")
    for at, price in ((0, "61000.00"), (500, "61000.01"), (1000, "61000.02")):
        day.rig.trade(rigs.Print(BTC, start + at * 10**6, price, "0.1"))

    assert (day.outcome(), day.rig.intents) == (Outcome.TOO_SMALL, [])


def test_signal_when_the_rules_know_no_commission_then_it_is_recorded_without_an_order(
    rigs,
) -> None:
    """AAPL: the rule table has no costs at US venues, so nothing is bought there."""
    text = TEXT.replace("RISK", "")
    rig = rigs.Rig(
        rigs.describe(
            text, venue="US", broker="paper", currency="USD", instrument_ids=("US:AAPL",)
        )
    )
    start = rigs.instant("2024-06-03T10:00:00-04:00")
    for at, price in ((0, "149.50"), (30, "150"), (61, "150")):
        rig.trade(rigs.Print("US:AAPL", start + at * SECOND, price))

    assert [s.side for s in rig.signals] == ["buy"]
    assert "no rule for the commission" in rig.decisions[0].outcome
    assert rig.intents == []


def test_exit_when_its_order_works_already_then_no_second_one_is_given(rigs) -> None:
    """Two falling bars, one sale."""
    day = Day(rigs)
    day.minute(71_000, 71_100)
    day.minute(71_100, 71_000)
    assert len(day.rig.waiting) == 1
    day.rig._fills = False
    day.minute(71_000, 70_900)

    assert day.outcome() == Outcome.ORDER_WORKS
    assert [i.side for i in day.rig.intents] == [OrderSide.BUY, OrderSide.SELL]


def test_exit_when_the_session_is_over_then_it_is_given_at_the_next_open_once(rigs) -> None:
    """The risk block on the last bar; an exit rule meanwhile finds that an exit waits."""
    day = Day(rigs, begins="15:27", risk='stop_loss = "1%"')
    day.minute(71_000, 71_100)
    day.minute(71_100, 71_100)
    day.rig.trade(rigs.Print(SAMSUNG, day.now, "71100"))
    day.rig.trade(rigs.Print(SAMSUNG, day.now + 70 * SECOND, "70000"))
    day.rig.clock(day.now + 91 * SECOND)
    assert (day.outcome(), len(day.rig.intents)) == (Outcome.WAITS, 1)

    day.now = rigs.instant("2024-06-04T09:00:00+09:00")
    day.rig._fills = False
    day.rig.state.settings = EngineSettings(decision_age_ns=-1)
    day.minute(70_000, 69_900)
    assert day.outcome() == Outcome.EXIT_WAITS
    day.rig.state.settings = EngineSettings()
    day.rig.trade(rigs.Print(SAMSUNG, day.now + 2 * SECOND, "69900"))
    day.rig.clock(day.now + 3 * SECOND)

    sold = day.rig.intents[1:]
    assert [i.decision_id for i in sold] == [day.rig.decisions[1].decision_id]


def test_entry_that_waited_when_it_is_no_longer_wanted_then_it_is_dropped(rigs) -> None:
    """Paused overnight: nothing is bought at the open."""
    day = Day(rigs, begins="15:29")
    day.rig.trade(rigs.Print(SAMSUNG, day.now, "71000"))
    day.rig.trade(rigs.Print(SAMSUNG, day.now + SECOND, "71100"))
    day.rig.clock(day.now + 91 * SECOND)
    assert day.outcome() == Outcome.WAITS
    spec = rigs.describe(TEXT.replace("RISK", ""), status="paused")
    step(day.rig.state, InputsChanged(2, (spec,)), day.now)
    morning = rigs.instant("2024-06-04T09:00:01+09:00")
    day.rig.trade(rigs.Print(SAMSUNG, morning, "71100"))

    assert day.rig.intents == []
    assert day.rig.state.waiting == set()


def test_kelly_when_the_trades_have_no_edge_then_nothing_is_bought(rigs) -> None:
    """After enough losing trades the share is zero; before, the floor."""
    text = TEXT.replace("RISK", "").replace('"50%"', "calculate_kelly_criterion()")
    sizes = EngineSettings().sizes
    settings = EngineSettings(sizes=type(sizes)(sizes.entry_ppm, (1, *sizes.kelly[1:])))
    day = Day(rigs, text=text, settings=settings)
    day.minute(71_000, 71_100)
    assert day.rig.intents[0].quantity == 14  # 1 % of 100,000,000
    day.minute(71_100, 71_000)
    day.minute(70_000, 70_100)

    assert day.outcome() == Outcome.NO_EDGE


def test_entry_when_cash_does_not_pay_for_one_share_then_the_outcome_says_so(rigs) -> None:
    """Reserved at the upper limit, a share costs more than its price."""
    day = Day(rigs, allocation=Decimal(80_000), text=TEXT.replace("50%", "100%"))
    day.minute(71_000, 71_100)

    assert (day.outcome(), day.rig.intents) == (Outcome.NO_CASH, [])


def test_rules_that_sell_short_when_they_fire_then_the_signal_says_that_they_are_off(rigs) -> None:
    """The signal is recorded for parity, no order is given."""
    text = """strategy("Short") { entry.short { when (close < open) { sell(quantity: "5%") } } }"""
    day = Day(rigs, text=text)
    day.minute(71_100, 71_000)

    assert (day.outcome(), day.rig.intents) == (Outcome.SHORT, [])
    assert [(s.kind, s.side) for s in day.rig.signals] == [("entry", OrderSide.SELL)]


def test_fills_when_they_come_outside_the_session_or_of_others_then_the_engine_copes(rigs) -> None:
    """A late booking dates the leaving by its own time; events of others change nothing."""
    day = Day(rigs, risk="cooldown = 1", fills=False)
    day.minute(71_000, 71_100)
    (bought,) = day.rig.waiting
    day.rig.fill(bought, rigs.Print(SAMSUNG, day.now, "71100"))
    day.minute(71_100, 71_000)
    sold = day.rig.waiting[-1]
    night = rigs.instant("2024-06-03T20:00:00+09:00")
    day.rig.fill(sold, rigs.Print(SAMSUNG, night, "71000"))
    book = day.rig.instance.books[SAMSUNG]
    assert (book.left_ms, book.bars_since) == (night // 10**6, 0)

    before = day.rig.state.journal_seq
    other = OrderCancelled(order_id="00000000-0000-0000-0000-000000000001")
    assert day.rig.tell(other, ts_ns=night) == []
    assert day.rig.state.journal_seq > before
