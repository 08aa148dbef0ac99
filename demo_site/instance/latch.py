"""A word from one process to all of its children: set once, seen by each, and whoever waits for it wakes."""

import os
import select


class Latch:
    """To be made before the fork. It is a pipe with a byte in it that nobody reads, so it stays set for everyone."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def set(self) -> None:
        """Set it. Safe in a signal handler."""
        os.write(self._write, b"!")

    def wait(self, seconds: float) -> bool:
        """Whether it is set; waits for that, for so long at most."""
        return bool(select.select([self._read], [], [], seconds)[0])

    @property
    def is_set(self) -> bool:
        return self.wait(0)
