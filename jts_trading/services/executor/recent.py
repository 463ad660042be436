"""What left us in the last minute, and what the venue refused: the memory of the rate checks.

It is filled again at the start from the notes of the journal, so that a restart forgets nothing.
"""

from collections import deque
from collections.abc import Callable
from decimal import Decimal

import msgspec

from jts_trading.domain.orders import OrderSide
from jts_trading.ports.journal import Journal
from jts_trading.risk.approval import FinalOrder
from jts_trading.risk.facts import SentOrder

NOTE_TOPIC = "order_sent"
_MINUTE_NS = 60_000_000_000
_KEPT_MAX = 10_000


class SentNote(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a note `order_sent`: what left, when, and how long everything took.

    Attributes:
        triggered_ns: When the frame arrived that led to it, instance time; 0 when the clock did.
        sent_ns: Instance time right before the first byte.
        real_sent_ns: Boot clock at the same moment.
        latency_ms: Real ms from `triggered_ns` to `sent_ns`; None without a frame.
        commit_ms: Real ms that the journal took for the attempt.
        write_ms: Real ms from the noted attempt to the first byte.
        answer_ms: Real ms from the first byte to the answer.
        outcome: `acknowledged`, `rejected`, `lost` or `absent`.
        clock_speed: Instance seconds per real second.
    """

    order_id: str
    client_order_id: str
    attempt: int
    payload_hash: str
    broker: str
    account: str
    instance: str
    instrument_id: str
    side: OrderSide
    quantity: Decimal
    price: Decimal | None
    triggered_ns: int
    sent_ns: int
    real_sent_ns: int
    latency_ms: float | None
    commit_ms: float
    write_ms: float
    answer_ms: float
    outcome: str
    venue_order_id: str = ""
    clock_speed: str = "1"


class Recent:
    """Sends and refusals of the last minute, real time.

    Args:
        boottime_ns: Reads the boot clock.
    """

    def __init__(self, boottime_ns: Callable[[], int]) -> None:
        self._boottime_ns = boottime_ns
        self._sent: deque[SentOrder] = deque(maxlen=_KEPT_MAX)
        self._rejects: deque[tuple[str, str, int]] = deque(maxlen=_KEPT_MAX)

    def note_sent(self, order: FinalOrder, *, sent_ns: int, real_sent_ns: int) -> None:
        """Remember what is about to leave."""
        self._sent.append(SentOrder.of(order, sent_ns=sent_ns, real_sent_ns=real_sent_ns))

    def note_reject(self, broker: str, account: str) -> None:
        """Remember a refusal of the venue."""
        self._rejects.append((broker, account, self._boottime_ns()))

    def sent(self) -> tuple[SentOrder, ...]:
        """Return what left in the last minute."""
        since_ns = self._boottime_ns() - _MINUTE_NS
        while self._sent and self._sent[0].real_sent_ns < since_ns:
            self._sent.popleft()
        return tuple(self._sent)

    def rejects(self, broker: str, account: str) -> int:
        """Return how often the venue refused an order of an account in the last minute."""
        since_ns = self._boottime_ns() - _MINUTE_NS
        while self._rejects and self._rejects[0][2] < since_ns:
            self._rejects.popleft()
        return sum((who, which) == (broker, account) for who, which, _ in self._rejects)

    async def restore(self, journal: Journal) -> None:
        """Remember what an earlier life sent.

        Raises:
            JournalUnavailableError: The journal did not answer.
        """
        self._sent.clear()
        self._rejects.clear()
        now_ns = self._boottime_ns()
        for row in await journal.stream(f"note/{NOTE_TOPIC}", newest=_KEPT_MAX // 10):
            note = _read(row.payload)
            # A boot clock that reads less than the note is another boot's.
            if note is None or not now_ns - _MINUTE_NS <= note.real_sent_ns <= now_ns:
                continue
            self._sent.append(_sent_order(note))
            if note.outcome == "rejected":
                self._rejects.append((note.broker, note.account, note.real_sent_ns))


class _Body(msgspec.Struct):
    body: str


def _read(payload: bytes) -> SentNote | None:
    try:
        body = msgspec.json.decode(payload, type=_Body).body
        return msgspec.json.decode(body, type=SentNote)
    except msgspec.DecodeError:
        return None


def _sent_order(note: SentNote) -> SentOrder:
    return SentOrder(
        order_id=note.order_id,
        broker=note.broker,
        account=note.account,
        instance=note.instance,
        instrument_id=note.instrument_id,
        side=note.side,
        quantity=note.quantity,
        price=note.price,
        sent_ns=note.sent_ns,
        real_sent_ns=note.real_sent_ns,
    )
