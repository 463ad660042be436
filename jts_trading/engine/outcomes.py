"""What can come of a decision, in words that a person reads in reports and in `jts why`."""

from enum import StrEnum


class Outcome(StrEnum):
    """Why an order was given, or was not."""

    ORDERED = "ordered"
    WAITS = "waits for the next session"
    ENTRY_CALLED_BACK = "entry order is called back, leaves what it has bought"
    EXIT_CALLED_BACK = "exit order is called back, leaves at the market"
    OLD_EXIT = "decided too late, leaves with fresh data"
    OLD = "decided too late to order"
    CANCELLED = "order that waited is dropped"
    HELD = "position held"
    ORDER_WORKS = "an order works already"
    EXIT_WAITS = "an exit waits already"
    STOP_HELD = "waits for its stop price"
    NO_PRICE = "its price is not known"
    FLAT = "nothing to sell"
    PAUSED = "instance is paused"
    LOSS = "daily loss limit reached"
    POSITIONS = "max_positions reached"
    LARGEST = "max_position_size reached"
    UNIVERSE = "outside the universe"
    COOLDOWN = "cooldown after the last exit"
    NO_EDGE = "no edge in the closed trades"
    NO_CASH = "cash does not pay for one lot"
    TOO_SMALL = "below the smallest order of the venue"
    SHORT = "short selling is off"
    UNCOVERED = "the account does not cover it"
