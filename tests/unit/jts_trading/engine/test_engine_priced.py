"""Orders with a price or a time in force: what is given, reserved, called back, when it ends."""

import json
from decimal import Decimal
from types import ModuleType
from typing import Any

import msgspec
import pytest

from jts_trading.domain.journal_events import (
    CancelRequested,
    IntentRecorded,
    OrderCancelled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    PositionAdopted,
)
from jts_trading.domain.orders import OrderIntent, OrderSide
from jts_trading.engine.events import TicksArrived
from jts_trading.engine.halves import AccountHalf, MarketHalf, account_half, market_half
from jts_trading.engine.outcomes import Outcome
from jts_trading.engine.setup import load_accounts, load_market, new_state
from jts_trading.engine.state import EngineState
from jts_trading.engine.step import step
from jts_trading.engine.wishes import orders_called_back

SAMSUNG = "KRX:005930"
SECOND, MINUTE = 10**9, 60 * 10**9
TEXT = """strategy("Priced") {
  entry.long { when (close > open) { buy(quantity: 100, ENTRY) } }
  exit.long { when (close < open) { sell(quantity: "all"EXIT) } }
  risk_management { RISK }
}
"""


class Day:
    """A rig whose minutes have two prints and are closed by the clock; nothing fills by itself."""

    def __init__(self, rigs: ModuleType, entry: str, leave: str = "", risk: str = "") -> None:
        text = TEXT.replace("ENTRY", entry).replace("EXIT", leave).replace("RISK", risk)
        self.rigs = rigs
        self.rig = rigs.Rig(rigs.describe(text), fills=False)
        self.now = rigs.instant("2024-06-03T10:00:00+09:00")

    def minute(self, first: int, last: int) -> str:
        """Print two trades of the next minute and let it close; returns the newest outcome."""
        for second, price in ((0, first), (30, last)):
            self.rig.trade(self.rigs.Print(SAMSUNG, self.now + second * SECOND, str(price)))
        self.now += MINUTE
        self.rig.clock(self.now + SECOND)
        decisions = self.rig.decisions
        return decisions[-1].outcome if decisions else ""

    def tick(self, price: int) -> list[Any]:
        """Print one trade now; returns its facts."""
        self.now += SECOND
        effects = self.rig.trade(self.rigs.Print(SAMSUNG, self.now, str(price)))
        return [effect.event for effect in effects if effect.is_fact]

    def fill(self, order: OrderIntent, quantity: int, price: int) -> None:
        """Let the venue fill a part of an order."""
        filled = OrderFilled(
            order_id=order.order_id,
            trade_id=f"t{self.now}",
            quantity=Decimal(quantity),
            price=Decimal(price),
            ts_event_ns=self.now,
        )
        self.rig.tell(filled, ts_ns=self.now)

    @property
    def order(self) -> OrderIntent:
        """The newest intent."""
        found: OrderIntent = self.rig.intents[-1]
        return found

    @property
    def state(self) -> EngineState:
        """Of the engine."""
        found: EngineState = self.rig.state
        return found

    @state.setter
    def state(self, state: EngineState) -> None:
        self.rig.state = state


def shown(order: OrderIntent) -> tuple[str, int, int | None, str]:
    """Return what an order says."""
    price = None if order.price is None else int(order.price)
    return order.side.value, int(order.quantity), price, order.time_in_force


@pytest.mark.parametrize(
    ("entry", "expected", "reserved"),
    [
        # 71,100 x 0.9957 = 70,794.27: down to the tick of 100; what is asked for is reserved.
        ('type: "limit", price: close * 0.9957', ("buy", 100, 70_700, "day"), 70_795),
        ('type: "limit", price: close, tif: "ioc"', ("buy", 100, 71_100, "ioc"), 71_100),
        ('type: "limit", price: 70_000, tif: "fok"', ("buy", 100, 70_000, "fok"), 70_000),
        ('tif: "ioc"', ("buy", 100, None, "ioc"), 92_400),
    ],
)
def test_entry_when_it_has_a_price_then_it_is_on_the_tick_and_reserves_that_price(
    rigs: ModuleType, entry: str, expected: tuple[Any, ...], reserved: int
) -> None:
    """Rounded to where it fills less likely; a market order holds the upper limit back."""
    day = Day(rigs, entry)

    assert day.minute(71_000, 71_100) == Outcome.ORDERED

    (event,) = day.rig.of(IntentRecorded)
    assert shown(event.intent) == expected
    cost = 100 * reserved
    assert event.reservation.amount == cost + cost * 140_527 // 10**9


def test_exit_when_it_has_a_price_then_it_is_rounded_up(rigs: ModuleType) -> None:
    """A sale at 71,000 x 1.0011 = 71,078.1 stands at 71,100."""
    day = Day(rigs, 'tif: "day"', ', type: "limit", price: close * 1.0011')
    day.minute(71_000, 71_100)
    day.fill(day.order, 100, 71_100)

    day.minute(71_100, 71_000)

    assert shown(day.order) == ("sell", 100, 71_100, "day")


def test_order_when_its_price_is_not_known_then_there_is_none(rigs: ModuleType) -> None:
    """Null gives no order, of entry and exit; the decision says so."""
    unknown = 'type: "limit", price: SMA(50)'
    day = Day(rigs, unknown)
    assert day.minute(71_000, 71_100) == Outcome.NO_PRICE

    leaving = Day(rigs, 'tif: "day"', f", {unknown}")
    leaving.minute(71_000, 71_100)
    leaving.fill(leaving.order, 100, 71_100)
    assert leaving.minute(71_100, 71_000) == Outcome.NO_PRICE
    assert (len(day.rig.intents), len(leaving.rig.intents)) == (0, 1)


def test_limit_when_it_ends_unfilled_then_it_is_not_given_again(rigs: ModuleType) -> None:
    """Unlike an exit at the market: its price was for that session; the rule may fire again."""
    day = Day(rigs, 'tif: "day"', ', type: "limit", price: close * 1.02')
    day.minute(71_000, 71_100)
    day.fill(day.order, 100, 71_100)
    day.minute(71_100, 71_000)
    given = len(day.rig.intents)

    day.rig.tell(OrderExpired(order_id=day.order.order_id), ts_ns=day.now)
    day.rig.clock(day.now + 60 * SECOND)
    assert len(day.rig.intents) == given
    assert day.minute(71_000, 70_900) == Outcome.ORDERED
    assert len(day.rig.intents) == given + 1


def test_limit_decided_on_the_last_bar_when_the_next_session_is_over_then_it_is_dropped(
    rigs: ModuleType,
) -> None:
    """It waits for one session; the share does not trade in it, so it lapses."""
    day = Day(rigs, 'type: "limit", price: close')
    day.now = rigs.instant("2024-06-03T15:29:00+09:00")
    day.rig.trade(rigs.Print(SAMSUNG, day.now, "71000"), rigs.Print(SAMSUNG, day.now + 1, "71100"))
    day.rig.clock(day.now + 91 * SECOND)
    assert day.rig.decisions[-1].outcome == Outcome.WAITS
    wanted = day.rig.instance.books[SAMSUNG].wanted
    assert (wanted.limit, wanted.lots) == (71_100, 100)

    day.now = rigs.instant("2024-06-05T09:00:00+09:00")
    day.tick(71_000)
    day.tick(71_000)

    assert day.rig.intents == []
    assert day.rig.instance.books[SAMSUNG].wanted is None
    assert day.rig.instance.free_cash() == 100_000_000


def test_limit_decided_on_the_last_bar_when_the_share_trades_then_it_is_given(
    rigs: ModuleType,
) -> None:
    """At the first trade of the next session, at its price."""
    day = Day(rigs, 'type: "limit", price: close')
    day.now = rigs.instant("2024-06-03T15:29:00+09:00")
    day.rig.trade(rigs.Print(SAMSUNG, day.now, "71000"), rigs.Print(SAMSUNG, day.now + 1, "71100"))
    day.rig.clock(day.now + 91 * SECOND)

    day.now = rigs.instant("2024-06-04T09:00:00+09:00")
    day.tick(71_500)

    assert shown(day.order) == ("buy", 100, 71_100, "day")


def test_entry_that_rests_when_an_exit_rule_fires_then_it_is_called_back_and_left(
    rigs: ModuleType,
) -> None:
    """Asked for once, over a snapshot too; what was bought is sold when the order has ended."""
    day = Day(rigs, 'type: "limit", price: close')
    day.minute(71_000, 71_100)
    entry = day.order
    day.fill(entry, 30, 71_100)

    assert day.minute(71_100, 71_000) == Outcome.ENTRY_CALLED_BACK
    assert orders_called_back(day.state) == [entry.order_id]
    assert orders_called_back(kept(rigs, day)) == [entry.order_id]
    assert day.minute(71_000, 70_900) == Outcome.EXIT_WAITS

    day.rig.tell(OrderCancelled(order_id=entry.order_id), ts_ns=day.now)
    assert orders_called_back(day.state) == []
    day.tick(70_900)
    assert shown(day.order) == ("sell", 30, None, "day")


def test_entry_that_rests_when_it_is_called_back_unfilled_then_nothing_is_left(
    rigs: ModuleType,
) -> None:
    """No order follows, and the next entry is free."""
    day = Day(rigs, 'type: "limit", price: close')
    day.minute(71_000, 71_100)
    day.minute(71_100, 71_000)
    day.rig.tell(OrderCancelled(order_id=day.order.order_id), ts_ns=day.now)
    assert day.rig.instance.books[SAMSUNG].wanted is None

    assert day.minute(71_000, 71_100) == Outcome.ORDERED
    assert [intent.side for intent in day.rig.intents] == [OrderSide.BUY] * 2


def test_exit_that_rests_when_the_risk_block_fires_then_it_leaves_at_the_market(
    rigs: ModuleType,
) -> None:
    """An exit rule leaves it alone; the stop loss calls it back."""
    day = Day(rigs, 'tif: "day"', ', type: "limit", price: close * 1.02', 'stop_loss = "1%"')
    day.minute(71_000, 71_100)
    day.fill(day.order, 100, 71_100)
    assert day.minute(71_100, 71_000) == Outcome.ORDERED
    leave = day.order
    assert day.minute(71_000, 70_900) == Outcome.ORDER_WORKS

    assert day.minute(70_900, 70_300) == Outcome.EXIT_CALLED_BACK
    day.fill(leave, 40, 72_500)
    day.rig.tell(OrderCancelled(order_id=leave.order_id), ts_ns=day.now)
    day.tick(70_300)

    assert shown(day.order) == ("sell", 60, None, "day")
    assert day.rig.signals[-1].condition == "stop_loss 1%"


def test_call_back_when_the_order_was_denied_meanwhile_then_it_is_over(rigs: ModuleType) -> None:
    """Whatever ends an order ends the wish to cancel it."""
    day = Day(rigs, 'type: "limit", price: close')
    day.minute(71_000, 71_100)
    day.minute(71_100, 71_000)

    denied = OrderDenied(order_id=day.order.order_id, check="R03", reason="")
    day.rig.tell(denied, ts_ns=day.now)

    assert (day.state.called_back, orders_called_back(day.state)) == (set(), [])


def test_good_till_cancelled_when_its_session_ends_then_its_rest_is_given_in_the_next(
    rigs: ModuleType,
) -> None:
    """As an order for the day, once a session, with the cash of what is left; never twice."""
    day = Day(rigs, 'type: "limit", price: close, tif: "gtc"')
    day.minute(71_000, 71_100)
    first = day.order
    assert (shown(first), first.is_renewed) == (("buy", 100, 71_100, "day"), True)
    day.fill(first, 30, 71_100)
    day.now = rigs.instant("2024-06-03T15:31:00+09:00")
    day.rig.tell(OrderExpired(order_id=first.order_id), ts_ns=day.now)
    day.rig.clock(day.now + SECOND)
    assert len(day.rig.intents) == 1
    held_back = 70 * 71_100 + 7_110_000 * 140_527 // 10**9
    assert abs(day.rig.instance.free_cash() - day.rig.instance.account.cash + held_back) < 1_000

    day.state = kept(rigs, day)
    day.now = rigs.instant("2024-06-04T09:00:00+09:00")
    day.tick(71_500)

    assert (shown(day.order), day.order.order_id) != (shown(first), first.order_id)
    assert shown(day.order) == ("buy", 70, 71_100, "day")
    # Refused in this session, it comes again in the next one and not before.
    day.rig.tell(OrderDenied(order_id=day.order.order_id, check="R02", reason=""), ts_ns=day.now)
    day.tick(71_500)
    assert len(day.rig.intents) == 2
    day.now = rigs.instant("2024-06-05T09:00:00+09:00")
    day.tick(71_500)
    assert (len(day.rig.intents), shown(day.order)[1]) == (3, 70)


def test_entries_when_a_position_pyramids_then_orders_that_bought_are_counted(
    rigs: ModuleType,
) -> None:
    """One that is given again in the next session stays one, over a restart; none are left."""
    day = Day(rigs, 'type: "limit", price: close, tif: "gtc"', risk="pyramiding = 2")
    day.minute(71_000, 71_100)
    day.fill(day.order, 30, 71_100)
    day.now = rigs.instant("2024-06-03T15:31:00+09:00")
    day.rig.tell(OrderExpired(order_id=day.order.order_id), ts_ns=day.now)
    day.state = kept(rigs, day)
    day.now = rigs.instant("2024-06-04T09:00:00+09:00")
    day.tick(71_500)
    day.fill(day.order, 70, 71_100)
    assert day.rig.instance.books[SAMSUNG].entries == 1

    day.now = rigs.instant("2024-06-04T09:01:00+09:00")
    assert day.minute(71_200, 71_300) == Outcome.ORDERED
    assert day.minute(71_300, 71_400) == Outcome.ORDER_WORKS
    day.fill(day.order, 100, 71_300)
    day.state = kept(rigs, day)
    assert day.rig.instance.books[SAMSUNG].entries == 2
    assert day.minute(71_400, 71_500) == Outcome.HELD
    assert day.minute(71_500, 71_400) == Outcome.ORDERED
    day.fill(day.order, 200, 71_400)

    assert day.rig.instance.books[SAMSUNG].entries == 0
    assert day.rig.instance.account.record.closed == 1


def test_entries_when_a_position_came_without_an_order_then_it_is_one(rigs: ModuleType) -> None:
    """A position that was taken over may be added to once where two entries are allowed."""
    for number, outcomes in ((1, [Outcome.HELD] * 2), (2, [Outcome.ORDERED, Outcome.HELD])):
        day = Day(rigs, 'tif: "day"', risk=f"pyramiding = {number}")
        spec = day.rig.instance.spec
        adopted = PositionAdopted(
            broker=spec.broker,
            account=spec.account,
            instance=spec.instance,
            instrument_id=SAMSUNG,
            currency="KRW",
            quantity=Decimal(10),
            cost=Decimal(710_000),
            reason="",
        )
        day.rig.tell(adopted, ts_ns=day.now)

        found = [day.minute(71_000, 71_100)]
        if day.rig.intents:
            day.fill(day.order, 100, 71_100)
        found.append(day.minute(71_100, 71_200))

        assert found == outcomes


def test_entry_when_the_position_has_its_largest_size_then_nothing_is_ordered(
    rigs: ModuleType,
) -> None:
    """A hundred shares are what 7.15 % of a hundred million pays for: nothing is left to add."""
    day = Day(rigs, 'tif: "day"', risk="pyramiding = 9 max_position_size = 7.15%")
    assert day.minute(71_000, 71_100) == Outcome.ORDERED
    day.fill(day.order, 100, 71_100)

    assert day.minute(71_100, 71_200) == Outcome.LARGEST
    assert len(day.rig.intents) == 1


@pytest.mark.parametrize("is_by_rule", [True, False])
def test_good_till_cancelled_when_it_was_cancelled_then_it_does_not_come_again(
    rigs: ModuleType, is_by_rule: bool
) -> None:
    """By the strategy or by a person."""
    day = Day(rigs, 'type: "limit", price: close, tif: "gtc"')
    day.minute(71_000, 71_100)
    order_id = day.order.order_id
    if is_by_rule:
        day.minute(71_100, 71_000)
    else:
        day.rig.tell(CancelRequested(order_id=order_id, number=1), ts_ns=day.now)
    day.rig.tell(OrderCancelled(order_id=order_id), ts_ns=day.now)

    day.now = rigs.instant("2024-06-04T09:00:00+09:00")
    day.tick(71_500)

    assert len(day.rig.intents) == 1
    assert day.rig.instance.books[SAMSUNG].wanted is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('type: "stop", stop: close * 1.001', ("buy", 100, None, "day")),
        ('type: "stop_limit", stop: 71_150, price: close * 1.01', ("buy", 100, 71_800, "day")),
    ],
)
def test_stop_when_a_trade_reaches_it_then_the_order_is_given(
    rigs: ModuleType, entry: str, expected: tuple[Any, ...]
) -> None:
    """Held with its cash, over a restart; 71,171 and 71,150 are 71,200: 71,100 is not enough."""
    day = Day(rigs, entry)
    assert day.minute(71_000, 71_100) == Outcome.STOP_HELD
    node = json.loads(day.rig.decisions[-1].values)[-1]
    assert node == {"rule": 0, "text": "stop price", "value": 71_200.0}
    assert day.tick(71_100) == []
    instance = day.rig.instance
    held_back = instance.account.cash - instance.free_cash()
    assert held_back > 100 * 71_200

    day.state = kept(rigs, day)
    assert day.tick(71_100) == []
    (fact,) = day.tick(71_300)

    assert shown(fact.intent) == expected
    assert (fact.intent.trigger, fact.intent.triggered_ns) == (71_200, day.now)
    assert fact.intent.decision_id == day.rig.decisions[-1].decision_id
    assert fact.reservation.amount == held_back
    assert day.tick(71_300) == []


def test_stop_of_an_exit_when_it_is_reached_then_the_position_is_left(rigs: ModuleType) -> None:
    """Below the close, rounded down; as a market order it is given again until it has sold."""
    day = Day(rigs, 'tif: "day"', ', type: "stop", stop: close * 0.999')
    day.minute(71_000, 71_100)
    day.fill(day.order, 100, 71_100)
    assert day.minute(71_100, 71_000) == Outcome.STOP_HELD
    assert day.minute(71_000, 70_950) == Outcome.EXIT_WAITS
    assert day.tick(70_901) == []

    (fact,) = day.tick(70_900)

    assert shown(fact.intent) == ("sell", 100, None, "day")
    denied = OrderDenied(order_id=fact.intent.order_id, check="R03", reason="")
    day.rig.tell(denied, ts_ns=day.now)
    day.now += 10 * SECOND
    assert len(day.tick(71_500)) == 1


def test_stop_that_is_held_when_the_risk_block_fires_then_it_leaves_at_the_market(
    rigs: ModuleType,
) -> None:
    """The stop is dropped; nothing of it is left at the desk."""
    day = Day(rigs, 'tif: "day"', ', type: "stop", stop: close * 0.98', 'stop_loss = "1%"')
    day.minute(71_000, 71_100)
    day.fill(day.order, 100, 71_100)
    day.minute(71_100, 71_000)

    outcome = day.minute(71_000, 70_300)

    assert outcome == f"{Outcome.CANCELLED}; {Outcome.ORDERED}"
    assert (shown(day.order), day.order.trigger) == (("sell", 100, None, "day"), None)
    desk = day.state.desks[SAMSUNG, "KRX"]
    assert (day.state.held, desk.only, desk.reached_to) == (set(), desk.builders[0], -1)


def test_stop_for_the_day_when_the_next_session_trades_then_it_is_gone(rigs: ModuleType) -> None:
    """A trade beyond it comes too late; its cash is free again."""
    day = Day(rigs, 'type: "stop", stop: close * 1.001')
    day.minute(71_000, 71_100)

    day.now = rigs.instant("2024-06-04T09:00:00+09:00")

    assert day.tick(72_000) == []
    assert (day.state.held, day.rig.instance.free_cash()) == (set(), 100_000_000)


@pytest.mark.parametrize("session", ["2024-06-04", "2024-06-05"])
def test_stop_until_cancelled_when_a_later_session_reaches_it_then_it_is_given(
    rigs: ModuleType, session: str
) -> None:
    """It is held by us, so no venue forgets it."""
    day = Day(rigs, 'type: "stop", stop: close * 1.001, tif: "gtc"')
    day.minute(71_000, 71_100)

    day.now = rigs.instant(f"{session}T09:00:00+09:00")
    (fact,) = day.tick(72_000)

    assert (shown(fact.intent), fact.intent.trigger) == (("buy", 100, None, "day"), 71_200)


def test_stop_when_it_is_passed_while_nobody_looks_then_the_next_trade_there_counts(
    rigs: ModuleType,
) -> None:
    """Old trades, trades of the past and the closing auction give no order."""
    day = Day(rigs, 'type: "stop", stop: close * 1.001, tif: "gtc"')
    day.minute(71_000, 71_100)
    late = rigs.Print(SAMSUNG, day.now + 2 * SECOND, "71500")
    assert not [e for e in day.rig.trade(late, now_ns=day.now + 10 * SECOND) if e.is_fact]
    past = TicksArrived(day.rig.entry([late]), "past", is_past=True)
    assert not [e for e in step(day.state, past, late.at_ns) if e.is_fact]
    day.now = rigs.instant("2024-06-03T15:30:09+09:00")
    assert day.tick(71_500) == []

    day.now = rigs.instant("2024-06-04T09:00:00+09:00")
    assert day.tick(71_100) == []
    assert len(day.tick(71_200)) == 1


@pytest.mark.parametrize(("force", "again"), [("ioc", 0), ("fok", 0), ("day", 1), ("gtc", 1)])
def test_exit_at_the_market_when_it_ends_unfilled_then_its_force_says_whether_it_comes_again(
    rigs: ModuleType, force: str, again: int
) -> None:
    """One try for an instant; the others go on until the position is gone."""
    day = Day(rigs, 'tif: "day"', f', tif: "{force}"')
    day.minute(71_000, 71_100)
    day.fill(day.order, 100, 71_100)
    day.minute(71_100, 71_000)
    given = len(day.rig.intents)
    day.fill(day.order, 40, 71_000)

    day.rig.tell(OrderCancelled(order_id=day.order.order_id), ts_ns=day.now)
    day.now += 15 * SECOND
    day.tick(71_000)

    assert len(day.rig.intents) == given + again
    assert int(day.order.quantity) == (60 if again else 100)


def kept(rigs: ModuleType, day: Day) -> EngineState:
    """Return a new state with both halves of a day, as a restart loads them."""
    state = new_state(
        day.rig.settings,
        [rigs.prepare(day.rig.instance.spec, day.rig.settings)],
        lambda _: rigs.KOSPI,
        day.rigs.date(2024, 6, 3),
    )
    market = msgspec.msgpack.encode(market_half(day.state))
    load_market(state, msgspec.msgpack.decode(market, type=MarketHalf))
    stored = msgspec.msgpack.encode(account_half(day.state))
    load_accounts(state, msgspec.msgpack.decode(stored, type=AccountHalf))
    return state
