"""Promises of the rule table: one answer for each question, or an error that says why."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.market import corporate, loading
from jts_trading.domain.market import table as table_module
from jts_trading.domain.market.admission import Admission, OrderFacts, admit
from jts_trading.domain.market.costs import (
    CommissionProfile,
    CommissionRow,
    Side,
    cash_flow,
    floor_share,
    sale_tax,
)
from jts_trading.domain.market.ladder import floor_units, parse_ladder
from jts_trading.domain.market.loading import RuleTableError, default_table, load_table
from jts_trading.domain.market.prices import (
    daily_limits,
    interruption_rate,
    is_on_trade_grid,
    listing_day_auction,
    listing_day_limits,
    lot_size,
    order_ladder,
    rounded_reference,
)
from jts_trading.domain.market.table import Basis, Confidence, RuleTable
from jts_trading.domain.market.upbit import (
    UpbitVerdict,
    admit_limit_order,
    fee_rate,
    market_buy,
    split_market,
    upbit_ladder,
)

RULES = default_table()
HEADER = (
    "rule_id,venue,market,asset,key,valid_from,valid_to,value,basis,known_from,confidence,source,"
    "note\n"
)
DAY = date(2024, 3, 4)


def _table(*rows: str) -> str:
    return HEADER + "\n".join(rows) + "\n"


def test_table_when_shipped_then_holds_the_published_rows():
    """All 111 published rows are there, and ours go on from them."""
    ids = [rule.rule_id for rule in RULES.rules]

    assert ids == [f"R{number:03d}" for number in range(1, len(ids) + 1)]
    assert len(ids) > 111


def test_table_when_every_row_is_asked_in_its_time_then_answers():
    """Each row is reachable on its first and last day, unless a more specific one stands there."""
    for rule in RULES.rules:
        for day in (rule.valid_from or date(2000, 6, 1), rule.valid_to or date(2027, 6, 1)):
            found = RULES.find(
                rule.key,
                day,
                venue=rule.venue,
                market=rule.market,
                asset=rule.asset,
                basis=rule.basis,
            )
            assert found is not None
            assert found.specificity >= rule.specificity


def test_table_when_listed_then_uncertain_rows_are_shown():
    """The operator can see what conflicts or lacks a source."""
    uncertain = {rule.rule_id for rule in RULES.uncertain()}

    assert {"R002", "R010", "R040", "R076", "R108"} <= uncertain
    assert all(rule.confidence is Confidence.UNCERTAIN for rule in RULES.uncertain())


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("X,KRX,KOSPI,ETF,tick,2020-13-01,,0:1,trade,,S,,", "line 2 (X)"),
        ("X,KRX,KOSPI,ETF,tick,2021-01-01,2020-01-01,0:1,trade,,S,,", "is after valid_to"),
        ("X,KRX,KOSPI,ETF,tick,,,1:5,trade,,S,,", "must start at 0"),
        ("X,KRX,KOSPI,ETF,tick,,,0:5|100:7,trade,,S,,", "does not continue tick 5"),
        ("X,KRX,KOSPI,ETF,tick,,,0:5|100:10|50:20,trade,,S,,", "must ascend"),
        ("X,KRX,KOSPI,ETF,tick,,,0:5|105:10,trade,,S,,", "does not continue"),
        ("X,KRX,KOSPI,ETF,tick,,,0:0.5,trade,,S,,", "more than 0 decimals"),
        ("X,KRX,KOSPI,ETF,tick,,,0-5,trade,,S,,", "not lower_bound:tick"),
        ("X,KRX,KOSPI,*,limit_rate,,,30,trade,,S,,", "not a fraction"),
        ("X,KRX,KOSPI,*,limit_rate,,,abc,trade,,S,,", "line 2"),
        ("X,KRX,KOSPI,ETF,limit_multiple,,,2,trade,,S,,", "not a known multiple"),
        ("X,KRX,KOSPI,*,listing_day_limit,,,4.0..0.6,trade,,S,,", "not an ascending pair"),
        ("X,KRX,KOSPI,*,lot,,,5:1,trade,,S,,", "lots ascending from 0"),
        ("X,KRX,*,*,phase.continuous,,,15:00-09:00,trade,,S,,", "not a span"),
        ("X,KRX,*,*,phase.continuous,,,9-15,trade,,S,,", "not a time"),
        ("X,UPBIT,KRW,*,min_total,,,0,trade,,S,,", "not an amount"),
        ("X,KRX,KOSPI,*,limit_rate,,,0.3,trade,,certain,,", "certain"),
        ("X,KRX,KOSPI,*,limit_rate,,,0.3,someday,,S,,", "someday"),
    ],
)
def test_loader_when_a_row_is_wrong_then_names_line_and_fault(row: str, said: str):
    """A wrong row never becomes a rule."""
    with pytest.raises(RuleTableError) as caught:
        load_table(_table(row))

    assert said in str(caught.value)


def test_loader_when_a_column_is_missing_then_says_which():
    """The header is checked too."""
    with pytest.raises(RuleTableError, match="column 'basis' is missing"):
        load_table(_table("X,KRX,KOSPI,*,limit_rate,,,0.3,trade,,S,,").replace(",basis", ",b"))


def test_loader_when_rows_overlap_then_refuses():
    """Two equally specific rows in force on one day have no answer."""
    first = "A,KRX,KOSPI,*,limit_rate,,2015-06-14,0.15,trade,,S,,"
    second = "B,KRX,KOSPI,*,limit_rate,2015-06-14,,0.3,trade,,S,,"
    crossing = "C,KRX,*,ETF,limit_rate,2016-01-01,,0.3,trade,,S,,"
    apart = "D,KRX,KOSDAQ,*,limit_rate,2015-06-14,,0.3,trade,,S,,"

    with pytest.raises(RuleTableError, match=r"A and B .* overlap"):
        load_table(_table(first, second))
    with pytest.raises(RuleTableError, match=r"B and C .* overlap"):
        load_table(_table(second, crossing))
    assert load_table(_table(first, apart)).rules


def test_loader_when_a_fact_has_a_hole_then_refuses_it_from_october_2010():
    """A hole after 2010-10-04 is an error; events may stand alone."""
    rows = (
        "A,KRX,KOSPI,*,{0},,2015-06-13,0.15,trade,,S,,",
        "B,KRX,KOSPI,*,{0},2015-06-15,,0.3,trade,,S,,",
    )

    with pytest.raises(RuleTableError, match="no rule for limit_rate of KRX KOSPI between A"):
        load_table(_table(*(row.format("limit_rate") for row in rows)))
    assert load_table(_table(*(row.format("short_ban") for row in rows))).rules


def test_loader_when_an_id_is_used_twice_then_refuses():
    """Ids name rows."""
    row = "A,KRX,{},*,limit_rate,,,0.3,trade,,S,,"
    with pytest.raises(RuleTableError, match="A is used twice"):
        load_table(_table(row.format("KOSPI"), row.format("KOSDAQ")))


def test_digest_when_one_character_changes_then_changes():
    """A rule change is visible; the order of rows is not a change."""
    first = "A,KRX,KOSPI,*,limit_rate,,,0.3,trade,,S,,"
    second = "B,KRX,KOSDAQ,*,limit_rate,,,0.3,trade,,S,,"
    digest = load_table(_table(first, second)).digest

    assert digest == load_table(_table(second, first)).digest
    assert digest != load_table(_table(first, second.replace("0.3", "0.30"))).digest
    assert len(RULES.digest) == 64


@pytest.mark.parametrize(
    ("day", "market", "asset"),
    [
        (DAY, "NASDAQ", "COMMON"),
        (date(2013, 6, 28), "KONEX", "COMMON"),
        (DAY, "KOSDAQ", "ETF"),
        (DAY, "KOSPI", "BOND"),
    ],
)
def test_lookup_when_nothing_covers_the_question_then_is_an_error(day, market, asset):
    """An unknown day, market or asset has no nearest row."""
    with pytest.raises(
        RuleMissingError, match=f"no rule for tick of KRX {market} {asset} on {day}"
    ):
        order_ladder(RULES, day, market=market, asset=asset)


@pytest.mark.parametrize(
    ("key", "day", "venue", "known"),
    [
        ("stt", date(1990, 9, 13), "KRX", "from 1996-01-01"),
        ("fee", DAY, "NYSE", "for: UPBIT/BTC, UPBIT/KRW, UPBIT/USDT"),
        ("no_such_key", DAY, "KRX", "for: nothing"),
    ],
)
def test_lookup_when_nothing_covers_it_then_the_error_says_what_is_known(key, day, venue, known):
    """For when, or for what."""
    with pytest.raises(RuleMissingError) as refused:
        RULES.require(key, day, venue=venue, market="KOSPI", asset="COMMON", basis=Basis.SETTLE)
    assert str(refused.value).endswith(f"(the table knows it {known})")


def test_lookup_when_the_wrong_kind_of_date_is_passed_then_is_refused():
    """The tax is selected by settlement; asking with a trade date is a mistake in the program."""
    with pytest.raises(ValueError, match="selected by the settle date"):
        RULES.require("stt", DAY, venue="KRX", market="KOSPI", asset="COMMON")
    with pytest.raises(ValueError, match="selected by the trade date"):
        RULES.require("limit_rate", DAY, venue="KRX", market="KOSPI", basis=Basis.SETTLE)


def test_lookup_when_a_market_is_named_then_beats_the_wildcard():
    """The most specific row wins."""
    table = load_table(
        _table(
            "A,KRX,*,*,lot,,,0:1,trade,,S,,",
            "B,KRX,KOSPI,*,lot,,,0:10,trade,,S,,",
            "C,KRX,KOSPI,ELW,lot,,,0:100,trade,,S,,",
        )
    )
    lots = [
        lot_size(table, DAY, 1000, market=market, asset=asset)
        for market, asset in (("KOSDAQ", "COMMON"), ("KOSPI", "COMMON"), ("KOSPI", "ELW"))
    ]

    assert lots == [1, 10, 100]


def test_lookup_when_asked_again_then_answers_alike_and_forgets_what_is_too_much(monkeypatch):
    """Remembered answers are those of a fresh table: of NXT's parent, none, the wrong date."""
    monkeypatch.setattr(table_module, "FOUND_MAX", 5)
    table, days = (
        RuleTable(default_table().rules),
        [date(2025, 3, 4) + timedelta(days=n) for n in range(0, 90, 9)],
    )

    for day in days * 2:
        for venue, market in (("NXT", "KOSPI"), ("KRX", "KOSDAQ"), ("KRX", "NOWHERE")):
            fresh = RuleTable(default_table().rules).find(
                "tick", day, venue=venue, market=market, asset="COMMON"
            )
            for _ in range(2):
                assert table.find("tick", day, venue=venue, market=market, asset="COMMON") == fresh
        for _ in range(2):
            with pytest.raises(ValueError, match="is selected by"):
                table.find(
                    "tick", day, venue="KRX", market="KOSPI", asset="COMMON", basis=Basis.SETTLE
                )
    assert len(table._found) <= 5


def test_knowledge_when_a_tax_was_not_yet_published_then_the_old_one_goes_on():
    """A backtest pinned to 2024 does not know the tax of 2026."""
    settle = date(2026, 3, 2)
    pinned = RULES.as_known_on(date(2025, 6, 1))

    assert sale_tax(RULES, settle, 1_000_000, market="KOSDAQ", asset="COMMON").stt == 2000
    assert sale_tax(pinned, settle, 1_000_000, market="KOSDAQ", asset="COMMON").stt == 1500
    assert pinned.digest != RULES.digest


def test_nxt_when_prices_are_asked_then_uses_those_of_krx():
    """Nextrade has KRX's ladder, limits and lot, from its first day on."""
    day = date(2025, 6, 2)
    scope = {"market": "KOSDAQ", "asset": "COMMON"}

    assert order_ladder(RULES, day, venue="NXT", **scope) == order_ladder(RULES, day, **scope)
    assert daily_limits(RULES, day, 12345, venue="NXT", **scope) == daily_limits(
        RULES, day, 12345, **scope
    )
    with pytest.raises(RuleMissingError):
        order_ladder(RULES, date(2025, 3, 3), venue="NXT", **scope)


def test_etf_when_the_papers_disagree_then_bars_may_show_both_grids():
    """From 2023-12-08 to 12-17 a one-won price of an ETF is no bad tick, and no order either."""
    day, price = date(2023, 12, 12), 1503

    assert is_on_trade_grid(RULES, day, price, market="KOSPI", asset="ETF")
    assert not order_ladder(RULES, day, market="KOSPI", asset="ETF").is_on_grid(price)
    assert not is_on_trade_grid(RULES, date(2023, 12, 7), price, market="KOSPI", asset="ETF")
    assert not is_on_trade_grid(RULES, date(2026, 5, 4), 35_052, market="KOSPI", asset="ETF")


@pytest.mark.parametrize("price", [0, -5, Decimal("1500.5")])
def test_trade_grid_when_no_won_then_refuses(price):
    """Zero, negative and broken prices are no prints."""
    assert not is_on_trade_grid(RULES, DAY, price, market="KOSPI")


def test_limits_when_the_base_is_tiny_then_leave_one_tick():
    """A base of one won still has a day's range; it never reaches zero."""
    limits = daily_limits(RULES, DAY, 1, market="KOSPI", asset="COMMON")

    assert (limits.lower, limits.reference, limits.upper) == (1, 1, 2)
    with pytest.raises(ValueError, match="not above 0"):
        daily_limits(RULES, DAY, 0, market="KOSPI", asset="COMMON")


def test_listing_day_when_before_june_2023_then_an_auction_set_the_base():
    """The two regimes do not answer for each other."""
    before, after = date(2023, 6, 23), date(2023, 6, 26)
    auction = listing_day_auction(RULES, before, 10_000, market="KOSDAQ")

    assert (auction.lower, auction.upper) == (9_000, 20_000)
    with pytest.raises(RuleMissingError):
        listing_day_limits(RULES, before, 10_000, market="KOSDAQ")
    with pytest.raises(RuleMissingError):
        listing_day_auction(RULES, after, 10_000, market="KOSDAQ")


def test_interruption_when_membership_is_unknown_then_is_the_stricter():
    """Not knowing the index members must not loosen a limit."""
    assert interruption_rate(RULES, DAY, kind="dynamic") == Decimal("0.03")
    assert interruption_rate(RULES, DAY, kind="dynamic", group="OTHER") == Decimal("0.06")
    assert interruption_rate(RULES, DAY, kind="dynamic", phase="closing") == Decimal("0.02")
    with pytest.raises(ValueError, match="accepted: \\['closing', 'continuous', 'single'\\]"):
        interruption_rate(RULES, DAY, kind="dynamic", phase="opening")
    with pytest.raises(RuleMissingError):
        interruption_rate(RULES, date(2014, 8, 29), kind="dynamic")


def test_commission_when_the_account_has_its_own_rate_then_the_table_is_not_asked():
    """The contract decides; what neither prices must be configured."""
    published = CommissionProfile("kis")
    own = CommissionProfile(
        "kis", (CommissionRow("KRX", "COMMON", Decimal("0.00003"), DAY, DAY + timedelta(days=9)),)
    )

    assert published.rate(RULES, DAY, venue="KRX", asset="ETF") == Decimal("0.000146527")
    assert own.rate(RULES, DAY, venue="KRX", asset="COMMON") == Decimal("0.00003")
    for profile, venue in ((own, "NXT"), (published, "NXT"), (CommissionProfile("creon"), "KRX")):
        with pytest.raises(RuleMissingError, match="configure the account's own rate"):
            profile.rate(RULES, DAY, venue=venue, asset="COMMON")
    with pytest.raises(RuleMissingError):
        own.rate(RULES, DAY + timedelta(days=10), venue="KRX", asset="COMMON")


def test_costs_when_numbers_make_no_trade_then_are_refused():
    """Nothing is bought for nothing."""
    scope = {"commission_rate": Decimal(0), "market": "KOSPI", "asset": "COMMON"}
    with pytest.raises(ValueError, match="must be above 0"):
        cash_flow(RULES, DAY, side=Side.BUY, price=0, quantity=1, **scope)
    with pytest.raises(ValueError, match="must not be negative"):
        floor_share(-1, Decimal("0.1"))
    assert floor_share(12_345, Decimal("0.1"), 10) == 1230


def test_lot_when_the_base_is_high_then_is_one_even_before_2014():
    """The lot of KOSPI shares followed the base of the day."""
    lots = [
        lot_size(RULES, day, price, market="KOSPI")
        for day, price in (
            (date(2014, 5, 30), 49_950),
            (date(2014, 5, 30), 50_000),
            (date(2014, 6, 2), 49_950),
        )
    ]

    assert lots == [10, 1, 1]
    assert lot_size(RULES, DAY, 1000, market="KOSPI", asset="ETF") == 1


def _order(**facts: object) -> OrderFacts:
    known = {"day": DAY, "venue": "KRX", "market": "KOSPI", "asset": "COMMON", "side": Side.BUY}
    return OrderFacts(**{**known, **facts})  # type: ignore[arg-type] - facts of many types


@pytest.mark.parametrize(
    ("order", "verdict"),
    [
        (_order(), Admission.ACCEPT),
        (_order(quantity=0, price=10_000), Admission.LOT),
        (_order(quantity=5, order_type="MARKET"), Admission.ACCEPT),
        (_order(price=13_000, reference=10_000), Admission.ACCEPT),
        (_order(price=6_990, reference=10_000), Admission.LIMIT),
        (
            _order(day=date(2026, 10, 1), order_type="MARKET", phase="after_market"),
            Admission.ORDER_TYPE,
        ),
        (
            _order(day=date(2025, 6, 2), venue="NXT", is_nxt_eligible=False),
            Admission.NOT_ELIGIBLE,
        ),
        (
            _order(day=date(2025, 6, 2), venue="NXT", order_type="BEST", phase="pre_market"),
            Admission.ORDER_TYPE,
        ),
        (_order(day=date(2011, 9, 1), side=Side.SHORT, index="KOSPI200"), Admission.SHORT_BAN),
        (_order(day=date(2012, 9, 3), side=Side.SHORT), Admission.ACCEPT),
    ],
)  # fmt: skip
def test_admission_when_an_order_arrives_then_the_first_failed_check_is_named(order, verdict):
    """What is not known is not checked; what is known is."""
    assert admit(RULES, order) is verdict


def test_reference_when_between_ticks_then_is_rounded_up():
    """KRX rounds a base up, across the band if need be."""
    ladder = order_ladder(RULES, DAY, market="KOSPI", asset="COMMON")

    assert rounded_reference(ladder, 12_345) == 12_350
    assert rounded_reference(ladder, 1_999) == 1_999
    assert rounded_reference(ladder, 19_991) == 20_000


def test_ladder_when_there_is_nothing_below_then_is_an_error():
    """The lowest price has no lower neighbour, and negative prices have no band."""
    ladder = order_ladder(RULES, DAY, market="KOSPI", asset="COMMON")

    with pytest.raises(ValueError, match="no price above zero lies below 1"):
        ladder.next_down(1)
    with pytest.raises(ValueError, match="no price above zero lies below 0"):
        ladder.next_down(0)
    with pytest.raises(ValueError, match="is negative"):
        ladder.tick(-1)


def test_upbit_when_orders_are_odd_then_says_why():
    """Market codes, totals and sums are checked."""
    day = date(2026, 11, 2)
    huge = admit_limit_order(
        RULES, day, "KRW-BTC", price=Decimal(100_000_000), volume=Decimal("10.00000001")
    )

    assert huge is UpbitVerdict.OVER_MAX_TOTAL
    assert fee_rate(RULES, day, "BTC-ETH") == Decimal("0.0025")
    assert upbit_ladder(RULES, date(2025, 7, 31), "KRW-USDT").scale == 8
    with pytest.raises(ValueError, match="not an Upbit market"):
        split_market("BTC")
    with pytest.raises(ValueError, match="must be above 0"):
        market_buy(Decimal(0), Decimal(1), Decimal(0))
    with pytest.raises(RuleMissingError):
        upbit_ladder(RULES, day, "EUR-BTC")


def test_upbit_when_a_coin_has_its_own_band_then_the_rest_of_the_ladder_stays():
    """The exception of USDT changes one band only."""
    day = date(2025, 4, 1)
    plain, usdt = (upbit_ladder(RULES, day, f"KRW-{coin}") for coin in ("XRP", "USDT"))
    prices = [Decimal(text) for text in ("500", "999.9", "1000", "9999", "10000", "70000")]
    ticks = [(plain.tick(int(price * 10**8)), usdt.tick(int(price * 10**8))) for price in prices]

    assert [a == b for a, b in ticks] == [True, True, False, False, True, True]


def test_loader_when_asked_for_the_shipped_table_then_reads_it_once():
    """One table for everybody in a process."""
    assert default_table() is loading.default_table()


def test_ladder_when_a_band_ends_inside_another_then_the_other_goes_on_above():
    """An exception need not end at a bound of the ladder."""
    ladder = parse_ladder("0:10|1000:100", 0).with_band(0, 500, 5)

    assert [ladder.tick(price) for price in (0, 499, 500, 999, 1000)] == [5, 5, 10, 10, 100]
    with pytest.raises(ValueError, match="tick 10 from 500 does not continue tick 20"):
        parse_ladder("0:10|1000:100", 0).with_band(100, 500, 20)


def test_ladder_when_a_number_is_not_finite_then_is_refused():
    """NaN has no band."""
    for text in ("NaN", "Infinity"):
        with pytest.raises(ValueError, match="not a number"):
            floor_units(Decimal(text), 8)


def test_reduction_when_the_price_is_appraised_then_the_auction_has_its_range():
    """The opening-price method takes quotes within 50 to 200 % of the appraised price."""
    assert corporate.opening_range(2_040) == (1_020, 4_080)
    assert corporate.opening_range(1_001) == (501, 2_002)
    with pytest.raises(ValueError, match="not above 0"):
        corporate.after_share_exchange(1000, 0, 1)
