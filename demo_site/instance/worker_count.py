"""How many workers this instance should have: gunicorn's master knows, its workers inherit the memory it is kept in."""

import struct

from .memory import SharedMemory

_NUMBER = struct.Struct("<I")
_memory = SharedMemory(_NUMBER.size)


def remember(workers: int) -> None:
    """Tell every worker of this instance, those that run already included: TTIN and TTOU change the number."""
    _memory.data[:] = _NUMBER.pack(workers)


def workers() -> int:
    """The number; 1 outside gunicorn."""
    number: int = _NUMBER.unpack(_memory.data[:])[0]
    return number or 1
