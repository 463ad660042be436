"""The demo's questions to Dagster's web server, against answers over real HTTP."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from jts_pipelines.cli.demo_dagster import DagsterClient, DagsterError

Answers = dict[str, dict[str, Any]]


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], DagsterClient]]:
    """Answer each question that contains a word with the data given for the word."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread, DagsterClient]] = []

    def start(answers: Answers) -> DagsterClient:
        class Page(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                query = msgspec.json.decode(self.rfile.read(length))["query"]
                found = next(data for word, data in answers.items() if word in query)
                content = msgspec.json.encode({"data": found})
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_words: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        client = DagsterClient(f"http://127.0.0.1:{server.server_port}")
        running.append((server, thread, client))
        return client

    yield start
    for server, thread, client in running:
        client.close()
        server.shutdown()
        thread.join()
        server.server_close()


def _statuses(status: str) -> dict[str, Any]:
    entry = {"name": "jts_pipelines", "loadStatus": status}
    return {"locationStatusesOrError": {"entries": [entry]}}


def test_wait_when_the_location_cannot_be_loaded_then_fails_at_once_with_the_reason(
    serve: Callable[[Answers], DagsterClient],
) -> None:
    """An error in the definitions is not waited for: its text comes in one line."""
    error = {"__typename": "PythonError", "message": "ModuleNotFoundError:\n  No module 'x'\n"}
    location = {"name": "jts_pipelines", "locationOrLoadError": error}
    client = serve(
        {
            "locationStatusesOrError": _statuses("LOADED"),
            "workspaceOrError": {"workspaceOrError": {"locationEntries": [location]}},
        }
    )
    began = time.monotonic()

    with pytest.raises(DagsterError) as failed:
        client.wait_until_loaded(60.0)

    assert time.monotonic() - began < 5.0
    said = "jts_pipelines did not load: ModuleNotFoundError: No module 'x'"
    assert str(failed.value) == said


def test_wait_when_the_location_is_loading_then_ends_at_the_deadline(
    serve: Callable[[Answers], DagsterClient],
) -> None:
    """What only takes long is waited for, and no longer than asked."""
    client = serve({"locationStatusesOrError": _statuses("LOADING")})

    with pytest.raises(DagsterError, match="did not load jts_pipelines within 1 s"):
        client.wait_until_loaded(0.6)


def test_wait_when_a_run_failed_then_names_step_check_and_reason(
    serve: Callable[[Answers], DagsterClient],
) -> None:
    """A failed run ends the demo with the innermost cause and the check that failed."""
    events = [
        {
            "__typename": "AssetCheckEvaluationEvent",
            "evaluation": {
                "success": False,
                "checkName": "rows_present",
                "assetKey": {"path": ["krx_1d", "candles"]},
                "metadataEntries": [{"label": "worst", "text": "2024-01"}, {"label": "rows"}],
            },
        },
        {
            "__typename": "ExecutionStepFailureEvent",
            "stepKey": "krx_1d__hot_evicted",
            "error": {"message": "outer", "causes": [{"message": "still\nserved from hot"}]},
        },
    ]
    client = serve(
        {"query Status": {"runOrError": {"status": "FAILURE"}},
         "query Failures": {"logsForRun": {"events": events}}}
    )  # fmt: skip

    with pytest.raises(DagsterError) as failed:
        client.wait("r1", timeout_s=5.0)

    assert str(failed.value) == (
        "Dagster run r1 ended as FAILURE: check rows_present of krx_1d/candles: 2024-01; "
        "krx_1d__hot_evicted: still served from hot"
    )
