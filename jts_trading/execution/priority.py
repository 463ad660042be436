"""Who goes first when permits are short."""

from enum import IntEnum


class Priority(IntEnum):
    """Classes of requests to a broker; a smaller one goes first."""

    CANCEL = 0
    REDUCE = 1
    QUERY = 2
    ENTRY = 3
