"""One feed: every frame kept, then decoded, judged, and passed on; whatever it says, it lives on.

Theory of operation. A frame has its number before anybody looks into it. What cannot be decoded or
believed is counted and told as a gap, and its bytes stay where they are. Session numbers of a feed
begin anew with a process, so that of the last kept frame is added to them.

At a start, frames that were kept but had not become entries are decoded first, without the keys of
their connection: notices among them are lost, which is why they are hints.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import structlog

from jts_trading.domain.account_reports import FillNotice, OrderNotice
from jts_trading.domain.feed_messages import GapSeen, NoticesCollected
from jts_trading.domain.ticks import BookTick, TradeTick
from jts_trading.market_store.frames import FrameKeeper, KeptFrame
from jts_trading.ports.feed import (
    BookLost,
    Decoded,
    Feed,
    FeedClosed,
    FeedNews,
    FeedOpened,
    FeedRefused,
    Frame,
    FrameError,
)
from jts_trading.services.collector.batch import Batch, Found
from jts_trading.services.collector.gaps import Gaps
from jts_trading.services.collector.hours import opened_ns, was_open_between
from jts_trading.services.collector.judging import Judgement, Judges
from jts_trading.services.collector.prices import PriceBoard
from jts_trading.services.collector.settings import CollectorSettings
from jts_trading.services.collector.silence import Silence
from jts_trading.telemetry.metrics import Counters

_NS_PER_S = 1_000_000_000
_TURN_FRAMES = 16


@dataclass(frozen=True, slots=True)
class CollectedFeed:
    """A feed that the role collects.

    Attributes:
        name: Broker and number of the socket, such as `kis-1`; names files, metrics and lineage.
        instrument_ids: What it is asked for from the start.
    """

    name: str
    feed: Feed
    instrument_ids: tuple[str, ...] = ()


class Reception:
    """Collects one feed.

    Args:
        collected: The feed.
        keeper: Keeps its frames.
        batch: Takes its ticks.
        gaps: Tells what is missing, and notices.
        board: Takes prices.
        silence: Watches its instruments.
        settings: Bounds.
        allowance_ns: Instance time that our own way may take.
        now_ns: Instance time, UTC ns.
        monotonic_ns: Real time.
        counters: Metrics of the role.
    """

    def __init__(
        self,
        collected: CollectedFeed,
        *,
        keeper: FrameKeeper,
        batch: Batch,
        gaps: Gaps,
        board: PriceBoard,
        silence: Silence,
        settings: CollectorSettings,
        allowance_ns: int,
        now_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
        counters: Counters,
    ) -> None:
        self.name = collected.name
        self.feed = collected.feed
        self.keeper = keeper
        self.batch = batch
        self.judges = Judges(settings, allowance_ns)
        self.silence = silence
        self.trouble = "not connected yet"
        self.refused: dict[str, str] = {}
        self._gaps = gaps
        self._board = board
        self._now_ns = now_ns
        self._monotonic_ns = monotonic_ns
        self._counters = counters
        self._heard_ns = monotonic_ns()
        self._base_session = 0
        self._dark_since_ns = 0
        self._is_gap_told = False

    @property
    def is_connected(self) -> bool:
        """Whether the socket stands."""
        return not self.trouble

    def age_s(self) -> float:
        """Return real seconds since the newest frame."""
        return (self._monotonic_ns() - self._heard_ns) / _NS_PER_S

    def recover(self, frames: list[KeptFrame], done_items: int) -> None:
        """Take up where an earlier process ended.

        Args:
            frames: What was kept but is not in an entry yet, oldest first.
            done_items: So many items of the first of them are in an entry all the same.
        """
        last = frames[-1] if frames else self.keeper.last()
        if last is not None:
            self._base_session = last.session
            self._dark_since_ns = last.ts_recv_ns
        for at, kept in enumerate(frames):
            # Session 0 is never live: no connection's keys fit it.
            items = self._decoded(Frame(kept.raw, kept.ts_recv_ns, 0))
            began_ns = self._monotonic_ns()
            for item, found in enumerate(items if isinstance(items, tuple) else ()):
                if isinstance(found, TradeTick | BookTick) and (at or item >= done_items):
                    is_last = item == len(items) - 1
                    place = Found(found, kept.number, item, is_last, kept.session)
                    self._tick(place, began_ns)
        self._counters.add("recovered_frames_total", len(frames), feed=self.name)
        self.batch.cut()

    async def run(self) -> None:
        """Collect until cancelled.

        Raises:
            TerminalError: The venue will never deliver this feed.
            OSError: Frames cannot be kept.
        """
        taken = 0
        async with contextlib.aclosing(self.feed.news()) as news:
            async for item in news:
                self._take(item)
                # A socket that always has more would let nobody else have a turn.
                taken += 1
                if taken % _TURN_FRAMES == 0:
                    await asyncio.sleep(0)

    def _take(self, item: FeedNews) -> None:
        match item:
            case Frame():
                self._frame(item)
            case FeedOpened(_, ts_ns):
                self._opened(ts_ns)
            case FeedClosed(_, ts_ns, reason):
                self.closed(ts_ns, reason)
            case FeedRefused(instrument_id, _, reason):
                self.refused[instrument_id] = reason
                self.silence.unwatch(instrument_id)
                structlog.get_logger().warning(
                    "subscription_refused", feed=self.name, id=instrument_id, reason=reason
                )

    def _frame(self, frame: Frame) -> None:
        began_ns = self._heard_ns = self._monotonic_ns()
        session = self._base_session + frame.session
        number = self.keeper.keep(frame.raw, session, frame.ts_recv_ns)
        self._counters.add("frames_total", feed=self.name)
        self._counters.add("bytes_total", len(frame.raw), feed=self.name)
        items = self._decoded(frame)
        if isinstance(items, str):
            self._undecodable(number, items)
            return
        notices: list[OrderNotice | FillNotice] = []
        for at, item in enumerate(items):
            if isinstance(item, TradeTick | BookTick):
                place = Found(item, number, at, at == len(items) - 1, session)
                self._tick(place, began_ns)
            elif isinstance(item, BookLost):
                self._book_lost(item, number)
            else:
                notices.append(item)
        if notices:
            self._tell_notices(notices, number)

    def _decoded(self, frame: Frame) -> tuple[Decoded, ...] | str:
        """Return what a frame says, or why it says nothing."""
        try:
            return self.feed.decode(frame)
        except FrameError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - its mistake must not end the stream
            structlog.get_logger().exception("decoder_failed", feed=self.name)
            return f"decoder: {error!r}"

    def _undecodable(self, number: int, text: str) -> None:
        reason = text.partition(":")[0]
        self._counters.add("undecodable_total", feed=self.name, reason=reason)
        structlog.get_logger().debug("frame_undecodable", frame=f"{self.name}:{number}", text=text)
        self._gaps.gather(self.name, "undecodable", "", reason, f"{self.name}:{number}")

    def _tick(self, found: Found, began_ns: int) -> None:
        tick = found.tick
        judgement = self.judges.judge(tick, self._board.limits)
        origin = f"{self.name}:{found.frame}"
        if judgement.is_repeat:
            self._counters.add("repeated_total", feed=self.name)
        elif judgement.fault:
            self._counters.add("quarantined_total", feed=self.name, reason=judgement.fault)
            subject = tick.instrument_id
            self._gaps.gather(self.name, "quarantined", subject, judgement.fault, origin)
        else:
            if judgement.missing is not None:
                self._missed(tick, judgement, origin)
            self._accept(found, judgement.day, began_ns)

    def _accept(self, found: Found, day: int, began_ns: int) -> None:
        tick = found.tick
        self._counters.add("ticks_total", feed=self.name)
        is_halted = isinstance(tick, TradeTick) and tick.is_halted
        self.silence.heard(tick.instrument_id, tick.ts_recv_ns, is_halted=is_halted)
        if isinstance(tick, TradeTick):
            self._board.note_trade(tick, day)
        else:
            self._board.note_book(tick)
        self.batch.add(found, began_ns)

    def _missed(self, tick: TradeTick | BookTick, judgement: Judgement, origin: str) -> None:
        missing = judgement.missing or Decimal(0)
        self._counters.add("missed_total", float(missing), feed=self.name)
        gap = GapSeen(
            feed=self.name,
            instrument_id=tick.instrument_id,
            kind="missed",
            start_ns=min(
                judgement.since_ns or opened_ns(tick.venue, tick.ts_event_ns),
                tick.ts_event_ns - 1,
            ),
            end_ns=tick.ts_event_ns,
            missing=missing,
            reason="trades were lost" if judgement.since_ns else "the day had begun",
        )
        self._gaps.tell(gap, origin)

    def _book_lost(self, lost: BookLost, number: int) -> None:
        self._counters.add("books_lost_total", feed=self.name)
        gap = GapSeen(
            feed=self.name,
            instrument_id=lost.instrument_id,
            kind="missed",
            start_ns=lost.ts_event_ns - 1,
            end_ns=lost.ts_event_ns,
            missing=Decimal(lost.missing),
            reason="changes of the order book were lost",
        )
        self._gaps.tell(gap, f"{self.name}:{number}")

    def _tell_notices(self, notices: list[OrderNotice | FillNotice], number: int) -> None:
        by_account: dict[str, list[OrderNotice | FillNotice]] = {}
        for notice in notices:
            by_account.setdefault(notice.account, []).append(notice)
        self._counters.add("notices_total", len(notices), feed=self.name)
        for account, own in by_account.items():
            message = NoticesCollected(
                broker=self.feed.broker, account=account, notices=tuple(own)
            )
            self._gaps.tell_notices(message, f"{self.name}:{number}")

    def _opened(self, ts_ns: int) -> None:
        self._counters.add("connections_total", feed=self.name)
        if self._counters.read("connections_total", feed=self.name) > 1:
            self._counters.add("reconnects_total", feed=self.name)
        structlog.get_logger().info("feed_opened", feed=self.name)
        self.trouble = ""
        self.silence.opened(ts_ns)
        start_ns, self._dark_since_ns = self._dark_since_ns, 0
        is_told, self._is_gap_told = self._is_gap_told, False
        if is_told or (start_ns and was_open_between(self.feed.venue, start_ns, ts_ns)):
            self._tell_dark(start_ns, max(ts_ns, start_ns + 1), "the feed is back")

    def closed(self, ts_ns: int, reason: str) -> None:
        """Note that nothing is delivered from now on."""
        self.batch.cut()
        self.silence.closed()
        structlog.get_logger().warning("feed_closed", feed=self.name, reason=reason)
        self.trouble = f"not connected: {reason}"
        self._counters.add("disconnects_total", feed=self.name)
        if self._dark_since_ns:
            return
        self._dark_since_ns = ts_ns
        if was_open_between(self.feed.venue, ts_ns, ts_ns + 1):
            self._is_gap_told = True
            self._tell_dark(ts_ns, 0, reason)

    def _tell_dark(self, start_ns: int, end_ns: int, reason: str) -> None:
        gap = GapSeen(
            feed=self.name,
            instrument_id="",
            kind="disconnected",
            start_ns=start_ns,
            end_ns=end_ns,
            missing=Decimal(0),
            reason=reason,
        )
        self._gaps.tell(gap, f"{self.name}:{self.keeper.next_number - 1}")
