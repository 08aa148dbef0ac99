"""Since when Consul, Redis and the registration are as they are, in memory that the workers of an instance share.

Noted wherever one of them is asked: by the watch, by `/readyz`, for the admin. So the moment does not depend on who
looks at the page, nor on the worker that makes it.
"""

import struct
import threading
import time
from datetime import UTC, datetime

from .memory import SharedMemory

_LEVELS = ("not seen yet", "good", "note", "bad")
_RECORD = struct.Struct("<dQ")  # the Unix time of a level's begin, and the level
_OFFSETS = {what: number * _RECORD.size for number, what in enumerate(("Consul", "Redis", "Registration"))}
_memory = SharedMemory(len(_OFFSETS) * _RECORD.size)
_threads = threading.Lock()  # the memory's own locks exclude processes only


def seen(what: str, level: str) -> datetime:
    """Note that `what` is good, note or bad now; since when it has been seen so."""
    offset, now = _OFFSETS[what], _LEVELS.index(level)
    began, before = _RECORD.unpack_from(_memory.data, offset)
    if before == now:  # nearly always: all workers come here at once when the document changes
        return datetime.fromtimestamp(began, UTC)
    with _threads, _memory.locked(offset):
        began, before = _RECORD.unpack_from(_memory.data, offset)
        if before != now:
            began = time.time()
            _RECORD.pack_into(_memory.data, offset, began, now)
    return datetime.fromtimestamp(began, UTC)
