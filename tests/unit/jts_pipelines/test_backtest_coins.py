"""Backtests at Upbit and Binance: steps, fees, whole days, smallest orders, computed by hand."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.venues import units_of_venue
from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.market.loading import default_table
from jts_trading.dsl.compiler import compile_strategy
from storage.errors import InputError

START = datetime(2025, 9, 1, 23, 56, tzinfo=UTC)
RISE = """strategy("Rise") {
  entry.long { when (close > close[1]) { buy(quantity: QUANTITY) } }
  exit.long { when (close < close[1]) { sell(quantity: "all") } }
}
"""


def minutes(symbol: str, *closes: float) -> pl.DataFrame:
    """Return minute bars, each of one price, over the midnight of UTC."""
    return pl.DataFrame(
        [
            {
                "symbol": symbol,
                "timestamp": START + timedelta(minutes=at),
                **dict.fromkeys(("open", "high", "low", "close"), float(close)),
                "volume": 1.25,
            }
            for at, close in enumerate(closes)
        ]
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def run(
    bars: pl.DataFrame,
    kernels: Path,
    *,
    quantity: str = '"50%"',
    venue: str = "UPBIT",
    cash: int = 10_000_000,
    text: str = RISE,
) -> BacktestResult:
    """Run the strategy of this file."""
    return run_backtest(
        compile_strategy(text.replace("QUANTITY", quantity)),
        bars,
        BacktestSettings(cash=cash, venue=venue, interval="1m"),
        cache_dir=kernels,
    )


def test_upbit_order_is_sized_in_hundred_millionths_and_pays_half_a_permille(
    kernels: Path,
) -> None:
    """Half of ten million won buys coins to eight decimals; both sides pay 0.05 %."""
    bars = minutes("KRW-BTC", 160_000_000, 160_001_000, 160_002_000, 159_999_000, 159_990_000)

    result = run(bars, kernels)

    buy, sale = result.fills.to_dicts()
    # Decided at 160,001,000: 5,000,000 / 160,001,000 = 0.031249804..., rounded down.
    assert (buy["quantity"], buy["price"]) == (0.0312498, 160_002_000.0)
    gross = Decimal("0.03124980") * 160_002_000
    fee = gross * Decimal("0.0005")
    # Fees are floored to what a price step times a quantity step is worth: 0.00001 won.
    assert buy["commission"] == float(fee.quantize(Decimal("0.00001"), "ROUND_DOWN"))
    assert buy["tax"] == 0
    assert (sale["quantity"], sale["price"]) == (0.0312498, 159_990_000.0)
    proceeds = Decimal("0.03124980") * 159_990_000
    out = (proceeds * Decimal("0.0005")).quantize(Decimal("0.00001"), "ROUND_DOWN")
    expected = 10_000_000 - gross - Decimal(str(buy["commission"])) + proceeds - out
    assert result.final_equity == float(expected)
    assert result.currency == "KRW"
    assert (result.trades["profit"][0], result.trades["exit_price"][0]) == (
        pytest.approx(float(expected - 10_000_000)),
        159_990_000.0,
    )


def test_upbit_trades_over_midnight_and_a_session_is_a_utc_day(kernels: Path) -> None:
    """There is no break: an order decided before midnight fills after it, on the next session."""
    bars = minutes("KRW-XRP", 4_000, 4_001, 4_000, 4_001, 4_000)

    result = run(bars, kernels)

    assert result.equity["session"].to_list() == [date(2025, 9, 1), date(2025, 9, 2)]
    assert result.fills["session"].to_list()[-1] == date(2025, 9, 2)
    assert result.fills["instrument"].unique().to_list() == ["UPBIT:KRW-XRP"]
    assert result.config["sessions_per_year"] == 365


def test_upbit_order_below_the_smallest_total_is_dropped(kernels: Path) -> None:
    """Upbit takes no order below 5,000 won."""
    bars = minutes("KRW-XRP", 4_000, 4_001, 4_002, 4_003)

    small = run(bars, kernels, quantity="4999 KRW")
    large = run(bars, kernels, quantity="5100 KRW")

    assert (small.fills.height, small.facts.dropped) == (0, 3)
    assert large.fills["quantity"].to_list() == [round(5_100 // 0.004001) / 1e6]


def test_upbit_instruments_share_the_cash_whatever_their_steps(kernels: Path) -> None:
    """A dear coin and a cheap one are counted in other steps and paid from one account."""
    bars = pl.concat(
        [
            minutes("KRW-BTC", *[160_000_000 + 1_000 * n for n in range(5)]),
            minutes("KRW-PEPE", *[0.0131 + 0.0001 * n for n in range(5)]),
        ]
    )

    result = run(bars, kernels, quantity='"40%"')

    bought = {row["instrument"]: row for row in result.fills.to_dicts()}
    assert bought["UPBIT:KRW-PEPE"]["price"] == 0.0133
    assert bought["UPBIT:KRW-BTC"]["price"] == 160_002_000.0
    spent = result.fills["gross"].sum() + result.fills["commission"].sum()
    assert result.equity["cash"][-1] == pytest.approx(10_000_000 - spent, abs=1e-5)
    value = sum(
        row["quantity"] * close
        for row, close in (
            (bought["UPBIT:KRW-BTC"], 160_004_000),
            (bought["UPBIT:KRW-PEPE"], 0.0135),
        )
    )
    assert result.equity["positions"][-1] == pytest.approx(value, rel=1e-12)


def test_upbit_numbers_of_a_text_are_won_whatever_the_step(kernels: Path) -> None:
    """A price in the text is an amount of currency, not a number of steps."""
    text = 'strategy("P") { entry.long { when (close >= 4001) { buy(quantity: 1.5) } } }'
    bars = minutes("KRW-XRP", 4_000, 4_000, 4_001, 4_000)

    result = run(bars, kernels, text=text)

    assert result.fills.select("quantity", "price").rows() == [(1.5, 4_000.0)]


def test_upbit_rules_that_ask_the_account_see_coins_and_won(kernels: Path) -> None:
    """Cash, equity and quantity of a guard are amounts of currency and coins, not of steps."""
    text = """strategy("Asks") {
      entry.long { when (close > close[1] and portfolio.cash >= 9999999) { buy(quantity: 2) } }
      exit.long { when (position.quantity > 1.9 and position.value > 8003) { sell("all") } }
    }"""
    bars = minutes("KRW-XRP", 4_000, 4_001, 4_001, 4_001, 4_002, 4_000, 4_001, 4_002)

    result = run(bars, kernels, text=text)

    assert result.fills.select("side", "quantity", "price").rows() == [
        ("buy", 2.0, 4_001.0),
        ("sell", 2.0, 4_000.0),
    ]


def test_binance_order_is_on_the_filters_and_pays_a_tenth_of_a_percent(kernels: Path) -> None:
    """BTCUSDT has steps of 0.00001 and pays 0.1 % in dollars."""
    bars = minutes("BTCUSDT", 60_000, 60_000.01, 60_000.02, 59_999.99, 59_999.98)

    result = run(bars, kernels, venue="BINANCE", cash=1_000)

    buy, sale = result.fills.to_dicts()
    assert (buy["quantity"], buy["price"]) == (0.00833, 60_000.02)
    assert buy["commission"] == 0.4998001  # of 499.8001666, floored to 0.0000001
    assert sale["price"] == 59_999.98
    assert result.currency == "USDT"
    assert result.trades["exit_price"].to_list() == [59_999.98]
    assert result.metrics["average_hours_held"] == pytest.approx(2 / 60)
    assert result.metrics["day_trades"] == 0.0  # left after midnight UTC


def test_cash_that_nobody_named_is_in_the_currency_of_the_venue() -> None:
    """A hundred million dollars would be no account of anybody's."""
    found = {name: BacktestSettings(venue=name).cash for name in ("KRX", "UPBIT", "BINANCE")}

    assert found == {"KRX": 100_000_000, "UPBIT": 100_000_000, "BINANCE": 100_000}


def test_units_of_upbit_leave_room_for_a_fall_to_a_tenth() -> None:
    """Price steps are powers of ten that all ticks down to a tenth of the first price are on."""
    units = units_of_venue("UPBIT", default_table())
    day = date(2025, 9, 1)

    dear = units("KRW-BTC", Decimal(160_000_000), Decimal(150_000_000), day)
    cheap = units("KRW-PEPE", Decimal("0.0131"), Decimal("0.0001"), day)
    before = units("KRW-XRP", Decimal(700), Decimal(600), date(2023, 5, 1))

    assert (dear.price_step, dear.quantity_step) == (Decimal(1_000), Decimal("0.00000001"))
    assert (cheap.price_step, cheap.quantity_step) == (Decimal("0.000001"), Decimal(1))
    # The ladder of 2024 is finer than that of 2023, and the run may reach it.
    assert before.price_step == Decimal("0.01")


@pytest.mark.parametrize(
    ("venue", "symbol", "price", "message"),
    [
        ("UPBIT", "BTC-ETH", 0.05, "accepted: markets of KRW"),
        ("UPBIT", "ETHKRW", 5_000, "not an Upbit market"),
        ("UPBIT", "KRW-BTC", 160_000_000.5, "numbers on the venue's tick"),
        ("BINANCE", "BTCUSDT", 60_000.001, "numbers on the venue's tick"),
    ],
)
def test_bars_of_coins_that_cannot_be_counted_are_refused(
    venue: str, symbol: str, price: float, message: str, kernels: Path
) -> None:
    """What lies off the venue's grid, or is paid in another currency, is an error of the input."""
    with pytest.raises(InputError, match=message):
        run(minutes(symbol, price, price), kernels, venue=venue)


def test_binance_symbol_without_filters_is_refused(kernels: Path) -> None:
    """No steps are guessed."""
    with pytest.raises(RuleMissingError, match=r"filters\.DOGEUSDT"):
        run(minutes("DOGEUSDT", 0.1, 0.1), kernels, venue="BINANCE")


def test_real_upbit_minutes_run_and_add_up(test_data: Path, kernels: Path) -> None:
    """A month of three coins runs, keeps its books, and pays what it traded times the fee."""
    bars = pl.read_parquet(test_data / "crypto" / "upbit_1m_2025-09.parquet")
    text = """strategy("Cross") {
      indicators { quick = SMA(20) slow = SMA(50) }
      entry.long { when (quick crosses above slow) { buy(quantity: "30%") } }
      exit.long { when (quick crosses below slow) { sell(quantity: "all") } }
    }"""

    result = run(bars, kernels, text=text)

    assert (result.facts.instruments, result.facts.bars) == (3, bars.height)
    assert result.fills.height > 3_000
    fees = result.fills["commission"].sum()
    assert fees == pytest.approx(result.fills["gross"].sum() * 0.0005, abs=0.05)
    assert result.trades["profit"].sum() == pytest.approx(result.final_equity - 10_000_000)
    assert result.prefix.difference == ""
