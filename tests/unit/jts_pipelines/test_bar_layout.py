"""Bars from groups of rows: however rows are grouped and ordered, the same columns."""

import gc
import weakref
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_pipelines.backtest import bar_files, frames, history
from jts_pipelines.backtest.admitting import Admission, history_before, history_of, laid_out
from jts_pipelines.backtest.bar_files import file_groups
from jts_pipelines.backtest.bar_layout import Group, lay_out
from jts_pipelines.backtest.history import History
from jts_pipelines.backtest.instruments import read_instruments
from jts_pipelines.backtest.loading import BacktestRequest, bars_from_file
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.plan import Universe
from storage.errors import InputError

CALENDAR = calendar_for("KRX")
DAYS = CALENDAR.sessions(date(2024, 5, 2), date(2024, 5, 31))
INSTRUMENTS = read_instruments(
    pl.DataFrame({"symbol": ["A", "B"], "market": ["KOSPI", "KOSDAQ"]}), "KOSPI"
)
OPEN = Admission(Universe(), INSTRUMENTS)
MINUTES = BacktestSettings(interval="1m")


def panel(seed: int, *, symbols: int = 4, minutes: int = 6, days: int = 3) -> pl.DataFrame:
    """Return minute bars of some sessions, some of them absent, halted, doubtful or quoted."""
    random = np.random.default_rng(seed)
    rows = []
    for symbol in range(symbols):
        for day in DAYS[:days]:
            opens = datetime(day.year, day.month, day.day, tzinfo=UTC)
            for minute in range(minutes):
                close = int(random.integers(1_000, 2_000))
                rows.append(
                    {
                        "symbol": f"S{symbol}",
                        "timestamp": opens + timedelta(minutes=minute),
                        "open": close - 1,
                        "high": close + int(random.integers(0, 3)),
                        "low": None if random.random() < 0.1 else close - 2,
                        "close": close,
                        "volume": int(random.integers(0, 4)),
                        "trade_date": day,
                        "status": "halted" if random.random() < 0.1 else "traded",
                        "quality": random.choice(["ok", "price_jump", "disputed", "zero_volume"]),
                        "broker": "creon",
                        "bid": float("nan") if random.random() < 0.3 else close - 0.5,
                        "ask": float(close),
                    }
                )
    frame = pl.DataFrame(rows).with_columns(pl.col("timestamp").dt.cast_time_unit("ms"))
    return frame.filter(pl.Series(random.random(frame.height) < random.choice([0.7, 1.0])))


def grouped(frame: pl.DataFrame, cuts: list[int]) -> Iterator[Group]:
    """Yield the rows of a frame cut at some places."""
    places = [0, *sorted(cut % (frame.height + 1) for cut in cuts), frame.height]
    for first, end in pairwise(places):
        part = frame.slice(first, end - first)
        yield Group(end - first, lambda part=part: part)  # type: ignore[misc]


def columns(found: History) -> tuple[object, ...]:
    """Return everything that a history holds, as plain values."""
    table = found.table
    return (
        table.digest,
        table.symbols,
        table.prices.tolist(),
        table.volume.tolist(),
        table.row_moments.tolist(),
        table.times.tolist(),
        table.days.tolist(),
        table.is_traded.tolist(),
        None if found.doubts is None else found.doubts.tolist(),
        None if found.quotes is None else np.nan_to_num(found.quotes, nan=-1).tolist(),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    order=st.sampled_from(["symbol", "time", "any", "backwards"]),
    cuts=st.lists(st.integers(0, 80), max_size=8),
    known=st.booleans(),
)
def test_bars_of_any_groups_in_any_order_are_those_of_one_sorted_frame(
    seed: int, order: str, cuts: list[int], known: bool
) -> None:
    """Judged by a plain reading of the sorted rows, and by the digest of one group."""
    frame = panel(seed)
    ordered = {
        "symbol": frame,
        "time": frame.sort("timestamp", "symbol"),
        "any": frame.sample(fraction=1, shuffle=True, seed=seed),
        "backwards": frame.reverse(),
    }[order]
    found = lay_out(grouped(ordered, cuts), CALENDAR, rows=frame.height if known else 0)
    sorted_rows = frame.sort("symbol", "timestamp")
    prices = sorted_rows.select(pl.col("open", "high", "low", "close").fill_null(0))
    table = found.table
    owner = np.repeat(np.array(table.symbols), np.diff(table.offsets))
    is_traded = (
        (sorted_rows["volume"] > 0)
        & (prices.min_horizontal() > 0)
        & (sorted_rows["status"] == "traded")
    )
    doubts = sorted_rows["quality"].replace_strict(
        {"price_jump": 1, "disputed": 2}, default=0, return_dtype=pl.Int64
    )

    assert columns(found) == columns(lay_out(grouped(frame, []), CALENDAR))
    assert owner.tolist() == sorted_rows["symbol"].to_list()
    assert table.stamp.tolist() == sorted_rows["timestamp"].dt.epoch("ms").to_list()
    assert table.prices.tolist() == [list(row) for row in prices.rows()]
    assert table.volume.tolist() == sorted_rows["volume"].to_list()
    assert table.is_traded.tolist() == is_traded.to_list()
    assert table.day.tolist() == sorted_rows["trade_date"].to_physical().to_list()
    assert found.doubts is None or found.doubts.tolist() == doubts.to_list()
    assert found.quotes is not None
    quotes = np.nan_to_num(found.quotes[:, 0], nan=-1).tolist()
    assert quotes == sorted_rows["bid"].fill_nan(-1).to_list()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1_000))
def test_rows_made_from_a_history_are_read_as_the_same_history(seed: int) -> None:
    """A check that reads rows again sees what the run saw."""
    found = lay_out(grouped(panel(seed), []), CALENDAR)
    rows = found.rows_of(range(len(found.table.symbols)))

    assert columns(lay_out(grouped(rows, [7, 20]), CALENDAR)) == columns(found)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1_000), cut=st.integers(1, 17))
def test_history_before_an_instant_is_that_of_the_rows_before_it(seed: int, cut: int) -> None:
    """As if later bars had never been there."""
    frame = panel(seed)
    times = frame["timestamp"].dt.epoch("ms").unique().sort()
    end_ms = int(times[min(cut, len(times) - 1)])
    found = history_before(laid_out(grouped(frame, []), MINUTES), end_ms, MINUTES)
    early = frame.filter(pl.col("timestamp").dt.epoch("ms") < end_ms)

    assert columns(found) == columns(laid_out(grouped(early, []), MINUTES))


def test_coins_before_an_instant_are_counted_in_steps_of_their_rows_alone() -> None:
    """A fall that comes later makes finer steps; what is decided before must not know it."""
    upbit = BacktestSettings(venue="UPBIT", interval="1d", broker="upbit")
    start = datetime(2024, 5, 2, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            "symbol": "KRW-XRP",
            "timestamp": [start + timedelta(days=at) for at in range(4)],
            "close": [700.0, 710.0, 705.0, 0.5],
            "volume": [1.5, 2.25, 0.0, 3.0],
        }
    ).with_columns(
        pl.col("timestamp").dt.cast_time_unit("ms"),
        *(pl.col("close").alias(name) for name in ("open", "high", "low")),
    )
    whole = laid_out(grouped(frame, [2]), upbit)
    early = history_before(whole, int((start + timedelta(days=3)).timestamp() * 1000), upbit)
    alone = laid_out(grouped(frame.head(3), []), upbit)

    assert early.table.digest == alone.table.digest
    assert early.table.units == alone.table.units != whole.table.units
    assert whole.rows_of([0])["close"].to_list() == [700.0, 710.0, 705.0, 0.5]


def test_history_of_a_universe_has_its_instruments_alone() -> None:
    """Whether rows or a history are narrowed, what is left is the same."""
    frame = panel(1, symbols=2).with_columns(pl.col("symbol").replace({"S0": "A", "S1": "B"}))
    only = Admission(Universe(markets=("KOSDAQ",)), INSTRUMENTS)
    none = Admission(Universe(markets=("KONEX",)), INSTRUMENTS)
    whole = history_of(frame, OPEN, MINUTES)
    expected = columns(history_of(frame.filter(pl.col("symbol") == "B"), OPEN, MINUTES))

    assert columns(history_of(frame, only, MINUTES)) == expected
    assert columns(history_of(whole, only, MINUTES)) == expected
    assert history_of(whole, OPEN, MINUTES) is whole
    for bars in (frame, whole):
        with pytest.raises(InputError, match="accepts none of 2 instruments"):
            history_of(bars, none, MINUTES)


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_key_that_appears_twice_is_refused_in_whichever_groups(cut: int) -> None:
    """The way out is named where two sources have it."""
    frame = panel(3, symbols=1).head(1)
    two = pl.concat([frame, frame.with_columns(broker=pl.lit("kis"))])

    with pytest.raises(InputError, match=r"S0 has two bars at .* UTC; choose one of creon and"):
        lay_out(grouped(two, [cut]), CALENDAR)
    with pytest.raises(InputError, match=r"S0 has two bars at 2024-05-02 00:0\d UTC$"):
        lay_out(grouped(pl.concat([frame, frame]), [cut]), CALENDAR)


@pytest.mark.parametrize("name", ["close", "volume"])
def test_number_past_32_bits_in_any_group_widens_the_columns(name: str) -> None:
    """What was written before stays what it is."""
    frame = panel(5).with_columns(low=pl.col("close") - 2)
    wide = 5_000_000_000
    changed = pl.when(pl.int_range(pl.len()) == frame.height - 2).then(wide).otherwise(name)
    expected = frame.with_columns(changed.alias(name))
    found = lay_out(grouped(expected, [10, 20, 30]), CALENDAR).table

    assert found.close.tolist() == expected["close"].to_list()
    assert found.volume.tolist() == expected["volume"].to_list()
    assert (found.prices.dtype == np.int64, found.volume.dtype == np.int64) == (
        name == "close",
        name == "volume",
    )


def test_instant_of_two_sessions_is_refused_in_whichever_groups() -> None:
    """One session per instant, none before an earlier one."""
    frame = panel(2, symbols=2).sort("symbol", "timestamp")
    later = pl.col("trade_date") + pl.duration(days=1)
    other = frame.with_columns(
        trade_date=pl.when(pl.col("symbol") == "S1").then(later).otherwise("trade_date")
    )
    first = frame["symbol"].to_list().index("S1")
    for cuts in ([], [first]):
        with pytest.raises(InputError, match=r"trade_date of S1 at .* UTC is 2024-05-03; accept"):
            lay_out(grouped(other, cuts), CALENDAR)
    falls = frame.filter(pl.col("symbol") == "S0").with_columns(
        trade_date=pl.when(pl.int_range(pl.len()) == 0).then(DAYS[5]).otherwise("trade_date")
    )
    with pytest.raises(InputError, match="none before an earlier one"):
        lay_out(grouped(falls, []), CALENDAR)


def test_sessions_of_rows_that_have_none_are_those_of_the_calendar() -> None:
    """One group without dates is enough; the answer is the same."""
    frame = panel(4)
    half = frame.height // 2
    undated = pl.when(pl.int_range(pl.len()) < half).then("trade_date").alias("trade_date")
    found = lay_out(grouped(frame.with_columns(undated), [half]), CALENDAR)

    assert columns(found) == columns(lay_out(grouped(frame, []), CALENDAR))


def test_frames_of_groups_are_dropped_while_others_are_read() -> None:
    """No more than a few frames are in memory at once, however many groups there are."""
    made: list[weakref.ref[pl.DataFrame]] = []
    most = 0

    def groups() -> Iterator[Group]:
        for day in DAYS:

            def read(day: date = day) -> pl.DataFrame:
                nonlocal most
                frame = panel(7).with_columns(
                    trade_date=pl.lit(day), timestamp=_on(day), symbol=pl.lit(str(day))
                )
                frame = frame.unique("timestamp")
                made.append(weakref.ref(frame))
                gc.collect()
                most = max(most, sum(each() is not None for each in made))
                return frame

            yield Group(100, read)

    found = lay_out(groups(), CALENDAR)

    assert len(found.table.symbols) == len(DAYS)
    assert most <= 4


def _on(day: date) -> pl.Expr:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    moment = pl.lit(start).dt.cast_time_unit("ms")
    return moment + pl.duration(minutes=pl.col("timestamp").dt.minute().cast(pl.Int64))


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions of five rows."""
    monkeypatch.setattr(bar_files, "GROUP_ROWS", 5)
    monkeypatch.setattr(history, "GROUP_ROWS", 5)


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("row_group", [3, 7, 1_000])
def test_file_of_any_row_groups_gives_the_bars_of_its_frame(
    tmp_path: Path, row_group: int
) -> None:
    """Portions cross row groups, and row groups hold several portions."""
    frame, path = panel(6), tmp_path / "bars.parquet"
    frame.with_columns(name=pl.lit("not read")).write_parquet(path, row_group_size=row_group)
    quoted = BacktestRequest(text="", settings=MINUTES)
    found = bars_from_file(path, quoted, OPEN)

    assert columns(found.bars) == columns(laid_out(grouped(frame, []), MINUTES))


def test_row_groups_without_a_wanted_symbol_are_not_read(tmp_path: Path) -> None:
    """Their statistics say so: rows that would be refused are not looked at."""
    frame, path = panel(8, symbols=3).with_columns(pl.col("close").cast(pl.Float64)), tmp_path
    broken = frame.with_columns(
        close=pl.when(pl.col("symbol") == "S1").then(1.5).otherwise(pl.col("close")),
        high=pl.lit(3_000),
        low=pl.lit(1),
    )
    path /= "bars.parquet"
    broken.sort("symbol", "timestamp").write_parquet(path, row_group_size=6)

    def sieve(part: pl.DataFrame) -> pl.DataFrame:
        seen.update(part["symbol"])
        return part

    seen: set[str] = set()
    groups = file_groups(path, sieve, ("S2",))
    rows = sum(group.read().height for group in groups)
    request = BacktestRequest(text="", settings=MINUTES, symbols=("S2", "S9"))
    loaded = bars_from_file(path, request, OPEN)

    assert "S0" not in seen
    assert rows < frame.height
    assert loaded.bars.table.symbols == ("S2",)
    assert [caution.text for caution in loaded.cautions] == ["no bars of S9 in this period"]


@pytest.mark.parametrize(
    ("suffix", "nothing"),
    [
        (".parquet", "no 1m bars at KRX for the first to the last day"),
        (".csv", "empty.csv: the file has columns but no rows"),
    ],
)
def test_file_without_rows_or_columns_is_refused_in_one_line(
    tmp_path: Path, suffix: str, nothing: str
) -> None:
    """What is missing is named, whatever the kind of the file."""
    empty, lacking = tmp_path / f"empty{suffix}", tmp_path / f"lacking{suffix}"
    for frame, path in ((panel(1).head(0), empty), (panel(1).drop("close"), lacking)):
        getattr(frame.drop("quality"), f"write_{suffix[1:]}")(path)
    request = BacktestRequest(text="", settings=MINUTES)

    with pytest.raises(InputError, match=nothing):
        bars_from_file(empty, request, OPEN)
    with pytest.raises(InputError, match=r"no column for close; found: symbol, timestamp, open"):
        bars_from_file(lacking, request, OPEN)


def test_file_of_other_bars_is_refused_and_says_which_it_has(tmp_path: Path) -> None:
    """Asking for five minutes of a file of minutes is no riddle."""
    path = tmp_path / "bars.parquet"
    panel(1, minutes=60).with_columns(pl.lit("1m").alias("interval")).write_parquet(path)
    other = BacktestSettings(interval="5m")

    with pytest.raises(InputError, match=r"no 5m bars at KRX .*; the file has those of 1m"):
        bars_from_file(path, BacktestRequest(text="", settings=other), OPEN)


def test_file_that_is_cut_off_is_refused_in_one_line(tmp_path: Path) -> None:
    """Damage shows where its rows are read, and says which file."""
    path = tmp_path / "bars.parquet"
    panel(1, minutes=60).write_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    request = BacktestRequest(text="", settings=MINUTES)

    with pytest.raises(InputError, match=r"bars\.parquet: cannot be read: [^\n]*$"):
        bars_from_file(path, request, OPEN)
    path.write_bytes(whole[:8] + b"\xff" * 400 + whole[408:])
    with pytest.raises(InputError, match=r"bars\.parquet: cannot be read: [^\n]*$"):
        bars_from_file(path, request, OPEN)


def test_file_that_promises_more_rows_than_memory_is_refused() -> None:
    """A number in a header is no reason to fall over."""
    with pytest.raises(InputError, match="do not fit into memory; ask for fewer symbols or days"):
        lay_out(grouped(panel(1), []), CALENDAR, rows=1 << 50)


@pytest.mark.parametrize("rows", [1, 20, 35])
def test_coarser_bars_do_not_depend_on_how_instruments_are_grouped(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Groups end where an instrument does; one that never traded has no bars."""
    frame = panel(9, symbols=5).with_columns(
        volume=pl.when(pl.col("symbol") == "S2").then(0).otherwise("volume")
    )
    table = lay_out(grouped(frame, []), CALENDAR).table

    def session_open(day: date) -> int:
        return CALENDAR.open_close_ns(day)[0] // 1_000_000

    whole = frames.at_interval(table, "1m", "5m", session_open)
    monkeypatch.setattr(frames, "GROUP_ROWS", rows)
    found = frames.at_interval(table, "1m", "5m", session_open)

    assert found.digest == whole.digest
    assert whole.symbols == ("S0", "S1", "S3", "S4")
    assert 0 < whole.rows < table.rows
