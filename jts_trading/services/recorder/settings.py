"""Section `recorder`."""

import msgspec


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the recorder works; seconds are real seconds.

    Attributes:
        batch_s: Longest time that a tick waits for others before it is stored.
        batch_rows: So many rows are stored at once; one read more at most.
        entries: Most entries of each topic in one read of the bus.
        look_s: How often a topic that is quiet is looked at: it may have been wiped.
        page_events: Most events in one read of the journal.
        poll_s: Pause when the journal has nothing new.
        retry_s: First pause after a store did not answer; doubled each time.
        retry_s_max: Longest such pause.
    """

    batch_s: float = 1.0
    batch_rows: int = 10_000
    entries: int = 64
    look_s: float = 5.0
    page_events: int = 500
    poll_s: float = 0.5
    retry_s: float = 0.25
    retry_s_max: float = 10.0
