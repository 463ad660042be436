"""When the trader's process looks after memory: never while a decision waits, if it can choose."""

from collections.abc import Callable
from typing import NamedTuple


def _nothing() -> None:
    """Do nothing: whoever shares a process with others leaves its memory alone."""


class Memory(NamedTuple):
    """What the trader calls when there is time.

    Attributes:
        settle: After the start and after instances joined: what is there now lives on.
        tidy: Whenever nothing more is waiting on the bus.
    """

    settle: Callable[[], None] = _nothing
    tidy: Callable[[], None] = _nothing


LEFT_ALONE = Memory()
