"""Memory that forked workers inherit, and locks on it."""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager


class SharedMemory:
    """`size` bytes, `data`, that this process shares with every process it forks later, and no other.

    A lock is a POSIX record lock on one offset (fcntl(2)): it excludes processes, not threads, and the kernel releases
    it when its holder dies, however it dies.
    """

    def __init__(self, size: int) -> None:
        self._file = _unnamed_file()
        os.ftruncate(self._file, size)
        self.data = mmap.mmap(self._file, size)

    @contextmanager
    def locked(self, offset: int = 0) -> Iterator[None]:
        """Wait for the lock on `offset` and hold it."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, offset)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, offset)

    def try_lock(self, offset: int = 0) -> bool:
        """Take the lock on `offset`, if no other process holds it, for the life of this process."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except (BlockingIOError, PermissionError):  # POSIX allows either
            return False
        return True


def lives(pid: int) -> bool:
    """Whether a process with this number exists."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def _unnamed_file() -> int:
    """Memory on Linux, elsewhere an unlinked file. Either is private and disappears with its last process."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("demo_site")
    import tempfile  # here, because Linux does not need it

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
