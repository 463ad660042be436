"""`jts test`, `.ci/run` and the workflow: the same suite everywhere."""

import itertools
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from jts_pipelines.cli import test as suite
from jts_pipelines.cli.__main__ import main

_ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    """The parsed workflow file; YAML 1.1 reads its key `on` as true."""
    found: dict[Any, Any] = yaml.safe_load((_ROOT / ".github/workflows/ci.yml").read_text())
    return found


def _leave(words: list[str]) -> int:
    with pytest.raises(SystemExit) as left:
        main(words)
    code = left.value.code
    assert isinstance(code, int)
    return code


def test_stages_when_listed_then_every_tool_of_the_rules_is_there() -> None:
    """Format, lint, types, import contracts and tests, in this order."""
    named = {stage.name: stage.argv for stage in suite.stages()}
    assert tuple(named) == suite.NAMES
    assert named["format"][1:] == ("format", "--check", ".")
    assert named["types"][-1] == "mypy"
    assert Path(named["contracts"][0]).name == "lint-imports"
    assert {"-n", "3", "--durations=15"} <= set(named["tests"])


def test_stages_when_fast_then_only_e2e_is_left_out() -> None:
    """`--fast` narrows the tests and nothing else; words of the user come last and so win."""
    full, fast = suite.stages(("-k", "x")), suite.stages(("-k", "x"), fast=True)
    assert full[:-1] == fast[:-1]
    assert fast[-1].argv[-4:] == ("-m", "not e2e", "-k", "x")
    assert "-m" not in full[-1].argv[3:]


def test_suite_when_a_stage_fails_then_the_others_run_and_the_exit_code_is_1(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One run shows everything that is wrong, with the seconds of each stage."""
    planted = (
        suite.Stage(name="lint", argv=("false",)),
        suite.Stage(name="types", argv=("true",)),
        suite.Stage(name="tests", argv=("sh", "-c", "echo noise; exit 3")),
    )
    monkeypatch.setattr(suite, "stages", lambda *_, **__: planted)
    assert _leave(["test", "--json"]) == 1
    document = json.loads(capfd.readouterr().out)
    assert [stage["exit_code"] for stage in document["stages"]] == [1, 0, 3]
    assert document["passed"] is False
    assert document["seconds"] >= sum(stage["seconds"] for stage in document["stages"]) - 0.2


def test_suite_when_all_pass_then_it_says_so_and_leaves_with_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table has one row per stage and one for all."""
    planted = (
        suite.Stage(name="lint", argv=("true",)),
        suite.Stage(name="types", argv=("false",)),
    )
    monkeypatch.setattr(suite, "stages", lambda *_, **__: planted)
    assert _leave(["test", "--only", "lint"]) == 0
    rows = capsys.readouterr().out
    assert "passed" in rows
    assert "all" in rows
    assert "types" not in rows


def test_ci_run_when_read_then_it_is_jts_test_and_executable() -> None:
    """CI runs what a developer runs, from any working directory."""
    script = _ROOT / ".ci" / "run"
    text = script.read_text()
    assert script.stat().st_mode & stat.S_IXUSR
    assert os.access(_ROOT / "jts", os.X_OK)
    assert "set -euo pipefail" in text
    assert text.rstrip().endswith('/jts" test "$@"')


def test_workflow_when_triggered_then_it_is_for_the_branches_and_pull_requests(
    workflow: dict[Any, Any],
) -> None:
    """Pushes to main and develop, and every pull request."""
    assert workflow[True]["push"]["branches"] == ["main", "develop"]
    assert "pull_request" in workflow[True]


@pytest.mark.parametrize("name", ["lint", "type", "unit", "integration", "e2e"])
def test_workflow_when_read_then_each_job_is_cached_and_runs_on_both_pythons(
    workflow: dict[Any, Any], name: str
) -> None:
    """Full history, Python 3.11 and 3.12, the cache keyed by the lock file, the one command."""
    job = workflow["jobs"][name]
    checkout, python, run = job["steps"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12"]
    assert checkout["with"]["fetch-depth"] == 0
    assert python["with"]["cache"] == "pip"
    assert python["with"]["cache-dependency-path"] == "requirements.lock"
    assert run["run"].startswith(".ci/run ")


def test_workflow_when_all_jobs_ran_then_every_stage_and_every_test_ran(
    workflow: dict[Any, Any],
) -> None:
    """The parts add up to `./jts test`: no stage and no marker is left out."""
    commands = [job["steps"][-1]["run"] for job in workflow["jobs"].values()]
    words = " ".join(commands).split()
    stages = {after for word, after in itertools.pairwise(words) if word == "--only"}
    assert stages == set(suite.NAMES)
    selections = {command.partition(" -- ")[2] for command in commands} - {""}
    assert selections == {'-m "not integration and not e2e"', "-m integration", "-m e2e"}
