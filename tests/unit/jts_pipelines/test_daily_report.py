"""The daily report as arithmetic and as a page: what adds up, and what is said otherwise."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from jts_pipelines.reports.daily_account import DayAccount, work_out
from jts_pipelines.reports.daily_checks import statements
from jts_pipelines.reports.daily_document import DailyReport, report_of
from jts_pipelines.reports.daily_page import ROWS_MAX, _paid, render
from jts_pipelines.reports.daily_records import (
    Account,
    DayRecords,
    Entry,
    Fill,
    Gap,
    Note,
    Order,
    Prices,
    day_span,
)
from jts_trading.domain.orders import OrderSide

DAY = day_span(date(2018, 2, 26))
MINUTE_NS = 60 * 1_000_000_000
OPEN_NS = DAY.from_ns + 9 * 60 * MINUTE_NS
SAMSUNG = "KRX:005930"


def _entry(ledger: str, amount: int, *, quantity: int = 0, seq: int = 0) -> Entry:
    instrument = SAMSUNG if ledger == "position" else ""
    return Entry(
        ledger=ledger, instance="sma", instrument_id=instrument, amount=Decimal(amount),
        quantity=Decimal(quantity), seq=seq, ts_ns=OPEN_NS + seq * MINUTE_NS,
        type="order_filled" if seq else "",
    )  # fmt: skip


def _fill(seq: int, side: OrderSide, quantity: int, price: int, **costs: int) -> Fill:
    return Fill(
        trade_id=f"20180226-{seq}", order_id=f"order-{seq}", instance="sma",
        instrument_id=SAMSUNG, venue="KRX", side=side, quantity=Decimal(quantity),
        price=Decimal(price), gross=Decimal(quantity * price), fee=Decimal(costs.get("fee", 0)),
        tax=Decimal(costs.get("tax", 0)), fee_quantity=Decimal(0),
        ts_ns=OPEN_NS + seq * MINUTE_NS, seq=seq,
    )  # fmt: skip


def _order(seq: int, side: OrderSide, status: str = "filled", **changes: Any) -> Order:
    values: dict[str, Any] = {
        "order_id": f"order-{seq}", "instance": "sma", "release": "SMA@1", "venue": "KRX",
        "instrument_id": SAMSUNG, "side": side, "quantity": Decimal(2), "price": None,
        "status": status, "filled": Decimal(2), "reason": "", "attempt": 1,
        "venue_order_id": "1", "created_ns": OPEN_NS + seq * MINUTE_NS, "updated_ns": OPEN_NS,
        "decision_id": "d", "correlation_id": f"kis-1:{seq}",
    }  # fmt: skip
    return Order(**{**values, **changes})


BUY, SELL = OrderSide.BUY, OrderSide.SELL
FIRST = _fill(1, BUY, 2, 100_000, fee=30)
LAST = _fill(2, SELL, 2, 101_000, fee=30, tax=606)
HELD = _fill(3, BUY, 1, 102_000, fee=15)


def _records(**changes: Any) -> DayRecords:
    """A million won; a round trip that gains 2,000 before costs; one share bought and held."""
    lines = [
        _entry("cash", -200_030, seq=1), _entry("position", 200_000, quantity=2, seq=1),
        _entry("fees", 30, seq=1),
        _entry("cash", 201_364, seq=2), _entry("position", -200_000, quantity=-2, seq=2),
        _entry("realised", -2_000, seq=2), _entry("fees", 30, seq=2), _entry("tax", 606, seq=2),
        _entry("cash", -102_015, seq=3), _entry("position", 102_000, quantity=1, seq=3),
        _entry("fees", 15, seq=3),
    ]  # fmt: skip
    minutes = (1, 2, 3, 4)
    prices = Prices(
        before=Decimal(99_000),
        ts_ns=tuple(OPEN_NS + at * MINUTE_NS for at in minutes),
        last=tuple(map(Decimal, (100_000, 101_000, 102_000, 103_000))),
    )
    values: dict[str, Any] = {
        "account": Account("kis", "50000001", "KRW"),
        "span": DAY,
        "opening": [_entry("cash", 1_000_000), _entry("capital", -1_000_000)],
        "entries": lines,
        "booked": [FIRST, LAST, HELD],
        "orders": [_order(1, BUY), _order(2, SELL), _order(3, BUY)],
        "fills": [FIRST, LAST, HELD],
        "signals": {"sma": 3},
        "decisions": {"ordered": 3},
        "denied": {},
        "notes": [],
        "gaps": [],
        "prices": {SAMSUNG: prices},
        "imbalances": [],
        "names": {SAMSUNG: "삼성전자"},
    }
    return DayRecords(**{**values, **changes})


def _broken(records: DayRecords) -> set[str]:
    return {each.name for each in statements(records, work_out(records)) if not each.holds}


def test_day_when_worked_out_then_equity_results_and_costs_are_exact() -> None:
    """Result = gain of equity: realised and unrealised less fees and tax."""
    day = work_out(_records())

    assert (day.opening_equity, day.closing_equity) == (1_000_000, 1_002_319)
    assert (day.realised, day.unrealised, day.fees, day.tax) == (2_000, 1_000, 75, 606)
    assert day.result == day.realised + day.unrealised - day.fees - day.tax == 2_319
    assert (day.turnover, day.recomputed) == (504_000, 2_000)
    ((position,), (trip,)) = day.positions, day.trips
    assert (position.quantity, position.cost, position.mark) == (1, 102_000, 103_000)
    assert (trip.net, day.win_rate) == (1_334, 1.0)


def test_day_when_drawn_over_time_then_equity_follows_prices_and_fills() -> None:
    """The last point is the closing equity; before the first fill, equity is the opening one."""
    day = work_out(_records())

    assert [int(point.equity) for point in day.curve] == [
        1_000_000, 999_970, 1_001_970, 1_001_334, 1_001_334, 1_001_319, 1_002_319
    ]  # fmt: skip
    assert day.curve[-1].equity == day.closing_equity


def test_day_when_money_is_put_in_then_it_is_no_result() -> None:
    """A deposit moves equity and capital alike."""
    moved = [_entry("cash", 500_000, seq=9), _entry("capital", -500_000, seq=9)]
    day = work_out(_records(entries=[*_records().entries, *moved]))

    assert (day.moved, day.result) == (500_000, 2_319)


def test_day_when_a_position_was_carried_in_then_the_first_equity_is_at_the_price_before() -> None:
    """Overnight moves belong to the day; what was held before it began is closed from its cost."""
    opening = [
        _entry("cash", 900_000), _entry("position", 95_000, quantity=1),
        _entry("capital", -995_000),
    ]  # fmt: skip
    earlier = replace(_records(), opening=opening)
    sold = _fill(4, SELL, 1, 100_000)
    entries = [
        _entry("cash", 100_000, seq=4), _entry("position", -95_000, quantity=-1, seq=4),
        _entry("realised", -5_000, seq=4),
    ]  # fmt: skip
    records = replace(earlier, entries=entries, booked=[sold], fills=[sold])
    day = work_out(records)

    assert day.opening_equity == 999_000
    assert (day.realised, day.recomputed, day.result) == (5_000, 5_000, 1_000)
    assert _broken(records) == set()


def test_day_when_a_fee_in_coins_leaves_dust_then_the_round_trip_has_ended() -> None:
    """What is smaller than the smallest quantity that can be sold is no position of a trip."""
    coins = {"instrument_id": "BINANCE:BTCUSDT", "venue": "BINANCE", "fee_quantity": Decimal(0)}
    bought = msgspec.structs.replace(
        FIRST, **coins | {"quantity": Decimal("0.01"), "fee_quantity": Decimal("0.000009")}
    )
    sold = msgspec.structs.replace(LAST, **coins | {"quantity": Decimal("0.00999")})

    day = work_out(_records(booked=[bought, sold], fills=[bought, sold]))

    assert [trip.closed_ns for trip in day.trips] == [LAST.ts_ns]


def test_statements_when_all_is_well_then_all_hold_and_say_their_sums() -> None:
    """The balance is printed, not only claimed."""
    found = statements(_records(), work_out(_records()))

    assert all(each.holds for each in found)
    assert "899,319 + 102,000 + 681 = 1,000,000 + 2,000 KRW" in [each.found for each in found]


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"imbalances": ["journal row 7: off by 1 KRW"]}, "every transaction balances"),
        (
            {"opening": [_entry("cash", 1_000_001), _entry("capital", -1_000_000)]},
            "cash + positions at cost + costs = capital + realised",
        ),
        ({"fills": [FIRST, LAST]}, "recorded fills equal the booked ones"),
        (
            {"fills": [FIRST, LAST, msgspec.structs.replace(HELD, price=Decimal(102_001))]},
            "recorded fills equal the booked ones",
        ),
        ({"orders": [_order(1, BUY, "unknown")]}, "no order is in doubt"),
        (
            {"orders": [_order(1, BUY, decision_id="")]},
            "every order names its decision and release",
        ),
    ],
)
def test_statements_when_one_thing_is_off_then_exactly_that_one_is_broken(
    changes: dict[str, Any], broken: str
) -> None:
    """One won, one missing row, one doubt: named."""
    assert _broken(_records(**changes)) == {broken}


def test_statements_when_the_realised_result_differs_from_the_fills_then_it_is_said() -> None:
    """The arithmetic of positions is done again from the fills."""
    wrong = _fill(2, SELL, 2, 101_500, fee=30, tax=606)

    assert _broken(_records(booked=[FIRST, wrong, HELD], fills=[FIRST, wrong, HELD])) == {
        "realised result equals that of the fills"
    }


def test_statements_when_an_order_was_adopted_then_it_needs_no_decision() -> None:
    """What we did not send has no release of ours."""
    adopted = _order(1, BUY, instance="external", release="", decision_id="")

    assert _broken(_records(orders=[adopted])) == set()


def _note(topic: str, number: int, body: dict[str, Any]) -> Note:
    return Note(
        topic=topic, subject=f"order-{number}", body=msgspec.json.encode(body).decode(), ts_ns=1
    )


def _report(**changes: Any) -> DailyReport:
    records = _records(**changes)
    day: DayAccount = work_out(records)
    return report_of(records, day)


def test_report_when_risk_refused_then_orders_are_counted_by_check() -> None:
    """The journal names the check that refused an order."""
    orders = [_order(number, BUY, "denied", filled=Decimal(0)) for number in (4, 5, 6)]

    report = _report(orders=orders, denied={"order-4": "R04", "order-5": "R04"})

    assert report.denials == {"R04": 2, "unnamed": 1}
    assert report.by_status == {"denied": 3}


def test_report_when_orders_were_sent_then_latency_is_by_rank_and_of_own_orders() -> None:
    """Notes of other accounts' orders, and of orders that no frame led to, do not count."""
    notes = [_note("order_sent", number, {"latency_ms": 10 * number}) for number in (1, 2, 3, 99)]
    notes.append(_note("order_sent", 1, {"latency_ms": None}))

    latency = _report(notes=notes).latency

    assert (latency.n, latency.p50_ms, latency.p99_ms) == (3, 20.0, 30.0)


def test_page_when_drawn_then_says_names_times_and_balance_and_needs_nothing() -> None:
    """Korean names and times, red for a purchase, one file without script or network."""
    gap = Gap(
        instrument_id="", feed="kis-1", kind="disconnected", from_ns=OPEN_NS, until_ns=None,
        missing=Decimal(0), reason="<reset> by peer",
    )  # fmt: skip
    report = _report(gaps=[gap])
    text = render(report, _records().prices)

    assert "삼성전자" in text
    assert "09:01:00.000" in text
    assert "+2,319" in text
    assert "&lt;reset&gt; by peer" in text
    assert text.count("<svg") == 2
    assert "<script" not in text
    assert text == render(report, _records().prices)
    assert report.is_balanced


def test_page_when_something_is_broken_then_it_stands_on_top() -> None:
    """Nobody has to scroll to learn that the ledger does not balance."""
    report = _report(imbalances=["journal row 7: off by 1 KRW"])
    text = render(report, {})

    assert not report.is_balanced
    assert text.index("Does not hold") < text.index("<h2>Equity</h2>")


@pytest.mark.parametrize(
    ("average", "shown"),
    [
        ("6.161E+4", "61,610"),
        ("2361333.333333333333", "2,361,333.333"),
        ("0.00812500", "0.008125"),
    ],
)
def test_page_when_an_average_is_shown_then_without_exponent(average: str, shown: str) -> None:
    """A mean of exact prices may carry an exponent; a reader never sees it."""
    assert _paid(Decimal(average)) == shown


def test_page_when_the_day_was_empty_then_says_so() -> None:
    """A quiet day is a report too."""
    records = _records(
        entries=[], booked=[], orders=[], fills=[], signals={}, decisions={}, prices={}
    )
    text = render(report_of(records, work_out(records)), {})

    for said in ("No order was given.", "Nothing was traded.", "Flat.", "None ended."):
        assert said in text


def test_page_when_orders_are_many_then_shows_the_first_and_counts_the_rest() -> None:
    """A page that nobody can open helps nobody; the document has them all."""
    orders = [_order(number, BUY) for number in range(ROWS_MAX + 7)]
    report = _report(orders=orders)

    assert "7 more in the document." in render(report, {})
    assert len(report.orders) == ROWS_MAX + 7
    assert msgspec.json.decode(msgspec.json.encode(report), type=DailyReport) == report
