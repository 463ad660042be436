"""Section `collector`."""

import msgspec

from jts_trading.market_store.segments import SegmentSettings


class CollectorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How frames become entries of the bus. Seconds of ages are of the instance.

    Attributes:
        entry_ticks_max: Most ticks of an entry.
        entry_age_ms_max: Longest that a tick waits for others, real milliseconds.
        frames: Sizes of the raw frame files of each feed.
        entries: Sizes of the files that keep published entries, for a bus that lost them.
        queue_entries_max: Entries in memory that wait for the bus; more are read from the files.
        hints_max: Notices and gaps that wait for the bus; the oldest are dropped beyond.
        silent_after_s: An instrument that says nothing for longer in its session is silent, by
            venue; a venue that is missing is not watched.
        silent_real_s_min: Real seconds that silence has to last in any case: at a fast clock a
            moment of ours is a minute of the market.
        latency_allowance_s: Real seconds that our own way may take. At clock speed s, (s - 1)
            times this is added to ages.
        event_ahead_s_max: A tick dated later than we received it by more is quarantined.
        event_behind_s_max: Likewise for one dated earlier.
        jump_factor_max: A price that is so many times the last one, or less than one part in so
            many, is quarantined.
        confirm_ticks: So many quarantined ticks in a row that agree are believed.
        price_pause_ms: Least time between two rounds of sharing prices, real milliseconds.
        limits_retry_s: Pause after a quote that failed, real seconds.
        feed_retry_s: Pause after the venue refused a feed for good, real seconds.
    """

    entry_ticks_max: int = 256
    entry_age_ms_max: float = 2.0
    frames: SegmentSettings = SegmentSettings()
    entries: SegmentSettings = SegmentSettings(segment_bytes=8 << 20, retained_bytes=64 << 20)
    queue_entries_max: int = 4096
    hints_max: int = 1000
    silent_after_s: dict[str, float] = msgspec.field(
        default_factory=lambda: {"KRX": 60.0, "BINANCE": 30.0}
    )
    silent_real_s_min: float = 5.0
    latency_allowance_s: float = 0.5
    event_ahead_s_max: float = 5.0
    event_behind_s_max: float = 6 * 3600.0
    jump_factor_max: int = 5
    confirm_ticks: int = 5
    price_pause_ms: float = 5.0
    limits_retry_s: float = 5.0
    feed_retry_s: float = 60.0
