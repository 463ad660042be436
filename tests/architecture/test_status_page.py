"""The status page names a test or a reason for every item of the user's documents."""

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The generator script, loaded from its file."""
    spec = importlib.util.spec_from_file_location(
        "generate_status", ROOT / "docs/generate_status.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_status_page_covers_every_item_and_is_up_to_date(generator: ModuleType) -> None:
    """180 items and 16 decisions, each with existing tests or deferred; the page is current."""
    items = tomllib.loads((ROOT / "docs/checklist.toml").read_text(encoding="utf-8"))

    assert [sum(key[0] == letter for key in items) for letter in "ABCDEX"] == [
        51, 43, 38, 26, 22, 16,
    ]  # fmt: skip
    assert generator.find_problems(items) == []
    assert generator.render(items) == (ROOT / "docs/status.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({"title": "x"}, "A01: needs either tests or deferred"),
        ({"title": "x", "tests": ["tests/none.py"], "state": "done"}, "A01: no such test"),
        ({"title": "x", "tests": [f"{__file__}"]}, "A01: state is done or begun"),
        ({"title": "x", "deferred": "later", "test": []}, "A01: unknown key test"),
        (
            {"title": "x", "state": "done", "tests": [f"{__file__}::test_that_is_not_here"]},
            "A01: no such test",
        ),
    ],
)
def test_status_page_refuses_an_item_without_proof(
    generator: ModuleType, item: dict[str, object], problem: str
) -> None:
    """An id with neither test nor reason, or with a test that does not exist, fails the build."""
    assert any(line.startswith(problem) for line in generator.find_problems({"A01": item}))
