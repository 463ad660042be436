"""Each check of the risk gate at its limit, one below and one above, and what fails closed."""

import ast
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.domain.market.binance import BinanceFilters
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.trading_inputs import RiskLimits
from jts_trading.risk.approval import ApprovedOrder, FinalOrder
from jts_trading.risk.facts import EquityMarks, KrxRules, RiskFacts
from jts_trading.risk.review import CHECKS, review
from jts_trading.risk.verdict import Denial, Review

D = Decimal
S = 10**9
SAMSUNG, HYNIX, BITCOIN = "KRX:005930", "KRX:000660", "BINANCE:BTCUSDT"
Build = Callable[[Any], dict[str, Any]]


def _verdict(found: Review) -> str:
    """The check that denied, or nothing."""
    assert isinstance(found.outcome, ApprovedOrder) == found.verdict.is_allowed
    return found.verdict.check


def test_review_when_all_is_well_then_the_order_is_approved_with_its_hash(c: Any) -> None:
    """The approval is for exactly these values; every check left its figures."""
    found = c.judge()

    assert isinstance(found.outcome, ApprovedOrder)
    assert found.outcome.payload_hash == c.order().payload_hash == found.verdict.payload_hash
    assert [finding.check for finding in found.verdict.findings] == [name for name, _ in CHECKS]
    assert found.verdict.limits_version == 7
    text = msgspec.json.encode(found.verdict)
    assert msgspec.json.decode(text, type=type(found.verdict)) == found.verdict


def _bitcoin_with_reference(c: Any, reference: D) -> dict[str, Any]:
    wanted, known = c.bitcoin()
    price = msgspec.structs.replace(known.price, reference=reference)
    return {"wanted": wanted, "known": replace(known, price=price)}


# One row: which check, then what is just allowed and what is just denied.
BOUNDARIES: list[tuple[str, Build, Build]] = [
    ("KILL", lambda c: {}, lambda c: {"known": c.facts(kill_level=1)}),
    (
        "R01",
        lambda c: {"limits": RiskLimits(order_quantity_max=D(10))},
        lambda c: {"limits": RiskLimits(order_quantity_max=D(9))},
    ),
    (
        "R01",
        lambda c: {"limits": RiskLimits(order_value_max={"KRW": D(700_000)})},
        lambda c: {"limits": RiskLimits(order_value_max={"KRW": D(699_999)})},
    ),
    (
        "R02",
        lambda c: {"wanted": c.order(price=D(72_100))},
        lambda c: {"wanted": c.order(price=D(72_200))},
    ),
    (
        "R02",
        lambda c: {"wanted": c.order(price=D(67_900))},
        lambda c: {"wanted": c.order(price=D(67_800))},
    ),
    (
        "R02",
        lambda c: {"known": c.facts(price=c.note(upper=D(70_000)))},
        lambda c: {"known": c.facts(price=c.note(upper=D(69_900)))},
    ),
    (
        "R02",
        lambda c: {"known": c.facts(price=c.note(lower=D(70_000)))},
        lambda c: {"known": c.facts(price=c.note(lower=D(70_100)))},
    ),
    (
        "R02",
        lambda c: {"wanted": c.order(price=None), "known": c.facts(price=c.note(ask=D(72_100)))},
        lambda c: {"wanted": c.order(price=None), "known": c.facts(price=c.note(ask=D(72_200)))},
    ),
    (
        "R03",
        lambda c: {"known": c.facts(price=c.note(ts_event_ns=c.NOW_NS - 5 * S))},
        lambda c: {"known": c.facts(price=c.note(ts_event_ns=c.NOW_NS - 5 * S - 1))},
    ),
    (
        "R03",
        lambda c: {"known": c.facts(price=c.note(ts_event_ns=c.NOW_NS + 5 * S))},
        lambda c: {"known": c.facts(price=c.note(ts_event_ns=c.NOW_NS + 5 * S + 1))},
    ),
    (
        "R03",
        # At speed 11, ten times half a second more.
        lambda c: {
            "known": c.facts(price=c.note(ts_event_ns=c.NOW_NS - 10 * S), clock_speed=Fraction(11))
        },
        lambda c: {
            "known": c.facts(
                price=c.note(ts_event_ns=c.NOW_NS - 10 * S - 1), clock_speed=Fraction(11)
            )
        },
    ),
    ("R03", lambda c: {}, lambda c: {"known": c.facts(is_price_shared=False)}),
    (
        "R04",
        lambda c: {"limits": RiskLimits(position_share_max=D("0.007"))},
        lambda c: {"limits": RiskLimits(position_share_max=D("0.00699"))},
    ),
    (
        # 100 shares of another open buy count as if they were filled.
        "R04",
        lambda c: {
            "known": c.facts(open_orders=(c.open_order(side=OrderSide.BUY),)),
            "limits": RiskLimits(position_share_max=D("0.077")),
        },
        lambda c: {
            "known": c.facts(open_orders=(c.open_order(is_unknown=True),)),
            "limits": RiskLimits(position_share_max=D("0.0769")),
        },
    ),
    (
        "R04",
        lambda c: {
            "known": c.facts(open_orders=(c.open_order(instrument_id=HYNIX),)),
            "limits": RiskLimits(gross_exposure_max=D("0.077")),
        },
        lambda c: {
            "known": c.facts(open_orders=(c.open_order(instrument_id=HYNIX),)),
            "limits": RiskLimits(gross_exposure_max=D("0.0769")),
        },
    ),
    (
        "R05",
        lambda c: {"known": c.facts(cash=D(700_098), holdings={HYNIX: D(500)})},
        lambda c: {"known": c.facts(cash=D(700_097), holdings={HYNIX: D(500)})},
    ),
    (
        # A market buy may cost the upper limit of the day.
        "R05",
        lambda c: {
            "wanted": c.order(price=None),
            "known": c.facts(cash=D("910127.4"), holdings={HYNIX: D(500)}),
        },
        lambda c: {
            "wanted": c.order(price=None),
            "known": c.facts(cash=D("910127.3"), holdings={HYNIX: D(500)}),
        },
    ),
    (
        "R05",
        lambda c: {
            "known": c.facts(
                cash=D(7_701_098),
                holdings={HYNIX: D(500)},
                open_orders=(c.open_order(instrument_id=HYNIX),),
            )
        },
        lambda c: {
            "known": c.facts(
                cash=D(7_701_097),
                holdings={HYNIX: D(500)},
                open_orders=(c.open_order(instrument_id=HYNIX),),
            )
        },
    ),
    (
        "R06",
        lambda c: {"known": c.facts(cash=D(95_000_001))},
        lambda c: {"known": c.facts(cash=D(95_000_000))},
    ),
    (
        "R06",
        lambda c: {},
        lambda c: {
            "known": c.facts(equity_marks=EquityMarks(D(10**8), D(10**8), is_day_stopped=True))
        },
    ),
    (
        "R07",
        lambda c: {
            "known": c.facts(cash=D(85_000_001), equity_marks=EquityMarks(D(86_000_000), D(10**8)))
        },
        lambda c: {
            "known": c.facts(cash=D(85_000_000), equity_marks=EquityMarks(D(86_000_000), D(10**8)))
        },
    ),
    (
        "R08",
        lambda c: {"known": c.facts(sent=(c.sent(sent_ns=c.NOW_NS - 2 * S),))},
        lambda c: {"known": c.facts(sent=(c.sent(sent_ns=c.NOW_NS - 2 * S + 1),))},
    ),
    (
        "R08",
        lambda c: {"known": c.facts(sent=(c.sent(quantity=D(11)), c.sent(order_id="o1")))},
        lambda c: {"known": c.facts(sent=(c.sent(instance="other"),))},
    ),
    (
        "R09",
        lambda c: {"known": c.facts(sent=(c.sent(quantity=D(1), sent_ns=0),) * 4)},
        lambda c: {
            "known": c.facts(
                sent=(c.sent(quantity=D(1), sent_ns=0, real_sent_ns=c.REAL_NS - S + 1),) * 5
            )
        },
    ),
    (
        "R09",
        lambda c: {"known": c.facts(sent=(c.sent(quantity=D(1)),) * 59)},
        lambda c: {"known": c.facts(sent=(c.sent(quantity=D(1)),) * 60)},
    ),
    ("R10", lambda c: {"known": c.facts(rejects=9)}, lambda c: {"known": c.facts(rejects=10)}),
    (
        "R11",
        lambda c: {
            "known": c.facts(
                open_orders=(c.open_order(side=OrderSide.SELL, price=D(70_100), asset=SAMSUNG),)
            )
        },
        lambda c: {
            "known": c.facts(
                open_orders=(c.open_order(side=OrderSide.SELL, price=D(70_000), asset=SAMSUNG),)
            )
        },
    ),
    ("R12", lambda c: {}, lambda c: {"wanted": c.order(instrument_id="KRX:035720")}),
    ("R12", lambda c: {}, lambda c: {"known": c.facts(strategy=c.strategy(status="paused"))}),
    ("R12", lambda c: {}, lambda c: {"known": c.facts(strategy=c.strategy(account="a2"))}),
    ("R12", lambda c: {}, lambda c: {"known": c.facts(price=c.note(is_halted=True))}),
    ("R14", lambda c: {}, lambda c: {"wanted": c.order(price=D(70_050))}),
    ("R14", lambda c: {}, lambda c: {"wanted": c.order(quantity=D("10.5"))}),
    (
        "R15",
        lambda c: {
            "wanted": c.order(side=OrderSide.SELL),
            "known": c.facts(**c.held(10)),
            "reduces": True,
        },
        lambda c: {
            "wanted": c.order(side=OrderSide.SELL),
            "known": c.facts(**c.held(9)),
            "reduces": True,
        },
    ),
    (
        "R17",
        lambda c: {"known": c.facts(reconciled=c.reconciled(real_ns=c.REAL_NS - 60 * S))},
        lambda c: {"known": c.facts(reconciled=c.reconciled(real_ns=c.REAL_NS - 60 * S - 1))},
    ),
    (
        "R17",
        lambda c: {"known": c.facts(reconciled=c.reconciled(unknown_orders=3))},
        lambda c: {"known": c.facts(reconciled=c.reconciled(unknown_orders=4))},
    ),
    (
        "R17",
        lambda c: {"known": c.facts(reconciled=c.reconciled(halted=(HYNIX,)))},
        lambda c: {"known": c.facts(reconciled=c.reconciled(halted=(SAMSUNG,)))},
    ),
    (
        "R17",
        lambda c: {"known": c.facts(loop_lag_ms=500.0)},
        lambda c: {"known": c.facts(loop_lag_ms=500.1)},
    ),
    (
        "R18",
        lambda c: {
            "known": c.facts(
                cash=D(700_098),
                equity_marks=EquityMarks(D(1), D(1)),
            ),
            "limits": RiskLimits(position_share_max=D(1)),
        },
        lambda c: {"known": c.facts(cash=D(699_999), equity_marks=EquityMarks(D(1), D(1)))},
    ),
    (
        "R18",
        lambda c: _bitcoin_with_reference(c, D(6_000)),
        lambda c: _bitcoin_with_reference(c, D(5_999)),
    ),
]


@pytest.mark.parametrize(
    ("check", "allowed", "denied"),
    BOUNDARIES,
    ids=[f"{number}-{row[0]}" for number, row in enumerate(BOUNDARIES)],
)
def test_check_when_at_its_limit_then_allowed_and_one_beyond_denied(
    c: Any, check: str, allowed: Build, denied: Build
) -> None:
    """At the limit an order passes; the smallest step beyond it is denied by that check."""
    assert _verdict(c.judge(**allowed(c))) == ""
    assert _verdict(c.judge(**denied(c))) == check


@pytest.mark.parametrize(
    ("hour", "minute", "is_open"),
    [
        (8, 29, False),
        (8, 30, True),
        (9, 0, True),
        (15, 19, True),
        (15, 29, True),
        (15, 30, False),
        (16, 30, False),
        (20, 0, False),
    ],
)
def test_r13_session_when_the_calendar_says_so_then_orders_pass(
    c: Any, hour: int, minute: int, is_open: bool
) -> None:
    """The regular session with its auctions takes orders, everything else does not."""
    now_ns = int(
        datetime(2024, 6, 3, hour - 9 if hour >= 9 else hour + 15, minute, tzinfo=UTC).timestamp()
    ) * S - (0 if hour >= 9 else 24 * 3600 * S)
    found = c.judge(known=c.facts(price=c.note(ts_event_ns=now_ns)), now_ns=now_ns)

    assert (_verdict(found) == "") is is_open


def test_r13_session_when_the_day_is_a_holiday_or_unknown_then_denied(c: Any) -> None:
    """Memorial Day is closed; a day outside the calendar is never open by guess."""
    for day in (datetime(2024, 6, 6, 1, tzinfo=UTC), datetime(2150, 6, 3, 1, tzinfo=UTC)):
        now_ns = int(day.timestamp()) * S
        found = c.judge(known=c.facts(price=c.note(ts_event_ns=now_ns)), now_ns=now_ns)
        assert _verdict(found) == "R13"


def test_crypto_when_a_market_buy_is_plain_then_it_passes_and_filters_bind(c: Any) -> None:
    """Without a price band the collar bounds what a market buy may cost."""
    wanted, known = c.bitcoin()
    assert _verdict(c.judge(wanted, known)) == ""
    small, _ = c.bitcoin(quantity=D("0.00008"))
    assert _verdict(c.judge(small, known)) == "R14"
    odd, _ = c.bitcoin(quantity=D("0.100001"))
    assert _verdict(c.judge(odd, known)) == "R14"
    poor = replace(known, cash=D("6180.86"), holdings={BITCOIN: D(1)})
    limits = RiskLimits(position_share_max=D(1))
    assert _verdict(c.judge(wanted, poor, limits)) == "R05"


ENTRY_STOPS: list[Build] = [
    lambda c: {"kill_level": 1},
    lambda c: {"is_price_shared": False, "price": c.note(ts_event_ns=1)},
    lambda c: {"cash": None, "fee_rate": None},
    lambda c: {"equity_marks": EquityMarks(D(10**9), D(10**9), is_day_stopped=True)},
    lambda c: {"equity_marks": None},
    lambda c: {"reconciled": None},
    lambda c: {"reconciled": c.reconciled(unknown_orders=9, halted=(SAMSUNG,))},
    lambda c: {"rejects": 1000},
    lambda c: {"sent": None},
    lambda c: {"strategy": None},
    lambda c: {"strategy": c.strategy(status="paused", instrument_ids=())},
    lambda c: {"loop_lag_ms": 10_000.0},
    lambda c: {"marks": None},
]


@pytest.mark.parametrize("stop", ENTRY_STOPS)
def test_i17_exit_when_entries_are_stopped_then_it_stays_possible(c: Any, stop: Build) -> None:
    """Whatever stops new positions does not lock anybody into an old one."""
    known = replace(c.facts(**c.held(10)), **stop(c))
    leave = c.order(side=OrderSide.SELL, price=None)

    assert _verdict(c.judge(known=known)) != ""
    assert _verdict(c.judge(leave, known, reduces=True)) == ""


EXIT_STOPS: list[tuple[str, Build]] = [
    ("KILL", lambda c: {"kill_level": 2}),
    ("KILL", lambda c: {"kill_level": None}),
    ("R03", lambda c: {"price": None}),
    ("R14", lambda c: {"rules": None}),
    ("R15", lambda c: {"own_holding": None}),
    ("R15", lambda c: {"open_orders": None}),
    ("R05", lambda c: {"holdings": None}),
    ("R15", lambda c: {"own_holding": D(0)}),
    ("R15", lambda c: {"own_holding": D(-10)}),
    (
        "R15",
        lambda c: {
            "open_orders": (
                c.open_order(instance="sma", side=OrderSide.SELL, remaining=D(1), is_unknown=True),
            )
        },
    ),
]


@pytest.mark.parametrize(("check", "stop"), EXIT_STOPS)
def test_exit_when_it_cannot_be_proven_to_reduce_then_denied(
    c: Any, check: str, stop: Build
) -> None:
    """The claim alone opens nothing; UNKNOWN exits count as if they would be filled."""
    known = replace(c.facts(**c.held(10)), **stop(c))
    leave = c.order(side=OrderSide.SELL, price=None)

    assert _verdict(c.judge(leave, known, reduces=True)) == check


def test_exit_when_it_buys_more_then_the_claim_is_denied(c: Any) -> None:
    """An intent cannot pass an entry off as an exit."""
    assert _verdict(c.judge(c.order(), c.facts(**c.held(10)), reduces=True)) == "R15"


def test_sale_when_more_than_is_free_then_denied(c: Any) -> None:
    """Nothing is sold short, and nobody sells what belongs to another instance."""
    sale = c.order(side=OrderSide.SELL)
    assert _verdict(c.judge(sale, c.facts())) == "R05"
    others = c.facts(holdings={SAMSUNG: D(10)}, own_holding=D(0))
    assert _verdict(c.judge(sale, others)) == "R05"
    assert _verdict(c.judge(sale, c.facts(**c.held(10)))) == ""


OPTIONAL_FOR_AN_ENTRY = {"is_price_shared", "own_holding"}


@pytest.mark.parametrize("price", [None, D(70_000)])
@pytest.mark.parametrize(
    "name", [field.name for field in fields(RiskFacts) if field.name not in OPTIONAL_FOR_AN_ENTRY]
)
def test_i14_entry_when_any_fact_is_missing_then_denied(
    c: Any, name: str, price: D | None
) -> None:
    """There is no fact that an entry can do without."""
    known = replace(c.facts(), **{name: None})
    found = c.judge(c.order(price=price), known)

    assert isinstance(found.outcome, Denial)
    assert "not known" in found.verdict.reason


def test_i14_review_when_limits_are_missing_then_denied(c: Any) -> None:
    """Neither without limits, nor without one for this currency or venue."""
    found = review(c.order(), c.facts(), None, reduces=False, now_ns=c.NOW_NS)
    assert isinstance(found.outcome, Denial)
    assert _verdict(c.judge(limits=RiskLimits(order_value_max={}))) == "R01"
    assert _verdict(c.judge(limits=RiskLimits(price_age_s_max={}))) == "R03"


def test_i14_review_when_a_check_raises_then_denied_and_the_others_are_still_told(c: Any) -> None:
    """A broken fact denies as a missing one does."""
    found = c.judge(known=c.facts(marks=7, holdings={HYNIX: D(1)}, cash=D("NaN")))

    assert isinstance(found.outcome, Denial)
    assert len(found.verdict.findings) == len(CHECKS)
    assert any("the check failed" in finding.reason for finding in found.verdict.findings)


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": D("NaN")},
        {"quantity": D("Infinity")},
        {"quantity": D(0)},
        {"quantity": D(-1)},
        {"price": D("NaN")},
        {"price": D("Infinity")},
        {"price": D(0)},
        {"price": D(-70_000)},
        {"currency": "USD"},
        {"venue": "US"},
        {"venue": "nowhere"},
        {"account": "a2"},
    ],
)
def test_order_when_it_makes_no_sense_then_denied(c: Any, change: dict[str, Any]) -> None:
    """Numbers that are none, and places that are not ours."""
    assert isinstance(c.judge(c.order(**change)).outcome, Denial)


def test_i13_approval_when_made_by_anybody_else_then_refused() -> None:
    """Only the review can make an approved order, and only the review's file asks for it."""
    with pytest.raises(TypeError, match=r"made by risk\.review"):
        ApprovedOrder(None, seal=object())  # type: ignore[arg-type]
    root = Path(__file__).resolve().parents[4]
    users = [
        path.relative_to(root).as_posix()
        for building in ("jts_trading", "jts_pipelines", "storage")
        for path in (root / building).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.module == "jts_trading.risk.approval"
        and any(name.name in {"approve", "_SEAL", "*"} for name in node.names)
    ]
    assert users == ["jts_trading/risk/review.py"]


def test_hash_when_any_field_differs_then_it_differs(c: Any) -> None:
    """The verdict is for these bytes and no others."""
    changes = {
        "order_id": "x",
        "client_order_id": "x",
        "attempt": 2,
        "broker": "x",
        "account": "x",
        "instance": "x",
        "instrument_id": "x",
        "venue": "x",
        "side": OrderSide.SELL,
        "quantity": D(11),
        "price": None,
        "currency": "x",
        "time_in_force": "ioc",
    }
    assert set(changes) == set(FinalOrder.__struct_fields__)
    hashes = {c.order(**{name: value}).payload_hash for name, value in changes.items()}
    assert len(hashes | {c.order().payload_hash}) == len(changes) + 1


_quantities = st.decimals(min_value=-5, max_value=10_000, places=0) | st.sampled_from(
    [D("NaN"), D("Infinity"), D("0.5")]
)
_prices = st.none() | st.sampled_from([D(70_000), D(70_050), D(71_000), D(90_000), D("NaN"), D(1)])


@given(
    side=st.sampled_from(list(OrderSide)),
    quantity=_quantities,
    price=_prices,
    reduces=st.booleans(),
    held=st.integers(0, 200),
    offered=st.integers(0, 120),
    missing=st.sets(st.sampled_from([field.name for field in fields(RiskFacts)])),
)
def test_review_when_anything_comes_then_what_is_allowed_is_covered_and_known(
    *,
    side: OrderSide,
    quantity: D,
    price: D | None,
    reduces: bool,
    held: int,
    offered: int,
    missing: set[str],
) -> None:
    """Nothing is sold that is not free or bought that cannot be paid, whatever is missing."""
    c = _builders()
    known = c.facts(
        **c.held(held),
        open_orders=(
            c.open_order(
                instance="sma", side=OrderSide.SELL, remaining=D(offered), price=D(99_000)
            ),
        ),
    )
    known = replace(known, **dict.fromkeys(missing))
    found = c.judge(c.order(side=side, quantity=quantity, price=price), known, reduces=reduces)
    if isinstance(found.outcome, Denial):
        return
    assert quantity > 0
    assert quantity % 1 == 0
    if side is OrderSide.SELL:
        assert quantity <= held - offered
    else:
        assert not reduces
        assert not missing - {"own_holding"}
        assert quantity * (price or D(70_000)) <= 10_000_000


_FOUND: list[Any] = []


@pytest.fixture(autouse=True)
def _remember(c: Any) -> None:
    _FOUND[:] = [c]


def _builders() -> Any:
    return _FOUND[0]


def test_rules_when_of_another_kind_of_venue_then_denied(c: Any) -> None:
    """Filters of a crypto venue say nothing about shares on a Korean ladder."""
    known = c.facts(rules=BinanceFilters(D(1), D(1), D(1)), price=c.note(upper=None, lower=None))
    assert _verdict(c.judge(known=known)) == "R02"
    assert _verdict(c.judge(known=c.facts(rules=KrxRules("NASDAQ")))) == "R14"
