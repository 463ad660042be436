"""Truth from evidence: what the broker's list of orders means for our books. Pure.

Theory of operation. A pass gives this room a complete answer of the broker and, read after it,
what the journal knows; because we journal before we send, every order of ours in the answer is
known. Orders are paired by the venue's id, or found by what was sent (`unknown_orders`). For each
pair the difference between the cumulative report and the booked fills is one step, booked as
single fills where notices explain it exactly (`fill_hints`). What nobody claims and could not be
ours is adopted as `external`. Every finding has an id made from what was found, so a repeated
pass, a second process or a crash in between adds nothing; and each fill says the cumulative
quantity that it leads to, so that the journal refuses a step that does not follow.

The memory kept here (notices, when something was first missed) may be lost at any time: it costs
patience, never a fill.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

from jts_trading.domain.account_reports import FillNotice, OrderReport, OrderState
from jts_trading.domain.feed_messages import RiskAlert
from jts_trading.domain.journal_events import (
    OrderAbsent,
    OrderAcknowledged,
    OrderAdopted,
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
)
from jts_trading.domain.ledger_rows import FillRow, OrderRow
from jts_trading.domain.market.costs import Side
from jts_trading.domain.orders import EDGES, TERMINAL, Move, OrderIntent, OrderSide
from jts_trading.domain.orders import OrderState as Status
from jts_trading.execution.fill_costs import CostRules
from jts_trading.execution.fill_hints import HintBook, Part
from jts_trading.execution.fill_steps import Booked, Steps
from jts_trading.execution.findings import EXTERNAL, Finding, Group, Known, Look, Outcome
from jts_trading.execution.unknown_orders import (
    LOST,
    NS_PER_S,
    Absences,
    Matches,
    Window,
    is_live,
    looks_like,
    match_orders,
)

Severity = Literal["info", "warning", "critical"]
CHECK = "reconcile"
_NAMESPACE = uuid.UUID("5d0a1c2e-6f0b-5c53-9d0e-2f5e4a8b7c61")
_ORDER_SIDES = {Side.BUY: OrderSide.BUY, Side.SELL: OrderSide.SELL, Side.SHORT: OrderSide.SELL}


@dataclass(frozen=True, slots=True)
class ReconcilingRules:
    """How patient reconciliation is.

    Attributes:
        closes_ns: Returns when day orders of a venue and day end by themselves (UTC ns); None
            where nothing ends.
        window: How far the times of the venue may lie from ours, instance time.
        hint_wait_s: Real time that a step waits for the notices that split it.
        sending_grace_s: Real time for which an attempt is left to its sender.
        absent_after_s: See `Absences`.
        absent_apart_s: Likewise.
    """

    costs: CostRules
    closes_ns: Callable[[str, date], int | None]
    window: Window
    hint_wait_s: float = 1.0
    sending_grace_s: float = 3.0
    absent_after_s: float = 10.0
    absent_apart_s: float = 2.0


@dataclass(slots=True)
class _Pass:
    """One pass in the making."""

    look: Look
    known: Known
    booked: Mapping[str, Booked]
    groups: list[Group] = field(default_factory=list)
    alerts: list[RiskAlert] = field(default_factory=list)
    unknown: int = 0
    is_settled: bool = True

    def add(
        self,
        order: OrderRow,
        report: OrderReport,
        findings: Sequence[Finding],
        parts: tuple[Part, ...] = (),
    ) -> None:
        """Take what was found about an order, if anything was."""
        if findings:
            self.groups.append(Group(order.id, tuple(findings), report, parts))

    def alert(self, severity: Severity, subject: str, text: str) -> None:
        """Say something to people."""
        stamp = self.look.now_ns
        self.alerts.append(
            RiskAlert(severity=severity, check=CHECK, subject=subject, text=text, ts_ns=stamp)
        )


class Reconciliation:
    """Decides for one account; see the module."""

    def __init__(self, rules: ReconcilingRules) -> None:
        self._rules = rules
        self.hints = HintBook()
        self._steps = Steps(rules.costs, self.hints, rules.hint_wait_s)
        self._absences = Absences(after_s=rules.absent_after_s, apart_s=rules.absent_apart_s)
        self._sending: dict[str, int] = {}

    def hear(self, notice: FillNotice) -> bool:
        """Keep a hint; return False when it repeats an earlier one."""
        return self.hints.add(notice)

    def decide(self, look: Look, known: Known) -> Outcome:
        """Return what a look means."""
        work = _Pass(look, known, _booked(known.fills))
        by_venue_id = {
            order.venue_order_id: order for order in known.orders if order.venue_order_id
        }
        unclaimed = []
        for report in look.reports:
            order = by_venue_id.get(report.venue_order_id)
            if order is None:
                unclaimed.append(report)
            else:
                self._settle(work, order, report)
        waiting = [order for order in known.orders if order.status in LOST]
        matches = match_orders(waiting, unclaimed, self._rules.window, known.sent)
        for order in waiting:
            self._answer(work, order, matches)
        for report in unclaimed:
            if report.venue_order_id not in matches.taken:
                _adopt(work, report)
        self._find_missing(work)
        self._forget_ended(known)
        self.hints.keep_from(look.first_day)
        return Outcome(
            tuple(work.groups), tuple(work.alerts), work.unknown, is_settled=work.is_settled
        )

    def committed(self, group: Group) -> None:
        """Forget the hints of fills that the journal has taken."""
        if group.report is not None and group.parts:
            self.hints.use(group.report, group.parts)
            self._steps.booked(group.order_id)

    def _settle(self, work: _Pass, order: OrderRow, report: OrderReport) -> None:
        """Bring an order to where its report says it is."""
        self._absences.clear(order)
        findings: list[Finding] = []
        status = order.status
        if status in LOST:
            if report.state is OrderState.REJECTED and not report.filled_quantity:
                work.add(order, report, [_rejected(order, report)])
                return
            findings.append(_acknowledged(order, report))
            status = Status.OPEN
        step = self._steps.of(
            order, report, work.booked.get(order.id, Booked()), real_ns=work.look.real_ns
        )
        findings += step.findings
        filled = order.filled + sum((part.quantity for part in step.parts), Decimal(0))
        if step.problem:
            work.alert("critical", order.id, step.problem)
        if step.is_waiting or step.problem:
            work.is_settled = False
        else:
            status = _status_after(order, status, filled)
            findings += self._ending(work, order, report, status, filled)
        work.add(order, report, findings, step.parts)

    def _ending(
        self,
        work: _Pass,
        order: OrderRow,
        report: OrderReport,
        status: Status,
        filled: Decimal,
    ) -> list[Finding]:
        if status in TERMINAL or Move.CANCEL not in EDGES[status]:
            return []
        is_over = self._is_over(report, work.look.now_ns)
        rest = f"{order.quantity - filled} of {order.quantity} unfilled"
        if report.state is OrderState.REJECTED and Move.REJECT in EDGES[status]:
            return [_rejected(order, report)]
        if report.state is not OrderState.OPEN:
            changed = [
                other
                for other in work.look.reports
                if (other.original_order_no, other.order_date)
                == (report.order_no, report.order_date)
            ]
            if is_over and not changed and Move.EXPIRE in EDGES[status]:
                reason = f"the venue ended it with its session, {rest}"
                return [_expired(order, report, reason)]
            how = next((f" by its order {other.order_no}" for other in changed), "")
            return [_cancelled(order, report, f"the venue reports it {report.state}{how}, {rest}")]
        if is_over and order.time_in_force == "day" and Move.EXPIRE in EDGES[status]:
            reason = f"its session is over and the venue still reports {rest}"
            return [_expired(order, report, reason)]
        return _amendment(order, report, status, filled)

    def _is_over(self, report: OrderReport, now_ns: int) -> bool:
        closes_ns = self._rules.closes_ns(report.venue, report.order_date)
        return closes_ns is not None and now_ns > closes_ns

    def _answer(self, work: _Pass, order: OrderRow, matches: Matches) -> None:
        """Look for an order without an answer."""
        work.is_settled = False
        since_ns = self._sending.setdefault(order.id, work.look.real_ns)
        grace_ns = int(self._rules.sending_grace_s * NS_PER_S)
        is_fresh = order.status is Status.SENDING and work.look.real_ns - since_ns < grace_ns
        if is_fresh:
            return
        report = matches.found.get(order.id)
        if report is not None:
            self._settle(work, order, report)
            return
        work.unknown += 1
        if order.id in matches.ambiguous:
            self._absences.clear(order)
            rivals = ", ".join(each.venue_order_id for each in matches.ambiguous[order.id])
            text = (
                f"it could be any of {rivals}, or they could be others of ours; it stays unknown"
            )
            work.alert("critical", order.id, text)
            return
        if order.status is not Status.UNKNOWN or order.filled:
            return
        if self._absences.note(order, work.look):
            work.groups.append(Group(order.id, (_absent(order, work.look),)))
            work.alert("warning", order.id, "it was proven that the venue never had it")

    def _find_missing(self, work: _Pass) -> None:
        """Notice open orders that a complete answer does not contain."""
        there = {report.venue_order_id for report in work.look.reports}
        for order in work.known.orders:
            is_open = order.status not in TERMINAL and Move.CANCEL in EDGES[order.status]
            if not is_open or order.venue_order_id is None or order.venue_order_id in there:
                continue
            work.is_settled = False
            if self._absences.note(order, work.look):
                reason = f"the venue does not know {order.venue_order_id} any more"
                event = OrderCancelled(order_id=order.id, reason=reason)
                finding = _finding(order, event, f"lost-by-venue/{order.id}", "")
                work.groups.append(Group(order.id, (finding,)))
                work.alert("critical", order.id, reason)

    def _forget_ended(self, known: Known) -> None:
        self._absences.keep_only(known.orders)
        lost = {order.id for order in known.orders if order.status in LOST}
        self._sending = {key: at for key, at in self._sending.items() if key in lost}
        self._steps.keep_only({order.id for order in known.orders})


def _status_after(order: OrderRow, status: Status, filled: Decimal) -> Status:
    """Return where an order is after its fills."""
    if status in TERMINAL or not filled:
        return status
    if filled >= order.quantity:
        return Status.FILLED
    return Status.PARTIAL if status is Status.OPEN else status


def _booked(fills: tuple[FillRow, ...]) -> dict[str, Booked]:
    found: dict[str, Booked] = {}
    for fill in fills:
        found.setdefault(fill.order_id, Booked()).add(fill)
    return found


def _adopt(work: _Pass, report: OrderReport) -> None:
    if report.is_cancel or not (is_live(report) or report.filled_quantity):
        return
    look = work.look
    name = f"{look.broker}/{look.account}/{report.venue_order_id}"
    intent = OrderIntent(
        order_id=str(uuid.uuid5(_NAMESPACE, name)),
        broker=look.broker,
        account=look.account,
        instance=EXTERNAL,
        instrument_id=report.instrument_id,
        venue=report.venue,
        side=_ORDER_SIDES[report.side],
        quantity=report.quantity,
        currency=look.currency,
        price=report.price,
    )
    event = OrderAdopted(intent=intent, venue_order_id=report.venue_order_id)
    finding = Finding(event, f"adopted/{name}", name, report.venue_order_id)
    work.groups.append(Group(intent.order_id, (finding,), report))
    # Its fills are booked by the next look, which knows the order.
    work.is_settled = False
    text = (
        f"order {report.venue_order_id} at {look.broker} is none of ours: {report.side}"
        f" {report.quantity} {report.instrument_id}; adopted as {EXTERNAL}"
    )
    work.alert("warning", intent.order_id, text)
    for order in work.known.orders:
        if order.status is Status.ABSENT and looks_like(order, report):
            late = f"{report.venue_order_id} looks like it, after it was proven absent"
            work.alert("critical", order.id, late)


def _amendment(
    order: OrderRow, report: OrderReport, status: Status, filled: Decimal
) -> list[Finding]:
    """Follow a change of quantity that somebody else made at the venue."""
    left = report.quantity - report.cancelled_quantity
    if left == order.quantity or left <= filled or Move.AMEND not in EDGES[status]:
        return []
    if not report.cancelled_quantity:
        return []
    event = OrderAmended(
        order_id=order.id,
        quantity=left,
        price=order.price,
        venue_order_id=report.venue_order_id,
    )
    return [_finding(order, event, f"amended/{order.id}/{left}", report.venue_order_id)]


def _finding(
    order: OrderRow,
    event: OrderAcknowledged
    | OrderRejected
    | OrderCancelled
    | OrderExpired
    | OrderAmended
    | OrderAbsent,
    event_id: str,
    cause: str,
) -> Finding:
    return Finding(event, event_id, order.correlation_id, cause)


def _acknowledged(order: OrderRow, report: OrderReport) -> Finding:
    event = OrderAcknowledged(
        order_id=order.id, attempt=order.attempt, venue_order_id=report.venue_order_id
    )
    # Without an id of its own: the sender may say the same at the same time.
    return _finding(order, event, "", report.venue_order_id)


def _rejected(order: OrderRow, report: OrderReport) -> Finding:
    reason = f"the venue reports {report.rejected_quantity} of {report.quantity} rejected"
    event = OrderRejected(order_id=order.id, attempt=order.attempt, reason=reason)
    event_id = f"rejected/{order.id}/{order.attempt}"
    return _finding(order, event, event_id, report.venue_order_id)


def _cancelled(order: OrderRow, report: OrderReport, reason: str) -> Finding:
    event = OrderCancelled(order_id=order.id, reason=reason)
    return _finding(order, event, f"cancelled/{order.id}", report.venue_order_id)


def _expired(order: OrderRow, report: OrderReport, reason: str) -> Finding:
    event = OrderExpired(order_id=order.id, reason=reason)
    return _finding(order, event, f"expired/{order.id}", report.venue_order_id)


def _absent(order: OrderRow, look: Look) -> Finding:
    evidence = (
        f"two complete lists of the orders since {look.first_day}, the newest with"
        f" {len(look.reports)} orders asked for at {look.now_ns}, do not contain it"
    )
    event = OrderAbsent(order_id=order.id, attempt=order.attempt, evidence=evidence)
    return _finding(order, event, f"absent/{order.id}/{order.attempt}", "")
