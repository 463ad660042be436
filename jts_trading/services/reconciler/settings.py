"""Section `reconciler`."""

import msgspec


class ReconcilerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often brokers are asked, and how patient the reconciler is. Seconds are real ones.

    Attributes:
        orders_every_s: Longest time between two looks at the orders of an account.
        balance_every_s: Longest time between two comparisons of money and positions.
        gap_s: Least time between two looks; what happens meanwhile is seen by the next.
        recheck_s: Pause before a comparison that differed, or met a fill on its way, is repeated.
        retry_s: First pause after a question that failed; doubled each time.
        retry_s_max: Longest such pause.
        stale_after_s: Without a successful comparison for longer the role is not ready.
        hint_wait_s: So long a step of a report waits for the notices that split it.
        sending_grace_s: So long an attempt is left to its sender; longer than its time-outs.
        absent_after_s: An order is missing only in answers that were asked for so long after it
            was first missed; also how late a venue may take it.
        absent_apart_s: Two such answers lie so far apart.
        clock_slack_s: So far the clock of a venue may be behind ours, instance time.
        close_grace_s: Day orders end so long after the close of their session, instance time.
        lookback_days: Days before today that the first look of a process covers.
        alert_again_s: The same alert is not told again within this time.
    """

    orders_every_s: float = 5.0
    balance_every_s: float = 30.0
    gap_s: float = 0.25
    recheck_s: float = 1.0
    retry_s: float = 0.5
    retry_s_max: float = 10.0
    stale_after_s: float = 90.0
    hint_wait_s: float = 1.0
    sending_grace_s: float = 10.0
    absent_after_s: float = 10.0
    absent_apart_s: float = 2.0
    clock_slack_s: float = 5.0
    close_grace_s: float = 300.0
    lookback_days: int = 4
    alert_again_s: float = 300.0
