"""An event that a process sets once for all of its children, and that wakes those that wait for it."""

import os
import select


class Latch:
    """Create it before the fork. It is a pipe: nobody reads its byte, so it stays set for all processes."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def set(self) -> None:
        """Set it. Safe in a signal handler."""
        os.write(self._write, b"!")

    def fileno(self) -> int:
        """Readable once it is set: for an event loop."""
        return self._read

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for it to be set; whether it is."""
        return bool(select.select([self._read], [], [], seconds)[0])

    @property
    def is_set(self) -> bool:
        return self.wait(0)
