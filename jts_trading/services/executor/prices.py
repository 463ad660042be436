"""Newest prices and reconciliations from the shared state, and what is remembered without it."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from jts_trading.domain.feed_messages import PriceNote, ReconciledNote
from jts_trading.ports.state import Kind, State, StateUnavailableError

_PRICES = msgspec.msgpack.Decoder(PriceNote)
_RECONCILED = msgspec.msgpack.Decoder(ReconciledNote)
# Two of these and the journal fit into the budget of a review.
_ANSWER_S = 0.04
_FIRST_ANSWER_S = 0.09
# After a failure the state is left alone for so long: an exit must not wait for it again.
_DEAF_S = 0.25
_TOLD_S = 2.0
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
        self._told_ns: dict[str, int] = {}
        self._reconciled: dict[str, ReconciledNote] = {}

    def remembered(self, instrument_id: str) -> PriceNote | None:
        """Return the newest price that was ever seen, however old."""
        return self._prices.get(instrument_id)

    def marks(self) -> Mapping[str, Decimal]:
        """Return the newest price of each instrument that was ever seen."""
        return {name: note.price for name, note in self._prices.items()}

    def is_told(self, instrument_id: str) -> bool:
        """Return whether the state told the price just now, or at most a moment ago.

        One slow answer is no loss: the price of a moment ago is as good, and its age is judged.
        """
        told_ns = self._told_ns.get(instrument_id)
        return told_ns is not None and self._monotonic_ns() - told_ns <= _TOLD_S * _NS_PER_S

    async def look(self, instrument_ids: Iterable[str]) -> None:
        """Fetch prices; what the state does not tell in time stays as it was."""
        await asyncio.gather(*(self._price(name) for name in instrument_ids))

    async def reconciled(self, broker: str, account: str) -> ReconciledNote | None:
        """Return the newest reconciliation of an account that was ever told; its age is judged."""
        name = f"{broker}/{account}"
        content = await self._get(Kind.RECONCILED, name)
        if content:
            with contextlib.suppress(msgspec.DecodeError):
                self._reconciled[name] = _RECONCILED.decode(content)
        return self._reconciled.get(name)

    async def _price(self, instrument_id: str) -> None:
        # What was never seen cannot be remembered either, so it may take the whole of a review.
        is_known = instrument_id in self._prices
        answer_s = _ANSWER_S if is_known else _FIRST_ANSWER_S
        content = await self._get(Kind.PRICE, instrument_id, answer_s)
        if not content:
            # Gone from the state is not told either: whoever shares it has stopped.
            return
        try:
            note = _PRICES.decode(content)
        except msgspec.DecodeError:
            return
        self._told_ns[instrument_id] = self._monotonic_ns()
        known = self._prices.get(instrument_id)
        if known is None or note.ts_recv_ns >= known.ts_recv_ns:
            self._prices[instrument_id] = note

    async def _get(self, kind: Kind, name: str, answer_s: float = _ANSWER_S) -> bytes | None:
        """Return a value; None when there is none, or the state does not answer in time."""
        if self._monotonic_ns() < self._deaf_until_ns:
            return None
        try:
            async with asyncio.timeout(answer_s):
                return await self._state.get(kind, name)
        except (StateUnavailableError, TimeoutError):
            self._deaf_until_ns = self._monotonic_ns() + int(_DEAF_S * _NS_PER_S)
            return None
