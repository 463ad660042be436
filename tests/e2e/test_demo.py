"""`jts demo` as a user runs it: to its end on generated data, and interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

pytestmark = pytest.mark.e2e

DEMO = (sys.executable, "-m", "jts_pipelines.cli", "demo")
# Six minutes on two cores that do nothing else; a busy machine plays the market more slowly.
END_SECONDS = 1200
PHASES = {
    "start", "ingest_krx_1m", "candles_krx_1m", "warm_candles_krx_1m", "hot_evicted_krx_1m",
    "ingest_krx_1d", "candles_krx_1d", "warm_candles_krx_1d", "hot_evicted_krx_1d",
    "cold_candles_krx_1d", "warm_evicted_krx_1d", "verify", "backtest_sma_crossover",
    "backtest_multi_timeframe_momentum", "inputs_kis", "trade_kis", "reports_kis",
    "inputs_paper", "trade_paper", "reports_paper", "stop",
}  # fmt: skip


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JTS_")}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[2])}


def _left_behind(home: Path) -> list[str]:
    """Return the command lines of processes that still know the demo's home."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            known = [(entry / name).read_bytes() for name in ("cmdline", "environ")]
        except OSError:
            continue
        if any(str(home).encode() in content for content in known):
            found.append(known[0].replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.mark.timeout(END_SECONDS + 60)
def test_demo_when_run_without_data_then_everything_adds_up(tmp_path: Path) -> None:
    """The whole main job ends well on generated bars, and one document says so."""
    out = tmp_path / "out"
    ended = subprocess.run(
        [*DEMO, "--out", str(out), "--json"],
        cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=END_SECONDS,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    document: dict[str, Any] = json.loads(ended.stdout)

    ingest, tiers = document["ingest"], document["tiers"]
    taken_in = ingest["rows"] - ingest["quarantined"] - ingest["duplicates"]
    assert document["source"] == "generated"
    assert (ingest["files"], document["problems"]) == (2, [])
    assert document["as_of"]["krx_1d"].startswith("2025-06-17T")
    assert document["as_of"]["krx_1m"].startswith("2018-02-26T")
    assert sum(tier["rows"] for tier in tiers.values()) == taken_in
    assert [tiers[name]["partitions"] for name in ("hot", "warm", "cold")] == [7, 24, 15]
    assert document["conserved"] is True
    assert len(document["counts"]) == 8
    assert document["verified"] == 44
    assert set(document["phases"]) >= PHASES
    assert 0 < document["peak_memory_bytes"] < 4 * 2**30

    found = document["backtest"]
    fills = pl.read_parquet(found["trades_file"])
    assert found["strategy"] == "SMA_Crossover"
    assert found["trades"] > 0
    assert fills["name"].str.starts_with("견본").all()
    assert not any("instruments table" in warning for warning in found["warnings"])
    assert fills.columns[:8] == [
        "time", "instrument", "side", "quantity", "price", "commission", "tax", "reason"
    ]  # fmt: skip
    assert "<html" in Path(found["tearsheet"]).read_text(encoding="utf-8")
    _check_trading(document)
    assert json.loads((out / "demo.json").read_text(encoding="utf-8")) == document
    assert _left_behind(out / "home") == []


def _check_trading(document: dict[str, Any]) -> None:
    """Both days were traded through sockets, balance to the unit, and come out again the same."""
    assert set(document["paper"]) == {"kis", "paper"}
    for day in document["paper"].values():
        for name in ("frames", "frame_bytes", "ticks", "bars", "signals", "orders", "fills"):
            assert day[name] > 0, name
        assert (day["unknown"], day["ledger_balanced"], day["problems"]) == (0, True, [])
    kis, parity = document["paper"]["kis"], document["parity"]
    assert (kis["bars"], kis["currency"]) == (381, "KRW")
    assert isinstance(kis["cash"], int)
    assert parity["live_signals"] == parity["backtest_signals"] == parity["matched"] > 0
    assert (parity["explained"], parity["unexplained"]) == ({}, 0)
    assert document["latency"]["n"] > 0
    assert 0 < document["latency"]["p50_ms"] <= document["latency"]["p99_ms"]
    for page in document["report"].values():
        text = Path(page).read_text(encoding="utf-8")
        assert "Ledger balanced to the unit" in text
        assert "Does not hold" not in text


@pytest.mark.timeout(200)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_when_interrupted_then_leaves_nothing_running(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C or SIGTERM in the middle ends every process of the demo."""
    out, log = tmp_path / "out", tmp_path / "stderr"
    with log.open("w", encoding="utf-8") as stderr:
        demo = subprocess.Popen(
            [*DEMO, "--out", str(out), "--json"],
            cwd=tmp_path, env=_environment(), stdout=subprocess.PIPE, stderr=stderr,
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 150
        while "Dagster: candles" not in log.read_text(encoding="utf-8"):
            assert demo.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.2)
        demo.send_signal(number)
        output, _ = demo.communicate(timeout=30)
    finally:
        demo.kill()
        demo.wait()

    assert demo.returncode == 130
    assert output == b""
    assert _left_behind(out / "home") == []


def test_demo_when_data_lacks_a_file_then_names_it(tmp_path: Path) -> None:
    """A wrong --data ends before anything starts, in one line."""
    ended = subprocess.run(
        [*DEMO, "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")],
        cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert ended.returncode == 2
    assert "krx_1m_creon_005930_2018-01_2018-02.parquet: no such file" in ended.stderr


def test_demo_when_out_holds_something_else_then_touches_nothing(tmp_path: Path) -> None:
    """A home that no demo made is never emptied."""
    precious = tmp_path / "out" / "home" / "precious.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine", encoding="utf-8")

    ended = subprocess.run(
        [*DEMO, "--out", str(tmp_path / "out")],
        cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert ended.returncode == 2
    assert "not made by `jts demo`" in ended.stderr
    assert precious.read_text(encoding="utf-8") == "mine"
