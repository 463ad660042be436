"""From the outbox to the bus: at least once, in order, and again after the bus lost something.

The entry id on the bus is made of the journal's number, so publishing twice is refused by the bus
and proves that the first time arrived. `recover` compares the newest entry of each topic with what
was published: a bus that was wiped, or that lost its last second, gets the rest again.
"""

from jts_trading.ports.bus import Bus, Envelope
from jts_trading.ports.journal import Outbox, OutboxMessage

_BATCH = 256


class Relay:
    """Publishes what the journal committed.

    Args:
        outbox: Where it waits.
        bus: Where it goes.
    """

    def __init__(self, outbox: Outbox, bus: Bus) -> None:
        self._outbox = outbox
        self._bus = bus

    async def drain(self) -> int:
        """Publish everything that waits; return how many messages.

        Raises:
            BusUnavailableError: The rest stays for the next time.
            JournalUnavailableError: Likewise.
        """
        total = 0
        while count := await self._outbox.publish_pending(self._publish, _BATCH):
            total += count
        return total

    async def recover(self) -> int:
        """Find out what the bus lost and mark it unpublished; return how many messages.

        Raises:
            BusUnavailableError: The bus did not answer.
            JournalUnavailableError: The journal did not answer.
        """
        reopened = 0
        for topic, message in (await self._outbox.newest_published()).items():
            newest = await self._bus.newest(topic) or (0, 0)
            if newest < (message.major_ms, message.seq):
                reopened += await self._outbox.reopen(topic, newest[1])
        return reopened

    async def _publish(self, message: OutboxMessage) -> None:
        envelope = Envelope(
            type=message.type,
            version=message.version,
            id=message.event_id,
            correlation_id=message.correlation_id,
            causation_id=message.causation_id or message.event_id,
            source=message.writer,
            ts_event_ns=message.ts_ns,
            ts_recv_ns=message.ts_ns,
            payload=message.payload,
            sequence=message.seq,
        )
        await self._bus.publish(message.topic, envelope, message.entry_id)
