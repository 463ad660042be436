"""Settings of the executor, section `executor`; every duration is real time."""

import msgspec


class ExecutorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often it looks and how long it waits.

    Attributes:
        look_every_s: Pause between two looks at all open orders; hints come in between.
        relay_every_s: Longest pause between two looks at the outbox; commits tell of themselves.
        kill_every_ms: Pause between two looks at the kill switch, beside the one of every send.
        review_ms_max: Budget of facts and risk review together; more denies.
        write_within_ms: Longest time between the noted attempt and its first byte.
        prepare_s_max: Longest wait for sign-in and permits; the order is tried again later.
        submit_s_max: Longest wait for an answer; then the order is UNKNOWN.
        retry_after_s: Pause before another attempt of an order that the venue did not take.
        cancel_again_s: Pause before a cancel without visible effect is sent again.
        attempts_max: After so many attempts an order is given up.
        prices_max: Most instruments whose prices are fetched for one review.
    """

    look_every_s: float = 2.0
    relay_every_s: float = 1.0
    kill_every_ms: float = 20.0
    review_ms_max: float = 100.0
    write_within_ms: float = 250.0
    prepare_s_max: float = 10.0
    submit_s_max: float = 8.0
    retry_after_s: float = 1.0
    cancel_again_s: float = 5.0
    attempts_max: int = 5
    prices_max: int = 32
