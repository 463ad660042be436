"""One command to a Redis server: bounded in time, and cancelled when its task is.

On Python 3.11 `asyncio.wait_for`, with which the client sends, swallows a cancellation that comes
as the sending ends: the task would go on as if nobody had asked it to stop. The count of requests
to cancel tells.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

_Answer = TypeVar("_Answer")


async def ask_within(seconds: float, command: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Return the answer of a command.

    Raises:
        TimeoutError: There was none in time.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    async with asyncio.timeout(seconds):
        answer = await command()
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return answer
