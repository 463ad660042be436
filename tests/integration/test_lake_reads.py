"""The lake over a real hot store and files: every row once, pruned, at its own scale."""

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jts_pipelines.backtest import loading
from jts_pipelines.backtest.admitting import Admission
from jts_pipelines.backtest.bar_layout import read_bars
from jts_pipelines.backtest.instruments import read_instruments
from jts_pipelines.backtest.loading import BacktestRequest, bars_from_lake
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.plan import Universe
from storage.errors import HotStoreError, InputError, MovedError, VerificationError
from storage.hot.store import HotStore
from storage.lake.lake import Lake
from storage.lake.standing import standings, totals
from storage.manifest.chain import Manifests
from storage.moves.mover import Mover
from storage.schema.arrow import file_schema
from storage.schema.datasets import CANDLES, Dataset
from storage.schema.partitions import Partition, partition_of
from storage.schema.tiers import Tier, default_settings

pytestmark = pytest.mark.integration

FIRST = date(2024, 1, 1)
TODAY = FIRST + timedelta(days=100)
OFFSETS = {0: Tier.COLD, 60: Tier.WARM, 99: Tier.HOT}
MINUTES = 5


def bars(venue: str, day: date, price: str) -> pa.Table:
    """Minute bars of three symbols."""
    first = datetime(day.year, day.month, day.day, 1, tzinfo=UTC)
    rows = [
        {
            "timestamp": first + timedelta(minutes=minute),
            "venue": venue,
            "symbol": symbol,
            "broker": "paper",
            "interval": "1m",
            "open": Decimal(price),
            "high": Decimal(price),
            "low": Decimal(price),
            "close": Decimal(price) * (minute + 1),
            "volume": Decimal(price),
            "bid": None,
            "ask": None,
            "trade_date": day,
            "received_at": first,
            "available_at": first,
            "revision": 1,
            "status": "traded",
            "quality": "ok",
            "ingest_id": "i1",
        }
        for symbol in ("AAA", "BBB", "CCC")
        for minute in range(MINUTES)
    ]
    return pa.Table.from_pylist(rows, schema=file_schema(CANDLES, venue))


class Shore:
    """A lake whose days stand in all three tiers, and what was put into it."""

    def __init__(self, dsn: str, home: Path) -> None:
        self.hot = HotStore(dsn)
        self.hot.ensure_schema()
        self.home = home
        self.manifests = Manifests(home / "manifests")
        self.mover = Mover(
            self.hot,
            self.manifests,
            default_settings(),
            home,
            now=lambda: datetime.combine(TODAY, datetime.min.time(), UTC),
            today=lambda _: TODAY,
        )

    def lake(self) -> Lake:
        """A new reader."""
        return Lake(self.hot, Manifests(self.home / "manifests"), default_settings(), self.home)

    def put(self, partition: Partition, rows: pa.Table) -> None:
        """Bring rows into hot."""
        self.hot.transit.stage(partition, rows)
        self.hot.transit.admit(partition)

    def fill(self) -> list[pa.Table]:
        """Bring two venues in and move what is due; return what was brought."""
        brought = []
        for venue, price in (("KRX", "71500"), ("UPBIT", "0.00000123")):
            for offset in OFFSETS:
                day = FIRST + timedelta(days=offset)
                rows = bars(venue, day, price)
                self.put(partition_of("candles", venue, "1m", day), rows)
                brought.append(rows)
        list(self.mover.archive())
        return brought


@pytest.fixture(scope="module")
def database(clickhouse_url: str) -> Iterator[str]:
    """A DSN of a database of this module."""
    name = f"l_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE {name}")
        yield f"{clickhouse_url}/{name}"
        admin.command(f"DROP DATABASE {name}")


@pytest.fixture(scope="module")
def brought() -> list[pa.Table]:
    """Filled by `shore`: what stands in its lake."""
    return []


@pytest.fixture(scope="module")
def shore(
    database: str, tmp_path_factory: pytest.TempPathFactory, brought: list[pa.Table]
) -> Shore:
    """A filled lake, not changed by the tests that share it."""
    made = Shore(database, tmp_path_factory.mktemp("lake"))
    brought.extend(made.fill())
    return made


@pytest.fixture
def own_shore(clickhouse_url: str, tmp_path: Path) -> Iterator[Shore]:
    """An empty lake of one test."""
    name = f"o_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE {name}")
        yield Shore(f"{clickhouse_url}/{name}", tmp_path)
        admin.command(f"DROP DATABASE {name}")


def test_rows_of_one_venue_when_read_are_those_that_came_in(
    shore: Shore, brought: list[pa.Table]
) -> None:
    """Whatever the tier: same values, same scale, each row once."""
    for venue in ("KRX", "UPBIT"):
        expected = pa.concat_tables(t for t in brought if t["venue"][0].as_py() == venue)
        frame = shore.lake().read(venue=venue)
        in_order = ["symbol", "timestamp"]

        assert frame.schema == pl.DataFrame(expected).schema
        assert frame.equals(pl.DataFrame(expected).sort(in_order))


def test_rows_of_two_venues_when_read_together_have_eight_decimals(shore: Shore) -> None:
    """Mixed scales become one exact type; nothing is rounded."""
    frame = shore.lake().read(columns=["venue", "close"])
    sums = dict(frame.group_by("venue").agg(pl.col("close").sum()).iter_rows())

    assert frame.schema["close"] == pl.Decimal(18, 8)
    assert sums == {
        "KRX": Decimal(71500) * 15 * 3 * 3,
        "UPBIT": Decimal("0.00000123") * 15 * 3 * 3,
    }


def test_tier_when_asked_for_names_who_serves(shore: Shore) -> None:
    """One tier per day, by its age."""
    frame = shore.lake().read(columns=["venue", "trade_date"], with_tier=True).unique()
    found = {(venue, (day - FIRST).days): tier for venue, day, tier in frame.iter_rows()}

    assert found == {
        (venue, offset): tier.value
        for venue in ("KRX", "UPBIT")
        for offset, tier in OFFSETS.items()
    }


def test_count_and_partitions_when_all_tiers_hold_rows_agree(shore: Shore) -> None:
    """Counts by reading and counts by the chain are the same."""
    lake = shore.lake()
    found = standings(shore.manifests.catalog("candles"), shore.hot.partitions())
    by_tier = totals(found)

    assert lake.count() == 6 * 3 * MINUTES
    assert {t: total.rows for t, total in by_tier.items()} == dict.fromkeys(Tier, 30)
    assert sum(served.rows for served in lake.summary()) == lake.count()
    assert len(lake.partitions("candles", "KRX", "1m")) == 3


@pytest.mark.parametrize("offset", sorted(OFFSETS))
def test_scan_when_bounded_returns_exactly_those_rows(shore: Shore, offset: int) -> None:
    """Symbols, instants and days bound a read, inclusive on both sides."""
    day = FIRST + timedelta(days=offset)
    first = datetime(day.year, day.month, day.day, 1, 1, tzinfo=UTC)
    frame = shore.lake().read(
        venue="KRX",
        interval="1m",
        symbols=["AAA", "ZZZ"],
        start=first,
        end=first + timedelta(minutes=2),
        columns=["symbol", "timestamp"],
    )
    days = shore.lake().read(venue="KRX", start=day, end=day, columns=["trade_date"])

    assert frame["symbol"].to_list() == ["AAA"] * 3
    assert frame["timestamp"].min() == first
    assert (days.height, days["trade_date"].unique().to_list()) == (15, [day])


_PREDICATES = st.one_of(
    st.sampled_from(["AAA", "BBB", "XXX"]).map(lambda s: pl.col("symbol") == s),
    st.lists(st.sampled_from(["AAA", "CCC", "XXX"]), max_size=3).map(
        lambda names: pl.col("symbol").is_in(names)
    ),
    st.sampled_from(["KRX", "UPBIT"]).map(lambda v: pl.col("venue") != v),
    st.integers(-1, 101).map(lambda n: pl.col("trade_date") >= FIRST + timedelta(days=n)),
    st.integers(-1, 101).map(lambda n: pl.lit(FIRST + timedelta(days=n)) > pl.col("trade_date")),
    st.integers(0, 6).map(
        lambda n: pl.col("timestamp") < datetime(2024, 3, 1, 1, n, tzinfo=UTC),
    ),
    st.sampled_from([71500, 143000]).map(lambda price: pl.col("close") > price),
    st.just(pl.col("tier") == "hot"),
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(first=_PREDICATES, second=_PREDICATES, either=st.booleans())
def test_scan_when_filtered_lazily_equals_filtering_afterwards(
    shore: Shore, first: pl.Expr, second: pl.Expr, either: bool
) -> None:
    """Push-down changes what is fetched, never what is found."""
    predicate = first | second if either else first & second
    order = ["venue", "symbol", "timestamp"]
    pushed = shore.lake().scan(with_tier=True).filter(predicate).collect().sort(order)
    afterwards = shore.lake().read(with_tier=True).filter(predicate).sort(order)

    assert pushed.equals(afterwards)


def test_scan_when_limited_stops(shore: Shore) -> None:
    """`head` returns so many rows, not more."""
    assert shore.lake().scan(columns=["symbol"]).head(7).collect().height == 7


def test_scan_of_other_days_when_a_file_is_damaged_does_not_open_it(own_shore: Shore) -> None:
    """Only files that can hold wanted rows are opened; a damaged one is never served."""
    own_shore.fill()
    cold = next((own_shore.home / "cold").rglob("*venue=KRX*/**/*.parquet"))
    content = bytearray(cold.read_bytes())
    content[100] ^= 1
    cold.write_bytes(bytes(content))
    rest = own_shore.lake().read(venue="KRX", start=FIRST + timedelta(days=1))

    assert rest.height == 30
    with pytest.raises(VerificationError, match="it is not served"):
        own_shore.lake().read(venue="KRX", start=FIRST, end=FIRST)


def test_digest_when_a_file_was_read_before_is_not_computed_again(own_shore: Shore) -> None:
    """The memory of checked files is kept between processes and follows changes of the file."""
    own_shore.fill()
    before = own_shore.lake().read(venue="KRX").height
    memory = own_shore.home / "cache" / "digests.json"
    assert memory.exists()
    cold = next((own_shore.home / "cold").rglob("*venue=KRX*/**/*.parquet"))
    stat = cold.stat()
    content = bytearray(cold.read_bytes())
    content[200] ^= 1
    cold.write_bytes(bytes(content))
    os.utime(cold, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert before == 45
    with pytest.raises(VerificationError):
        own_shore.lake().read(venue="KRX")


class Interrupted:
    """A hot store in which something happens just before its rows are read for the first time."""

    def __init__(self, store: HotStore, act: Callable[[], None]) -> None:
        self._store = store
        self._acts = [act]

    def query_arrow(self, sql: str, parameters: dict[str, Any] | None = None) -> pa.Table:
        """Return the answer of the store."""
        return self._store.query_arrow(sql, parameters)

    def scan(
        self,
        dataset: Dataset,
        venue: str,
        *,
        columns: Sequence[str] = (),
        where: str = "1",
        parameters: dict[str, Any] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the store, after what had to happen."""
        while self._acts:
            self._acts.pop()()
        yield from self._store.scan(
            dataset, venue, columns=columns, where=where, parameters=parameters
        )


OLD, YOUNG = FIRST, FIRST + timedelta(days=99)


def late(day: date) -> pa.Table:
    """The rows of a fourth symbol."""
    rows = bars("KRX", day, "100").slice(0, MINUTES)
    names = pa.array(["DDD"] * MINUTES)
    return rows.set_column(2, rows.schema.field("symbol"), names)


def put_late(shore: Shore, *days: date) -> None:
    """Bring late rows in."""
    for day in days:
        shore.put(partition_of("candles", "KRX", "1m", day), late(day))


def archive(shore: Shore) -> None:
    """Make all moves that are due."""
    list(shore.mover.archive())


def counted(lake: Lake, *, by_sql: bool) -> int:
    """Count all rows in one of two ways."""
    if by_sql:
        return int(lake.sql("SELECT count(symbol) AS rows FROM candles")["rows"][0].as_py())
    return lake.count()


@pytest.mark.parametrize("by_sql", [False, True])
@pytest.mark.parametrize("has_late_rows", [False, True])
def test_read_when_rows_come_in_meanwhile_sees_all_of_them_or_none(
    own_shore: Shore, *, by_sql: bool, has_late_rows: bool
) -> None:
    """A load lands in hot and beside an archived day: no reader sees the half of it."""
    before = sum(rows.num_rows for rows in own_shore.fill())
    if has_late_rows:
        own_shore.put(partition_of("candles", "KRX", "1m", OLD), bars("KRX", OLD, "71500"))
    hot = Interrupted(own_shore.hot, lambda: put_late(own_shore, OLD, YOUNG))
    lake = Lake(hot, own_shore.manifests, default_settings(), own_shore.home)

    assert counted(lake, by_sql=by_sql) in {before, before + 2 * MINUTES}
    assert counted(own_shore.lake(), by_sql=by_sql) == before + 2 * MINUTES


@pytest.mark.parametrize("by_sql", [False, True])
def test_read_when_its_file_is_replaced_meanwhile_still_finds_it(
    own_shore: Shore, *, by_sql: bool
) -> None:
    """Late rows become the next revision: who began before reads the replaced file in peace."""
    before = sum(rows.num_rows for rows in own_shore.fill())

    def replace() -> None:
        put_late(own_shore, OLD)
        archive(own_shore)

    hot = Interrupted(own_shore.hot, replace)
    lake = Lake(hot, Manifests(own_shore.home / "manifests"), default_settings(), own_shore.home)

    assert counted(lake, by_sql=by_sql) in {before, before + MINUTES}
    assert counted(own_shore.lake(), by_sql=by_sql) == before + MINUTES


@pytest.mark.parametrize("by_sql", [False, True])
def test_read_when_its_rows_leave_hot_meanwhile_finds_them_in_the_file(
    own_shore: Shore, *, by_sql: bool
) -> None:
    """The late rows of a day are merged into its file while they are read."""
    before = sum(rows.num_rows for rows in own_shore.fill())
    put_late(own_shore, OLD)
    hot = Interrupted(own_shore.hot, lambda: archive(own_shore))
    lake = Lake(hot, Manifests(own_shore.home / "manifests"), default_settings(), own_shore.home)

    assert counted(lake, by_sql=by_sql) == before + MINUTES


def test_hot_partition_when_lost_is_served_by_its_copy(own_shore: Shore) -> None:
    """A wiped hot store does not hide rows that warm has verified."""
    own_shore.fill()
    day = FIRST + timedelta(days=99)
    own_shore.hot.transit.withdraw(partition_of("candles", "KRX", "1m", day))
    frame = own_shore.lake().read(venue="KRX", start=day, columns=["symbol"], with_tier=True)

    assert (frame.height, frame["tier"].unique().to_list()) == (15, ["warm"])


def test_lake_when_empty_has_columns_and_no_rows(own_shore: Shore) -> None:
    """Nothing in it is no error."""
    frame = own_shore.lake().read()

    assert frame.height == 0
    assert frame.columns == [column.name for column in CANDLES.columns]
    assert own_shore.lake().count() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "candle"}, "unknown dataset 'candle'; known: candles"),
        ({"venue": "NYSE"}, "unknown venue 'NYSE'; accepted: KRX"),
        ({"columns": ["clse"]}, "unknown column 'clse'; known: timestamp"),
        ({"start": datetime(2024, 1, 1)}, "an instant needs its offset"),  # noqa: DTZ001 - is refused
    ],
)
def test_scan_when_misused_names_what_is_accepted(
    own_shore: Shore, arguments: dict[str, object], message: str
) -> None:
    """One clear line."""
    with pytest.raises(InputError, match=message):
        own_shore.lake().scan(**arguments)  # type: ignore[arg-type] - wrong on purpose


def test_lake_when_the_hot_store_is_down_says_so(tmp_path: Path) -> None:
    """A missing tier is an error, not a smaller answer."""
    hot = HotStore("http://127.0.0.1:9")
    lake = Lake(hot, Manifests(tmp_path / "manifests"), default_settings(), tmp_path)
    with pytest.raises(HotStoreError, match=r"127\.0\.0\.1:9"):
        lake.count()


# Sessions of KRX that stand in cold, warm and hot, by the clock of a shore.
COLD, WARM, HOT = date(2024, 1, 2), date(2024, 3, 4), date(2024, 4, 9)
SESSIONS = (COLD, WARM, HOT)
EVERYTHING = Admission(Universe(), read_instruments(None, "KOSPI"))
REQUEST = BacktestRequest(text="", settings=BacktestSettings(interval="1m"))


def put_bars(shore: Shore, *days: date) -> None:
    """Bring three symbols in."""
    for day in days:
        shore.put(partition_of("candles", "KRX", "1m", day), bars("KRX", day, "71500"))


def lake_in_which(shore: Shore, act: Callable[[], None]) -> Lake:
    """Return a lake in which something happens when hot is read for the first time."""
    hot = Interrupted(shore.hot, act)
    return Lake(hot, Manifests(shore.home / "manifests"), default_settings(), shore.home)


@pytest.fixture
def filled(own_shore: Shore) -> Iterator[Shore]:
    """Three sessions, one in each tier."""
    put_bars(own_shore, *SESSIONS)
    archive(own_shore)
    return own_shore


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions of four rows: every tier gives several."""
    monkeypatch.setattr(loading, "GROUP_ROWS", 4)


@pytest.mark.parametrize("symbols", [None, ("AAA", "CCC"), ("BBB",)])
def test_batches_of_all_tiers_are_the_rows_of_a_scan(
    filled: Shore, symbols: tuple[str, ...] | None
) -> None:
    """Each row once, in portions, with the types of a scan."""
    columns = ["symbol", "timestamp", "close", "trade_date"]
    asked = {"venue": "KRX", "interval": "1m", "symbols": symbols, "start": COLD, "end": HOT}
    frames = list(filled.lake().batches(**asked, columns=columns, rows_max=4))  # type: ignore[arg-type]
    whole = filled.lake().read(**asked, columns=columns)  # type: ignore[arg-type]

    assert max(frame.height for frame in frames if HOT not in frame["trade_date"]) <= 4
    assert pl.concat(frames).sort("symbol", "timestamp").equals(whole)
    assert whole.height == MINUTES * 3 * (3 if symbols is None else len(symbols))


def test_batches_when_rows_come_in_meanwhile_say_so(filled: Shore) -> None:
    """What was handed out is not one moment of the lake, and cannot be taken back."""
    lake = lake_in_which(filled, lambda: put_late(filled, COLD, HOT))

    with pytest.raises(MovedError, match="rows came in while they were read"):
        list(lake.batches(venue="KRX"))


def test_batches_when_rows_move_meanwhile_say_so(filled: Shore) -> None:
    """Rows that leave hot while they are streamed could be missed."""
    put_bars(filled, date(2024, 3, 5))
    lake = lake_in_which(filled, lambda: archive(filled))

    with pytest.raises(MovedError):
        list(lake.batches(venue="KRX"))
    assert sum(frame.height for frame in lake.batches(venue="KRX")) == 4 * 3 * MINUTES


def test_batches_of_a_damaged_file_are_not_served(filled: Shore) -> None:
    """A digest is compared before the first portion is read."""
    cold = next((filled.home / "cold").rglob("*venue=KRX*/**/*.parquet"))
    content = bytearray(cold.read_bytes())
    content[100] ^= 1
    cold.write_bytes(bytes(content))

    with pytest.raises(VerificationError, match="it is not served"):
        list(filled.lake().batches(venue="KRX"))


def test_batches_of_an_unknown_column_are_refused(filled: Shore) -> None:
    """As those of a scan."""
    with pytest.raises(InputError, match="unknown column 'clse'; known: timestamp"):
        next(filled.lake().batches(columns=["clse"]))


@pytest.mark.usefixtures("small_groups")
def test_bars_of_a_backtest_from_all_tiers_are_those_of_one_frame(filled: Shore) -> None:
    """Portions come by file and partition; the bars are in the order of symbol and time."""
    found = bars_from_lake(filled.lake(), REQUEST, EVERYTHING).bars
    whole = read_bars(filled.lake().read(venue="KRX", interval="1m"), calendar_for("KRX"))

    assert found.table.digest == whole.digest
    assert found.table.symbols == ("AAA", "BBB", "CCC")
    assert found.period == (COLD, HOT)
    assert found.table.rows == 3 * 3 * MINUTES


@pytest.mark.usefixtures("small_groups")
def test_bars_of_a_backtest_when_rows_come_in_meanwhile_are_those_of_one_moment(
    filled: Shore,
) -> None:
    """The load begins again and has the late rows, all of them, once."""
    lake = lake_in_which(filled, lambda: put_late(filled, COLD, HOT))
    found = bars_from_lake(lake, REQUEST, EVERYTHING).bars.table

    assert found.rows == 3 * 3 * MINUTES + 2 * MINUTES
    assert found.symbols == ("AAA", "BBB", "CCC", "DDD")
    assert found.digest == bars_from_lake(filled.lake(), REQUEST, EVERYTHING).bars.table.digest


@pytest.mark.usefixtures("small_groups")
def test_bars_of_a_backtest_without_rows_are_refused(filled: Shore) -> None:
    """The refusal says what was looked for."""
    request = BacktestRequest(text="", symbols=("ZZZ",), settings=REQUEST.settings)

    with pytest.raises(InputError, match="no 1m bars of ZZZ at KRX for the first to the last day"):
        bars_from_lake(filled.lake(), request, EVERYTHING)
