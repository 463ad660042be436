"""Every order, in every state and situation, has exactly one next step."""

import itertools
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.domain.journal_events import CancelRequested, OrderExpired
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.orders import EDGES, TERMINAL, Move, OrderSide, OrderState
from jts_trading.execution.cancels import ask, newest_number, next_number
from jts_trading.execution.final_order import attempt_of, final_order
from jts_trading.execution.lifecycle import Situation, Step, choose, why_too_late
from jts_trading.execution.order_ids import CLIENT_ORDER_ID_MAX, client_order_id, order_of

S = 10**9
NOW_NS = int(datetime(2024, 6, 3, 1, 0, tzinfo=UTC).timestamp()) * S
ORDER_ID = "0b8f6c1e-1111-5222-8333-944455566677"


def _row(**changes: Any) -> OrderRow:
    plain = OrderRow(
        id=ORDER_ID,
        strategy_id=None,
        symbol="005930",
        side=OrderSide.BUY,
        quantity=Decimal(10),
        price=None,
        status=OrderState.INTENT,
        broker="kis",
        account="a1",
        instance="sma",
        instrument_id="KRX:005930",
        venue="KRX",
        currency="KRW",
        time_in_force="day",
        release="r",
        decision_id="d",
        correlation_id="kis-1:1",
        valid_until_ns=0,
        created_ns=NOW_NS,
        updated_ns=NOW_NS,
        intent_seq=1,
        last_seq=1,
    )
    return msgspec.structs.replace(plain, **changes)


# In flight, unsent, cancel due, all to be cancelled: what is done in each state.
_LEAVE = dict.fromkeys(OrderState, Step.LEAVE)
_IDLE = _LEAVE | {
    OrderState.INTENT: Step.SEND,
    OrderState.ABSENT: Step.SEND,
    OrderState.SENDING: Step.LOSE,
}
_KILLED = {OrderState.OPEN: Step.CANCEL, OrderState.PARTIAL: Step.CANCEL}


@pytest.mark.parametrize(
    ("in_flight", "unsent", "due", "killed"), list(itertools.product([False, True], repeat=4))
)
def test_choice_when_any_state_meets_any_situation_then_as_in_the_table(
    in_flight: bool, unsent: bool, due: bool, killed: bool
) -> None:
    """All 192 cases; nothing that is sent or ended is ever sent again."""
    situation = Situation(
        is_in_flight=in_flight,
        is_unsent=unsent,
        is_cancel_due=due,
        wants_all_cancelled=killed,
    )
    expected = dict(_LEAVE if in_flight else _IDLE)
    if not in_flight:
        expected |= {OrderState.SENDING: Step.PROVE_UNSENT} if unsent else {}
        expected |= {OrderState.CANCELLING: Step.CANCEL} if due else {}
        expected |= _KILLED if killed else {}
    for state in OrderState:
        assert choose(_row(status=state), situation, NOW_NS).step is expected[state], state


@pytest.mark.parametrize("state", list(OrderState))
def test_choice_when_it_moves_an_order_then_the_move_is_legal(state: OrderState) -> None:
    """Every step leads along an edge of the order's life."""
    moves = {
        Step.SEND: Move.SEND,
        Step.EXPIRE: Move.EXPIRE,
        Step.LOSE: Move.LOSE,
        Step.PROVE_UNSENT: Move.PROVE_ABSENT,
        Step.CANCEL: Move.ASK_CANCEL,
    }
    for flags in itertools.product([False, True], repeat=3):
        situation = Situation(
            is_unsent=flags[0], is_cancel_due=flags[1], wants_all_cancelled=flags[2]
        )
        for valid_until_ns in (0, 1):
            row = _row(status=state, valid_until_ns=valid_until_ns)
            step = choose(row, situation, NOW_NS).step
            assert step is Step.LEAVE or moves[step] in EDGES[state]
            assert step is Step.LEAVE or state not in TERMINAL


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"valid_until_ns": NOW_NS}, ""),
        ({"valid_until_ns": NOW_NS - 1}, "ended"),
        ({"attempt": 4}, ""),
        ({"attempt": 5}, "did not take it in 5 attempts"),
        ({"created_ns": NOW_NS - 9 * 3600 * S}, ""),
        ({"created_ns": NOW_NS - 24 * 3600 * S}, "day order of 2024-06-02"),
        ({"created_ns": NOW_NS - 24 * 3600 * S, "time_in_force": "gtc"}, ""),
    ],
)
def test_f02_order_when_its_time_is_over_then_it_expires_with_a_reason(
    changes: dict[str, Any], why: str
) -> None:
    """The instant itself is still in time; the next is not."""
    for state in (OrderState.INTENT, OrderState.ABSENT):
        row = _row(status=state, **changes)
        found = why_too_late(row, NOW_NS)
        assert why in found
        assert bool(found) is bool(why)
        expected = Step.EXPIRE if why else Step.SEND
        assert choose(row, Situation(), NOW_NS).step is expected


@given(st.uuids(), st.integers(1, 999))
def test_client_order_id_when_made_then_it_is_short_and_leads_back(
    order: uuid.UUID, attempt: int
) -> None:
    """Order and attempt can be read from it; Binance takes at most 36 characters."""
    name = client_order_id(str(order), attempt)
    assert len(name) <= CLIENT_ORDER_ID_MAX
    assert order_of(name) == (str(order), attempt)


@pytest.mark.parametrize(("order", "attempt"), [("x", 1), (ORDER_ID, 0), (ORDER_ID, 1000)])
def test_client_order_id_when_it_cannot_be_made_then_refused(order: str, attempt: int) -> None:
    """No id is made up for what is no order of ours."""
    with pytest.raises(ValueError, match="accepted"):
        client_order_id(order, attempt)


@pytest.mark.parametrize("name", ["", "manual-1", ORDER_ID, "0" * 32, f"{'0' * 32}-0"])
def test_client_order_id_when_it_is_not_ours_then_it_leads_nowhere(name: str) -> None:
    """Orders of other programs are recognised as such."""
    assert order_of(name) is None


def test_final_order_when_made_then_it_is_the_next_attempt_for_what_is_left() -> None:
    """Quantity less fills, one attempt more, everything else as wanted."""
    row = _row(attempt=2, filled=Decimal(4), price=Decimal(70_000), status=OrderState.ABSENT)
    final = final_order(row)
    assert (final.quantity, final.attempt, final.price) == (6, 3, 70_000)
    assert final.client_order_id == client_order_id(ORDER_ID, 3)
    with pytest.raises(ValueError, match="are filled"):
        final_order(_row(filled=Decimal(10)))


def test_attempt_when_noted_then_it_names_what_was_approved() -> None:
    """Hash, quantity and price of the approval; lease and token of the sender."""

    class Approved:
        order = final_order(_row(price=Decimal(70_000)))
        payload_hash = "h"

    event = attempt_of(Approved(), lease="executor", token=7)  # type: ignore[arg-type]
    assert (event.payload_hash, event.lease, event.token) == ("h", "executor", 7)
    assert (event.quantity, event.price) == (10, 70_000)


@pytest.mark.parametrize("state", list(OrderState))
def test_cancel_when_asked_for_then_only_a_legal_event_is_recorded(state: OrderState) -> None:
    """What was not sent expires, what works is cancelled, and what is not known waits."""
    found = ask(_row(status=state), 3, "by hand")
    match state:
        case OrderState.INTENT | OrderState.ABSENT:
            assert isinstance(found.event, OrderExpired)
            assert Move.EXPIRE in EDGES[state]
        case OrderState.OPEN | OrderState.PARTIAL:
            assert found.event == CancelRequested(order_id=ORDER_ID, number=3)
            assert Move.ASK_CANCEL in EDGES[state]
        case _:
            assert found.event is None
            assert found.reason


def test_cancels_when_numbered_then_each_has_its_own() -> None:
    """Numbers go on from the events of the order."""
    events = [CancelRequested(order_id="o", number=number) for number in (1, 2)]
    assert newest_number([]) == 0
    assert newest_number(events) == 2
    assert next_number(events) == 3
