"""Dagster of a running instance, asked as its web page asks: backfill, checks, a killed run."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from jts_pipelines.cli.demo_dagster import DagsterClient
from jts_pipelines.ingest.generated import write_generated

pytestmark = pytest.mark.e2e

READY_SECONDS = 90
MONTHS = ["2023-12", *(f"2024-{month:02d}" for month in range(1, 13)), "2025-01", "2025-02"]
CONFIG = '[clock]\nepoch = "2025-06-17T18:30:00+09:00"\n'
COUNT = "SELECT count(*) AS n FROM candles"

BACKFILL = """mutation B($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL_STATUS = """query S($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status runs(limit: 5) { id status } } } }"""
CHECKS = """{ assetNodes(group: {groupName: "krx_1d", repositoryName: "__repository__",
  repositoryLocationName: "jts_pipelines"}) { assetKey { path } assetChecksOrError {
  ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } }"""
RETRIES = """{ runsOrError(limit: 20) { ... on Runs { results { runId parentRunId status } } } }"""
PIDS = """query P($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
  __typename ... on EngineEvent { metadataEntries { label ... on TextMetadataEntry { text } } }
} } } }"""


@dataclass
class Instance:
    """A running `jts up` with fifteen closed months of daily bars."""

    environ: dict[str, str]
    cwd: Path
    base: int
    answers: list[tuple[int, str, str]] = field(default_factory=list)

    def jts(self, *words: str) -> tuple[int, str, str]:
        """Run a command beside it; its exit code, output and errors."""
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "jts_pipelines.cli", *words],
            cwd=self.cwd, env=self.environ, capture_output=True, text=True, timeout=90,
            check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout, ended.stderr

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask the web server."""
        url = f"http://127.0.0.1:{self.base + 1}/graphql"
        content = {"query": query, "variables": variables}
        document = httpx.post(url, json=content, trust_env=False, timeout=60).json()
        assert "errors" not in document, document
        return dict(document["data"])

    def checks(self) -> dict[tuple[str, str], str | None]:
        """What the asset graph shows for each check of the daily bars."""
        return {
            (node["assetKey"]["path"][1], check["name"]): (
                check["executionForLatestMaterialization"] or {}
            ).get("status")
            for node in self.ask(CHECKS)["assetNodes"]
            for check in node["assetChecksOrError"]["checks"]
        }


def _wait(found: Callable[[], Any], seconds: float) -> Any:
    """Return what was found as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.05)
    return answer


def _free_base() -> int:
    for base in range(33_000 + os.getpid() % 400 * 20, 60_000, 20):
        try:
            for port in range(base, base + 4):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """The instance, stopped at the end."""
    folder = tmp_path_factory.mktemp("up")
    base = _free_base()
    config = folder / "jts.toml"
    config.write_text(CONFIG, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JTS_")}
    own = {"JTS_HOME": str(folder / "home"), "JTS_PORT_BASE": str(base), "JTS_CONFIG": str(config)}
    own["JTS_TRADING__ENABLED"] = "false"
    running = Instance(kept | own, folder, base)
    files = write_generated(folder, symbols=6)
    argv = [sys.executable, "-P", "-m", "jts_pipelines.cli", "up"]
    with (folder / "up.log").open("w", encoding="utf-8") as log:
        up = subprocess.Popen(
            argv, cwd=folder, env=running.environ, stdout=log, stderr=log, start_new_session=True
        )
    try:
        said = folder / "up.log"
        _wait(lambda: "ready after" in said.read_text(encoding="utf-8"), READY_SECONDS)
        options = ("--dataset", "candles", "--venue", "KRX", "--interval", "1d")
        code, _, errors = running.jts("ingest", str(files.daily), *options)
        assert code == 0, errors
        yield running
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(30)


@pytest.mark.timeout(300)
def test_backfill_when_sql_is_asked_meanwhile_then_every_answer_counts_all_rows(
    instance: Instance,
) -> None:
    """One run covers all months; a reader beside it never sees a row twice or not at all."""
    before = instance.jts("sql", COUNT, "--format", "csv")
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            instance.answers.append(instance.jts("sql", COUNT, "--format", "csv"))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        paths = [{"path": ["krx_1d", name]} for name in ("candles", "warm_candles", "hot_evicted")]
        asked = {"partitionNames": MONTHS, "assetSelection": paths}
        started = instance.ask(BACKFILL, p=asked)["launchPartitionBackfill"]
        found = _wait(lambda: _ended(instance, started["backfillId"]), 150)
    finally:
        stop.set()
        reader.join()

    assert [run["status"] for run in found["runs"]] == ["SUCCESS"]
    assert before[0] == 0
    assert len(instance.answers) > 3
    assert set(instance.answers) == {before}
    tiers = instance.jts("sql", "SELECT DISTINCT tier FROM candles ORDER BY 1", "--format", "csv")
    assert tiers[1].split() == ["tier", "hot", "warm"]
    moved = ("candles", "warm_candles", "hot_evicted")
    shown = {key: status for key, status in instance.checks().items() if key[0] in moved}
    assert len(shown) == 8
    assert set(shown.values()) == {"SUCCEEDED"}


def _ended(instance: Instance, backfill: str) -> dict[str, Any] | None:
    found = instance.ask(BACKFILL_STATUS, id=backfill)["partitionBackfillOrError"]
    return None if found["status"] == "REQUESTED" else dict(found)


@pytest.mark.timeout(200)
def test_run_when_killed_inside_a_move_then_is_run_once_more_and_the_pool_is_free(
    instance: Instance,
) -> None:
    """A killed run is marked as failed; its place in the pool and its lock do not outlive it."""
    dagster = DagsterClient(f"http://127.0.0.1:{instance.base + 1}")
    first = dagster.launch("archive_krx_1d", ["krx_1d/warm_candles"], keys=(MONTHS[0], MONTHS[-1]))
    os.kill(_wait(lambda: _pid_in_step(instance, first), 60), signal.SIGKILL)

    retried = _wait(lambda: _retries(instance, first), 60)
    dagster.wait(retried[0]["runId"], timeout_s=90)
    dagster.close()

    status = {
        run["runId"]: run["status"] for run in instance.ask(RETRIES)["runsOrError"]["results"]
    }
    assert status[first] == "FAILURE"
    assert len(_retries(instance, first)) == 1
    storage = instance.jts("storage", "status", "--json")
    assert storage[0] == 0, storage[2]
    assert json.loads(storage[1])


def _pid_in_step(instance: Instance, run_id: str) -> int | None:
    """The process of a run, once one of its steps has begun."""
    events: Sequence[dict[str, Any]] = instance.ask(PIDS, id=run_id)["logsForRun"]["events"]
    entries = [entry for event in events for entry in event.get("metadataEntries") or ()]
    pids = [int(entry["text"]) for entry in entries if entry["label"] == "pid" and "text" in entry]
    has_begun = any(event["__typename"] == "ExecutionStepStartEvent" for event in events)
    return pids[0] if pids and has_begun else None


def _retries(instance: Instance, run_id: str) -> list[dict[str, Any]]:
    runs = instance.ask(RETRIES)["runsOrError"]["results"]
    return [run for run in runs if run["parentRunId"] == run_id]
