"""What daemon roles say to each other on the bus, beside what the journal announces."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

import msgspec

from jts_trading.domain.account_reports import FillNotice, OrderNotice
from jts_trading.domain.ticks import BookTick, TradeTick


class TicksCollected(msgspec.Struct, frozen=True, kw_only=True, tag="ticks_collected"):
    """Trades and books as one feed delivered them. Topics `market-data.<market>.ticks`.

    Attributes:
        feed: Broker and number of the socket, such as `kis-1`.
        session: Number of the connection.
        first_frame: Number of the first frame of the entry among all kept frames of the feed,
            growing without gaps over restarts; the key into the raw frames.
        first_tick: Number of the first tick, growing without gaps by one per tick of the feed,
            over restarts too; tick number i of the entry is `first_tick + i`.
        frames: For each tick, which frame it came in, as an offset from `first_frame`.
    """

    feed: str
    session: int
    first_frame: int
    first_tick: int
    ticks: tuple[TradeTick | BookTick, ...]
    frames: tuple[int, ...]


class NoticesCollected(msgspec.Struct, frozen=True, kw_only=True, tag="notices_collected"):
    """What a broker's stream says about own orders: a hint to ask it. Topic `orders.notices`."""

    broker: str
    account: str
    notices: tuple[OrderNotice | FillNotice, ...]


class GapSeen(msgspec.Struct, frozen=True, kw_only=True, tag="gap_seen"):
    """Market data is missing or cannot be used. Topic `market-data.gaps`.

    Attributes:
        instrument_id: What is concerned; empty for a whole feed.
        kind: `disconnected`, `silent`, `missed` (cumulative volume or trade ids jumped),
            `undecodable` or `quarantined`.
        start_ns: From when, instance time, UTC ns.
        end_ns: Until when; 0 while it lasts.
        missing: Shares, trades or frames that are known to be missing; 0 where unknown.
    """

    feed: str
    instrument_id: str
    kind: Literal["disconnected", "silent", "missed", "undecodable", "quarantined"]
    start_ns: int
    end_ns: int
    missing: Decimal = Decimal(0)
    reason: str = ""


class BarClosed(msgspec.Struct, frozen=True, kw_only=True, tag="bar_closed"):
    """A bar that the trader built from ticks: one of a `BarsClosed`.

    As a message it is read only: the first traders published each bar by itself, on the topics of
    `BarsClosed`, and such entries may still be on a bus.

    Attributes:
        start_ns: Label of the bar, UTC ns.
        closed_by: `event` (a later trade), `clock` (its end and the grace) or `session`.
        last_tick: Number of the last tick that is in it.
        ticks: Trades in it.
    """

    instrument_id: str
    venue: str
    interval: str
    start_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    closed_by: Literal["event", "clock", "session"]
    feed: str
    last_tick: int
    ticks: int


class BarsClosed(msgspec.Struct, frozen=True, kw_only=True, tag="bars_closed"):
    """Bars of one start that the trader built from ticks and that closed at one instant.

    Topics `market-data.<market>.candles`. Columns have one place for each bar, in the order of the
    instruments; prices are whole ticks.

    Attributes:
        start_ns: Label of the bars, UTC ns.
        closed_by: `event` (a later trade, which closes one bar), `clock` (their end and the grace)
            or `session`.
        price_steps: What one tick of each is worth.
        volumes: Shares or coins.
        last_ticks: Number of the last tick that is in each.
        ticks: Trades in each.
    """

    venue: str
    interval: str
    start_ns: int
    closed_by: Literal["event", "clock", "session"]
    instrument_ids: tuple[str, ...]
    price_steps: tuple[Decimal, ...]
    opens: tuple[int, ...]
    highs: tuple[int, ...]
    lows: tuple[int, ...]
    closes: tuple[int, ...]
    volumes: tuple[Decimal, ...]
    feeds: tuple[str, ...]
    last_ticks: tuple[int, ...]
    ticks: tuple[int, ...]

    def bars(self) -> Iterator[BarClosed]:
        """Yield them one by one, prices in the instrument's currency."""
        for at, (instrument_id, step) in enumerate(
            zip(self.instrument_ids, self.price_steps, strict=True)
        ):
            yield BarClosed(
                instrument_id=instrument_id,
                venue=self.venue,
                interval=self.interval,
                start_ns=self.start_ns,
                open=self.opens[at] * step,
                high=self.highs[at] * step,
                low=self.lows[at] * step,
                close=self.closes[at] * step,
                volume=self.volumes[at],
                closed_by=self.closed_by,
                feed=self.feeds[at],
                last_tick=self.last_ticks[at],
                ticks=self.ticks[at],
            )


class PriceNote(msgspec.Struct, frozen=True, kw_only=True, tag="price_note"):
    """The newest trade of an instrument, shared through the state port (`Kind.PRICE`).

    Attributes:
        reference: Base price of the day; None where the venue has none or it is not known.
        upper: Upper daily limit, likewise.
        lower: Lower daily limit, likewise.
    """

    instrument_id: str
    venue: str
    price: Decimal
    ts_event_ns: int
    ts_recv_ns: int
    bid: Decimal | None = None
    ask: Decimal | None = None
    reference: Decimal | None = None
    upper: Decimal | None = None
    lower: Decimal | None = None
    is_halted: bool = False


class ReconciledNote(msgspec.Struct, frozen=True, kw_only=True, tag="reconciled_note"):
    """The newest successful reconciliation of an account, shared as `Kind.RECONCILED`.

    Attributes:
        real_ns: When, boot clock in ns: real time, comparable between processes of a machine.
        unknown_orders: Orders that are still UNKNOWN.
        halted: Instruments in which the broker and the journal disagree.
    """

    broker: str
    account: str
    real_ns: int
    unknown_orders: int
    halted: tuple[str, ...] = ()


class RiskAlert(msgspec.Struct, frozen=True, kw_only=True, tag="risk_alert"):
    """Somebody should know. Topic `risk.alerts`.

    Attributes:
        subject: Account, order, instrument or role that it is about.
        check: Which check or watch said it, such as R06 or kill_switch.
    """

    severity: Literal["info", "warning", "critical"]
    check: str
    subject: str
    text: str
    ts_ns: int


class RoleHealth(msgspec.Struct, frozen=True, kw_only=True, tag="role_health"):
    """How a role is. Topic `system.health`, and the heartbeat file of the role.

    Attributes:
        reasons: Why it does not do its work; empty when it does.
        metrics: Counters and gauges by name, labels included: `frames_total{feed="kis-1"}`.
        real_ns: Wall clock (UTC ns, real time) of the heartbeat.
    """

    role: str
    pid: int
    is_ready: bool
    reasons: tuple[str, ...]
    metrics: dict[str, float]
    ts_ns: int
    real_ns: int
