"""How far feeds were read, and how often what happened: counted beside the state."""

import msgspec


class FeedPlace(msgspec.Struct, kw_only=True):
    """How far a feed has been read.

    Attributes:
        last_tick: Number of the newest tick that was taken in; -1 before the first.
        missing: Ticks that were passed over because their numbers jumped.
        repeated: Ticks that came again and were left out.
    """

    last_tick: int = -1
    missing: int = 0
    repeated: int = 0


class Counts(msgspec.Struct, kw_only=True):
    """What happened since the state began."""

    ticks: int = 0
    bars: int = 0
    late_ticks: int = 0
    outside_ticks: int = 0
    refused_ticks: int = 0
    signals: int = 0
    decisions: int = 0
    intents: int = 0
