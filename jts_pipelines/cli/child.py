"""Become another program that dies with the one that started it.

Run as a script, isolated and without site packages, so that it costs some 15 ms:
`python -I -S child.py PARENT_PID SIGNAL PROGRAM ARGUMENTS...`. It resets the signals, asks the
kernel for a signal on the death of the parent (Linux), and replaces itself by the program. It
imports only the standard library and nothing imports it.
"""

import ctypes
import os
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1


def main() -> None:
    """Prepare this process and replace it."""
    parent, death_signal, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    # A shell starts background jobs with SIGINT ignored, and what is ignored stays so over exec.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, death_signal)
    # The parent may have died before the request reached the kernel.
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606 - a fixed program of ours, no shell


if __name__ == "__main__":
    main()
