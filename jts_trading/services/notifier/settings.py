"""Section `notifier`."""

import msgspec


class NotifierSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much people are told. Seconds are real ones.

    Attributes:
        again_s: The same thing is told again only after so long.
        told_per_minute_max: More of lower severity than critical is counted, and told as a number.
        retry_s: First pause after nobody could be told; doubled each time.
        retry_s_max: Longest such pause.
    """

    again_s: float = 60.0
    told_per_minute_max: int = 60
    retry_s: float = 1.0
    retry_s_max: float = 30.0
