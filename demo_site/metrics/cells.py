"""Numbers that the processes of one instance share; each process writes a row of its own.

A process claims a row with a lock that the kernel releases when the process dies. The next one continues with the
numbers in that row, so a total over all rows never decreases, whatever happens to a worker, and no row leaks. A number
is 8 aligned bytes, so a reader sees either the old or the new value.
"""

import os
import threading
from collections.abc import Iterator
from typing import Any

from ..instance.memory import SharedMemory, lives

_ROWS = 1024  # more processes than an instance ever has at once; unused rows take no memory
_WIDTH = 128  # numbers in a row; the first is the pid of its process
_PID = 0

_memory = SharedMemory(_ROWS * _WIDTH * 8)
_numbers = memoryview(_memory.data).cast("d")
_allocated = _PID + 1
_resetting: list[int] = []  # cells that are void after the death of their process
_lock = threading.RLock()  # reentrant, because the garbage collector may close a connection, which counts it
_row: Any = None  # this process's


def allocate(count: int = 1, *, survives: bool = True) -> int:
    """Allocate `count` cells in every row and return the first. Call it at import time, before any fork.

    A cell that does not survive its process starts again at 0.
    """
    global _allocated
    first, _allocated = _allocated, _allocated + count
    if _allocated > _WIDTH:
        raise RuntimeError("more metrics than fit into a row: raise _WIDTH")
    if not survives:
        _resetting.extend(range(first, _allocated))
    return first


def add(cell: int, amount: float = 1.0) -> None:
    with _lock:
        row = _row or _claim()
        row[cell] += amount


def add_pair(cell: int, other: int, amount: float) -> None:
    """Count 1 in `cell` and `amount` in `other`."""
    with _lock:
        row = _row or _claim()
        row[cell] += 1.0
        row[other] += amount


def put(cell: int, value: float) -> None:
    with _lock:
        row = _row or _claim()
        row[cell] = value


def total(cell: int) -> float:
    """The sum over all processes, dead ones included."""
    return float(sum(row[cell] for row in _rows()))


def of_living(cell: int) -> list[float]:
    """The numbers of the living processes."""
    return [row[cell] for row in _rows() if lives(int(row[_PID]))]


def _rows() -> Iterator[Any]:
    for start in range(0, len(_numbers), _WIDTH):
        row = _numbers[start : start + _WIDTH]
        if not row[_PID]:
            return  # processes claim the lowest free row, so the rows after this one are unused
        yield row


def _claim() -> Any:
    global _row
    for number in range(_ROWS):
        if _memory.try_lock(number):
            row = _numbers[number * _WIDTH : (number + 1) * _WIDTH]
            for cell in _resetting:
                row[cell] = 0.0
            row[_PID] = float(os.getpid())
            _row = row
            return row
    raise RuntimeError("more processes than there are rows: raise _ROWS")


def _begin_anew() -> None:
    """A forked process claims a row of its own, and another thread may have held the lock during the fork."""
    global _row, _lock
    _row, _lock = None, threading.RLock()


os.register_at_fork(after_in_child=_begin_anew)
