"""Backtests that were asked for over the bus become runs, and every run's end is announced.

Theory of operation. `backtest_requests` reads `backtest.requests` in the group `dagster`. An entry
is acknowledged only when the instance knows its run: until then it stays pending and is looked at
again, and the run key, made of the request's id, keeps Dagster from starting it twice. What is no
request goes to the dead letters. `backtest_results` looks at runs of requests that have ended and
publishes each on `backtest.results`; its cursor moves only when the bus has them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from jts_pipelines.defs.joint import SOURCE, ask_bus, envelope_of, publish_once
from jts_pipelines.defs.resources import HouseResource
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.research_messages import BacktestFinished, BacktestRequested
from jts_trading.domain.schemas import SchemaError
from jts_trading.ports.bus import Entry

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )
    from dagster._core.storage.dagster_run import RunRecord

    from jts_trading.bus.redis_streams import RedisBus

REQUESTS, RESULTS = "backtest.requests", "backtest.results"
REQUEST = "jts/backtest_request"
CORRELATION = "jts/correlation"
CAUSATION = "jts/causation"
_ASKED = "jts/asked_on_bus"
_RETRIED = "dagster/will_retry"
_NO_METRIC = frozenset({"seconds"})
_ENTRIES_PER_LOOK = 50
_RUNS_PER_LOOK = 50
_ENDED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One entry of the topic that is a request, with the run that it asks for."""

    entry: Entry
    request: BacktestRequested

    def run_request(self) -> dg.RunRequest:
        """Return the run; its key is the id of the request, so it runs once."""
        asked = self.request
        return dg.RunRequest(
            run_key=f"backtest:{asked.request_id}",
            run_config={"ops": {"backtest": {"config": _config(asked)}}},
            tags={
                _ASKED: "yes",
                REQUEST: asked.request_id,
                CORRELATION: self.entry.envelope.correlation_id,
                CAUSATION: self.entry.envelope.id,
                "jts/requested_by": asked.requested_by or "nobody named",
            },
        )


def read_request(entry: Entry) -> Asked | None:
    """Return the request in an entry; None when there is none that anybody could run."""
    envelope = entry.envelope
    try:
        message = MESSAGES.decode(envelope.type, envelope.version, envelope.payload)
    except SchemaError:
        return None
    if not isinstance(message, BacktestRequested) or not message.request_id:
        return None
    days = [day for day in (message.from_day, message.to_day) if day]
    is_sound = message.cash >= 0 and message.dsl_code.strip() and all(map(_is_day, days))
    return Asked(entry, message) if is_sound else None


async def take_requests(
    bus: "RedisBus", instance: dg.DagsterInstance
) -> tuple[list[dg.RunRequest], int, int]:
    """Look at the topic once: return the runs to start, how many started before, how many buried.

    Raises:
        BusUnavailableError: The bus does not answer; nothing is lost.
    """
    # What was handed out before comes first: its runs are known by now, or were never stored.
    entries = await bus.claim(REQUESTS, SOURCE, SOURCE, idle_ms=0, count=_ENTRIES_PER_LOOK)
    fresh = await bus.consume([REQUESTS], SOURCE, SOURCE, count=_ENTRIES_PER_LOOK, wait_ms=0)
    wanted: list[dg.RunRequest] = []
    started: list[Entry] = []
    buried = 0
    for entry in (*entries, *fresh):
        asked = read_request(entry)
        if asked is None:
            await bus.bury(SOURCE, entry)
            buried += 1
        elif _has_run(instance, asked.request.request_id):
            started.append(entry)
        else:
            wanted.append(asked.run_request())
    await bus.acknowledge(SOURCE, started)
    return wanted, len(started), buried


def build_backtest_requests(job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Return the sensor that starts a run of a job for each request on the bus."""

    @dg.sensor(
        name="backtest_requests",
        job=job,
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts one backtest per request on the bus topic backtest.requests.",
    )
    def backtest_requests(
        context: dg.SensorEvaluationContext, house: HouseResource
    ) -> dg.SensorResult | dg.SkipReason:
        wanted, started, buried = ask_bus(
            house.open(), lambda bus: take_requests(bus, context.instance)
        )
        if buried:
            context.log.warning("backtest_requests_buried count=%s topic=%s", buried, REQUESTS)
        if not wanted:
            return dg.SkipReason(
                f"no new request on {REQUESTS}; {started} acknowledged, {buried} to dead letters"
            )
        return dg.SensorResult(run_requests=wanted)

    return backtest_requests


@dg.sensor(
    name="backtest_results",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Announces on backtest.results how each requested backtest ended.",
)
def backtest_results(context: dg.SensorEvaluationContext, house: HouseResource) -> dg.SkipReason:
    """Publish the end of requested runs; the cursor is the newest change that was looked at."""
    ended = _ended_runs(context.instance, context.cursor)
    if ended:
        opened = house.open()
        now_ns = opened.clock.now_ns()
        count = ask_bus(opened, lambda bus: announce(bus, context.instance, ended, now_ns))
        context.update_cursor(repr(ended[-1].update_timestamp.timestamp()))
        return dg.SkipReason(f"announced {count} of {len(ended)} ended backtests on {RESULTS}")
    return dg.SkipReason("no requested backtest has ended since the last look")


async def announce(
    bus: "RedisBus", instance: dg.DagsterInstance, ended: Sequence["RunRecord"], now_ns: int
) -> int:
    """Publish how runs of requests ended; return how many were not on the bus before.

    Raises:
        BusUnavailableError: The bus does not answer; some may have been published.
    """
    count = 0
    for record in ended:
        run = record.dagster_run
        if run.tags.get(_RETRIED) == "true":
            continue  # Its run was lost and is started once more: that one's end counts.
        message = finished(instance, record)
        envelope = envelope_of(
            message,
            message_id=f"backtest_finished/{message.request_id}/{run.run_id}",
            now_ns=now_ns,
            correlation_id=run.tags.get(CORRELATION, ""),
            causation_id=run.tags.get(CAUSATION, ""),
        )
        since = f"{int(record.create_timestamp.timestamp() * 1000)}-0"
        count += await publish_once(bus, RESULTS, envelope, since=since)
    return count


def finished(instance: dg.DagsterInstance, record: "RunRecord") -> BacktestFinished:
    """Return what to say about a run of a request that has ended."""
    run = record.dagster_run
    shown = _metadata(instance, run.run_id)
    request_id = run.tags[REQUEST]
    if not run.is_success or "final_equity" not in shown:
        reason = _reason(instance, run.run_id) or f"the run ended as {run.status.value}"
        return BacktestFinished(
            request_id=request_id, run_id=run.run_id, is_success=False, reason=reason
        )
    return BacktestFinished(
        request_id=request_id,
        run_id=run.run_id,
        is_success=True,
        strategy=str(shown["strategy"]),
        trades=int(shown["trades"]),
        final_equity=int(shown["final_equity"]),
        metrics={
            name: value
            for name, value in shown.items()
            if isinstance(value, float) and name not in _NO_METRIC
        },
        tearsheet=str(shown.get("page", "")),
        document=str(shown.get("document", "")),
    )


def _config(asked: BacktestRequested) -> dict[str, Any]:
    return {
        "text": asked.dsl_code,
        "venue": asked.venue,
        "interval": asked.interval,
        "from_day": asked.from_day,
        "to_day": asked.to_day,
        "symbols": list(asked.symbols),
        "params": dict(asked.params),
        "cash": asked.cash,
        "splits": list(asked.splits),
        "rights": list(asked.rights),
        "dividends": list(asked.dividends),
        "delistings": list(asked.delistings),
        "assume": list(asked.assume),
    }


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _has_run(instance: dg.DagsterInstance, request_id: str) -> bool:
    return instance.get_runs_count(dg.RunsFilter(tags={REQUEST: request_id})) > 0


def _ended_runs(instance: dg.DagsterInstance, cursor: str | None) -> list["RunRecord"]:
    """Return runs of requests that ended and changed after the cursor, oldest change first."""
    after = None if cursor is None else datetime.fromtimestamp(float(cursor), UTC)
    return list(
        instance.get_run_records(
            dg.RunsFilter(tags={_ASKED: "yes"}, statuses=list(_ENDED), updated_after=after),
            limit=_RUNS_PER_LOOK,
            order_by="update_timestamp",
            ascending=True,
        )
    )


def _metadata(instance: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    """Return the metadata of all that a run materialised, by label."""
    found: dict[str, Any] = {}
    records = instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    for record in records:
        made = record.asset_materialization
        if made is not None:
            found |= {label: entry.value for label, entry in made.metadata.items()}
    return found


def _reason(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return in one line why the step of a run failed; empty where none did."""
    records = instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.STEP_FAILURE
    ).records
    for record in records:
        event = record.event_log_entry.dagster_event
        error = event.step_failure_data.error if event is not None else None
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None:
            return " ".join(error.message.split())[:500]
    return ""
