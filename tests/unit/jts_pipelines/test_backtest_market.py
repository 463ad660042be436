"""Market rules spread over bars: limits, hours, costs, time frames."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_pipelines.backtest import bands, places, search
from jts_pipelines.backtest.bar_layout import read_bars
from jts_pipelines.backtest.bar_table import BarTable, traded_rows
from jts_pipelines.backtest.columns import Desk
from jts_pipelines.backtest.desk import empty_masks, make_desk
from jts_pipelines.backtest.frames import at_interval, frames_closed
from jts_pipelines.backtest.instruments import read_instruments
from jts_pipelines.backtest.market import cost_columns, ends_session, price_rules
from jts_pipelines.backtest.orders import order_rules
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.venues import VENUES
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.prices import daily_limits
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.plan import Timeframe
from jts_trading.strategy.units import WON
from storage.errors import InputError

CALENDAR = calendar_for("KRX")
LISTING = pl.DataFrame(
    {
        "symbol": ["005930", "037550"],
        "market": ["KOSPI", "KOSDAQ GLOBAL"],
        "name": ["삼성전자", "b"],
    }
)


def session_open(day: date) -> int:
    """Return the open of a session, UTC ms."""
    return CALENDAR.open_close_ns(day)[0] // 1_000_000


def daily(rows: list[tuple[str, date, int, int, int, int, int]]) -> BarTable:
    """Return daily bars of (symbol, day, open, high, low, close, volume)."""
    frame = pl.DataFrame(
        rows,
        schema=["symbol", "trade_date", "open", "high", "low", "close", "volume"],
        orient="row",
    )
    at = pl.col("trade_date").cast(pl.Datetime("ms")).dt.replace_time_zone("Asia/Seoul")
    return read_bars(
        frame.with_columns(at.dt.convert_time_zone("UTC").alias("timestamp")), CALENDAR
    )


def minutes(symbol: str, starts: list[datetime], closes: list[int]) -> BarTable:
    """Return minute bars whose four prices are equal."""
    frame = pl.DataFrame({"symbol": symbol, "timestamp": starts, "close": closes, "volume": 5})
    prices = [pl.col("close").alias(name) for name in ("open", "high", "low")]
    kind = pl.Datetime("ms", "UTC")
    return read_bars(frame.with_columns(*prices, pl.col("timestamp").cast(kind)), CALENDAR)


def at(day: date, hour: int, minute: int) -> datetime:
    """Return a time of day in Seoul."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(
        hours=hour - 9, minutes=minute
    )


@settings(max_examples=60, deadline=None)
@given(
    day=st.sampled_from(
        [
            date(2014, 6, 3),
            date(2015, 6, 12),
            date(2015, 6, 16),
            date(2023, 1, 20),
            date(2023, 1, 26),
            date(2025, 6, 13),
        ]
    ),
    closes=st.lists(st.integers(1, 900_000), min_size=1, max_size=20),
    market=st.sampled_from(["KOSPI", "KOSDAQ"]),
)
def test_bands_of_packed_rules_are_those_of_the_rule_table(
    day: date, closes: list[int], market: str
) -> None:
    """The limits of a backtest equal `daily_limits`, at every ladder and rate of the past."""
    bars = daily([("005930", day, 10, 10, 10, 10, 1)])
    ladders, epochs = price_rules(
        bars, read_instruments(None, market), default_table(), np.unique(bars.days)
    )

    found = [bands.band_of(ladders[0, epochs[0]], close) for close in closes]

    for close, band in zip(closes, found, strict=True):
        expected = daily_limits(default_table(), day, close, market=market, asset="COMMON")
        assert band == (expected.lower, expected.upper)


def desk_at(bars: BarTable, market: str, interval: str = "1d") -> Desk:
    """Return the desk of a run over bars."""
    bars = traded_rows(bars)
    days = np.unique(bars.days)
    instruments = read_instruments(LISTING, market)
    ladders, epochs = price_rules(bars, instruments, default_table(), days)
    costs = cost_columns(
        bars.symbols,
        days,
        units=bars.units,
        instruments=instruments,
        settings=BacktestSettings(),
        table=default_table(),
        calendar=CALENDAR,
    )
    rules = order_rules(
        compile_strategy('strategy("S") { entry.long { when (close > 1) { buy(1) } } }'),
        BacktestSettings(),
    )
    starts = np.searchsorted(bars.days, days)
    ends = ends_session(bars.times, starts, days, interval, CALENDAR)
    fired = empty_masks(bars.rows, 1)
    fired[:] = 0
    return make_desk(
        bars,
        days,
        ends,
        ladders,
        epochs,
        rules,
        costs,
        fired,
        cash=1,
        terms=VENUES["KRX"],
        values=np.zeros((0, 0)),
    )


def sides_of(desk: Desk) -> tuple[list[bool], list[bool]]:
    """Return on which rows of the first instrument a buy fills, and a sale."""
    rows = range(desk.book[0, places.END])
    return (
        [search.can_fill(desk, 0, row, places.UPPER) for row in rows],
        [search.can_fill(desk, 0, row, places.LOWER) for row in rows],
    )


def test_base_of_a_session_over_halts_is_the_last_trade_before_it() -> None:
    """Halted days and bars of the same session are no base; the first session has none."""
    day = date(2024, 5, 2)
    later = CALENDAR.offset(day, 1)
    last = CALENDAR.offset(day, 2)
    desk = desk_at(
        daily(
            [
                ("005930", day, 100, 100, 100, 101, 5),
                ("005930", later, 0, 0, 0, 101, 0),
                ("005930", last, 103, 103, 103, 103, 5),
                ("037550", last, 7, 7, 7, 7, 5),
            ]
        ),
        "KOSDAQ",
    )

    bases = []
    for instrument, row in ((0, 0), (0, 1), (1, 2)):
        search.look_up_band(desk, instrument, row)
        bases.append(int(desk.book[instrument, places.BASE]))

    assert bases == [0, 101, 0]


def test_base_inside_a_session_is_that_of_its_first_bar() -> None:
    """Whichever bar of a session is asked for first, its base is the close before the session."""
    first, second = date(2024, 5, 2), date(2024, 5, 3)
    starts = [at(first, 15, 28), at(first, 15, 29), *(at(second, 9, n) for n in range(7))]
    bars = minutes("005930", starts, [10_000, 10_010, *range(10_100, 10_800, 100)])

    for row in range(2, 9):
        desk = desk_at(bars, "KOSDAQ", "1m")
        search.look_up_band(desk, 0, row)
        assert desk.book[0, places.BASE] == 10_010


def test_fills_at_locked_limits_are_for_the_other_side_only() -> None:
    """A bar that stood at its limit all day takes no buy above and no sale below."""
    days = [date(2024, 5, 2), date(2024, 5, 3), date(2024, 5, 7)]
    bars = daily(
        [
            ("005930", days[0], 10_000, 10_000, 10_000, 10_000, 5),
            ("005930", days[1], 13_000, 13_000, 13_000, 13_000, 5),
            ("005930", days[2], 9_100, 9_100, 9_100, 9_100, 5),
        ]
    )

    assert sides_of(desk_at(bars, "KOSDAQ")) == ([True, False, True], [True, True, False])


def test_fills_after_an_unadjusted_split_come_again_the_next_session() -> None:
    """A base that is wrong by more than the band stops trading for its session, not for ever."""
    days = CALENDAR.sessions(date(2024, 4, 16), date(2024, 4, 18))
    bars = daily(
        [
            ("001465", days[0], 200_000, 200_000, 200_000, 200_000, 5),
            ("001465", days[1], 20_000, 20_100, 17_000, 17_200, 5),
            ("001465", days[2], 17_300, 17_500, 17_000, 17_400, 5),
        ]
    )

    assert sides_of(desk_at(bars, "KOSPI")) == ([True, False, True], [True, False, True])


def test_reserve_inside_a_session_is_its_upper_limit_and_after_it_the_next_one() -> None:
    """A buy decided at noon is an order of today, one decided on the last bar of tomorrow."""
    first, second = date(2024, 5, 2), date(2024, 5, 3)
    starts = [at(first, 15, 29), at(second, 9, 0), at(second, 15, 29)]
    desk = desk_at(minutes("005930", starts, [10_000, 10_500, 11_000]), "KOSDAQ", "1m")

    assert [search.is_over(desk, moment) for moment in range(3)] == [True, False, True]
    assert [search.order_terms(desk, 0, row)[1] for row in range(3)] == [13_000, 13_000, 14_300]


def numbers(*days: date) -> np.ndarray:
    """Return days as a run counts them."""
    return np.array([(day - date(1970, 1, 1)).days for day in days])


def test_cost_columns_around_new_year_switch_by_settlement_date() -> None:
    """Vectors X18 to X21: trades of 2024-12-27 settle in 2025 and pay the rates of 2025."""
    days = numbers(date(2024, 12, 26), date(2024, 12, 27))

    costs = cost_columns(
        ("005930", "037550"),
        days,
        units=(WON, WON),
        instruments=read_instruments(LISTING, "KOSPI"),
        settings=BacktestSettings(),
        table=default_table(),
        calendar=CALENDAR,
    )

    kospi, kosdaq = costs.cost_class.tolist()
    assert costs.stt_ppm[:, kospi].tolist() == [300, 0]
    assert costs.rst_ppm[:, kospi].tolist() == [1500, 1500]
    assert costs.stt_ppm[:, kosdaq].tolist() == [1800, 1500]
    assert costs.rst_ppm[:, kosdaq].tolist() == [0, 0]
    assert set(costs.commission_nano.ravel().tolist()) == {140_527}


def test_cost_columns_with_an_own_rate_use_it() -> None:
    """The account's contract replaces the published commission."""
    costs = cost_columns(
        ("005930",),
        numbers(date(2024, 12, 26)),
        units=(WON,),
        instruments=read_instruments(None, "KOSPI"),
        settings=BacktestSettings(commission_rate="0.00015"),
        table=default_table(),
        calendar=CALENDAR,
    )

    assert costs.commission_nano.tolist() == [[150_000]]


@pytest.mark.parametrize("rate", ["abc", "", "-1", "nan", "inf", "0.5", "0.0000000001", "1e-12"])
def test_settings_with_an_impossible_commission_are_refused(rate: str) -> None:
    """A rate that is no small share is refused before any bar is read."""
    with pytest.raises(InputError, match=r"commission_rate is .*; accepted: a fraction from 0"):
        BacktestSettings(commission_rate=rate)


def test_at_interval_hours_of_krx_start_at_the_open_of_the_session() -> None:
    """On an exam day the session opens at ten, and so does its first hour."""
    exam = date(2024, 11, 14)
    starts = [at(exam, 10, 0), at(exam, 10, 59), at(exam, 11, 0), at(exam, 16, 29)]
    bars = minutes("005930", starts, [100, 110, 90, 95])

    found = at_interval(bars, "1m", "1h", session_open)

    assert found.stamp.tolist() == [
        int(at(exam, hour, 0).timestamp() * 1000) for hour in (10, 11, 16)
    ]
    assert (found.open.tolist(), found.close.tolist()) == ([100, 90, 95], [110, 90, 95])
    assert (found.high.tolist(), found.low.tolist()) == ([110, 90, 95], [100, 90, 95])
    assert found.volume.tolist() == [10, 5, 5]


def test_at_interval_coarser_than_given_only_is_refused() -> None:
    """Hours cannot be made from days."""
    bars = daily([("005930", date(2024, 5, 2), 1, 1, 1, 1, 1)])

    with pytest.raises(InputError, match="decides on 1h bars; bars of 1d were given"):
        at_interval(bars, "1d", "1h", session_open)
    with pytest.raises(InputError, match="decisions are made on days or shorter bars"):
        at_interval(bars, "1d", "7d", session_open)


def test_frames_closed_shows_a_day_on_the_first_bar_of_the_next_session() -> None:
    """A coarser bar is not visible before it is complete, and a halted bar closes nothing."""
    first, second = date(2024, 5, 2), date(2024, 5, 3)
    starts = [at(first, 14, 0), at(first, 15, 0), at(second, 9, 0), at(second, 10, 0)]
    bars = minutes("005930", starts, [1, 2, 3, 4])
    bars.is_traded[2] = False

    found = frames_closed(traded_rows(bars), [Timeframe("daily", "1d", 86_400)], session_open)

    assert found.tolist() == [0, 0, 1]


def test_read_bars_of_one_key_from_two_brokers_is_refused() -> None:
    """Two rows for one bar are a question for a person, not an average."""
    rows = [("005930", date(2024, 5, 2), 1, 1, 1, 1, 1)] * 2

    with pytest.raises(InputError, match=r"005930 has two bars at 2024-05-01 15:00 UTC$"):
        daily(rows)
    frame = pl.DataFrame(
        {
            "symbol": "005930",
            "timestamp": [at(date(2024, 5, 2), 0, 0)] * 2,
            "broker": ["creon", "kis"],
        }
    ).with_columns(pl.lit(1).alias(name) for name in ("open", "high", "low", "close", "volume"))
    with pytest.raises(InputError, match=r"choose one of (creon and kis|kis and creon) with"):
        read_bars(frame, CALENDAR)


def test_read_bars_of_an_unknown_status_is_refused() -> None:
    """A status that nobody defined must not read as a halt."""
    frame = pl.DataFrame(
        {"symbol": "005930", "timestamp": [at(date(2024, 5, 2), 0, 0)], "status": "open"}
    ).with_columns(pl.lit(1).alias(name) for name in ("open", "high", "low", "close", "volume"))

    with pytest.raises(InputError, match="is 'open'; accepted: traded, halted"):
        read_bars(frame, CALENDAR)


def test_read_bars_with_a_price_that_no_share_has_is_refused() -> None:
    """Sizes and stops stay inside 64 bits because prices are bounded."""
    price = 100_000_000_000
    with pytest.raises(InputError, match="accepted: whole won from 0 to below 100,000,000,000"):
        daily([("005930", date(2024, 5, 2), price, price, price, price, 1)])


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        (date(2024, 5, 4), "which is no session of KRX"),  # a Saturday
        (date(1950, 1, 3), "lies outside the calendar of KRX"),
    ],
)
def test_read_bars_on_a_day_without_a_session_is_refused(day: date, reason: str) -> None:
    """A bar on a day on which the market was closed belongs to something else."""
    with pytest.raises(InputError, match=f"005930 has a bar on {day}.*{reason}"):
        daily([("005930", day, 1, 1, 1, 1, 1)])


def test_read_bars_with_fractions_of_a_won_is_refused() -> None:
    """Prices of KRX are whole won; a fraction means adjusted or foreign prices."""
    frame = pl.DataFrame(
        {
            "symbol": ["005930"],
            "timestamp": [at(date(2024, 5, 2), 0, 0)],
            "open": [1.0],
            "high": [1.5],
            "low": [1.0],
            "close": [1.0],
            "volume": [1.0],
        }
    )

    with pytest.raises(InputError, match=r"high of 005930 at 2024-05-01 15:00 UTC is 1\.5"):
        read_bars(frame, CALENDAR)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.lit("dear").alias("open"), "values of a wrong type"),
        (
            pl.lit(None, pl.Float64).alias("close"),
            r"1 bar has no close, the first: 005930, 2024-.*; accepted: a value in every bar",
        ),
        (pl.lit("2024-05-02").alias("timestamp"), "timestamp is String; accepted: UTC"),
        (pl.lit(-1.0).alias("volume"), "accepted: whole shares from 0 to below"),
        (pl.lit(float("nan")).alias("high"), "high of 005930 .* is nan; accepted: whole won"),
    ],
)
def test_read_bars_of_wrong_values_is_refused_in_one_line(change: pl.Expr, message: str) -> None:
    """Whatever a file holds, the refusal says what was found and what is accepted."""
    names = ("open", "high", "low", "close", "volume")
    good = pl.DataFrame(
        {"symbol": ["005930"], "timestamp": [at(date(2024, 5, 2), 9, 0)]}
        | {name: [1.0] for name in names}
    )
    assert read_bars(good, CALENDAR).rows == 1

    with pytest.raises(InputError, match=message):
        read_bars(good.with_columns(change), CALENDAR)


def test_read_bars_of_halted_rows_keeps_them_without_a_trade() -> None:
    """A halted session stays in the data and never trades, however the feed writes it."""
    day = date(2024, 5, 2)
    bars = daily(
        [
            ("005930", day, 0, 0, 0, 100, 0),
            ("005930", CALENDAR.offset(day, 1), 100, 100, 100, 100, 0),
            ("005930", CALENDAR.offset(day, 2), 100, 100, 100, 100, 3),
        ]
    )

    assert bars.is_traded.tolist() == [False, False, True]


def test_read_instruments_with_an_unknown_market_names_it() -> None:
    """A market that has no rules is refused, with those that have."""
    table = pl.DataFrame({"Code": ["005930"], "Market": ["NYSE"]})

    with pytest.raises(InputError, match="market of 005930 is 'NYSE'; accepted: KOSPI"):
        read_instruments(table, "KOSDAQ")
