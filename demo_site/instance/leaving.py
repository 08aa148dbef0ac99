"""The end of an instance under gunicorn: after SIGTERM it serves on for the drain, whoever registers it.

docs/decisions/leaving.md gives the reasons. gunicorn.conf.py calls `prepare`, and `hand_over` of `current`.
"""

import os
import signal
from typing import Any

from .latch import Latch
from .memory import SharedMemory, lives


class Leaving:
    """The state that the processes of an instance share. Create it in the master, before any fork."""

    def __init__(self, predecessor: int) -> None:
        self._master_pid = os.getpid()
        self._predecessor = predecessor
        self._successor = SharedMemory(8)  # the pid of a new master
        self.latch = Latch()

    # In the master, which has no threads: they would not survive its forks.

    def drain_before_stopping(self, seconds: float) -> None:
        """On SIGTERM, tell the workers, and let the drain pass before gunicorn's own handler runs."""
        stop: Any = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGALRM, lambda _number, frame: stop(signal.SIGTERM, frame))

        def leave(number: int, frame: Any) -> None:
            is_first = os.getpid() == self._master_pid and not self.latch.is_set
            if is_first and not self.is_one_of_two():
                self.latch.set()
                signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
            else:
                signal.setitimer(signal.ITIMER_REAL, 0)
                stop(number, frame)

        signal.signal(signal.SIGTERM, leave)

    def hand_over(self) -> None:
        """Mark this process, a fork of the master, as the master of a new version at the same address (SIGUSR2)."""
        self._successor.data[:] = os.getpid().to_bytes(8, "big")

    def is_one_of_two(self) -> bool:
        """Whether another master serves at the same address under the same entry: an upgrade is in progress.

        When the old master dies, the new one gets another parent; gunicorn uses the same sign.
        """
        return self.has_successor() or (self._predecessor != 0 and os.getppid() == self._predecessor)

    def has_successor(self) -> bool:
        """Whether it is this master that will end with the upgrade."""
        pid = int.from_bytes(self._successor.data[:], "big")
        return pid != 0 and lives(pid)


current: Leaving | None = None  # None under other servers: runserver ends at once


def prepare(master: Any, drain_seconds: float) -> Leaving:
    """Have gunicorn's master leave before it stops."""
    global current
    current = Leaving(predecessor=master.master_pid)
    current.drain_before_stopping(drain_seconds)
    return current


def is_leaving() -> bool:
    """Whether this instance has been told to end."""
    return current is not None and current.latch.is_set
