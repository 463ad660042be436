"""Settings of Binance spot, section `brokers.binance`; market data needs no key.

Every host is a setting: the simulator and the venue differ in nothing else.
"""

from typing import Literal

import msgspec

REST = "https://data-api.binance.vision"
STREAM = "wss://data-stream.binance.vision"


class BinanceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Public market data of Binance spot.

    Attributes:
        rest_url: Where REST is; empty for the venue's host of public data.
        stream_url: Where the streams are, likewise.
        with_depth: Whether order books are followed beside trades and best prices.
        depth_limit: Levels of a snapshot; 100 to 5000.
        levels: Levels a side of the books that are passed on.
        quotes: Which best prices are passed on: `changes` of a price, or `all` of them, changed
            quantities too. Frames are kept either way.
        timeout_s: Longest wait for a REST answer.
        connect_timeout_s: Longest wait for a connection.
        stale_after_s: A socket that is silent for longer is given up.
        reconnect_after_s: First pause before a new socket; doubles up to the next field.
        reconnect_after_s_max: Longest pause.
        life_s: A socket is replaced after so long; the venue ends it after 24 hours.
        overlap_s: How long the old and the new socket are read side by side then.
        snapshot_every_s: Least time between two snapshots; each costs up to 250 of 6000 a minute.
    """

    rest_url: str = ""
    stream_url: str = ""
    with_depth: bool = True
    depth_limit: int = 1000
    levels: int = 10
    quotes: Literal["changes", "all"] = "changes"
    timeout_s: float = 5.0
    connect_timeout_s: float = 5.0
    stale_after_s: float = 30.0
    reconnect_after_s: float = 0.5
    reconnect_after_s_max: float = 60.0
    life_s: float = 23 * 3600 + 50 * 60
    overlap_s: float = 1.0
    snapshot_every_s: float = 0.5

    @property
    def rest_root(self) -> str:
        """Scheme, host and port of REST."""
        return (self.rest_url or REST).rstrip("/")

    @property
    def stream_root(self) -> str:
        """Scheme, host and port of the streams."""
        return (self.stream_url or STREAM).rstrip("/")
