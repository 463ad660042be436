"""Settings of the simulated Binance, section `sim.binance`."""

from typing import Literal

import msgspec

from jts_trading.brokers.binance.limits import (
    CONTROL_MESSAGES_PER_S,
    LIFE_S,
    PING_EVERY_S,
    PONG_WITHIN_S,
    STREAMS_MAX,
    WEIGHT_PER_MIN,
)


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One simulated host of public market data.

    Attributes:
        host: Address to listen on.
        rest_port: Port of REST; 0 takes a free one.
        stream_port: Port of the streams, likewise.
        data: Folder with captures (`crypto/binance_ws_raw/spot_*.jsonl.gz`); made-up ticks when
            empty.
        symbols: What trades when it is made up.
        speed: Tape seconds per second of the clock; 0 plays as fast as the readers follow; None
            plays each message when the clock reads its time.
        waits_for_reader: Whether the tape starts only with the first subscription and, at speed
            0, stands while nobody reads.
        days: `recorded` sends a capture byte for byte at its own times; `shifted` moves its times
            to now, and begins again at its end; `auto` chooses the second when the clock has
            passed the capture, and is quiet before it.
        seed: Of made-up ticks.
        until_ns: Made-up ticks end at this time of the instance, UTC ns; 0 for never.
        faults: File of faults; none when empty.
        streams_max: Streams of one connection.
        messages_per_s: Control messages of one connection.
        ping_every_s: Pause between pings of the server, real seconds.
        pong_within_s: A client that answers none for so long is dropped.
        life_s: A connection ends after so long, real seconds.
        weight_per_min: Weight that REST takes in a minute of real time.
        day: Unused; here so that all simulators take the same options.
    """

    host: str = "127.0.0.1"
    rest_port: int = 0
    stream_port: int = 0
    data: str = ""
    symbols: tuple[str, ...] = ("BTCUSDT",)
    speed: float | None = None
    waits_for_reader: bool = False
    days: Literal["auto", "recorded", "shifted"] = "auto"
    seed: int = 1
    until_ns: int = 0
    faults: str = ""
    streams_max: int = STREAMS_MAX
    messages_per_s: int = CONTROL_MESSAGES_PER_S
    ping_every_s: float = PING_EVERY_S
    pong_within_s: float = PONG_WITHIN_S
    life_s: float = LIFE_S
    weight_per_min: int = WEIGHT_PER_MIN
    day: str = ""
