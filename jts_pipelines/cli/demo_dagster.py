"""Ask a running Dagster web server, over GraphQL, for what a person would click.

The demo drives Dagster from outside: nothing here imports it, so the demo proves the same road
that the UI takes. Every wait has a deadline.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from jts_pipelines.defs.ranges import range_tags
from jts_trading.telemetry.console import CommandError

LOCATION = "jts_pipelines"

_DONE = frozenset({"SUCCESS", "FAILURE", "CANCELED"})

_LOADED = """{ locationStatusesOrError { ... on WorkspaceLocationStatusEntries {
  entries { name loadStatus } } } }"""
_LOAD_ERROR = """{ workspaceOrError { ... on Workspace { locationEntries { name
  locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on InvalidSubsetError { message }
    ... on PipelineNotFoundError { message }
  }
}"""
_STATUS = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
_FAILURES = """
query Failures($id: ID!) {
  logsForRun(runId: $id) { ... on EventConnection { events {
    __typename
    ... on ExecutionStepFailureEvent { stepKey error { message causes { message } } }
    ... on RunFailureEvent { message }
    ... on AssetCheckEvaluationEvent { evaluation { success checkName assetKey { path }
      metadataEntries { label ... on TextMetadataEntry { text } } } }
  } } }
}"""
_MATERIALIZATIONS = """
query Materialized($id: ID!) {
  runOrError(runId: $id) { ... on Run { assetMaterializations {
    assetKey { path } partition
    metadataEntries { label
      ... on IntMetadataEntry { intValue }
      ... on FloatMetadataEntry { floatValue }
      ... on TextMetadataEntry { text }
      ... on PathMetadataEntry { path }
    }
  } } }
}"""


class DagsterError(CommandError):
    """The web server did not answer in time, refused a run, or a run failed; one line says why."""


@dataclass(frozen=True, slots=True)
class Materialized:
    """One asset partition that a run materialised, with its numbers and texts by label."""

    asset: str
    partition: str | None
    metadata: Mapping[str, Any]


class DagsterClient:
    """A GraphQL connection to the web server of one instance.

    Args:
        url: Root of the web server, such as `http://127.0.0.1:3000`.
        repository: Name of the repository inside the code location.
    """

    def __init__(self, url: str, *, repository: str = "__repository__") -> None:
        # One line per question, three questions a second, would bury the progress.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._http = httpx.Client(base_url=url, timeout=60.0)
        self._repository = repository

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def wait_until_loaded(self, timeout_s: float) -> None:
        """Return once the definitions are loaded.

        Raises:
            DagsterError: They are not after `timeout_s` seconds, or failed to load.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._is_loaded():
                return
            time.sleep(0.3)
        raise DagsterError(f"Dagster did not load {LOCATION} within {timeout_s:.0f} s")

    def launch(
        self,
        job: str,
        assets: Sequence[str],
        *,
        keys: tuple[str, str] | None = None,
        run_config: Mapping[str, Any] | None = None,
    ) -> str:
        """Start one run of some assets of a job and return its id.

        Args:
            job: Name of the job.
            assets: Asset keys, spelled `krx_1d/candles`.
            keys: First and last partition key; the run covers all keys between them.
            run_config: Configuration of the run.

        Raises:
            DagsterError: The run was refused.
        """
        tags = {} if keys is None else range_tags(*keys)
        answer = self._ask(
            _LAUNCH,
            params={
                "selector": {
                    "repositoryLocationName": LOCATION,
                    "repositoryName": self._repository,
                    "jobName": job,
                    "assetSelection": [{"path": asset.split("/")} for asset in assets],
                },
                "runConfigData": dict(run_config or {}),
                "executionMetadata": {
                    "tags": [{"key": key, "value": value} for key, value in tags.items()]
                },
            },
        )["launchPipelineExecution"]
        if answer["__typename"] != "LaunchRunSuccess":
            reasons = answer.get("message") or answer.get("errors") or answer["__typename"]
            raise DagsterError(f"Dagster refused a run of {job}: {_one_line(reasons)}")
        return str(answer["run"]["runId"])

    def wait(
        self, run_id: str, *, timeout_s: float, beat: Callable[[str], None] = lambda _status: None
    ) -> None:
        """Return once the run has succeeded.

        Args:
            run_id: As `launch` returned it.
            timeout_s: Longest wait.
            beat: Called with the status at each look, for progress.

        Raises:
            DagsterError: The run failed, was cancelled, or took longer.
        """
        deadline = time.monotonic() + timeout_s
        status = "UNKNOWN"
        while time.monotonic() < deadline:
            status = self._ask(_STATUS, id=run_id)["runOrError"].get("status", "UNKNOWN")
            beat(status)
            if status in _DONE:
                break
            time.sleep(0.3)
        if status != "SUCCESS":
            raise DagsterError(f"Dagster run {run_id} ended as {status}: {self.failure(run_id)}")

    def failure(self, run_id: str) -> str:
        """Return in one line why a run failed."""
        events = self._ask(_FAILURES, id=run_id)["logsForRun"].get("events", [])
        reasons = [line for line in map(_reason, events) if line]
        return "; ".join(reasons[:3]) or "no failure was recorded in time"

    def failed_checks(self, run_id: str) -> list[str]:
        """Return one line for each check of a run that failed, blocking or not."""
        events = self._ask(_FAILURES, id=run_id)["logsForRun"].get("events", [])
        checks = [e for e in events if e["__typename"] == "AssetCheckEvaluationEvent"]
        return [line for line in map(_reason, checks) if line]

    def materialized(self, run_id: str) -> list[Materialized]:
        """Return what a run materialised, in order."""
        run = self._ask(_MATERIALIZATIONS, id=run_id)["runOrError"]
        return [
            Materialized(
                "/".join(event["assetKey"]["path"]),
                event["partition"],
                {entry["label"]: _entry_value(entry) for entry in event["metadataEntries"]},
            )
            for event in run.get("assetMaterializations", [])
        ]

    def _is_loaded(self) -> bool:
        try:
            entries = self._ask(_LOADED)["locationStatusesOrError"].get("entries", [])
        except (httpx.HTTPError, DagsterError):
            return False
        if not any(e["name"] == LOCATION and e["loadStatus"] == "LOADED" for e in entries):
            return False
        for entry in self._ask(_LOAD_ERROR)["workspaceOrError"]["locationEntries"]:
            location = entry["locationOrLoadError"] or {}
            if location.get("__typename") == "PythonError":
                raise DagsterError(f"{LOCATION} did not load: {_one_line(location['message'])}")
        return True

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        response = self._http.post("/graphql", json={"query": query, "variables": variables})
        if response.status_code >= 500:
            raise DagsterError(f"Dagster answered {response.status_code}")
        document = response.json()
        if document.get("errors"):
            raise DagsterError(f"GraphQL: {_one_line(document['errors'][0]['message'])}")
        return dict(document["data"])


def _reason(event: Mapping[str, Any]) -> str:
    if event["__typename"] == "ExecutionStepFailureEvent":
        error = event["error"] or {}
        causes = error.get("causes") or []
        reason = causes[-1] if causes else error
        return f"{event['stepKey']}: {_one_line(reason.get('message', ''))}"
    if event["__typename"] == "AssetCheckEvaluationEvent" and not event["evaluation"]["success"]:
        evaluation = event["evaluation"]
        texts = [e["text"] for e in evaluation["metadataEntries"] if e.get("text")]
        asset = "/".join(evaluation["assetKey"]["path"])
        return f"check {evaluation['checkName']} of {asset}: {_one_line('; '.join(texts))}"
    return ""


def _entry_value(entry: Mapping[str, Any]) -> Any:
    for name in ("intValue", "floatValue", "text", "path"):
        if entry.get(name) is not None:
            return entry[name]
    return None


def _one_line(message: object) -> str:
    return " ".join(str(message).split())[:500]
