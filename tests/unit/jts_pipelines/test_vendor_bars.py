"""Files of bars as vendors write them: what a run reads of them is what an ingest would."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from jts_pipelines.backtest.admitting import Admission
from jts_pipelines.backtest.bar_files import read_table
from jts_pipelines.backtest.instruments import read_instruments
from jts_pipelines.backtest.loading import BacktestRequest, Loaded, bars_from_file
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.vendor_bars import FileForm
from jts_trading.dsl.plan import Universe
from storage.errors import InputError
from storage.quality.reasons import MEANING, Reason

OPEN = Admission(Universe(), read_instruments(None, "KOSPI"))
DAYS = [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)]
BARS = [
    (78_200, 79_800, 78_200, 79_600, 17_142_847),
    (78_500, 78_800, 77_000, 77_000, 21_753_644),
    (76_100, 77_300, 76_100, 76_600, 15_324_439),
]
NAMES = ("open", "high", "low", "close", "volume")


def lines(header: str, *, day: str = "%Y-%m-%d", thousands: str = "") -> str:
    """Return the bars as a CSV of dates, prices and volumes."""
    rows = [header]
    for at, numbers in zip(DAYS, BARS, strict=True):
        shown = [f'"{n:,}"' if thousands else str(n) for n in numbers]
        rows.append(",".join([at.strftime(day), *shown]))
    return "\n".join(rows) + "\n"


def loaded(path: Path, symbols: tuple[str, ...] | None = None, **form: object) -> Loaded:
    """Load a file of daily bars of KRX."""
    request = BacktestRequest(text="", symbols=symbols, form=FileForm(**form))  # type: ignore[arg-type]
    return bars_from_file(path, request, OPEN)


def content(found: Loaded) -> tuple[tuple[str, ...], list[list[float]]]:
    """Return symbols, and every price and volume in units of the file."""
    table = found.bars.table
    return table.symbols, [getattr(table, name).tolist() for name in NAMES]


@pytest.fixture
def plain(tmp_path: Path) -> Loaded:
    """The bars as the lake has them."""
    stamps = [datetime(at.year, at.month, at.day, tzinfo=UTC) - timedelta(hours=9) for at in DAYS]
    frame = pl.DataFrame(BARS, schema=list(NAMES), orient="row").with_columns(
        symbol=pl.lit("005930"),
        timestamp=pl.Series(stamps).cast(pl.Datetime("ms", "UTC")),
    )
    frame.write_parquet(tmp_path / "plain.parquet")
    return loaded(tmp_path / "plain.parquet")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (lines("Date,Open,High,Low,Close,Volume"), "utf-8"),
        (lines("날짜,시가,고가,저가,종가,거래량"), "utf-8"),
        (lines("일자,시가,고가,저가,종가,거래량", day="%Y/%m/%d", thousands=","), "cp949"),
        (lines("date,open,high,low,close,volume", day="%Y%m%d"), "utf-8-sig"),
    ],
)
def test_file_when_names_are_a_vendors_then_the_bars_are_the_same(
    tmp_path: Path, plain: Loaded, text: str, encoding: str
) -> None:
    """Korean names, a spreadsheet's encoding, any form of dates; the file's name is the symbol."""
    path = tmp_path / "005930.csv"
    path.write_bytes(text.encode(encoding))

    found = loaded(path)

    assert content(found) == content(plain)
    assert (found.bars.table.stamp == plain.bars.table.stamp).all()
    assert found.cautions == ()
    path.rename(tmp_path / "samsung.csv")
    assert content(loaded(tmp_path / "samsung.csv", ("005930",))) == content(plain)


def test_file_when_columns_are_named_then_those_are_read(tmp_path: Path, plain: Loaded) -> None:
    """What no known name says, `--mapping` does."""
    path = tmp_path / "A005930.csv"
    path.write_text(lines("day,o,h,l,c,v"))
    names = {"timestamp": "day", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}

    assert content(loaded(path, mapping=names)) == content(plain)
    with pytest.raises(InputError, match=r"no column for .*timestamp.*found: day, o, h, l, c, v"):
        loaded(path)


def test_file_when_times_have_no_zone_then_it_is_asked_for(tmp_path: Path) -> None:
    """Minutes of a coin, in the time of Seoul."""
    path = tmp_path / "KRW-BTC.csv"
    path.write_text(
        "timestamp,open,high,low,close,volume\n"
        "2024-01-02 09:00:00,58000000,58500000,57900000,58200000,12.5\n"
        "2024-01-02 09:01:00,58200000,58300000,58100000,58150000,2.25\n"
    )
    settings = BacktestSettings(venue="UPBIT", interval="1m")
    admission = Admission(Universe(), read_instruments(None, "KOSPI", "UPBIT"))

    with pytest.raises(InputError, match=r"no zone .* --timezone Asia/Seoul"):
        bars_from_file(path, BacktestRequest(text="", settings=settings), admission)
    request = BacktestRequest(text="", settings=settings, form=FileForm(timezone="Asia/Seoul"))
    found = bars_from_file(path, request, admission).bars.table

    assert found.symbols == ("KRW-BTC",)
    first = datetime(2024, 1, 2, tzinfo=UTC)
    assert found.stamp.tolist() == [int(first.timestamp()) * 1000 + at for at in (0, 60_000)]


def test_file_when_rows_cannot_be_used_then_they_are_counted_with_their_reasons(
    tmp_path: Path, plain: Loaded
) -> None:
    """The rest is run; the same rows an ingest sets aside."""
    path = tmp_path / "005930.csv"
    bad = "2024-01-05,76700,77000,76000,abc,10\n2024-01-06,1,1,1,1,1\n2024-01-07,1,1,1,1,1\n"
    path.write_text(lines("Date,Open,High,Low,Close,Volume") + bad)

    found = loaded(path)

    assert content(found) == content(plain)
    assert [caution.text for caution in found.cautions] == [
        f"{rows} of the file left out: {MEANING[reason]}"
        for rows, reason in (("1 row", Reason.WRONG_TYPE), ("2 rows", Reason.OFF_SESSION))
    ]


@pytest.mark.parametrize(
    ("name", "text", "symbols", "message"),
    [
        ("bars.csv", "Date,Open,High,Low,Close,Volume\n2024-01-02,1,1,1,1,1\n", None, "--symbols"),
        ("005930.csv", "Date,Open,High,Low,Close,Volume\n2024-01-02,1,1,1,1,1\n",
         ("005930", "000660"), "names one, not several"),
        ("005930.csv", "Date,Open,High,Low,Close,Volume\n2024-01-06,1,1,1,1,1\n", None,
         "none of its 1 rows is a bar: the venue's calendar has no session"),
        ("005930.csv", "Date,Open,High,Low,Close\n2024-01-02,1,1,1,1\n", None, "for volume"),
        ("005930.csv", "Date,Open,High,Low,Close,Volume\nsoon,1,1,1,1,1\n", None, "no time"),
        ("005930.csv", "", None, "empty"),
    ],
)  # fmt: skip
def test_file_when_it_cannot_be_read_then_one_line_says_what_would_be_accepted(
    tmp_path: Path, name: str, text: str, symbols: tuple[str, ...] | None, message: str
) -> None:
    """Each names the file."""
    (tmp_path / name).write_text(text)

    with pytest.raises(InputError, match=message) as refused:
        loaded(tmp_path / name, symbols)

    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


def test_listing_when_it_is_the_exchanges_own_then_names_and_markets_are_known(
    tmp_path: Path,
) -> None:
    """The exchange's data portal: Korean columns, in CP949, codes that begin with zeros."""
    path = tmp_path / "listing.csv"
    path.write_bytes(
        "표준코드,단축코드,한글 종목명,한글 종목약명,상장일,시장구분,증권구분\n"
        "KR7005930003,005930,삼성전자보통주,삼성전자,1975/06/11,KOSPI,주권\n"
        "KR7247540008,247540,에코프로비엠,에코프로비엠,2019/03/05,KOSDAQ GLOBAL,주권\n".encode(
            "cp949"
        )
    )

    found = read_instruments(read_table(path), "KOSDAQ")

    assert [found.find(code).market for code in ("005930", "247540")] == ["KOSPI", "KOSDAQ"]
    assert found.name_of("005930") == "삼성전자"
