"""The feed port: bytes as they arrive from a venue, over every reconnection, and what they mean.

`news` never ends by itself and never decodes: a frame can be kept before anybody judges it.
`decode` is pure; a frame that it refuses is counted and kept, and the stream lives.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from jts_trading.domain.account_reports import FillNotice, OrderNotice
from jts_trading.domain.errors import TerminalError
from jts_trading.domain.ticks import BookTick, TradeTick


class FrameError(TerminalError):
    """A frame cannot be decoded; the message names what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of a socket.

    Attributes:
        raw: Its bytes.
        ts_recv_ns: When it arrived, instance time, UTC ns.
        session: Number of the connection that it came on, from 1.
    """

    raw: bytes
    ts_recv_ns: int
    session: int


@dataclass(frozen=True, slots=True)
class FeedOpened:
    """A connection stands and its subscriptions have been sent."""

    session: int
    ts_ns: int


@dataclass(frozen=True, slots=True)
class FeedClosed:
    """A connection ended or could not begin; frames may be missing until the next `FeedOpened`."""

    session: int
    ts_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class FeedRefused:
    """The venue will not deliver an instrument."""

    instrument_id: str
    ts_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class BookLost:
    """Changes of an order book are missing: nothing is known of it until it is whole again.

    A `BookTick` without any level follows, for those who keep the book.

    Attributes:
        missing: Changes that are known to be lost.
        ts_event_ns: Of the change behind the loss, UTC ns.
    """

    instrument_id: str
    missing: int
    ts_event_ns: int


FeedNews = Frame | FeedOpened | FeedClosed | FeedRefused
Decoded = TradeTick | BookTick | BookLost | OrderNotice | FillNotice


class Feed(Protocol):
    """One socket of one venue or broker."""

    @property
    def broker(self) -> str:
        """Through whom the frames come: kis, binance, ..."""
        ...

    @property
    def venue(self) -> str:
        """Where the instruments trade."""
        ...

    async def subscribe(self, instrument_ids: Sequence[str]) -> None:
        """Ask for trades and books from now on and after every reconnection; twice is once.

        Raises:
            TerminalError: The socket carries no more, or an instrument is not of this venue.
        """
        ...

    def news(self) -> AsyncGenerator[FeedNews]:
        """Yield what happens on the socket until the caller closes the iterator.

        Raises:
            TerminalError: No socket will ever open: the key is refused.
        """
        ...

    def decode(self, frame: Frame) -> tuple[Decoded, ...]:
        """Return what a frame says, in its order; empty for control messages.

        Raises:
            FrameError: It says nothing that can be understood.
        """
        ...
