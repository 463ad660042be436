"""The steps of the demo in their order; each is timed, shown and counted.

Theory of operation. The minutes of 2018 come first, with the instance clock on the evening of
their newest session; then the clock is set to the evening of the panel's newest session and the
panel follows. So each file is loaded and moved as of its own newest session, and a partition's
age means what it meant that evening. One Dagster run makes one move over one range. At the end the
roles trade two recorded days through simulators (`demo_trading`), and Dagster reports them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from jts_pipelines.cli.demo_dagster import DagsterClient, Materialized
from jts_pipelines.cli.demo_house import (
    DAILY_FILE,
    MINUTE_FILE,
    Source,
    adopt_listing,
    due_of,
    misplaced,
    set_clock,
    source_of,
    tiers_now,
    verified_partitions,
)
from jts_pipelines.cli.demo_run import Demo
from jts_pipelines.cli.instance import running_instance
from jts_trading.config.source import variable
from jts_trading.telemetry import console
from storage.lake.standing import Standing, TierTotals
from storage.schema.tiers import Tier

RUN_SECONDS = 180.0
_SHARED_DATA = Path("../shared/data")
_STRATEGIES = Path(__file__).resolve().parents[2] / "examples" / "strategies"
# Two loads, six moves as the data lie in time, one look at every copy, two backtests, two days
# that are traded and reported.
_STEPS = 15
"""Lines of the progress bar; only how it looks depends on the number."""


def run_demo(run: Demo) -> None:
    """Run every step; raises what a step raises, after everything was stopped.

    Raises:
        CommandError: A part did not get ready, or a Dagster run failed.
        InputError: A file cannot be used.
        StorageError: A store failed.
    """
    whole = run.bars.add("jts demo", _STEPS)
    with run.phase("data", "choosing the data"):
        minutes, panel = _sources(run)
    with _instance(run) as dagster:
        for source in (minutes, panel):
            whole.advance()
            _load(run, source)
            _check(run, dagster, source)
            for _move in _moves(run, dagster, source):
                whole.advance()
        with run.phase("verify", "opening every copy again"):
            run.verified, problems = verified_partitions(run.house)
            run.problems += problems
            run.standings, run.tiers = _tiers(run)
        whole.advance()
        _research(run, dagster, minutes, panel, whole)
        _trading(run, dagster, minutes, whole)
    whole.update(done=_STEPS, total=_STEPS)


@contextmanager
def _instance(run: Demo) -> Iterator[DagsterClient]:
    """Have the parts of `jts up` running, and a client of their web server."""
    started = time.monotonic()
    said = "starting ClickHouse, PostgreSQL, Redis and Dagster"
    console.note(f"jts demo: {started - run.began:6.1f} s  {said}")
    with running_instance(run.settings) as (settings, supervisor):
        url = f"http://127.0.0.1:{settings.instance.port('dagster')}"
        dagster = DagsterClient(url)
        dagster.wait_until_loaded(RUN_SECONDS)
        run.phases["start"] = time.monotonic() - started
        console.note(f"jts demo: Dagster UI of this demo: {url}")
        try:
            yield dagster
        finally:
            dagster.close()
            stopping = time.monotonic()
    del supervisor
    run.phases["stop"] = time.monotonic() - stopping


def _sources(run: Demo) -> tuple[Source, Source]:
    """Return the minutes and the panel; generated ones where there are no files.

    Raises:
        CommandError: A folder was named that lacks one of the files.
    """
    folder = run.data or _named_folder()
    if folder is None:
        from jts_pipelines.ingest.generated import write_generated

        run.is_generated = True
        folder = run.settings.instance.root.parent / "generated"
        folder.mkdir(parents=True, exist_ok=True)
        write_generated(folder)
    for name in (MINUTE_FILE, DAILY_FILE):
        if not (folder / name).is_file():
            raise console.CommandError(f"{folder / name}: no such file", console.BAD_USAGE)
    run.folder = folder
    adopt_listing(run.house, folder)
    minutes = source_of(folder / MINUTE_FILE, "KRX", "1m")
    return minutes, source_of(folder / DAILY_FILE, "KRX", "1d")


def _trading(run: Demo, dagster: DagsterClient, minutes: Source, whole: console.Bar) -> None:
    """Trade the newest full session of the minutes, then the captured minutes of Binance."""
    from jts_pipelines.cli.demo_days import trading_days
    from jts_pipelines.cli.demo_evening import close_day
    from jts_pipelines.cli.demo_trading import trade_day

    for day in trading_days(minutes.path, run.folder):
        trade_day(run, dagster, day)
        whole.advance()
        close_day(run, dagster, day.broker)
        whole.advance()


def _named_folder() -> Path | None:
    named = variable("JTS_TEST_DATA")
    if named:
        return Path(named)
    return _SHARED_DATA if (_SHARED_DATA / DAILY_FILE).is_file() else None


def _load(run: Demo, source: Source) -> None:
    """Load one file on the evening of its newest session."""
    house = run.house
    set_clock(house, source.as_of)
    run.as_of[source.family] = source.as_of.isoformat()
    line: dict[str, console.Bar] = {}

    def show(phase: str, done: int, total: int | None) -> None:
        if phase not in line:
            line[phase] = run.bars.add(f"{phase} {source.path.name}", total)
        line[phase].update(done=done, total=total)

    said = f"loading {source.path.name} as of {source.as_of:%Y-%m-%d %H:%M %Z}"
    with run.phase(f"ingest_{source.family}", said):
        report = house.ingest(source.path, source.venue, source.interval, progress=show)
        run.ledger.reports.append(report)
        run.ledger.count(house, f"ingest {source.family}")


def _check(run: Demo, dagster: DagsterClient, source: Source) -> None:
    """Materialise `candles` of every partition of a file, with its blocking checks."""
    keys = run.ledger.reports[-1].partitions
    said = f"Dagster: candles of {source.family}, {keys[0]} to {keys[-1]}"
    with run.phase(f"candles_{source.family}", said):
        _launch(dagster, f"archive_{source.family}", [f"{source.family}/candles"], keys)


def _moves(run: Demo, dagster: DagsterClient, source: Source) -> Iterator[str]:
    """Let Dagster make every due move of a file; count the lake after each."""
    for due in due_of(run.house, source):
        (step,) = due.steps
        with run.phase(
            f"{step}_{source.family}",
            f"Dagster: {step} of {source.family}, {due.first} to {due.last}",
        ):
            assets = [f"{source.family}/{step}"]
            _launch(dagster, f"archive_{source.family}", assets, [due.first, due.last])
            count = run.ledger.count(run.house, f"{step} {source.family} {due.first}..{due.last}")
        if count.served != count.expected:
            console.note(f"jts demo: {count.served} rows served, {count.expected} were taken in")
        yield step
    left = due_of(run.house, source)
    run.problems += [f"{source.family}: still due: {due.name}" for due in left]
    run.problems += misplaced(run.house, source, tiers_now(run.house)[0])


def _launch(
    dagster: DagsterClient,
    job: str,
    assets: list[str],
    keys: list[str],
) -> list[Materialized]:
    run_id = dagster.launch(job, assets, keys=(keys[0], keys[-1]))
    dagster.wait(run_id, timeout_s=RUN_SECONDS)
    return dagster.materialized(run_id)


def _tiers(run: Demo) -> tuple[list[Standing], dict[Tier, TierTotals]]:
    found, totals = tiers_now(run.house)
    return found, dict(totals)


def _research(
    run: Demo, dagster: DagsterClient, minutes: Source, panel: Source, whole: console.Bar
) -> None:
    """Backtest the second listing on the minutes and the first on the panel, with tear sheets.

    The panel's comes last, because the page of the asset shows the newest result.
    """
    for name, strategy, source in (
        ("multi_timeframe_momentum", "multi_timeframe_momentum.jts", minutes),
        ("sma_crossover", "sma_crossover.jts", panel),
    ):
        with run.phase(f"backtest_{name}", f"Dagster: backtest {name} and its tear sheet"):
            run.backtests[name] = _backtest(dagster, strategy, source)
        whole.advance()


def _backtest(dagster: DagsterClient, strategy: str, source: Source) -> dict[str, Any]:
    config = {
        "strategy": str(_STRATEGIES / strategy),
        "venue": source.venue,
        "interval": source.interval,
    }
    run_id = dagster.launch(
        "research",
        ["research/backtest_result", "research/tearsheet"],
        run_config={"ops": {"backtest": {"config": config}}},
    )
    dagster.wait(run_id, timeout_s=RUN_SECONDS)
    for made in dagster.materialized(run_id):
        if made.asset == "research/tearsheet":
            content = Path(made.metadata["document"]).read_bytes()
            document: dict[str, Any] = msgspec.json.decode(content)
            return document
    raise console.CommandError(f"Dagster run {run_id} made no tear sheet", console.CHECK_FAILED)
