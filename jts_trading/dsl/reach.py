"""Which slots of the state a computed index may reach, so that they cannot be variables.

Theory of operation. A computed index is a plain number to which something is added: the place in
a window, a counter. So it reaches no slot below that number; and no slot of another indicator,
because each keeps to its own. What a function reaches, the functions that call it and that it
calls may name by a plain number too: all numbers from there on, in these functions, are taken as
reached. Where an index begins with no number, that is every slot of the indicator.
"""

import ast
from collections.abc import Iterable

from jts_trading.dsl.folding import whole_of

Path = tuple[int, ...]


def mark_path(body: Iterable[ast.stmt], path: Path) -> None:
    """Note in what is read and written here by which calls one got here."""
    for node in body:
        for each in ast.walk(node):
            if isinstance(each, ast.Subscript):
                each.path = path  # type: ignore[attr-defined]


def slot_of(node: ast.expr | None) -> int | None:
    """Return the slot that a plain number names, or None."""
    if isinstance(node, ast.Subscript) and _is_state(node):
        return whole_of(node.slice)
    return None


def reached_slots(body: Iterable[ast.stmt]) -> frozenset[int]:
    """Return the slots that stand in the text as plain numbers and may be reached by others."""
    nodes = [each for node in body for each in ast.walk(node)]
    values = _values(nodes)
    places = [n for n in nodes if isinstance(n, ast.Subscript) and _is_state(n)]
    plain = {(slot, _path(n)) for n in places if (slot := whole_of(n.slice)) is not None}
    computed = {
        (_lowest(n.slice, values, frozenset()), _path(n))
        for n in places
        if whole_of(n.slice) is None
    }
    return frozenset(
        slot
        for slot, path in plain
        for lowest, other in computed
        if slot >= lowest and _is_related(path, other)
    )


def _is_state(node: ast.Subscript) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "state"


def _path(node: ast.Subscript) -> Path:
    found: Path = getattr(node, "path", ())
    return found


def _is_related(one: Path, other: Path) -> bool:
    """Return whether one function calls the other; what a step itself names is apart from all."""
    shared = min(len(one), len(other))
    return shared > 0 and one[:shared] == other[:shared]


def _values(nodes: list[ast.AST]) -> dict[str, list[ast.expr]]:
    """Return what is assigned to each name; what is added to it makes it no smaller."""
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.setdefault(name, []).append(value)
            case ast.For(target=ast.Name(id=name), iter=value):
                found.setdefault(name, []).append(value)
    return found


def _lowest(node: ast.expr, values: dict[str, list[ast.expr]], seen: frozenset[str]) -> int:
    """Return the number from which an index counts; 0 where its text does not say."""
    found = 0
    match node:
        case ast.Constant():
            found = whole_of(node) or 0
        case ast.Name(id=name) if name in values and name not in seen:
            found = min(_lowest(each, values, seen | {name}) for each in values[name])
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            found = _lowest(left, values, seen) + _lowest(right, values, seen)
        case ast.IfExp(body=body, orelse=other):
            found = min(_lowest(body, values, seen), _lowest(other, values, seen))
        case ast.Call(func=ast.Name(id="range"), args=bounds):
            known = [number for b in bounds if (number := whole_of(b)) is not None]
            if len(known) == len(bounds):
                found = min(range(*known), default=0)
            else:
                found = min(_lowest(each, values, seen) for each in bounds[:2])
    return found
