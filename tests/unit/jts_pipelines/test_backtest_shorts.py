"""Short sales in a backtest on markets small enough to compute by hand."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jts_pipelines.backtest.cautions import Code
from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.sets import Sets
from jts_pipelines.backtest.settings import AccountLimits, BacktestSettings
from jts_pipelines.backtest.stage import Stages
from jts_pipelines.backtest.trial import Trial
from jts_pipelines.reports.tearsheet import render_tearsheet
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy, read_strategy
from storage.errors import InputError

CALENDAR = calendar_for("KRX")
FIRST = date(2025, 4, 1)
# (open, close) of a day; highs and lows are ten won beyond.
Day = tuple[int, int]
BOTH = """strategy("Both") {
  entry.long { when (close > close[1]) { buy(quantity: 100) } }
  entry.short { when (close < close[1]) { sell(quantity: 100) } }
  exit.long { when (close < close[1]) { sell(quantity: "all") } }
  exit.short { when (close > close[1]) { buy(quantity: "all") } }
}"""


def short_only(leave: str = "close > close[1]", sold: str = "100", risk: str = "") -> str:
    """Return a text that sells short after a fall."""
    return f"""strategy("Shorts") {{
      entry.short {{ when (close < close[1]) {{ sell(quantity: {sold}) }} }}
      exit.short {{ when ({leave}) {{ buy(quantity: "all") }} }}
      {"risk_management { " + risk + " }" if risk else ""}
    }}"""


def panel(rows: dict[str, list[Day]], first: date = FIRST, hours: int = -9) -> pl.DataFrame:
    """Return daily bars of symbols from a day on."""
    days = CALENDAR.sessions(first, first + timedelta(days=60))
    return pl.DataFrame(
        [
            {
                "symbol": symbol,
                "timestamp": datetime(day.year, day.month, day.day, tzinfo=UTC)
                + timedelta(hours=hours),
                "open": opened,
                "high": max(opened, close) + 10,
                "low": min(opened, close) - 10,
                "close": close,
                "volume": 10_000,
            }
            for symbol, own in rows.items()
            for day, (opened, close) in zip(days, own, strict=False)
        ]
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def run(
    rows: list[Day] | dict[str, list[Day]],
    kernels: Path,
    text: str | None = None,
    first: date = FIRST,
    **assumed: Any,
) -> BacktestResult:
    """Run a text over one instrument, or over several."""
    given: dict[str, Any] = {"cash": 10_000_000, "short_selling": True, **assumed}
    table = panel(rows if isinstance(rows, dict) else {"005930": rows}, first)
    plan = compile_strategy(text or short_only())
    return run_backtest(plan, table, BacktestSettings(**given), cache_dir=kernels)


def dealt(result: BacktestResult) -> list[tuple[Any, ...]]:
    """Return side, quantity, price and reason of each fill, rules without their condition."""
    reason = pl.col("reason").str.split(":").list.first()
    return result.fills.select("side", "quantity", "price", reason).rows()


def codes(result: BacktestResult) -> set[Code]:
    """Return what a result warns of."""
    return {caution.code for caution in result.cautions}


# A fall on Wednesday sells at the open of Thursday, a rise on Friday covers on Monday.
ONE_TRADE: list[Day] = [
    *((10_000, 10_000), (10_000, 9_900)),
    *((9_950, 9_800), (9_800, 9_850), (9_700, 9_700)),
]


def test_short_sale_and_cover_by_hand(kernels: Path) -> None:
    """Tax and commission of the sale, the fee of four days, the commission of the cover."""
    result = run(ONE_TRADE, kernels)

    sold, fee, bought = 995_000, 437, 970_000
    assert dealt(result) == [
        ("sell", 100, 9_950, "entry.short"),
        ("buy", 0, 0, "borrowed"),
        ("buy", 100, 9_700, "exit.short"),
    ]
    # 4 % of 995,000 is 39,800 a year, of which four days are 436.2 won.
    assert result.fills["borrow_fee"].to_list() == [0, fee, 0]
    assert result.fills["commission"].to_list() == [139, 0, 136]
    assert result.fills["tax"].to_list() == [sold * 15 // 10_000, 0, 0]
    profit = sold - 139 - 1_492 - fee - bought - 136
    assert result.final_equity == 10_000_000 + profit
    trade = result.trades.row(0, named=True)
    assert (trade["side"], trade["profit"], trade["invested"]) == ("short", profit, sold)
    assert (trade["entry_price"], trade["exit_price"]) == (9_950, 9_700.0)
    assert trade["exit_reason"].startswith("exit.short")
    assert result.metrics["borrow_fees"] == fee


def test_while_short_the_account_owes_what_the_position_is_worth(kernels: Path) -> None:
    """Positions are below zero in the books, and the fee is not part of the equity yet."""
    result = run(ONE_TRADE[:4], kernels)

    assert result.positions["quantity"].to_list() == [-100, -100]
    assert result.equity["positions"].to_list() == [0, 0, -980_000, -985_000]
    assert result.equity["equity"][-1] == 10_000_000 + 995_000 - 139 - 1_492 - 985_000
    assert (result.metrics["exposure"] or 0) < 0
    assert result.metrics["time_in_market"] == 0.5
    assert result.trades["status"].to_list() == ["open"]
    assert result.trades["profit"].to_list() == [995_000 - 139 - 1_492 - 985_000]


def test_short_sale_waits_for_an_open_that_is_not_below_the_last_close(kernels: Path) -> None:
    """KRX takes no short sale below the trade before it; Binance has no such rule."""
    falling = [(10_000, 10_000), (10_000, 9_900), (9_890, 9_880), (9_880, 9_870)]

    assert dealt(run(falling, kernels)) == [("sell", 100, 9_880, "entry.short")]


@pytest.mark.parametrize(
    ("first", "banned"),
    [(date(2021, 4, 1), 3), (date(2023, 8, 1), 3), (date(2024, 3, 4), 3), (date(2019, 8, 1), 0)],
)
def test_short_sale_on_a_day_of_a_ban_is_refused(kernels: Path, first: date, banned: int) -> None:
    """Also while only members of two indices may be sold: nobody says who is one."""
    falling = [(10_000, 10_000), (10_000, 9_900), (9_950, 9_800), (9_850, 9_700)]

    result = run(falling, kernels, short_only(leave="close < 1"), first)

    assert result.facts.banned == banned
    assert (Code.SHORT_BANNED in codes(result)) == bool(banned)
    assert result.fills.height == (0 if banned else 1)


def test_short_sale_that_would_fill_on_the_first_day_of_a_ban_ends(kernels: Path) -> None:
    """2023-11-06 was a Monday; the partial ban before it is lifted from the table by 2019."""
    # The ban of 2020 began on a Monday too; before it everything could be sold short.
    rows = [(10_000, 10_000), (10_000, 10_000), (10_000, 9_900), (9_950, 9_940)]
    first = date(2020, 3, 11)
    assert CALENDAR.sessions(first, date(2020, 3, 16)) == [
        *(first, date(2020, 3, 12), date(2020, 3, 13), date(2020, 3, 16))
    ]

    result = run(rows, kernels, short_only(leave="close < 1"), first)

    # Decided on the Friday, ended on the Monday, and refused on that one.
    assert (result.fills.height, result.facts.banned) == (0, 1)


def test_too_little_collateral_covers_by_force(kernels: Path) -> None:
    """Proceeds and a fifth: a rise of 14.4 % leaves less than 5 % above the value."""
    rows = [(10_000, 10_000), (10_000, 9_900), (10_000, 10_000), (10_000, 11_420)]
    held = run(rows, kernels, short_only(leave="close < 1"), short_margin_percent="20")
    rows[3] = (10_000, 11_430)
    rows.append((11_500, 11_500))

    called = run(rows, kernels, short_only(leave="close < 1"), short_margin_percent="20")

    assert dealt(held) == [("sell", 100, 10_000, "entry.short")]
    assert dealt(called)[-1] == ("buy", 100, 11_500, "margin_call")
    assert Code.MARGIN_CALLED in codes(called)
    assert Code.MARGIN_CALLED not in codes(held)


def test_account_below_zero_is_said_and_forbids_a_release(kernels: Path) -> None:
    """A cover is never refused: what it costs is owed."""
    rows = [(10_000, 10_000), (10_000, 9_900), (10_000, 10_000), (13_000, 13_000)]
    rows += [(16_900, 16_900), (21_900, 21_900), (28_400, 28_400), (28_400, 28_400)]

    result = run(
        rows,
        kernels,
        short_only(leave="close > 20000", sold='"90%"'),
        cash=1_000_000,
        short_margin_percent="90",
        short_maintenance_percent="0",
    )

    assert result.final_equity < 0
    assert Code.BELOW_ZERO in codes(result)
    assert not result.is_trustworthy


@pytest.mark.parametrize(("margin", "sold"), [("100", 96), ("50", 189), ("25", 366)])
def test_short_sale_takes_as_much_cash_as_its_margin_and_costs(
    kernels: Path, margin: str, sold: int
) -> None:
    """A million won, and no more than the worst price and the costs of the sale let it sell."""
    rows = [(10_000, 10_000), (10_000, 9_900), (9_950, 9_900)]

    result = run(
        rows, kernels, short_only(sold="1000"), cash=1_000_000, short_margin_percent=margin
    )

    # Held back at the upper limit of 12,870 won a share, and again at the fill: its quantity.
    each = -(-12_870 * (int(margin) * 10_000 + 1_500) // 1_000_000) + 12_870 * 140_527 // 10**9 + 1
    assert result.fills["quantity"].to_list() == [1_000_000 // each]
    assert 1_000_000 // each <= sold


def test_position_turns_around_in_two_steps(kernels: Path) -> None:
    """Out at one open; the entry of the other side needs a signal while flat."""
    rows = [(10_000, 10_000), (10_000, 9_900), (9_950, 9_900), (9_900, 10_000)]
    rows += [(10_010, 10_100), (10_110, 10_100), (10_110, 10_000), (10_000, 9_900)]

    assert dealt(run(rows, kernels, BOTH)) == [
        ("sell", 100, 9_950, "entry.short"),
        ("buy", 0, 0, "borrowed"),
        ("buy", 100, 10_010, "exit.short"),
        ("buy", 100, 10_110, "entry.long"),
        ("sell", 100, 10_000, "exit.long"),
    ]


def test_entry_rules_of_a_side_alone_leave_the_other_side_out(kernels: Path) -> None:
    """Without short selling the same text trades its long side as ever."""
    rows = [(10_000, 10_000), (10_000, 9_900), (9_950, 9_900), (9_900, 10_000), (10_010, 10_100)]

    result = run(rows, kernels, BOTH, short_selling=False)

    assert dealt(result) == [("buy", 100, 10_010, "entry.long")]
    assert Code.SHORT_RULES_OFF in codes(result)


def test_words_of_a_short_position_are_below_zero_and_its_profit_is_not(kernels: Path) -> None:
    """A fall is a profit; the best close of a short position is its lowest."""
    rows = [(10_000, 10_000), (10_000, 9_900), (9_950, 9_500), (9_500, 9_600), (9_600, 9_600)]
    asks = (
        "position.quantity == -100 and position.value < -900000 KRW and position.profit > 3% "
        "and position.profit < 4% and position.highest < 9501 and close > close[1]"
    )

    assert dealt(run(rows, kernels, short_only(leave=asks)))[-1][3] == "exit.short"
    assert run(rows, kernels, short_only(leave="position.profit < 0%")).fills.height == 1


def test_words_of_the_account_leave_out_what_is_pledged_and_add_both_sides_up(
    kernels: Path,
) -> None:
    """Proceeds and as much again are pledged: the price and the costs of the sale are gone."""
    rows = [(10_000, 10_000), (10_000, 9_900), (9_950, 9_950), (9_950, 9_950), (9_950, 9_950)]
    asks = "portfolio.cash == {} KRW and portfolio.exposure > 9.9% and portfolio.exposure < 10%"
    left = 10_000_000 - 995_000 - 139 - 1_492

    told = run(rows, kernels, short_only(leave=asks.format(left)))
    other = run(rows, kernels, short_only(leave=asks.format(left + 1)))

    assert dealt(told)[-1][3] == "exit.short"
    assert other.fills.height == 1


@pytest.mark.parametrize(
    ("risk", "reason", "close"),
    [
        ('stop_loss = "3%"', "stop_loss", 10_248),
        ('take_profit = "3%"', "take_profit", 9_651),
        ('trailing_stop = "3%"', "trailing_stop", 10_248),
    ],
)
def test_risk_block_is_mirrored(kernels: Path, risk: str, reason: str, close: int) -> None:
    """A won further it leaves: from 9,950 sold, and from the lowest close of 9,950."""
    inside = close - 1 if reason == "take_profit" else close
    before = [(10_000, 10_000), (10_000, 9_900), (9_950, 9_950)]
    text = short_only(leave="close < 1", risk=risk)
    away = -1 if reason == "take_profit" else 1

    kept = run([*before, (9_950, inside), (inside, inside)], kernels, text)
    left = run([*before, (9_950, close + away), (close, close)], kernels, text)

    assert kept.fills.height == (3 if reason == "take_profit" else 1)
    assert dealt(left)[-1][3] == reason


def test_limits_of_the_account_count_both_sides(kernels: Path) -> None:
    """Half of the equity long and half short is all of it, not nothing."""
    limits = AccountLimits(
        order_value="100000000",
        position_share="1",
        gross_exposure="0.5",
        daily_loss="1",
        drawdown="1",
    )
    falls = [(10_000, 10_000), (10_000, 9_900), (9_950, 9_900), (9_900, 9_900)]
    rises = [(10_000, 10_000), (10_000, 10_000), (10_000, 10_000), (10_000, 10_100)]
    text = BOTH.replace("quantity: 100)", 'quantity: "30%")')

    result = run({"000660": rises, "005930": falls}, kernels, text, limits=limits)

    assert result.facts.denied == {"R04": 1}


def test_delisted_short_position_is_covered_at_what_is_paid_or_at_the_last_close(
    kernels: Path,
) -> None:
    """An end of which nobody knows the price earns nothing."""
    rows = {"036580": ONE_TRADE[:3], "005930": [(5_000, 5_000)] * 8}
    days = CALENDAR.sessions(FIRST, FIRST + timedelta(days=20))
    text = short_only(leave="close < 1")

    known = run(rows, kernels, text, delistings=(f"036580@{days[5]}=5000",))
    unknown = run(rows, kernels, text, delistings=(f"036580@{days[5]}",))

    assert dealt(known)[-2:] == [("buy", 0, 0, "borrowed"), ("buy", 100, 5_000, "delisted")]
    assert dealt(unknown)[-1] == ("buy", 100, 9_800, "delisted")
    assert unknown.trades["status"].to_list() == ["closed"]


def test_dividend_while_short_is_owed_before_tax(kernels: Path) -> None:
    """Who lent the shares is paid what they would have got."""
    days = CALENDAR.sessions(FIRST, FIRST + timedelta(days=20))

    result = run(ONE_TRADE, kernels, dividends=(f"005930@{days[3]}=50",))

    assert result.fills["dividend"].sum() == -5_000
    assert result.final_equity == run(ONE_TRADE, kernels).final_equity - 5_000


def test_sets_of_a_sweep_are_what_each_gives_alone(kernels: Path) -> None:
    """The same fills and figures, with parameters in rules of both sides."""
    text = BOTH.replace(
        'strategy("Both") {', 'strategy("Both") {\n params { n = 1 in 1..3 step 1 }'
    ).replace("close[1]", "sma(n)[1]")
    rows = {
        symbol: [(opened, opened + (at * step) % 210 - 100) for at in range(40)]
        for symbol, step, opened in (("005930", 70, 9_900), ("000660", 130, 8_000))
    }
    settings, table = BacktestSettings(cash=10_000_000, short_selling=True), panel(rows)
    sets = Sets(read_strategy(text), Stages(table, settings), cache_dir=kernels)
    params = [{"n": "1"}, {"n": "2"}, {"n": "3"}]

    for given, trial in zip(params, sets.run(params), strict=True):
        alone = run_backtest(
            compile_strategy(text, params=given), table, settings, cache_dir=kernels
        )
        assert isinstance(trial, Trial)
        assert alone.fills.filter(pl.col("reason") == "borrowed").height > 0
        assert trial.metrics == alone.metrics


def test_coins_are_sold_short_at_binance_and_refused_at_upbit(kernels: Path) -> None:
    """There is nobody at Upbit who lends."""
    with pytest.raises(InputError, match=r"short_selling is on; .* UPBIT"):
        BacktestSettings(venue="UPBIT", short_selling=True)
    rows = [(50_000, 50_000), (50_000, 49_000), (48_900, 48_000), (48_000, 48_500)]
    rows += [(48_400, 48_300)]
    table = panel({"BTCUSDT": rows}, hours=0)
    settings = BacktestSettings(venue="BINANCE", short_selling=True)

    result = run_backtest(
        compile_strategy(short_only(sold="0.5")), table, settings, cache_dir=kernels
    )

    # No rule asks for an open at or above the last close.
    assert dealt(result) == [
        ("sell", 0.5, 48_900.0, "entry.short"),
        ("buy", 0.0, 0.0, "borrowed"),
        ("buy", 0.5, 48_400.0, "exit.short"),
    ]
    assert result.trades["profit"][0] == pytest.approx(250 - 24.45 - 24.2 - 10.72, abs=0.01)


def test_tear_sheet_of_short_positions_shows_them_below_zero(kernels: Path) -> None:
    """Trades name their side, and the chart of what is invested goes below zero."""
    page = render_tearsheet(run(ONE_TRADE, kernels))

    assert "<small>short</small>" in page
    assert "Fees for borrowed shares" in page


@pytest.mark.parametrize("text", ["short_margin_percent", "borrow_percent"])
def test_percentages_that_are_none_are_refused(text: str) -> None:
    """One line with the name, what was given and what is accepted."""
    with pytest.raises(InputError, match=f"{text} is '101'; accepted: 0 to 100"):
        BacktestSettings(**{text: "101", "short_selling": True})
