"""What a broker's list of orders means for our books, case by case."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from jts_trading.domain.account_reports import FillNotice, OrderReport, OrderState
from jts_trading.domain.journal_events import (
    OrderAbsent,
    OrderAcknowledged,
    OrderAdopted,
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
)
from jts_trading.domain.ledger_rows import FillRow, OrderRow
from jts_trading.domain.market.costs import Side
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.orders import OrderState as Status
from jts_trading.execution.fill_costs import CostRules
from jts_trading.execution.findings import EXTERNAL, Known, Look, Outcome
from jts_trading.execution.reconciling import Reconciliation, ReconcilingRules
from jts_trading.execution.unknown_orders import NS_PER_S, Sent, Window

DAY = date(2024, 6, 3)
OPEN_NS = int(datetime(2024, 6, 3, 0, 0, tzinfo=UTC).timestamp()) * NS_PER_S
CLOSE_NS = OPEN_NS + int(6.5 * 3600) * NS_PER_S
ORDER_NS = OPEN_NS + 600 * NS_PER_S


def rules(**changes: Any) -> ReconcilingRules:
    """Rules of a venue that closes at half past three."""
    given: dict[str, Any] = {
        "costs": CostRules(default_table()),
        "closes_ns": lambda venue, day: CLOSE_NS if (venue, day) == ("KRX", DAY) else None,
        "window": Window(5 * NS_PER_S, 30 * NS_PER_S),
    }
    return ReconcilingRules(**(given | changes))


def order(number: int = 1, **changes: Any) -> OrderRow:
    """An open order of ten shares at 70,000 won."""
    row = OrderRow(
        id=f"order-{number}",
        strategy_id=None,
        symbol="005930",
        side=OrderSide.BUY,
        quantity=Decimal(10),
        price=Decimal(70_000),
        status=Status.OPEN,
        broker="kis",
        account="5000000101",
        instance="sma",
        instrument_id="KRX:005930",
        venue="KRX",
        currency="KRW",
        time_in_force="day",
        release="",
        decision_id="",
        correlation_id="kis-1:7",
        valid_until_ns=0,
        created_ns=ORDER_NS,
        updated_ns=ORDER_NS + NS_PER_S,
        intent_seq=number,
        last_seq=number,
        attempt=1,
        client_order_id=f"c{number}",
        venue_order_id=f"20240603-00950-{number:010d}",
    )
    return msgspec.structs.replace(row, **changes)


def lost(number: int = 1, **changes: Any) -> OrderRow:
    """An order whose answer was lost."""
    return order(number, **({"status": Status.UNKNOWN, "venue_order_id": None} | changes))


def report(number: int = 1, filled: str = "0", amount: str = "0", **changes: Any) -> OrderReport:
    """What the venue says about such an order."""
    quantity = changes.get("quantity", Decimal(10))
    cancelled = changes.get("cancelled_quantity", Decimal(0))
    state = OrderState.FILLED if Decimal(filled) == quantity else OrderState.OPEN
    row = OrderReport(
        broker="kis",
        order_date=DAY,
        branch="00950",
        order_no=f"{number:010d}",
        original_order_no=None,
        instrument_id="KRX:005930",
        venue="KRX",
        side=Side.BUY,
        state=state,
        quantity=quantity,
        price=Decimal(70_000),
        filled_quantity=Decimal(filled),
        filled_amount=Decimal(amount),
        cancelled_quantity=cancelled,
        rejected_quantity=Decimal(0),
        remaining_quantity=quantity - Decimal(filled) - cancelled,
        ordered_at_ns=ORDER_NS,
    )
    return msgspec.structs.replace(row, **changes)


def notice(number: int, quantity: int, price: int, second: int, recv: int = 0) -> FillNotice:
    """A fill as the stream tells it."""
    at = ORDER_NS + second * NS_PER_S
    return FillNotice(
        broker="kis",
        account="5000000101",
        order_no=f"{number:010d}",
        branch="00950",
        instrument_id="KRX:005930",
        venue="KRX",
        side=Side.BUY,
        quantity=Decimal(quantity),
        price=Decimal(price),
        order_quantity=Decimal(10),
        ts_event_ns=at,
        ts_recv_ns=at + recv,
    )


def fill(number: int, quantity: str, gross: str) -> FillRow:
    """A booked fill."""
    return FillRow(
        venue="KRX",
        account="5000000101",
        instrument_id="KRX:005930",
        trade_id=f"20240603-{number:010d}-{quantity}",
        broker="kis",
        instance="sma",
        order_id=f"order-{number}",
        side=OrderSide.BUY,
        quantity=Decimal(quantity),
        price=Decimal(70_000),
        gross=Decimal(gross),
        fee=Decimal(0),
        tax=Decimal(0),
        fee_quantity=Decimal(0),
        currency="KRW",
        ts_event_ns=ORDER_NS,
        seq=9,
    )


class Desk:
    """One account, and real seconds that pass between looks."""

    def __init__(self, **changes: Any) -> None:
        self.reconciliation = Reconciliation(rules(**changes))
        self.real_s = 0.0
        self.now_ns = ORDER_NS + 10 * NS_PER_S

    def look(
        self,
        reports: list[OrderReport],
        orders: list[OrderRow],
        *,
        fills: tuple[FillRow, ...] = (),
        after_s: float = 0.0,
        sent: dict[str, Sent] | None = None,
    ) -> Outcome:
        """Ask and decide after some real seconds."""
        self.real_s += after_s
        real_ns = int(self.real_s * NS_PER_S)
        where = ("kis", "5000000101", "KRW")
        look = Look(*where, tuple(reports), DAY, self.now_ns, real_ns, real_ns)
        return self.reconciliation.decide(look, Known(tuple(orders), fills, sent or {}))


def events(outcome: Outcome) -> list[Any]:
    """The events that were found, in order."""
    return [finding.event for group in outcome.groups for finding in group.findings]


def test_step_when_notices_add_up_then_is_booked_as_single_fills() -> None:
    """Each fill has its own price, time and costs; ids count the shares up."""
    desk = Desk()
    for heard in (notice(1, 3, 70_000, 1), notice(1, 4, 69_900, 2), notice(1, 3, 70_000, 3)):
        assert desk.reconciliation.hear(heard)

    outcome = desk.look([report(1, "10", "699600")], [order()])

    fills = events(outcome)
    assert [type(event) for event in fills] == [OrderFilled] * 3
    assert [event.trade_id for event in fills] == [
        "20240603-0000000001-3",
        "20240603-0000000001-7",
        "20240603-0000000001-10",
    ]
    assert [(event.quantity, event.price) for event in fills] == [
        (3, 70_000),
        (4, 69_900),
        (3, 70_000),
    ]
    # 0.0140527 % of each fill, floored to the won.
    assert [event.fee for event in fills] == [29, 39, 29]
    assert [event.cumulative for event in fills] == [3, 7, 10]
    assert {finding.correlation_id for finding in outcome.groups[0].findings} == {"kis-1:7"}
    assert outcome.is_settled


def test_step_when_notices_are_doubled_and_disordered_then_is_split_all_the_same() -> None:
    """The stream may repeat itself and swap frames: contents and times decide."""
    desk = Desk()
    first, second = notice(1, 4, 70_000, 1), notice(1, 6, 69_900, 2)
    heard = [second, first, msgspec.structs.replace(first, ts_recv_ns=second.ts_recv_ns), second]

    assert [desk.reconciliation.hear(each) for each in heard] == [True, True, False, False]
    fills = events(desk.look([report(1, "10", "699400")], [order()]))
    assert [(event.quantity, event.price) for event in fills] == [(4, 70_000), (6, 69_900)]
    assert desk.reconciliation.hints.repeated == 2


def test_step_when_the_market_traded_twice_alike_then_both_count() -> None:
    """Equal notices that arrived apart are two fills when only two add up."""
    desk = Desk()
    desk.reconciliation.hear(notice(1, 5, 70_000, 1, recv=1))
    desk.reconciliation.hear(notice(1, 5, 70_000, 1, recv=2))

    fills = events(desk.look([report(1, "10", "700000")], [order()]))

    assert [event.trade_id[-2:] for event in fills] == ["-5", "10"]


def test_step_when_notices_are_lost_then_waits_and_is_booked_whole() -> None:
    """A step that nothing splits is one fill with the exact money; the price is the mean."""
    desk = Desk()
    desk.reconciliation.hear(notice(1, 3, 70_000, 1))
    reports, orders = [report(1, "7", "489700")], [order()]

    early = desk.look(reports, orders)
    late = desk.look(reports, orders, after_s=1.0)

    assert (events(early), early.is_settled) == ([], False)
    (whole,) = events(late)
    assert (whole.quantity, whole.gross, whole.cumulative) == (7, 489_700, 7)
    assert whole.price == Decimal("69957.14285714")
    assert whole.fee == 68
    assert late.is_settled


def test_step_when_a_part_is_booked_then_only_the_rest_is_new() -> None:
    """Used notices are used up; the next step is explained by the newer ones."""
    desk = Desk()
    desk.reconciliation.hear(notice(1, 4, 70_000, 1))
    first = desk.look([report(1, "4", "280000")], [order()])
    desk.reconciliation.committed(first.groups[0])
    desk.reconciliation.hear(notice(1, 2, 70_000, 2))
    desk.reconciliation.hear(notice(1, 4, 70_000, 1, recv=7))
    held = order(filled=Decimal(4), status=Status.PARTIAL)

    outcome = desk.look([report(1, "6", "420000")], [held], fills=(fill(1, "4", "280000"),))

    (second,) = events(outcome)
    assert (second.trade_id, second.quantity) == ("20240603-0000000001-6", 2)
    assert second.ts_event_ns == ORDER_NS + 2 * NS_PER_S


def test_notices_when_of_days_that_are_over_then_are_forgotten() -> None:
    """A process that runs for years keeps the hints of the days that it still looks at."""
    desk = Desk()
    old = notice(1, 3, 70_000, 1)
    day_ns = 86_400 * NS_PER_S
    desk.reconciliation.hear(msgspec.structs.replace(old, ts_event_ns=old.ts_event_ns - day_ns))
    desk.reconciliation.hear(old)
    assert desk.reconciliation.hints.orders == 2

    desk.look([], [])

    assert desk.reconciliation.hints.orders == 1


def test_report_when_older_than_the_books_then_changes_nothing() -> None:
    """Cumulative figures never fall: an answer from before is passed over."""
    desk = Desk()
    held = order(filled=Decimal(4), status=Status.PARTIAL)

    outcome = desk.look([report(1, "3", "210000")], [held], fills=(fill(1, "4", "280000"),))

    assert outcome.groups == ()


def test_report_when_its_money_contradicts_the_books_then_alerts() -> None:
    """The same quantity for other money is nobody's rounding."""
    desk = Desk()
    held = order(filled=Decimal(4), status=Status.PARTIAL)

    outcome = desk.look([report(1, "4", "280001")], [held], fills=(fill(1, "4", "280000"),))

    assert outcome.groups == ()
    assert outcome.alerts[0].severity == "critical"
    assert not outcome.is_settled


def test_unknown_when_one_order_looks_like_it_then_it_is_acknowledged_with_its_fills() -> None:
    """F16, F18: the answer was lost, the order went in and filled: one order, one booking."""
    desk = Desk()
    desk.reconciliation.hear(notice(7, 10, 70_000, 1))

    outcome = desk.look([report(7, "10", "700000")], [lost()])

    acknowledged, filled = events(outcome)
    assert acknowledged == OrderAcknowledged(
        order_id="order-1", attempt=1, venue_order_id="20240603-00950-0000000007"
    )
    assert filled.quantity == 10
    assert outcome.groups[0].findings[0].event_id == ""
    assert outcome.unknown == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"side": Side.SELL},
        {"quantity": Decimal(11)},
        {"price": Decimal(70_100)},
        {"price": None},
        {"instrument_id": "KRX:000660"},
        {"ordered_at_ns": ORDER_NS - 6 * NS_PER_S},
        {"ordered_at_ns": ORDER_NS + 32 * NS_PER_S},
    ],
)
def test_unknown_when_an_order_differs_then_it_is_not_ours(changes: dict[str, Any]) -> None:
    """One other field and it is somebody else's: adopted, and ours stays unknown."""
    outcome = Desk().look([report(7, **changes)], [lost()])

    (adopted,) = events(outcome)
    assert isinstance(adopted, OrderAdopted)
    assert adopted.intent.instance == EXTERNAL
    assert outcome.unknown == 1


def test_unknown_when_sent_otherwise_than_wanted_then_what_was_sent_counts() -> None:
    """A market order that risk turned into a limit is found by the limit."""
    wanted = lost(price=None)
    sent = {"order-1": Sent(Decimal(10), Decimal(70_000))}

    assert len(events(Desk().look([report(7)], [wanted], sent=sent))) == 1
    assert isinstance(events(Desk().look([report(7)], [wanted]))[0], OrderAdopted)


def test_unknown_when_two_orders_could_be_it_then_it_stays_unknown_with_an_alert() -> None:
    """Neither is taken, and neither is adopted: a person has to look."""
    desk = Desk()
    for _ in range(20):
        outcome = desk.look([report(7), report(8)], [lost()], after_s=5)
        assert outcome.groups == ()
        assert outcome.unknown == 1
        assert outcome.alerts[0].severity == "critical"


def test_unknown_when_an_order_could_be_two_of_ours_then_both_stay_unknown() -> None:
    """One order at the venue and two of ours alike: no evidence for either."""
    outcome = Desk().look([report(7)], [lost(1), lost(2)])

    assert (outcome.groups, outcome.unknown) == ((), 2)


def test_unknown_when_the_number_is_claimed_then_it_is_not_taken_again() -> None:
    """An order of ours that has its number cannot be the missing one."""
    outcome = Desk().look([report(1)], [order(1), lost(2)])

    assert (outcome.groups, outcome.unknown) == ((), 1)


def test_unknown_when_the_broker_keeps_our_ids_then_only_the_id_counts() -> None:
    """Looks say nothing where the broker tells our own id."""
    ours = report(7, client_order_id="c1", branch="")
    other = report(8, client_order_id="c9", branch="")

    outcome = Desk().look([ours, other], [lost()])

    acknowledged, adopted = events(outcome)
    assert acknowledged.venue_order_id == "0000000007"
    assert isinstance(adopted, OrderAdopted)


def test_unknown_when_absent_twice_after_the_window_then_absence_is_proven() -> None:
    """F17: not at once, not by one answer, and not by two within two seconds."""
    desk = Desk()
    found = [
        len(desk.look([], [lost()], after_s=after_s).groups)
        for after_s in (0.0, 5.0, 4.9, 0.2, 1.9)
    ]
    last = desk.look([], [lost()], after_s=0.2)

    assert found == [0, 0, 0, 0, 0]
    (absent,) = events(last)
    assert isinstance(absent, OrderAbsent)
    assert "two complete lists" in absent.evidence


def test_unknown_when_seen_in_between_then_absence_begins_anew() -> None:
    """A candidate that comes and goes is no absence."""
    desk = Desk()
    for after_s in (0.0, 11.0):
        assert not desk.look([], [lost()], after_s=after_s).groups
    assert not desk.look([report(7), report(8)], [lost()], after_s=1).groups
    assert not desk.look([], [lost()], after_s=1).groups
    assert not desk.look([], [lost()], after_s=9).groups


def test_sending_when_fresh_then_is_left_to_its_sender() -> None:
    """Its own answer is on the way; it is neither taken nor adopted nor called unknown."""
    desk = Desk()
    sending = lost(status=Status.SENDING)

    fresh = desk.look([report(7)], [sending])
    later = desk.look([report(7)], [sending], after_s=3)

    assert (fresh.groups, fresh.unknown, fresh.is_settled) == ((), 0, False)
    assert isinstance(events(later)[0], OrderAcknowledged)


def test_sending_when_its_sender_is_gone_then_is_never_proven_absent() -> None:
    """Only the sender's successor may say that it is lost: bytes may still leave."""
    desk = Desk()
    sending = lost(status=Status.SENDING)
    outcomes = [desk.look([], [sending], after_s=10) for _ in range(5)]

    assert [outcome.groups for outcome in outcomes] == [()] * 5
    assert outcomes[-1].unknown == 1


def test_order_when_rejected_at_the_venue_then_rejected_here() -> None:
    """With the figures of the venue as the reason; an order in doubt too."""
    no = report(1, state=OrderState.REJECTED, rejected_quantity=Decimal(10))
    no = msgspec.structs.replace(no, remaining_quantity=Decimal(0))

    for row in (order(), lost()):
        (rejected,) = events(Desk().look([no], [row]))
        assert isinstance(rejected, OrderRejected)
        assert "10 of 10 rejected" in rejected.reason


def test_order_when_cancelled_by_an_order_then_names_it() -> None:
    """The cancel is a row of its own that points to what it cancels."""
    gone = report(1, "4", "280000", state=OrderState.CANCELLED, cancelled_quantity=Decimal(6))
    cancel = report(2, is_cancel=True, original_order_no="0000000001")

    found = events(Desk().look([gone, cancel], [order(status=Status.CANCELLING)], after_s=9))
    assert found == []
    desk = Desk(hint_wait_s=0.0)
    filled, cancelled = events(desk.look([gone, cancel], [order(status=Status.CANCELLING)]))

    assert filled.quantity == 4
    assert isinstance(cancelled, OrderCancelled)
    assert "by its order 0000000002, 6 of 10 unfilled" in cancelled.reason


def test_order_when_the_session_ended_it_then_expires() -> None:
    """Without a cancel order, and after the close: the day ended it."""
    gone = report(1, state=OrderState.CANCELLED, cancelled_quantity=Decimal(10))
    desk = Desk()
    (early,) = events(desk.look([gone], [order()]))
    desk.now_ns = CLOSE_NS + 1
    (late,) = events(desk.look([gone], [order()]))

    assert isinstance(early, OrderCancelled)
    assert isinstance(late, OrderExpired)


def test_order_when_still_shown_after_the_close_then_expires_and_takes_late_fills() -> None:
    """A day order ends with its day, even where the venue keeps showing it."""
    desk = Desk(hint_wait_s=0.0)
    desk.now_ns = CLOSE_NS + 1
    (expired,) = events(desk.look([report(1)], [order()]))
    ended = order(status=Status.EXPIRED)
    (late,) = events(desk.look([report(1, "10", "700000")], [ended]))

    assert isinstance(expired, OrderExpired)
    assert "10 of 10 unfilled" in expired.reason
    assert isinstance(late, OrderFilled)


def test_order_when_the_venue_lost_it_then_is_cancelled_with_an_alert() -> None:
    """F35: gone from complete lists for long enough."""
    desk = Desk()
    outcomes = [desk.look([], [order()], after_s=after_s) for after_s in (0, 10, 2)]

    assert [len(outcome.groups) for outcome in outcomes] == [0, 0, 1]
    (cancelled,) = events(outcomes[-1])
    assert "does not know" in cancelled.reason
    assert outcomes[-1].alerts[0].severity == "critical"


def test_order_when_cut_by_somebody_else_then_is_amended() -> None:
    """F36: a part was cancelled by hand; the rest works on."""
    cut = report(1, cancelled_quantity=Decimal(4))

    (amended,) = events(Desk().look([cut], [order()]))

    assert isinstance(amended, OrderAmended)
    assert amended.quantity == 6


def test_stranger_when_live_or_filled_then_is_adopted_once_under_one_id() -> None:
    """I12: counted as external; what ended without a trade is nobody's business."""
    ended = report(8, state=OrderState.CANCELLED, cancelled_quantity=Decimal(10))
    cancel = report(9, is_cancel=True, original_order_no="0000000008")

    first = Desk().look([report(7, "4", "280000"), ended, cancel], [])
    again = Desk().look([report(7)], [])

    (adopted,) = events(first)
    assert adopted.venue_order_id == "20240603-00950-0000000007"
    assert adopted.intent.quantity == 10
    assert not first.is_settled
    assert events(again)[0].intent.order_id == adopted.intent.order_id
    assert again.groups[0].findings[0].event_id == first.groups[0].findings[0].event_id


def test_stranger_when_it_looks_like_an_absent_order_then_people_are_told() -> None:
    """The venue was late beyond its window: counted as external, and nobody may miss it."""
    absent = lost(status=Status.ABSENT)

    alerts = Desk().look([report(7)], [absent]).alerts

    assert [(alert.severity, alert.subject == "order-1") for alert in alerts] == [
        ("warning", False),
        ("critical", True),
    ]


def test_fills_when_the_broker_numbers_them_then_each_is_booked_with_its_told_costs() -> None:
    """The paper broker and the crypto venues tell single fills; no notice is needed."""
    told = msgspec.structs.replace(
        notice(1, 4, 70_000, 1), trade_id="t1", fee=Decimal(3), fee_quantity=Decimal("0.5")
    )
    numbered = report(1, "4", "280000", fills=(told,), branch="", client_order_id="c1")
    held = order(venue_order_id="0000000001")

    (filled,) = events(Desk().look([numbered], [held]))
    booked = msgspec.structs.replace(fill(1, "4", "280000"), trade_id="t1")
    again = Desk().look([numbered], [held], fills=(booked,))

    assert (filled.trade_id, filled.fee, filled.fee_quantity) == ("t1", 3, Decimal("0.5"))
    assert filled.cumulative is None
    assert again.groups == ()


def test_costs_when_no_rule_prices_a_fill_then_the_order_waits_with_an_alert() -> None:
    """One instrument without a rule stops neither the pass nor the others."""
    strange = order(2, instrument_id="US:AAPL", venue="US")
    other = report(2, "10", "1900", instrument_id="US:AAPL", venue="US")
    desk = Desk(hint_wait_s=0.0)

    outcome = desk.look([other, report(1, "10", "700000")], [strange, order(1)])

    assert [group.order_id for group in outcome.groups] == ["order-1"]
    assert "no rule" in outcome.alerts[0].text
    assert not outcome.is_settled
