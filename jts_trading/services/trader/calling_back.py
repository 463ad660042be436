"""Cancels that strategies want: asked for in the journal, where the executor sees them.

The engine remembers which orders are called back until they have ended, over restarts too. What
may be asked depends on where an order is (`execution.cancels.ask`), and that may change before it
is recorded, so the journal is asked again now and then until the order has ended.
"""

from collections.abc import Callable

import structlog

from jts_trading.domain.orders import InvariantError
from jts_trading.engine.state import EngineState
from jts_trading.engine.wishes import orders_called_back
from jts_trading.execution.cancels import ask, next_number
from jts_trading.journal.chain import open_event
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Fact, Journal
from jts_trading.telemetry.metrics import Counters

_AGAIN_NS = 500_000_000
_WHY = "its strategy called it back"
_log = structlog.get_logger(__name__)


class CallBacks:
    """Asks for the cancel of orders that were called back.

    Args:
        journal: Where it is asked for.
        clock: Of the instance.
        monotonic_ns: Real time.
        counters: Of the role.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock,
        monotonic_ns: Callable[[], int],
        counters: Counters,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._monotonic_ns = monotonic_ns
        self._counters = counters
        self._asked_ns: dict[str, int] = {}

    async def look(self, state: EngineState) -> None:
        """Ask where it is due.

        Raises:
            JournalUnavailableError: It did not answer; nothing is lost, call again.
        """
        called, now_ns = orders_called_back(state), self._monotonic_ns()
        self._asked_ns = {name: at for name, at in self._asked_ns.items() if name in called}
        for order_id in called:
            if now_ns - self._asked_ns.get(order_id, -_AGAIN_NS) >= _AGAIN_NS:
                await self._ask(order_id)
                self._asked_ns[order_id] = now_ns

    async def _ask(self, order_id: str) -> None:
        order = await self._journal.find_order(order_id=order_id)
        if order is None:
            return
        events = await self._journal.stream(f"order/{order_id}")
        wanted = ask(order, next_number(map(open_event, events)), _WHY)
        if wanted.event is None:
            return
        fact = Fact(
            wanted.event,
            self._clock.now_ns(),
            correlation_id=order.correlation_id,
            causation_id=f"intent/{order_id}",
            event_id=wanted.event_id,
        )
        try:
            await self._journal.record_event([fact])
        except InvariantError as error:
            # Somebody moved the order between the query and now: the next look sees how.
            _log.info("call_back_overtaken", order_id=order_id, error=str(error))
            return
        self._counters.add("called_back_total")
