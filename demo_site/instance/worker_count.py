"""How many workers this instance should have: gunicorn's master writes it to memory that its workers share."""

import struct

from .memory import SharedMemory

_NUMBER = struct.Struct("<I")
_memory = SharedMemory(_NUMBER.size)


def remember(workers: int) -> None:
    """Store the number for all workers, also for those that already run: TTIN and TTOU change it."""
    _memory.data[:] = _NUMBER.pack(workers)


def workers() -> int:
    """The number of workers; 1 outside gunicorn."""
    number: int = _NUMBER.unpack(_memory.data[:])[0]
    return number or 1
