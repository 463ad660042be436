"""The chain of an order as a tree on the terminal; everything is text, nothing is markup."""

from collections.abc import Iterator
from typing import Any

from rich.text import Text
from rich.tree import Tree

from jts_trading.commands import words
from jts_trading.commands.evidence import ShownDecision, ShownSizing, WhyDocument
from jts_trading.commands.wire_evidence import ShownFrame

_RAW_SHOWN = 300
_INNER = ("nodes", "children", "parts", "of", "inputs")


def tree_of(document: WhyDocument) -> Tree:
    """Return the chain from the frame down to the fills."""
    tree = Tree(_text(_title(document), "bold"))
    _add_frame(tree, document.frame, document.correlation_id)
    if document.decision is not None:
        _add_decision(tree, document.decision)
    if document.sizing is not None:
        tree.add(_text(_sizing(document.sizing)))
    for verdict in document.verdicts:
        _add_verdict(tree, verdict)
    for event in document.events:
        told = ", ".join(f"{name} {value}" for name, value in _figures(event.body))
        when = (event.at or "-")[11:23]
        tree.add(_text(f"{when} {event.event} (row {event.seq}, {event.writer}): {told}"))
    for note in document.sent:
        tree.add(_text(_sent(note)))
    for fill in document.fills:
        tree.add(
            _text(
                f"fill {fill.trade_id}: {words.amount(fill.quantity)} at"
                f" {words.amount(fill.price)}, gross {words.amount(fill.gross)}, fee"
                f" {words.amount(fill.fee)}, tax {words.amount(fill.tax)} {fill.currency},"
                f" {words.at(fill.ts_event_ns, fill.venue)}",
                "green",
            )
        )
    return tree


def _figures(body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what an event says, the fields of structs inside it too."""
    for name, value in body.items():
        if isinstance(value, dict):
            yield from _figures(value)
        elif value not in (None, "", 0) and name not in {"order_id", "type"}:
            yield name, value


def _title(document: WhyDocument) -> str:
    order = document.order
    if order is None:
        outcome = document.decision.outcome if document.decision else "nothing was decided"
        return f"no order: {outcome}"
    price = "at the market" if order.price is None else f"at {words.amount(order.price)}"
    if order.trigger is not None:
        price += f" after a trade reached its stop at {words.amount(order.trigger)}"
    if order.time_in_force != "day":
        price += f" ({order.time_in_force})"
    about = f"{order.instrument_id} {order.name}".strip()
    return (
        f"order {order.id}: {order.side} {words.amount(order.quantity)} {about} {price} for"
        f" {order.instance} through {order.broker}/{order.account}: {order.status}"
        f"{f' ({order.reason})' if order.reason else ''}"
    )


def _add_frame(tree: Tree, frame: ShownFrame | None, correlation_id: str) -> None:
    if frame is None:
        tree.add(_text(f"began without a frame: {correlation_id or 'nothing is noted'}"))
        return
    if frame.problem:
        tree.add(_text(f"frame {frame.feed}:{frame.number} {frame.problem}", "yellow"))
        return
    raw = frame.raw if len(frame.raw) <= _RAW_SHOWN else f"{frame.raw[:_RAW_SHOWN]}..."
    branch = tree.add(_text(f"frame {frame.feed}:{frame.number} received {frame.received_at}"))
    branch.add(_text(raw, "dim"))
    for said in frame.says:
        told = {name: said[name] for name in ("price", "quantity", "aggressor") if name in said}
        figures = ", ".join(f"{name} {value}" for name, value in told.items())
        branch.add(_text(f"{said.get('type', 'tick')} {said.get('instrument_id', '')} {figures}"))


def _add_decision(tree: Tree, decision: ShownDecision) -> None:
    bar = ", ".join(f"{name} {value}" for name, value in decision.bar.items())
    tree.add(_text(f"bar {decision.interval} {decision.bar_start}: {bar}"))
    who = f" ({decision.strategy})" if decision.strategy else ""
    branch = tree.add(
        _text(
            f"decision of {decision.instance}, release {decision.release}{who}, at"
            f" {decision.decided_at}: {decision.outcome}"
        )
    )
    for node in decision.values:
        _add_node(branch, node)
    for signal in decision.signals:
        branch.add(_text(f"signal {signal.kind} {signal.side}: {signal.condition}", "cyan"))


def _add_node(branch: Tree, node: Any) -> None:
    if not isinstance(node, dict):
        branch.add(_text(str(node)))
        return
    inner: list[Any] = next(
        (node[name] for name in _INNER if isinstance(node.get(name), list)), []
    )
    value = node.get("value")
    style = {True: "green", False: "red"}.get(value, "") if isinstance(value, bool) else ""
    before = f" (on the bar before: {node['before']})" if "before" in node else ""
    child = branch.add(_text(f"{node.get('text', '')} = {value}{before}", style))
    for each in inner:
        _add_node(child, each)


def _sizing(sizing: ShownSizing) -> str:
    share = "" if sizing.share is None else f", {sizing.share * 100:f} % of the equity"
    kind = "reduces the position, " if sizing.reduces else ""
    return (
        f"sizing: {kind}{words.amount(sizing.quantity)} worth {words.amount(sizing.value)}"
        f"{share}; reserves {words.amount(sizing.reserved)} {sizing.reserved_asset}"
    )


def _add_verdict(tree: Tree, verdict: dict[str, Any]) -> None:
    is_allowed = bool(verdict.get("is_allowed"))
    said = "allowed" if is_allowed else f"denied by {verdict.get('check')}: {verdict['reason']}"
    head = f"risk {said} (limits version {verdict.get('limits_version')})"
    branch = tree.add(_text(head, "green" if is_allowed else "red"))
    for check in verdict.get("findings", ()):
        figures = ", ".join(f"{name} {value}" for name, value in check["figures"].items())
        state = "passed" if check["is_passed"] else f"failed: {check['reason']}"
        branch.add(_text(f"{check['check']} {state}{f' ({figures})' if figures else ''}"))


def _sent(note: dict[str, Any]) -> str:
    latency = note.get("latency_ms")
    told = "" if latency is None else f", {latency:.3f} ms after the frame"
    return (
        f"sent {note.get('client_order_id')}{told}; journal {note.get('commit_ms', 0):.3f} ms,"
        f" answer {note.get('answer_ms', 0):.3f} ms: {note.get('outcome')}"
        f" {note.get('venue_order_id', '')}"
    ).strip()


def _text(text: str, style: str = "") -> Text:
    # One line each, whatever a symbol, a reason or a frame may hold.
    return Text(" ".join(text.split()), style=style, overflow="fold")
