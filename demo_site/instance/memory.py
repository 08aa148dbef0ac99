"""What the processes of one running instance share: memory that forked workers inherit, and locks on it."""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager


class SharedMemory:
    """`size` bytes that this process shares with every process it forks later, and no other.

    `data` is the memory. Locks are POSIX record locks on single offsets of it (fcntl(2)): they exclude processes, not
    threads, and the kernel releases them when their holder dies, however it dies.
    """

    def __init__(self, size: int) -> None:
        self._file = _unnamed_file()
        os.ftruncate(self._file, size)
        self.data = mmap.mmap(self._file, size)

    @contextmanager
    def locked(self, offset: int = 0) -> Iterator[None]:
        """Hold the lock on `offset`, waiting for it."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, offset)
        try:
            yield
        finally:
            self.unlock(offset)

    def try_lock(self, offset: int = 0) -> bool:
        """Take the lock on `offset`, if no other process holds it, and keep it."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except (BlockingIOError, PermissionError):  # which of the two, POSIX leaves open
            return False
        return True

    def unlock(self, offset: int = 0) -> None:
        """Release the lock on `offset`."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, offset)


def lives(pid: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _unnamed_file() -> int:
    """Memory on Linux; elsewhere a file without a name. Either is private and goes with its last process."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("demo_site")
    import tempfile  # here, because Linux does without

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
