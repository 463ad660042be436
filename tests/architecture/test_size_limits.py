"""Limits of size and of words: over the limit means a missing name, not a missing exemption.

Tables of data may be long: lines of literals (lists, dicts, tuples, sets, texts and calls made of
them at module level) do not count towards a file, and a docstring does not count at all.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BUILDINGS = ("storage", "jts_trading", "jts_pipelines")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
PUBLIC_METHODS_MAX = 12
BANNED_WORDS = frozenset(
    {"manager", "handler", "helper", "util", "utils", "common", "base", "core", "misc", "info"}
    | {"do", "process"}
)
# `data` alone says nothing; with another word it does.
BANNED_ALONE = frozenset({"data"})
# Names that other libraries ask for, or that the glossary of the house defines.
ALLOWED_NAMES = {
    "Base": "a quantity of the instrument itself, as opposed to Quote",
    "LogHandler": "a handler of the standard library's logging",
    "handleError": "logging asks for this name",
    **dict.fromkeys(("do_GET", "do_HEAD", "do_POST", "do_DELETE"), "http.server asks for it"),
    **dict.fromkeys(("process_request", "process_request_thread"), "socketserver asks for it"),
}
_LITERALS = (ast.List, ast.Dict, ast.Tuple, ast.Set, ast.Constant, ast.Call)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def _files() -> list[Path]:
    return sorted(path for building in BUILDINGS for path in (REPOSITORY / building).rglob("*.py"))


def _table_lines(tree: ast.Module) -> int:
    """Count the lines of module-level tables of two lines and more."""
    return sum(
        node.end_lineno - node.lineno
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, _LITERALS)
        and node.end_lineno is not None
    )


def _docstring_lines(node: ast.AST) -> int:
    body = getattr(node, "body", [])
    if not body or not isinstance(body[0], ast.Expr):
        return 0
    value = body[0].value
    if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
        return 0
    return int(value.end_lineno or value.lineno) - value.lineno + 1


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0].lineno
    return int(function.end_lineno or first) - first + 1 - _docstring_lines(function)


def _is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in function.decorator_list)


def _public_methods(node: ast.ClassDef) -> list[str]:
    return [
        item.name
        for item in node.body
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
        and not item.name.startswith("_")
        and not _is_property(item)
    ]


def _banned(name: str) -> str | None:
    if name in ALLOWED_NAMES or name.startswith("__"):
        return None
    words = [word.lower() for word in _WORDS.findall(name)]
    if words and len(words) == 1 and words[0] in BANNED_ALONE:
        return words[0]
    return next((word for word in words if word in BANNED_WORDS), None)


def _findings(path: Path, name: str) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    lines = len(text.splitlines()) - _table_lines(tree)
    if lines > FILE_LINES_MAX:
        yield f"{name}:1: {lines} lines, at most {FILE_LINES_MAX}"
    if word := _banned(path.stem):
        yield f"{name}:1: the module name holds the word {word!r}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _of_definition(node, f"{name}:{node.lineno}: {node.name}")


def _of_definition(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, where: str
) -> Iterator[str]:
    if word := _banned(node.name):
        yield f"{where} holds the word {word!r}"
    if isinstance(node, ast.ClassDef):
        count = len(_public_methods(node))
        if count > PUBLIC_METHODS_MAX:
            yield f"{where} has {count} public methods, at most {PUBLIC_METHODS_MAX}"
        return
    lines = _body_lines(node)
    if lines > FUNCTION_LINES_MAX:
        yield f"{where} has {lines} lines, at most {FUNCTION_LINES_MAX}"


@pytest.mark.parametrize("building", BUILDINGS)
def test_sizes_and_words_when_product_is_read_then_limits_hold(building: str):
    """No product file, function, class or name is over the limits of the style guide."""
    findings = [
        finding
        for path in _files()
        if path.is_relative_to(REPOSITORY / building)
        for finding in _findings(path, str(path.relative_to(REPOSITORY)))
    ]

    assert not findings, "\n".join(["", *findings])


def test_size_limits_when_faults_are_planted_then_each_is_named(tmp_path: Path):
    """The check sees what it promises to see, and leaves tables alone."""
    long_function = "def long():\n" + '    """Doc."""\n' + "    x = 1\n" * 51
    fat_class = "class Fat:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(13))
    table = "TABLE = [\n" + "    1,\n" * 500 + "]\n"
    faulty = tmp_path / "order_utils.py"
    faulty.write_text(f"{long_function}{fat_class}{table}class OrderManager: ...\n")
    filled = tmp_path / "long_file.py"
    filled.write_text("x = 1\n" * 401)

    assert list(_findings(faulty, "f.py")) == [
        "f.py:1: the module name holds the word 'utils'",
        "f.py:1: long has 51 lines, at most 50",
        "f.py:54: Fat has 13 public methods, at most 12",
        f"f.py:{54 + 14 + 502}: OrderManager holds the word 'manager'",
    ]
    assert list(_findings(filled, "g.py")) == ["g.py:1: 401 lines, at most 400"]


@pytest.mark.parametrize(
    "name", ["process_tick", "BaseOrder", "DataInfo", "data", "do_it", "Util"]
)
def test_words_when_banned_then_are_found(name: str):
    """Banned words are found in both ways of writing names."""
    assert _banned(name) is not None


@pytest.mark.parametrize("name", ["market_data", "database", "information", "done", "processor"])
def test_words_when_only_similar_then_are_left_alone(name: str):
    """Other words that contain them are fine."""
    assert _banned(name) is None
