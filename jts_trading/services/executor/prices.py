"""Newest prices and reconciliations from the shared state, and what is remembered without it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from jts_trading.domain.feed_messages import PriceNote, ReconciledNote
from jts_trading.ports.state import Kind, State, StateUnavailableError

_PRICES = msgspec.msgpack.Decoder(PriceNote)
_RECONCILED = msgspec.msgpack.Decoder(ReconciledNote)
# Two of these and the journal fit into the budget of a review.
_ANSWER_S = 0.04
# After a failure the state is left alone for so long: an exit must not wait for it again.
_DEAF_S = 0.25
_NS_PER_S = 1_000_000_000


class SharedNotes:
    """Notes of other roles.

    Args:
        state: Where they are shared.
        monotonic_ns: Real time.
    """

    def __init__(self, state: State, monotonic_ns: Callable[[], int]) -> None:
        self._state = state
        self._monotonic_ns = monotonic_ns
        self._deaf_until_ns = 0
        self._prices: dict[str, PriceNote] = {}
        self.is_reachable = False

    def remembered(self, instrument_id: str) -> PriceNote | None:
        """Return the newest price that was ever seen, however old."""
        return self._prices.get(instrument_id)

    def marks(self) -> Mapping[str, Decimal]:
        """Return the newest price of each instrument that was ever seen."""
        return {name: note.price for name, note in self._prices.items()}

    async def look(self, instrument_ids: Iterable[str]) -> bool:
        """Fetch prices; return whether the state answered for all of them."""
        answers = await asyncio.gather(*(self._price(name) for name in instrument_ids))
        self.is_reachable = all(answers)
        return self.is_reachable

    async def reconciled(self, broker: str, account: str) -> ReconciledNote | None:
        """Return the newest reconciliation of an account; None when it is not known."""
        content = await self._get(Kind.RECONCILED, f"{broker}/{account}")
        if not content:
            return None
        try:
            return _RECONCILED.decode(content)
        except msgspec.DecodeError:
            return None

    async def _price(self, instrument_id: str) -> bool:
        content = await self._get(Kind.PRICE, instrument_id)
        if content is None:
            return False
        if not content:
            return True
        try:
            note = _PRICES.decode(content)
        except msgspec.DecodeError:
            return False
        known = self._prices.get(instrument_id)
        if known is None or note.ts_recv_ns >= known.ts_recv_ns:
            self._prices[instrument_id] = note
        return True

    async def _get(self, kind: Kind, name: str) -> bytes | None:
        """Return a value, empty when there is none, None when the state does not answer."""
        if self._monotonic_ns() < self._deaf_until_ns:
            return None
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await self._state.get(kind, name) or b""
        except (StateUnavailableError, TimeoutError):
            self._deaf_until_ns = self._monotonic_ns() + int(_DEAF_S * _NS_PER_S)
            return None
