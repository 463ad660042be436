"""`jts backtest` as a user runs it: a process of its own, over the tiers and over a file."""

import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jts_pipelines.ingest.generated import write_generated

pytestmark = pytest.mark.integration

TEXT = """strategy("Cross") {
  params { fast = 5 in 2..50 step 1 }
  indicators {
    quick = SMA(period: fast)
    slow = SMA(period: 10)
  }
  entry.long { when (quick crosses above slow) { buy(quantity: "20%", type: "market") } }
  exit.long { when (quick crosses below slow) { sell(quantity: "all", type: "market") } }
}
"""
FIELDS = {
    "config",
    "data_digest",
    "code_digest",
    "metrics",
    "trades",
    "final_equity",
    "bars",
    "seconds",
    "tearsheet",
    "trades_file",
    "equity_file",
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, kernels: Path) -> Path:
    """A folder with generated bars, a strategy and a home; kernels are compiled once."""
    root = tmp_path_factory.mktemp("backtest")
    (root / "home" / "cache").mkdir(parents=True)
    (root / "home" / "cache" / "kernels").symlink_to(kernels)
    write_generated(root, symbols=8, first=date(2024, 1, 2), last=date(2024, 6, 28))
    (root / "cross.jts").write_text(TEXT, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def daily(workplace: Path) -> Path:
    """The generated daily panel."""
    return next((workplace / "krx").glob("krx_1d_*.parquet"))


def jts(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command line in the home of the workplace."""
    environment = {name: value for name, value in os.environ.items() if "JTS" not in name}
    return subprocess.run(
        [sys.executable, "-m", "jts_pipelines.cli", *arguments],
        env={**environment, "JTS_HOME": str(root / "home")},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the one JSON document of a command that succeeded."""
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_backtest_over_a_file_writes_document_fills_equity_and_tear_sheet(
    workplace: Path, daily: Path
) -> None:
    """The document of design section 8; its files agree with it."""
    named = ("--report", str(workplace / "out" / "sheet.html"), "--trades", "out/fills.csv")

    found = answer(jts(workplace, "backtest", "cross.jts", "--bars", str(daily), *named, "--json"))

    assert set(found) >= FIELDS
    assert found["bars"] == found["rows"] == pl.read_parquet(daily).height
    assert list(found["peak_mb_by_phase"]) == list(found["phases"])[:-1]
    assert found["peak_mb"] == found["peak_mb_by_phase"]["report"] > 0
    assert found["phases"]["load"] < found["phases"]["total"] == found["seconds"]
    fills = pl.read_csv(workplace / "out" / "fills.csv")
    assert fills.columns[:8] == [
        "time",
        "instrument",
        "side",
        "quantity",
        "price",
        "commission",
        "tax",
        "reason",
    ]
    assert fills.height == found["fills"] > 10
    equity = pl.read_parquet(found["equity_file"])
    assert equity["equity"][-1] == found["final_equity"]
    flow = pl.when(pl.col("side") == "buy").then(-1).otherwise(1) * pl.col("quantity")
    flows = fills.select((flow * pl.col("price") - pl.col("commission") - pl.col("tax")).sum())
    assert 100_000_000 + flows.item() == equity["cash"][-1]
    assert "<svg" in (workplace / "out" / "sheet.html").read_text(encoding="utf-8")


def test_backtest_over_the_tiers_sees_the_bars_of_the_file(workplace: Path, daily: Path) -> None:
    """Ingested bars give the digests and the equity of the file that they came from."""
    loaded = jts(workplace, "ingest", str(daily), "--venue", "KRX", "--interval", "1d", "--json")
    assert loaded.returncode == 0, loaded.stderr
    period = ("--from", "2024-01-02", "--to", "2024-06-28", "--json")

    over_tiers = answer(jts(workplace, "backtest", "cross.jts", *period))
    over_file = answer(jts(workplace, "backtest", "cross.jts", "--bars", str(daily), *period))

    for field in ("data_digest", "code_digest", "final_equity", "trades", "metrics", "run"):
        assert over_tiers[field] == over_file[field]
    assert Path(over_tiers["tearsheet"]).is_file()


def test_backtest_over_the_tiers_knows_the_listing_of_the_instance(
    workplace: Path, daily: Path
) -> None:
    """The command and the asset in Dagster see the same markets and names."""
    loaded = jts(workplace, "ingest", str(daily), "--venue", "KRX", "--interval", "1d", "--json")
    assert loaded.returncode == 0, loaded.stderr
    listing = next((workplace / "krx").glob("krx_instruments_*.parquet"))
    own = workplace / "home" / "reference" / "instruments.parquet"
    own.parent.mkdir(exist_ok=True)
    shutil.copy(listing, own)
    try:
        known = answer(jts(workplace, "backtest", "cross.jts", "--json"))
    finally:
        own.unlink()
    named = answer(
        jts(workplace, "backtest", "cross.jts", "--instruments", str(listing), "--json")
    )
    unknown = answer(jts(workplace, "backtest", "cross.jts", "--json"))

    assert known["final_equity"] == named["final_equity"]
    assert not any("instruments table" in warning for warning in known["warnings"])
    assert any("instruments table" in warning for warning in unknown["warnings"])


def test_backtest_with_a_parameter_set_runs_another_strategy(workplace: Path, daily: Path) -> None:
    """`--set` replaces a value of the text, and the digest of the code says so."""
    common = ("backtest", "cross.jts", "--bars", str(daily), "--json")

    plain = answer(jts(workplace, *common))
    changed = answer(jts(workplace, *common, "--set", "fast=3", "--symbols", "005930"))

    assert changed["config"]["params"] == {"fast": "3"}
    assert changed["instruments"] == 1
    assert plain["code_digest"] != changed["code_digest"]


def test_backtest_with_a_file_of_delistings_ends_there(workplace: Path, daily: Path) -> None:
    """Two symbols in a file, of which one has a price; the rest goes on."""
    common = ("backtest", "cross.jts", "--bars", str(daily), "--json")
    first, second = pl.read_parquet(daily)["symbol"].unique().sort().to_list()[:2]
    (workplace / "ended.csv").write_text(
        f"symbol,date,price\n{first},2024-04-01,\n{second},2024-05-02,1200\n", encoding="utf-8"
    )
    fills = {}
    for name, given in (("plain", ()), ("ended", ("--delistings", "ended.csv"))):
        report = ("--trades", f"out/{name}.csv")
        fills[name] = answer(jts(workplace, *common, *given, *report))
        fills[name]["table"] = pl.read_csv(workplace / "out" / f"{name}.csv", try_parse_dates=True)

    assert fills["ended"]["config"]["delistings"] == [
        f"{first}@2024-04-01",
        f"{second}@2024-05-02=1200",
    ]
    for symbol, day in ((first, date(2024, 4, 1)), (second, date(2024, 5, 2))):
        own = pl.col("instrument") == f"KRX:{symbol}"
        last = fills["ended"]["table"].filter(own)["session"].max()
        assert last is not None
        assert last <= day < fills["plain"]["table"].filter(own)["session"].max()


def test_backtest_with_a_file_of_rights_issues_sells_them(workplace: Path, daily: Path) -> None:
    """One a month of each symbol at a won: whoever holds is paid, in fills and figures alike."""
    common = ("backtest", "cross.jts", "--bars", str(daily), "--json")
    symbols = pl.read_parquet(daily)["symbol"].unique().sort().to_list()
    rows = [f"{symbol},2024-{month:02d}-01,0.01,1" for symbol in symbols for month in range(1, 13)]
    (workplace / "rights.csv").write_text(
        "\n".join(("symbol,date,ratio,price", *rows)) + "\n", encoding="utf-8"
    )

    report = ("--trades", "out/rights.csv")
    found = answer(jts(workplace, *common, "--rights", "rights.csv", *report))

    assert found["config"]["rights"][0] == f"{symbols[0]}@2024-01-01=0.01:1"
    fills = pl.read_csv(workplace / "out" / "rights.csv")
    sold = fills.filter(pl.col("reason") == "rights")["dividend"]
    assert len(sold) > 0
    assert found["metrics"]["rights"] == sold.sum() > 0
    assert found["prefix_check"]["is_invariant"]


def test_backtest_that_sells_short_obeys_the_bans_of_its_days(
    workplace: Path, daily: Path
) -> None:
    """All short sales of early 2024 were banned; without the option the rules are left out."""
    (workplace / "short.jts").write_text(
        TEXT.replace("entry.long", "entry.short")
        .replace("exit.long", "exit.short")
        .replace("buy(", "sold(")
        .replace("sell(", "buy(")
        .replace("sold(", "sell("),
        encoding="utf-8",
    )
    common = ("backtest", "short.jts", "--bars", str(daily), "--json")

    without = answer(jts(workplace, *common))
    obeyed = answer(jts(workplace, *common, "--short-selling"))

    assert (without["trades"], obeyed["trades"]) == (0, 0)
    assert "short_rules_off" in without["warning_codes"]
    assert "short_banned" in obeyed["warning_codes"]
    assert obeyed["config"]["short_selling"] is True


def test_backtest_for_people_is_a_table_with_warnings(workplace: Path, daily: Path) -> None:
    """Without --json the figures and what to doubt are printed, and where the tear sheet is."""
    done = jts(workplace, "backtest", "cross.jts", "--bars", str(daily))

    assert done.returncode == 0, done.stderr
    assert "Final equity" in done.stdout
    assert "tearsheet.html" in done.stdout.replace("\n", "")
    assert "not in the instruments table" in done.stdout.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cross.jts", "--bars", "none.parquet"], "none.parquet: no such file"),
        (["cross.jts", "--bars", "broken.parquet"], "broken.parquet: cannot be read"),
        (
            ["cross.jts", "--bars", "DAILY", "--interval", "1w"],
            "interval is '1w'; accepted: 1s, 5s, 30s, 1m",
        ),
        (["cross.jts", "--bars", "DAILY", "--venue", "US"], "has costs and rules for: KRX, UPBIT"),
        (["cross.jts", "--bars", "DAILY", "--venue", "UPBIT"], "is not an Upbit market such as"),
        (["cross.jts", "--bars", "DAILY", "--cash", "0"], "'--cash': 0 is not in the range x>=1"),
        (["cross.jts", "--bars", "DAILY", "--set", "fast"], "accepted: NAME=VALUE"),
        (["cross.jts", "--bars", "DAILY", "--set", "fats=3"], "fats"),
        (["cross.jts", "--timezone", "Asia/Seoul"], "they need --bars"),
        (["cross.jts", "--bars", "DAILY", "--symbols", "999999"], "no 1d bars of 999999 at KRX"),
        (["cross.jts", "--bars", "DAILY", "--from", "2031-01-01"], "for 2031-01-01 to the last"),
        (
            ["cross.jts", "--bars", "DAILY", "--from", "2024-06-01", "--to", "2024-02-01"],
            "the period ends on 2024-02-01, before its start 2024-06-01",
        ),
        (["cross.jts", "--bars", "DAILY", "--commission", "-1"], "commission_rate is '-1'"),
        (["cross.jts", "--bars", "DAILY", "--trades", "t.txt"], "accepted: .parquet and .csv"),
        (["cross.jts", "--bars", "DAILY", "--trades", "DAILY/t.csv"], "t.csv: cannot be written"),
        (["bad.jts", "--bars", "DAILY"], 'bad.jts:2:30: unknown indicator "SMAA"'),
    ],
)
def test_backtest_of_what_cannot_be_used_is_one_line_and_exit_two(
    arguments: list[str], message: str, workplace: Path, daily: Path
) -> None:
    """What was wrong, where, and what would be accepted."""
    (workplace / "broken.parquet").write_bytes(daily.read_bytes()[:5_000])
    (workplace / "bad.jts").write_text(
        'strategy("Bad") {\n  entry.long { when (close > SMAA(period: 3)) { buy() } }\n}\n',
        encoding="utf-8",
    )
    words = [word.replace("DAILY", str(daily)) for word in arguments]

    done = jts(workplace, "backtest", *words, "--json")

    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("jts: ")
    assert message in line
    assert done.stdout == "" or json.loads(done.stdout)["message"] in line


def test_backtest_of_a_refused_text_for_people_shows_the_line_with_a_caret(
    workplace: Path, daily: Path
) -> None:
    """As `jts strategy check`: the line is the report, the error is one line on stderr."""
    (workplace / "caret.jts").write_text('strategy("Bad") { entry }', encoding="utf-8")

    done = jts(workplace, "backtest", "caret.jts", "--bars", str(daily))

    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    line, caret = done.stdout.splitlines()
    assert caret.index("^") == line.index("entry")


def test_backtest_over_a_file_leaves_out_what_an_ingest_would(
    workplace: Path, daily: Path
) -> None:
    """A bar whose high lies below its close decides and fills nothing, and is counted."""
    bars = pl.read_parquet(daily)
    worse = bars.filter(pl.col("volume") > 0)[40]
    wrong = worse.with_columns(high=pl.col("low") - 1)
    keys = ["symbol", "timestamp"]
    pl.concat([bars.join(worse, on=keys, how="anti"), wrong]).write_parquet(
        workplace / "order.parquet"
    )
    bars.join(worse, on=keys, how="anti").write_parquet(workplace / "clean.parquet")
    common = ("backtest", "cross.jts", "--json", "--bars")

    found = answer(jts(workplace, *common, "order.parquet"))
    clean = answer(jts(workplace, *common, "clean.parquet", "--symbols", "005930,ABCDEF,XYZ"))
    whole = answer(jts(workplace, *common, "clean.parquet"))

    assert found["data_digest"] == whole["data_digest"]
    left_out = found["warnings"][found["warning_codes"].index("bars_left_out")]
    assert left_out.startswith("1 bar of the file left out: high or low does not")
    assert "no bars of ABCDEF, XYZ in this period" in clean["warnings"]


def test_backtest_says_how_often_these_days_were_tried_and_checks_its_prefix(
    workplace: Path, daily: Path
) -> None:
    """The ledger counts; a benchmark by file is compared, absent ones are named as absent."""
    closes = pl.read_parquet(daily).filter(pl.col("symbol") == "005930")
    closes.filter(pl.col("close") > 0).select("timestamp", "interval", "close").write_parquet(
        workplace / "index.parquet"
    )
    named = ("--benchmark", "INDEX=index.parquet", "--benchmark", "KOSPI", "--json")

    found = answer(jts(workplace, "backtest", "cross.jts", "--bars", str(daily), *named))
    again = answer(jts(workplace, "backtest", "cross.jts", "--bars", str(daily), *named))

    assert found["prefix_check"]["is_invariant"]
    assert found["prefix_check"]["cuts"] == 2
    assert found["ledger"] == again["ledger"]
    assert found["result_digest"] == again["result_digest"]
    compared, absent = found["benchmarks"]
    assert compared["figures"]["beta"] is not None
    assert absent["absence"].endswith("give --benchmark KOSPI=FILE")
    for name in ("round_trips_file", "orders_file", "positions_file"):
        assert pl.read_parquet(found[name]).height > 0


def test_sweep_and_walk_forward_write_pages_tables_and_documents(
    workplace: Path, daily: Path
) -> None:
    """Three points by two commands; every trial is in the ledger once."""
    common = ("cross.jts", "--bars", str(daily), "--sweep", "fast=4..6..1", "--json")

    swept = answer(jts(workplace, "sweep", *common))
    same = answer(jts(workplace, "backtest", *common))
    walked = answer(jts(workplace, "walk-forward", *common, "--train", "60", "--test", "20"))
    (family,) = answer(jts(workplace, "trials", "--json", "--strategy", "Cross"))

    assert swept["trials"] == 3
    assert swept["best"]["params"]["fast"] in {"4", "5", "6"}
    assert same["sweep"] == swept["sweep"]
    trials = pl.read_parquet(swept["trials_file"])
    assert trials["score"].max() == swept["best"]["score"]
    assert pl.read_parquet(swept["returns_file"]).width == 4
    assert "<svg" in Path(swept["page"]).read_text(encoding="utf-8")
    assert len(walked["windows"]) >= 2
    equity = pl.read_parquet(walked["equity_file"])
    assert equity["equity"][-1] == walked["final_equity"]
    assert equity["session"].is_sorted()
    assert equity["session"].n_unique() == equity.height
    assert "<svg" in Path(walked["page"]).read_text(encoding="utf-8")
    assert family["trials"] >= 3
    assert family["by_source"]["sweep"] >= 2


def test_event_backtest_writes_a_document_with_denials_and_its_tables(workplace: Path) -> None:
    """Ten minutes of trades of one share, one of them bought for more than R01 allows."""
    start = 1_717_372_800_000_000_000
    path = [100, 101, 102, 103, 104, 105, 104, 103, 102, 101, 100, 99]
    pl.DataFrame(
        {
            "symbol": ["005930"] * 1_200,
            "timestamp": [start + at * 5 * 10**9 for at in range(1_200)],
            "price": [70_000 + 100 * path[at // 12 % len(path)] for at in range(1_200)],
            "quantity": [10] * 1_200,
        },
        schema_overrides={"timestamp": pl.Datetime("ns", "UTC")},
    ).write_parquet(workplace / "trades.parquet")
    asked = ("backtest", "cross.jts", "--events", "--bars", "trades.parquet", "--interval", "1m")

    small = answer(jts(workplace, *asked, "--cash", "20000000", "--json"))
    large = answer(jts(workplace, *asked, "--cash", "200000000", "--json"))
    other = answer(jts(workplace, *asked, "--cash", "20000000", "--set", "fast=4", "--json"))
    index = "session_date,close\n2024-05-31,2636.52\n2024-06-03,2682.52\n"
    (workplace / "index.csv").write_text(index)
    beside = ("--benchmark", "Index=index.csv", "--benchmark", "KOSPI")
    shown = jts(workplace, *asked, *beside, "--cash", "200000000", "--report", "out/events.html")
    unasked = jts(workplace, *asked)
    refused = jts(workplace, *asked, "--sweep", "fast=5..6..1")
    sold = jts(workplace, *asked, "--short-selling")

    assert (small["market_trades"], small["bars"], small["denied"]) == (1_200, 100, {})
    assert small["fills"] == small["orders"] > 8
    parts = ("data", "code", "params", "config", "engine")
    same = [[run[f"{part}_digest"] == small[f"{part}_digest"] for part in parts]
            for run in (large, other)]  # fmt: skip
    assert same == [[True, True, True, False, True], [True, False, False, True, True]]
    assert small["final_equity"] == pl.read_parquet(small["equity_file"])["equity"][-1]
    assert pl.read_parquet(small["fills_file"]).height == small["fills"]
    assert large["fills"] == 0
    assert large["denied"] == {"R01": large["orders"]}
    assert "orders denied by R01" in shown.stdout
    assert "! KOSPI is absent: the run read a file" in shown.stdout
    assert "is absent" not in unasked.stdout
    page = (workplace / "out" / "events.html").read_text(encoding="utf-8")
    assert f"{large['orders']} orders denied by R01: quantity or value of one order" in page
    assert "<script" not in page
    assert "Index is absent: its bars do not cover two sessions of this run" in page
    assert "KOSPI is absent: the run read a file" in page
    names = [each["name"] for each in small["benchmarks"]]
    assert names == ["Buy and hold", "KOSPI", "KOSDAQ", "BTC"]
    assert Path(small["tearsheet"]).is_file()
    assert refused.returncode == 2
    assert "--events runs one parameter set" in refused.stderr
    assert sold.returncode == 2
    assert "a run by events trades as live does, which never sells short" in sold.stderr


def test_holdout_when_locked_then_nothing_runs_over_it_until_it_is_opened(
    workplace: Path, daily: Path
) -> None:
    """The whole life of a hold-out, from the command line."""
    who = ("--by", "Kim", "--reason", "last check", "--json")
    days = ("--from", "2024-06-03", "--to", "2024-06-28")
    run = ("cross.jts", "--bars", str(daily), "--json")

    answer(jts(workplace, "holdout", "lock", "final", *days, *who))
    refused = jts(workplace, "backtest", *run)
    answer(jts(workplace, "holdout", "open", "final", *who))
    (listed,) = answer(jts(workplace, "holdout", "list", "--json"))
    opened = answer(jts(workplace, "backtest", *run))

    assert refused.returncode == 2
    assert "held out as 'final' by Kim (last check); end the run with --to" in refused.stderr
    assert (listed["is_open"], listed["opened_by"]) == (True, "Kim")
    assert opened["period"]["to"] == "2024-06-28"
