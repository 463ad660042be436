"""Notices clients that go away while their query runs.

A thread that runs a query inside the engine cannot look at its connection. One thread of this room
looks at all of them: a connection that becomes readable without a byte to read was closed by the
client. It sleeps while there is nothing to look at.
"""

import select
import socket
import threading
from collections.abc import Callable

_LOOK_SECONDS = 0.25


class Departures:
    """The watched connections, each under the mark of its request."""

    def __init__(self, on_departure: Callable[[str], None]) -> None:
        """Start to watch.

        Args:
            on_departure: Called with the mark of a request, once, in the watching thread.
        """
        self._on_departure = on_departure
        self._watched: dict[str, socket.socket] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._watch, name="departures", daemon=True).start()

    def watch(self, mark: str, connection: socket.socket) -> None:
        """Watch the connection of a request that was read completely."""
        with self._changed:
            self._watched[mark] = connection
            self._changed.notify()

    def forget(self, mark: str) -> None:
        """Stop watching; to be called before the connection is read again or closed."""
        with self._changed:
            self._watched.pop(mark, None)

    def _watch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._watched))
                gone = [mark for mark, link in self._watched.items() if _is_gone(link)]
                for mark in gone:
                    del self._watched[mark]
                if not gone:
                    # Woken early by every new request, which costs one look.
                    self._changed.wait(_LOOK_SECONDS)
            for mark in gone:
                self._on_departure(mark)


def _is_gone(connection: socket.socket) -> bool:
    # poll, because the engine opens so many files that select could not name this one.
    poll = select.poll()
    try:
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(0)) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True
