"""Findings into the journal: each group whole, a refused one alone left out."""

from collections.abc import Sequence

import structlog

from jts_trading.domain.feed_messages import RiskAlert
from jts_trading.domain.journal_events import OrderAbsent, OrderAdopted, OrderFilled
from jts_trading.domain.orders import InvariantError
from jts_trading.execution.findings import Finding
from jts_trading.execution.reconciling import CHECK
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Fact, Journal, Recorded
from jts_trading.services.reconciler.alerts import Alerts
from jts_trading.services.reconciler.tally import Tally

_COUNTED = {
    OrderFilled: "fills_total",
    OrderAdopted: "adopted_orders_total",
    OrderAbsent: "absent_orders_total",
}
_log = structlog.get_logger(__name__)


class Recording:
    """Commits what was found of one account.

    Args:
        journal: Where it goes.
        clock: Dates it.
        alerts: Hears of what the journal refuses.
        tally: Of the account.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        alerts: Alerts,
        tally: Tally,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._alerts = alerts
        self._tally = tally

    async def commit(self, subject: str, findings: Sequence[Finding]) -> bool:
        """Commit findings together; return False when the journal refuses them.

        Raises:
            JournalUnavailableError: Not known to be committed; find them again.
        """
        now_ns = self._clock.now_ns()
        facts = [
            Fact(
                finding.event,
                ts_ns=now_ns,
                correlation_id=finding.correlation_id,
                causation_id=finding.causation_id,
                event_id=finding.event_id,
            )
            for finding in findings
        ]
        try:
            answers = await self._journal.record_event(facts)
        except InvariantError as error:
            self._tally.count("refused_findings_total")
            text = f"the journal refuses what was found: {error}"
            alert = RiskAlert(
                severity="critical", check=CHECK, subject=subject, text=text, ts_ns=now_ns
            )
            self._alerts.tell(alert)
            return False
        self._count(findings, answers)
        return True

    def _count(self, findings: Sequence[Finding], answers: Sequence[Recorded]) -> None:
        for finding, answer in zip(findings, answers, strict=True):
            if not answer.is_new:
                self._tally.count("known_findings_total")
                continue
            name = _COUNTED.get(type(finding.event))
            if name is not None:
                self._tally.count(name)
            _log.info(
                "found",
                what=type(finding.event).__name__,
                seq=answer.seq,
                event_id=finding.event_id,
                correlation_id=finding.correlation_id,
            )
