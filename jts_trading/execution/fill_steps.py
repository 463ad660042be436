"""The step from what is booked of an order to what its report says, as fills. Pure.

Identity of a fill. Where the broker numbers its fills, that number. Where reports are cumulative
(KIS), `<yyyymmdd>-<order number>-<cumulative quantity after the fill>`: the same fill found again
has the same id, however often and by whatever way it is heard of.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from jts_trading.domain.account_reports import FillNotice, OrderReport
from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.journal_events import OrderFilled
from jts_trading.domain.ledger_rows import FillRow, OrderRow
from jts_trading.domain.money import currency_unit
from jts_trading.execution.fill_costs import CostRules, FillCosts, Trade, told_costs
from jts_trading.execution.fill_hints import HintBook, Part
from jts_trading.execution.findings import Finding
from jts_trading.execution.unknown_orders import NS_PER_S

_ZERO = Decimal(0)
_PRICE_UNIT = Decimal("0.00000001")


@dataclass(slots=True)
class Booked:
    """What the journal has of an order.

    Attributes:
        gross: Money of its fills without costs.
        trades: Their ids.
    """

    quantity: Decimal = _ZERO
    gross: Decimal = _ZERO
    trades: set[str] = field(default_factory=set)

    def add(self, fill: FillRow) -> None:
        """Count one fill."""
        self.quantity += fill.quantity
        self.gross += fill.gross
        self.trades.add(fill.trade_id)


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be booked now.

    Attributes:
        is_waiting: There is more, but the notices that split it may still come.
        problem: What is wrong with the report; empty when nothing is.
    """

    findings: tuple[Finding, ...] = ()
    parts: tuple[Part, ...] = ()
    is_waiting: bool = False
    problem: str = ""


class Steps:
    """Works out steps, and remembers since when one waits for its notices.

    Args:
        costs: Works out costs that a broker does not tell.
        hints: The notices of the account.
        wait_s: Real time that a step waits for notices that explain it.
    """

    def __init__(self, costs: CostRules, hints: HintBook, wait_s: float) -> None:
        self._costs = costs
        self._hints = hints
        self._wait_ns = int(wait_s * NS_PER_S)
        self._since: dict[str, int] = {}

    def of(self, order: OrderRow, report: OrderReport, booked: Booked, *, real_ns: int) -> Step:
        """Return the step of an order."""
        try:
            return self._of(order, report, booked, real_ns)
        except RuleMissingError as error:
            return Step(problem=f"a fill cannot be booked: {error}")

    def _of(self, order: OrderRow, report: OrderReport, booked: Booked, real_ns: int) -> Step:
        if report.fills:
            return self._told(order, report, booked)
        quantity = report.filled_quantity - booked.quantity
        gross = report.filled_amount - booked.gross
        if quantity < 0 or (not quantity and not gross):
            # An older answer than the newest one, or nothing new.
            return Step()
        if not quantity or gross < 0:
            text = (
                f"the venue reports {report.filled_amount} for {report.filled_quantity}, and"
                f" {booked.gross} for {booked.quantity} is booked"
            )
            return Step(problem=text)
        parts = self._hints.split(report, quantity, gross)
        if not parts:
            since_ns = self._since.setdefault(order.id, real_ns)
            if real_ns - since_ns < self._wait_ns:
                return Step(is_waiting=True)
            parts = [_whole(quantity, gross)]
        return self._cumulative(order, report, booked.quantity, parts)

    def booked(self, order_id: str) -> None:
        """Forget that a step of an order waited: it is booked."""
        self._since.pop(order_id, None)

    def keep_only(self, order_ids: set[str]) -> None:
        """Forget all other orders."""
        self._since = {key: at for key, at in self._since.items() if key in order_ids}

    def _cumulative(
        self, order: OrderRow, report: OrderReport, before: Decimal, parts: list[Part]
    ) -> Step:
        findings = []
        cumulative = before
        for part in parts:
            cumulative += part.quantity
            trade_id = f"{report.order_date:%Y%m%d}-{report.order_no}-{_plain(cumulative)}"
            costs = self._costs.of(_trade(order, report, part.quantity, part.gross))
            event = OrderFilled(
                order_id=order.id,
                trade_id=trade_id,
                quantity=part.quantity,
                price=part.price,
                fee=costs.fee,
                tax=costs.tax,
                gross=part.gross,
                fee_quantity=costs.fee_quantity,
                ts_event_ns=part.ts_event_ns,
                cumulative=cumulative,
            )
            findings.append(_finding(order, report, event))
        return Step(tuple(findings), tuple(parts))

    def _told(self, order: OrderRow, report: OrderReport, booked: Booked) -> Step:
        """Book the fills that a broker numbers."""
        findings, parts = [], []
        for notice in report.fills:
            if notice.trade_id is None:
                return Step(problem=f"the broker tells a fill of {notice.quantity} without its id")
            if notice.trade_id in booked.trades:
                continue
            gross = _gross(notice, order.currency)
            costs = told_costs(notice)
            if costs is None:
                costs = self._costs.of(_trade(order, report, notice.quantity, gross))
            event = _told_event(order, notice, gross, costs)
            findings.append(_finding(order, report, event))
            parts.append(Part(notice.quantity, notice.price, gross, notice.ts_event_ns))
        return Step(tuple(findings), tuple(parts))


def _trade(order: OrderRow, report: OrderReport, quantity: Decimal, gross: Decimal) -> Trade:
    return Trade(
        broker=order.broker,
        instrument_id=order.instrument_id,
        currency=order.currency,
        side=order.side,
        day=report.order_date,
        quantity=quantity,
        gross=gross,
    )


def _told_event(
    order: OrderRow, notice: FillNotice, gross: Decimal, costs: FillCosts
) -> OrderFilled:
    return OrderFilled(
        order_id=order.id,
        trade_id=notice.trade_id or "",
        quantity=notice.quantity,
        price=notice.price,
        fee=costs.fee,
        tax=costs.tax,
        gross=gross,
        fee_quantity=costs.fee_quantity,
        ts_event_ns=notice.ts_event_ns,
    )


def _finding(order: OrderRow, report: OrderReport, event: OrderFilled) -> Finding:
    name = f"{order.broker}/{order.account}/{order.instrument_id}/{event.trade_id}"
    return Finding(event, f"fill/{name}", order.correlation_id, report.venue_order_id)


def _gross(notice: FillNotice, currency: str) -> Decimal:
    unit = currency_unit(currency)
    return round(Fraction(notice.price) * Fraction(notice.quantity) / Fraction(unit)) * unit


def _whole(quantity: Decimal, gross: Decimal) -> Part:
    """One fill for a step that nothing splits: its price is the mean, its money exact."""
    mean = Fraction(gross) / Fraction(quantity)
    if mean.denominator == 1:
        return Part(quantity, Decimal(mean.numerator), gross)
    return Part(quantity, round(mean / Fraction(_PRICE_UNIT)) * _PRICE_UNIT, gross)


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
