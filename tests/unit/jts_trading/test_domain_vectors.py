"""Every published test vector of the market rules, against the rule table and the calendars.

The files in `vectors/` are facts, one row a case; columns called `observed` are prices that the
market printed. Where a vector and a rule row disagree, the vector is right.
"""

import csv
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from jts_trading.domain.instruments import is_isin, isin_check_digit
from jts_trading.domain.market import binance, corporate, ladder, prices, upbit
from jts_trading.domain.market.admission import OrderFacts, admit
from jts_trading.domain.market.costs import Side, cash_flow, sale_tax, sale_tax_rates
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.sessions import calendar_for, ex_date, last_cum_date, phases_at

FOLDER = Path(__file__).parent / "vectors"
RULES = default_table()
KST_NS = 9 * 3600 * 10**9
ROWS_PUBLISHED = 381
Row = dict[str, str]


def _rows(name: str) -> list[Row]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _vectors(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", _rows(name), ids=lambda row: row["id"])


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _pairs(text: str) -> dict[str, str]:
    """Read `price=12345 qty=5`; words without `=` are dropped."""
    return dict(part.split("=", 1) for part in text.split() if "=" in part)


def _utc_ns(text: str) -> int:
    at = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int(at.timestamp()) * 10**9


def test_vectors_when_counted_then_all_published_rows_are_here():
    """No block was lost on the way."""
    assert sum(len(_rows(path.stem)) for path in FOLDER.glob("*.csv")) == ROWS_PUBLISHED


@_vectors("ticks")
def test_ticks_when_a_vector_is_asked_then_agree(row: Row):
    """Tick, grid and neighbours of a price follow the ladder of its day."""
    steps = prices.order_ladder(RULES, _day(row["date"]), market=row["market"], asset=row["asset"])
    price = int(row["price"])
    found = (
        steps.tick(price),
        int(steps.is_on_grid(price)),
        steps.floor(price),
        steps.ceil(price),
        steps.next_up(price),
        steps.next_down(price),
    )

    assert found == tuple(
        int(row[name]) for name in ("tick", "on_grid", "floor", "ceil", "next_up", "next_down")
    )


@_vectors("trade_grid")
def test_trade_grid_when_a_vector_is_asked_then_agrees(row: Row):
    """A bar may show ladder prices, and half ticks since 2025-03-04."""
    allowed = prices.is_on_trade_grid(
        RULES, _day(row["date"]), Decimal(row["price"]), market=row["market"]
    )

    assert allowed is (row["allowed"] == "1")


@_vectors("limits")
def test_limits_when_a_vector_is_asked_then_agree(row: Row):
    """Base, upper and lower limit, and the print that touched one."""
    limits = prices.daily_limits(
        RULES,
        _day(row["date"]),
        int(row["raw_base"]),
        market=row["market"],
        asset=row["asset"],
        leverage=Decimal(row["leverage"]),
    )

    assert (limits.reference, limits.upper, limits.lower) == (
        int(row["base"]),
        int(row["upper"]),
        int(row["lower"]),
    )
    if row["observed"]:
        _, side, price = row["observed"].split()
        assert int(price) == (limits.upper if side == "high" else limits.lower)


@_vectors("listing_day")
def test_listing_day_when_a_vector_is_asked_then_agrees(row: Row):
    """The first day moves between 60 and 400 % of the offer price."""
    limits = prices.listing_day_limits(
        RULES, _day(row["date"]), int(row["offer_price"]), market="KOSPI"
    )

    assert (limits.upper, limits.lower) == (int(row["upper"]), int(row["lower"]))


@_vectors("vi")
def test_interruption_when_a_vector_is_asked_then_agrees(row: Row):
    """The first trigger prices around a reference, and those that the market published."""
    steps = prices.order_ladder(RULES, _day(row["date"]), market=row["market"], asset="COMMON")
    rate = Decimal(row["percent"]) / 100
    found = prices.interruption_triggers(steps, int(row["reference"]), rate)

    assert found.up == int(row["first_trigger_up"])
    assert found.down == int(row["first_trigger_down"])
    if row["observed_trigger"]:
        assert int(row["observed_trigger"]) in (found.up, found.down)
    if row["kind"] == "static":
        assert prices.interruption_rate(RULES, _day(row["date"]), kind="static") == rate


@_vectors("tax")
def test_tax_when_a_vector_is_asked_then_agrees(row: Row):
    """Rates and won of a sale, by its settlement date, which the calendar knows too."""
    settle = _day(row["settle_date"])
    scope = {"market": row["market"], "asset": row["asset"]}
    rates = sale_tax_rates(RULES, settle, **scope)
    tax = sale_tax(RULES, settle, int(row["gross_krw"]), **scope)

    assert calendar_for("KRX").settlement_day(_day(row["trade_date"])) == settle
    assert (rates.stt * 100, rates.rst * 100) == (Decimal(row["stt_pct"]), Decimal(row["rst_pct"]))
    assert (tax.stt, tax.rst, tax.total) == (
        int(row["stt_krw"]),
        int(row["rst_krw"]),
        int(row["total_krw"]),
    )


@_vectors("settlement")
def test_settlement_when_a_vector_is_asked_then_agrees(row: Row):
    """Settlement, last cum and ex dates count KRX sessions."""
    answer = {
        "settle": calendar_for("KRX").settlement_day,
        "last_cum_date_for_record": last_cum_date,
        "ex_date_for_record": ex_date,
    }[row["kind"]]

    assert answer(_day(row["input_date"])) == _day(row["expected_date"])


@_vectors("sessions")
def test_sessions_when_a_vector_is_asked_then_agree(row: Row):
    """Which days trade, and from when to when."""
    calendar = calendar_for("KRX")
    date_ = _day(row["date"])

    assert calendar.is_session(date_) is (row["is_session"] == "1")
    if row["is_session"] == "1":
        times = [
            datetime.fromtimestamp((ns + KST_NS) // 10**9, UTC)
            for ns in calendar.open_close_ns(date_)
        ]
        assert [at.date() for at in times] == [date_, date_]
        assert [f"{at:%H:%M}" for at in times] == [row["open_kst"], row["close_kst"]]


@_vectors("phases")
def test_phases_when_a_vector_is_asked_then_agree(row: Row):
    """What KRX and NXT are doing at an instant."""
    found = phases_at(row["venue"], _utc_ns(row["kst"]) - KST_NS)

    assert ("+".join(found) or "closed") == row["phase"]


@_vectors("cash_flow")
def test_cash_flow_when_a_vector_is_asked_then_agrees(row: Row):
    """What a fill moves, to the won."""
    flow = cash_flow(
        RULES,
        _day(row["settle_date"]),
        side=Side(row["side"]),
        price=int(row["price"]),
        quantity=int(row["qty"]),
        commission_rate=Decimal(row["commission_rate"]),
        market=row["market"],
        asset=row["asset"],
    )

    assert (flow.gross, flow.commission, flow.tax.stt, flow.tax.rst, flow.net) == tuple(
        int(row[name]) for name in ("gross", "commission", "stt", "rst", "cash_flow")
    )


def _adjusted(row: Row) -> Fraction:
    given = {name: Fraction(value) for name, value in _pairs(row["inputs"]).items()}
    previous = int(given["prev"])
    match row["event"]:
        case "split" | "consolidation":
            return corporate.after_share_exchange(previous, int(given["old"]), int(given["new"]))
        case "bonus" | "stock_dividend":
            return corporate.after_free_shares(previous, given["ratio"])
        case "rights":
            return corporate.after_rights_issue(previous, int(given["issue"]), given["ratio"])
        case "cash_dividend":
            return corporate.after_cash_dividend(previous)
        case other:
            raise AssertionError(other)


@_vectors("corporate")
def test_corporate_action_when_a_vector_is_asked_then_agrees(row: Row):
    """The adjusted base, rounded up to the tick, and the limits around it."""
    raw = _adjusted(row)
    limits = prices.daily_limits(
        RULES, _day(row["ex_date"]), raw, market=row["market"], asset="COMMON"
    )

    assert round(raw, 4) == Fraction(row["raw"])
    assert (limits.reference, limits.upper, limits.lower) == (
        int(row["base"]),
        int(row["upper"]),
        int(row["lower"]),
    )


@_vectors("isin")
def test_isin_when_a_vector_is_asked_then_agrees(row: Row):
    """Check digits tell a right ISIN from a wrong one."""
    assert is_isin(row["isin"]) is (row["valid"] == "1")
    assert isin_check_digit(row["isin"][:11]) == int(row["check_digit"])


@_vectors("admission")
def test_admission_when_a_vector_is_asked_then_agrees(row: Row):
    """Which rule refuses an order, or none."""
    given = _pairs(row["detail"])
    eligible = given.get("nxt_eligible")
    order = OrderFacts(
        day=_day(row["date"]),
        venue=row["venue"],
        market=row["market"],
        asset=row["asset"],
        side=Side(row["side"]),
        quantity=int(given["qty"]) if "qty" in given else None,
        price=int(given["price"]) if "price" in given else None,
        reference=int(given["base"]) if "base" in given else None,
        order_type=given.get("type"),
        phase=given.get("phase"),
        index=given.get("index"),
        is_nxt_eligible=None if eligible is None else eligible == "1",
    )

    assert admit(RULES, order) == row["expected"]


@_vectors("upbit_ticks")
def test_upbit_ticks_when_a_vector_is_asked_then_agree(row: Row):
    """Ticks of Upbit by date, price and coin."""
    steps = upbit.upbit_ladder(RULES, _day(row["date"]), row["market"])
    price = Decimal(row["price"])
    units, _ = ladder.floor_units(price, steps.scale)

    assert ladder.decimal_of(steps.tick(units), steps.scale) == Decimal(row["tick"])
    assert ladder.is_decimal_on_grid(steps, price) is (row["on_grid"] == "1")
    assert ladder.floor_decimal(steps, price) == Decimal(row["floor"])
    assert ladder.ceil_decimal(steps, price) == Decimal(row["ceil"])


@_vectors("upbit_orders")
def test_upbit_orders_when_a_vector_is_asked_then_agree(row: Row):
    """What Upbit refuses, locks, and pays back."""
    given = {name: Decimal(value) for name, value in _pairs(row["input"]).items()}
    wanted = {name: Decimal(value) for name, value in _pairs(row["expected"]).items()}
    rate = upbit.fee_rate(RULES, _day(row["date"]), row["market"])
    match row["type"]:
        case "market_buy":
            bought = upbit.market_buy(given["funds"], given["price"], rate)
            assert wanted == {name: getattr(bought, name) for name in wanted}
        case "market_sell":
            assert wanted == {
                "proceeds": upbit.sell_proceeds(given["volume"], given["price"], rate)
            }
        case _:
            verdict = upbit.admit_limit_order(RULES, _day(row["date"]), row["market"], **given)
            if wanted:
                assert wanted == {"lock": upbit.limit_buy_lock(**given, rate=rate)}
            assert verdict == ("accept" if wanted else row["expected"])


@_vectors("session_date")
def test_session_date_when_a_vector_is_asked_then_agrees(row: Row):
    """The day of an instant is that of its venue."""
    at = _utc_ns(row["utc"].removesuffix("Z"))

    assert calendar_for(row["venue"]).session_date(at) == _day(row["session_date"])


def _binance_filters(row: Row) -> binance.BinanceFilters:
    given = {name: Decimal(value) for name, value in _pairs(row["rules"]).items()}
    return binance.BinanceFilters(given["tick"], given["step"], given["min_notional"])


def _binance_commission(row: Row) -> str:
    rules = {name: Decimal(value) for name, value in _pairs(row["rules"]).items()}
    given = {name: Decimal(value) for name, value in _pairs(row["input"]).items()}
    charged = binance.commission(
        side=Side(row["input"].split()[0]),
        price=given["price"],
        quantity=given["qty"],
        rate=rules["fee"],
        coin="BTC",
        quote="USDT",
        bnb_discount=rules.get("bnb_discount"),
        bnb_price=rules.get("bnbusdt"),
    )
    return f"commission={charged.amount.normalize():f} {charged.asset}"


@_vectors("binance")
def test_binance_when_a_vector_is_asked_then_agrees(row: Row):
    """Filters, rounding towards them, and commission."""
    given = _pairs(row["input"])
    if row["type"] == "FILL":
        assert _binance_commission(row) == row["expected"]
    elif row["input"].startswith("round price"):
        rounded = binance.round_price(
            _binance_filters(row), Decimal(given["price"]), Side(given["side"])
        )
        assert f"price={rounded:.2f}" == row["expected"]
        assert rounded == rounded.quantize(Decimal("0.01"))
    elif row["input"].startswith("round qty"):
        quantity = binance.round_quantity(_binance_filters(row), Decimal(given["qty"]))
        assert quantity == Decimal(_pairs(row["expected"])["qty"])
    else:
        verdict = binance.admit_order(
            _binance_filters(row), Decimal(given["price"]), Decimal(given["qty"])
        )
        assert verdict == row["expected"]
