"""The parts of `jts demo` that need no instance: its home, its sums, its clock, its document."""

import os
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import msgspec
import polars as pl
import pytest
from rich.console import Console

from jts_pipelines.backtest.bar_files import read_table
from jts_pipelines.backtest.instruments import read_instruments
from jts_pipelines.cli.demo_counting import PaperDay
from jts_pipelines.cli.demo_home import MARKER, demo_settings, fresh_home
from jts_pipelines.cli.demo_house import (
    LISTING_FILES,
    Count,
    Ledger,
    Source,
    adopt_listing,
    misplaced,
    source_of,
)
from jts_pipelines.cli.demo_memory import MemorySampler
from jts_pipelines.cli.demo_run import Demo
from jts_pipelines.cli.demo_summary import document_of, table_of
from jts_pipelines.defs.house import House
from jts_pipelines.ingest.generated import write_generated
from jts_pipelines.ingest.report import IngestReport
from jts_trading.telemetry import console
from storage.errors import InputError
from storage.lake.standing import Held, Standing
from storage.schema.partitions import parse_partition
from storage.schema.tiers import Tier


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration of the developer reaches these tests."""
    for name in [name for name in os.environ if name.startswith("JTS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def _report(rows: int, quarantined: int = 0, duplicates: int = 0) -> IngestReport:
    return IngestReport(
        path="x", ingest_id="1", dataset="candles", venue="KRX", interval="1d", rows=rows,
        accepted=rows - quarantined - duplicates, corrected=0, quarantined=quarantined,
        duplicates=duplicates, reasons={"ohlc_order": quarantined}, doubts={}, statuses={},
        symbols=1, first_day=None, last_day=None, partitions=[], quarantine_file="",
    )  # fmt: skip


def _standing(interval: str, key: str, tier: Tier) -> Standing:
    held = {tier: Held(rows=10, bytes=100, serves=True)}
    partition = parse_partition("candles", "KRX", interval, key)
    return Standing(partition=partition, serving=tier, revision=1, held=held)


def test_settings_when_user_has_real_stores_then_demo_keeps_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configured server is not used: the demo has a home, ports and stores of its own."""
    monkeypatch.setenv("JTS_HOT__DSN", "http://user:secret@db.example:8123/market")
    monkeypatch.setenv("JTS_HOME", str(tmp_path / "real"))

    settings = demo_settings(tmp_path / "out")

    assert settings.instance.root == tmp_path / "out" / "home"
    assert settings.hot.dsn == ""
    assert settings.hot_dsn == f"http://127.0.0.1:{settings.instance.port('clickhouse')}"


def test_settings_when_a_tier_lies_elsewhere_then_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Demo bars must never reach the archive of real ones."""
    monkeypatch.setenv("JTS_TIERS__COLD", str(tmp_path / "nas"))

    with pytest.raises(console.CommandError, match=r"tiers\.cold is .*nas") as refused:
        demo_settings(tmp_path / "out")

    assert refused.value.exit_code == console.BAD_USAGE


def test_home_when_an_earlier_demo_left_one_then_replaces_it(tmp_path: Path) -> None:
    """A second demo starts from nothing, without asking."""
    settings = demo_settings(tmp_path / "out")
    fresh_home(settings)
    (settings.instance.root / "warm").mkdir()

    fresh_home(settings)

    assert [path.name for path in settings.instance.root.iterdir()] == [MARKER]


def test_source_when_read_then_clock_is_the_evening_of_its_newest_session(tmp_path: Path) -> None:
    """Ages are counted from the evening on which each file was new."""
    files = write_generated(tmp_path, symbols=1, last=date(2024, 1, 31))

    panel = source_of(files.daily, "KRX", "1d")
    minutes = source_of(files.minute, "KRX", "1m")

    assert panel.as_of.isoformat() == "2024-01-31T18:30:00+09:00"
    assert minutes.as_of.date() == date(2018, 2, 26)
    assert (panel.family, minutes.family) == ("krx_1d", "krx_1m")


def test_listing_when_the_data_has_one_then_the_instance_keeps_it(tmp_path: Path) -> None:
    """Generated bars bring names and markets; every symbol of the panel is listed."""
    house = House(demo_settings(tmp_path / "out"))
    files = write_generated(tmp_path, symbols=9, last=date(2024, 1, 31))

    adopted = adopt_listing(house, tmp_path)

    assert adopted == files.listing
    assert house.listing == house.root / "reference" / "instruments.parquet"
    listed = read_instruments(read_table(house.listing), "KONEX")
    found = [listed.find(symbol) for symbol in pl.read_parquet(files.daily)["symbol"].unique()]
    assert {instrument.market for instrument in found} == {"KOSPI", "KOSDAQ"}
    assert all(instrument.is_known and instrument.name.startswith("견본") for instrument in found)


def test_listing_when_only_the_older_file_exists_then_its_spelling_is_read(tmp_path: Path) -> None:
    """The second vendor says Code, Name and Market, and splits KOSDAQ into segments."""
    house = House(demo_settings(tmp_path / "out"))
    path = tmp_path / LISTING_FILES[1]
    path.parent.mkdir()
    rows = {
        "Code": ["005930", "247540"],
        "Name": ["가", "나"],
        "Market": ["KOSPI", "KOSDAQ GLOBAL"],
    }
    pl.DataFrame(rows).write_parquet(path)

    adopt_listing(house, tmp_path)

    assert house.listing is not None
    listed = read_instruments(read_table(house.listing), "KONEX")
    assert [listed.find(code).market for code in rows["Code"]] == ["KOSPI", "KOSDAQ"]


def test_listing_when_missing_or_unusable_then_says_so_before_anything_starts(
    tmp_path: Path,
) -> None:
    """Without a listing defaults apply; one that lacks its columns is refused by name."""
    house = House(demo_settings(tmp_path / "out"))
    assert adopt_listing(house, tmp_path) is None
    assert house.listing is None
    path = tmp_path / LISTING_FILES[0]
    path.parent.mkdir()
    pl.DataFrame({"ticker": ["005930"]}).write_parquet(path)

    with pytest.raises(InputError, match="lacks symbol or market"):
        adopt_listing(house, tmp_path)


def test_misplaced_when_tiers_fit_the_ages_then_is_empty(tmp_path: Path) -> None:
    """Seven days serve from hot, ninety from warm, what is older from cold."""
    house = House(demo_settings(tmp_path / "out"))
    files = write_generated(tmp_path, symbols=1, last=date(2024, 1, 31))
    minutes = source_of(files.minute, "KRX", "1m")
    right = [
        _standing("1m", "2018-02-19", Tier.HOT),
        _standing("1m", "2018-02-14", Tier.WARM),
        _standing("1d", "2024-01", Tier.COLD),
    ]
    wrong = [_standing("1m", "2018-02-14", Tier.HOT), _standing("1m", "2017-11-27", Tier.WARM)]

    assert misplaced(house, minutes, right) == []
    assert [text.split(" ")[0] for text in misplaced(house, minutes, wrong)] == [
        "candles/KRX/1m/2018-02-14",
        "candles/KRX/1m/2017-11-27",
    ]


def test_conserved_when_any_count_differs_then_is_false() -> None:
    """One wrong count in the middle is enough, and no count at all proves nothing."""
    ledger = Ledger(reports=[_report(100, quarantined=3, duplicates=2), _report(10)])
    assert ledger.expected == 105
    assert not ledger.conserved

    ledger.counts.append(Count(after="a", expected=105, served=105))
    assert ledger.conserved

    ledger.counts.append(Count(after="b", expected=105, served=104))
    ledger.counts.append(Count(after="c", expected=105, served=105))
    assert not ledger.conserved


def test_document_when_rows_were_lost_then_demo_is_not_good(tmp_path: Path) -> None:
    """The document and the table say it, and the command can end with exit code 1."""
    run = Demo(settings=demo_settings(tmp_path / "out"), data=None, bars=SimpleNamespace())
    run.ledger.reports.append(_report(100, quarantined=3))
    run.ledger.counts.append(Count(after="ingest", expected=97, served=96))
    run.backtests["other"] = {"bars": 9, "trades": 9, "final_equity": 9, "seconds": 0.5}
    run.backtests["sma_crossover"] = {"bars": 1, "trades": 2, "final_equity": 3, "seconds": 0.5}

    document = document_of(run, seconds=1.0, peak=2**30)

    shown = Console(width=120, record=True, file=Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - a sink for the length of the test
    shown.print(table_of(document))
    shown.file.close()
    decoded = msgspec.json.decode(document.encoded())
    assert not document.is_good
    assert decoded["conserved"] is False
    assert decoded["ingest"] == {
        "files": 1, "rows": 100, "quarantined": 3, "duplicates": 0, "reasons": {"ohlc_order": 3}
    }  # fmt: skip
    assert decoded["backtest"]["trades"] == 2
    assert "conserved   NO" in shown.export_text()


def _traded(tmp_path: Path, **changes: object) -> Demo:
    """A demo whose one day was traded, certified and reported."""
    run = Demo(settings=demo_settings(tmp_path / "out"), data=None, bars=SimpleNamespace())
    run.ledger.counts.append(Count(after="ingest", expected=0, served=0))
    day = PaperDay(
        day="2018-02-26", currency="KRW", frames=2500, frame_bytes=800_000, ticks=1238, bars=381,
        signals=43, orders=24, denied=1, resting=0, fills=23, unknown=0, cash=97_217_334,
        equity=99_586_334,
        realised=-119_000, costs=294_666, ledger_balanced=True,
    )  # fmt: skip
    run.paper["kis"] = msgspec.structs.replace(day, **changes)
    certificate, report = tmp_path / "certificate.json", tmp_path / "report.json"
    found = {
        "live_signals": 43, "backtest_signals": 43, "matched": 43, "explained": {"a cause": 2},
        "unexplained": 0,
    }  # fmt: skip
    certificate.write_bytes(msgspec.json.encode(found))
    report.write_bytes(msgspec.json.encode({"latency": {"samples_ms": [9.0, 11.0, 10.0, 40.0]}}))
    run.certificates["kis"], run.day_documents["kis"] = certificate, report
    run.reports["kis"] = tmp_path / "report.html"
    return run


def test_document_when_a_day_was_traded_then_says_what_was_counted(tmp_path: Path) -> None:
    """Paper, parity, latency and report stand in the document, and in the tables for a person."""
    document = document_of(_traded(tmp_path), seconds=1.0, peak=2**30)

    shown = Console(width=120, record=True, file=Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - a sink for the length of the test
    shown.print(table_of(document))
    shown.file.close()
    decoded = msgspec.json.decode(document.encoded())
    assert document.is_good
    assert decoded["paper"]["kis"]["cash"] == 97_217_334
    assert decoded["parity"]["explained"] == {"a cause": 2}
    assert decoded["latency"] == {"p50_ms": 10.0, "p99_ms": 40.0, "n": 4}
    assert decoded["report"] == {"kis": str(tmp_path / "report.html")}
    text = shown.export_text()
    assert "43 of 43 live and 43 recomputed signals are equal" in text
    assert "99,586,334 KRW" in text


@pytest.mark.parametrize("changes", [{"ledger_balanced": False}, {"unknown": 1}])
def test_document_when_a_day_does_not_add_up_then_demo_is_not_good(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    """The command ends with exit code 1."""
    assert not document_of(_traded(tmp_path, **changes), seconds=1.0, peak=None).is_good


def test_document_when_live_and_backtest_differ_then_demo_is_not_good(tmp_path: Path) -> None:
    """One difference without a cause is enough."""
    run = _traded(tmp_path)
    found = msgspec.json.decode(run.certificates["kis"].read_bytes())
    run.certificates["kis"].write_bytes(msgspec.json.encode(found | {"unexplained": 1}))

    assert not document_of(run, seconds=1.0, peak=None).is_good


def test_memory_when_sampled_then_counts_this_process(tmp_path: Path) -> None:
    """The sum of PSS holds at least the process that asks."""
    sampler = MemorySampler(tmp_path)

    with sampler:
        now = sampler.sample()

    assert now is not None
    assert now > 10_000_000
    assert sampler.peak_bytes is not None


def test_source_when_family_is_named_then_matches_the_asset_keys() -> None:
    """The demo launches assets by the names that the definitions derive."""
    from jts_pipelines.defs.market_data.families import FAMILIES

    names = {(family.venue, family.interval): family.name for family in FAMILIES}
    for (venue, interval), name in names.items():
        assert Source(Path(), venue, interval, source_time()).family == name


def source_time() -> datetime:
    """An arbitrary aware instant."""
    return datetime(2024, 1, 31, tzinfo=UTC)
