"""Bars from trades: equal to those of live trading, with quotes, and what is in none."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_pipelines.backtest.admitting import Admission
from jts_pipelines.backtest.cautions import Code
from jts_pipelines.backtest.instruments import read_instruments
from jts_pipelines.backtest.loading import BacktestRequest, bars_from_file
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.tick_bars import bars_of_trades
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.plan import Universe
from jts_trading.engine.bars import NO_CAUSE, BarBuilder, Trade
from jts_trading.engine.slots import slot_at
from jts_trading.strategy.frames import interval_seconds
from storage.errors import InputError

OPEN_NS = calendar_for("KRX").open_close_ns(date(2024, 6, 3))[0]
SECOND = 10**9
COLUMNS = ("open", "high", "low", "close", "volume")


def trades(rows: list[tuple[float, int, float]], symbol: str = "005930") -> pl.DataFrame:
    """Return trades of seconds since the open, price and quantity."""
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(rows),
            "timestamp": [OPEN_NS + int(second * SECOND) for second, _, _ in rows],
            "price": [float(price) for _, price, _ in rows],
            "quantity": [float(quantity) for _, _, quantity in rows],
        },
        schema_overrides={"timestamp": pl.Datetime("ns", "UTC")},
    )


def live_bars(frame: pl.DataFrame, interval: str, venue: str = "KRX") -> list[tuple[int, ...]]:
    """Return the bars that the builder of live trading makes of trades in order of time."""
    seconds, made = interval_seconds(interval), []
    builder = BarBuilder(instrument_id="x", venue=venue, interval=interval, seconds=seconds)
    stamps = frame["timestamp"].dt.epoch("ns").to_list()
    for at, price, quantity in zip(stamps, frame["price"], frame["quantity"], strict=True):
        slot = slot_at(venue, at, seconds)
        if slot is None:
            continue
        trade = Trade(at, int(price), int(quantity), NO_CAUSE)
        if builder.trades and at < builder.stop_ns:
            builder.add(trade)
            continue
        if builder.trades:
            made.append(built(builder))
        builder.begin(slot, 0, trade)
    if builder.trades:
        made.append(built(builder))
    return made


def built(builder: BarBuilder) -> tuple[int, ...]:
    """Return the bar that a builder has open, with its label in UTC ms."""
    prices = builder.open, builder.high, builder.low, builder.close
    return (builder.start_ns // 10**6, *prices, builder.volume)


@given(
    rows=st.lists(
        st.tuples(st.integers(-600, 8 * 3_600), st.integers(1, 100_000), st.integers(1, 1_000)),
        min_size=1,
        max_size=60,
    ).filter(lambda rows: any(0 <= second < 6 * 3_600 for second, _, _ in rows)),
    interval=st.sampled_from(["1s", "30s", "1m", "7m", "1h", "1d"]),
)
def test_bars_when_trades_come_in_order_then_they_are_those_of_live_trading(
    rows: list[tuple[int, int, int]], interval: str
) -> None:
    """Trades before the open and after the auction are in neither."""
    frame = trades(sorted(rows, key=lambda row: row[0]))

    bars = bars_of_trades(frame, interval, "KRX").bars

    stamps = bars["timestamp"].dt.epoch("ms").to_list()
    found = [(at, *row) for at, row in zip(stamps, bars.select(COLUMNS).rows(), strict=True)]
    assert found == live_bars(frame, interval)


def test_print_of_the_closing_auction_belongs_to_the_last_bar() -> None:
    """KRX matches it up to thirty seconds after the close; a later trade is in no bar."""
    close = 6.5 * 3_600
    built = bars_of_trades(
        trades([(close - 30, 100, 1), (close + 12, 105, 50), (close + 45, 109, 9)]), "1m", "KRX"
    )

    assert built.bars.select(COLUMNS).rows() == [(100, 105, 100, 105, 51)]
    assert [caution.code for caution in built.cautions] == [Code.TRADES_LEFT_OUT]
    assert "1 of 3 trades" in str(built.cautions[0])


def test_trades_without_a_price_or_quantity_are_counted_and_in_no_bar() -> None:
    """What is not above zero, or no number, is no trade."""
    rows = trades([(1, 100, 1), (2, 0, 1), (3, 101, 0), (4, -5, 1), (5, 102, 2)])
    gaps = rows.with_columns(
        price=pl.when(pl.col("price") == 102).then(float("nan")).otherwise("price")
    )

    built = bars_of_trades(gaps, "1m", "KRX")

    assert built.bars.select(COLUMNS).rows() == [(100, 100, 100, 100, 1)]
    assert "4 of 5 trades" in str(built.cautions[0])


def test_volume_of_coins_is_the_exact_sum_whatever_the_order() -> None:
    """Sums of binary fractions would depend on it."""
    parts = [0.1, 0.2, 0.3, 0.00000001] * 500
    rows = trades([(float(at % 60), 100, part) for at, part in enumerate(parts)])

    for frame in (rows, rows.reverse()):
        bars = bars_of_trades(frame, "1m", "UPBIT").bars
        assert bars["volume"].to_list() == [300.000005]


def test_trades_of_two_sources_are_refused_and_the_way_out_is_named() -> None:
    """Both would count everything twice."""
    one = trades([(1, 100, 1)]).with_columns(broker=pl.lit("kis"))
    both = pl.concat([one, one.with_columns(broker=pl.lit("creon"))])

    with pytest.raises(InputError, match="005930 has trades of creon and kis on 2024-06-03"):
        bars_of_trades(both, "1m", "KRX")


def test_quotes_are_those_known_when_the_last_trade_of_a_bar_arrived() -> None:
    """A venue that does not date its quotes has them joined by arrival."""
    opened = datetime.fromtimestamp(OPEN_NS / SECOND, UTC)

    def at(seconds: float) -> datetime:
        return opened + timedelta(seconds=seconds)

    rows = trades([(10, 100, 1), (50, 101, 1), (70, 102, 1)]).with_columns(
        received_at=pl.Series([at(9), at(49), at(69)])
    )
    quotes = pl.DataFrame(
        {
            "symbol": ["005930"] * 4,
            "received_at": [at(8), at(48), at(49.5), at(80)],
            "bid": [98.0, 99.0, 100.0, 101.0],
            "ask": [99.0, 100.0, 101.0, 102.0],
        }
    )

    bars = bars_of_trades(rows, "1m", "KRX", quotes).bars

    assert bars.select("bid", "ask").rows() == [(99.0, 100.0), (100.0, 101.0)]
    undated = quotes.with_columns(timestamp=pl.lit(None, pl.Datetime("ns", "UTC")))
    with pytest.raises(InputError, match="4 quotes have no timestamp"):
        bars_of_trades(rows.drop("received_at"), "1m", "KRX", undated)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop("quantity"), "the trades lack quantity"),
        (lambda frame: frame.with_columns(price=pl.lit("x")), "price of the trades is String"),
        (lambda frame: frame.with_columns(timestamp=pl.lit(5)), "timestamp is Int32"),
        (
            lambda frame: frame.with_columns(pl.col("timestamp") - pl.duration(hours=5)),
            "none of 1 trades lies in a session of KRX",
        ),
        (
            lambda frame: frame.with_columns(pl.col("timestamp") - pl.duration(days=1)),
            "none of 1 trades lies in a session of KRX",
        ),
    ],
)
def test_trades_that_cannot_be_used_are_refused(change: object, message: str) -> None:
    """One line says what is accepted."""
    with pytest.raises(InputError, match=message):
        bars_of_trades(change(trades([(1, 100, 1)])), "1m", "KRX")  # type: ignore[operator]


def test_file_of_trades_becomes_bars_of_the_interval_that_was_asked_for(tmp_path: Path) -> None:
    """Exact decimals of the tiers do, too; a period and symbols cut them."""
    path = tmp_path / "trades.parquet"
    two = pl.concat([trades([(1, 100, 1), (61, 103, 2)]), trades([(1, 7, 1)], "000660")])
    two.with_columns(pl.col("price", "quantity").cast(pl.Decimal(18, 4))).write_parquet(path)
    settings = BacktestSettings(interval="1m")

    request = BacktestRequest(text="", symbols=("005930",), settings=settings)
    admission = Admission(Universe(), read_instruments(None, "KOSPI"))
    found = bars_from_file(path, request, admission).bars.table

    assert found.close.tolist() == [100, 103]
    assert found.symbols == ("005930",)
