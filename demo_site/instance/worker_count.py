"""How many workers this instance should have: gunicorn's master writes it to memory that its workers share."""

from .memory import SharedMemory

_memory = SharedMemory(4)


def remember(workers: int) -> None:
    """Store the number for all workers, also for those that already run: TTIN and TTOU change it."""
    _memory.data[:] = workers.to_bytes(4)


def workers() -> int:
    """The number of workers; 1 outside gunicorn."""
    return int.from_bytes(_memory.data[:]) or 1
