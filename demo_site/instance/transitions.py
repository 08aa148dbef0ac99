"""When the state of Consul, Redis and the registration last changed, in memory that an instance's workers share.

The watch, `/readyz` and the admin record what they see. So the time depends neither on who views the page nor on the
worker that renders it.
"""

import struct
import threading
import time
from datetime import UTC, datetime

from .memory import SharedMemory

_LEVELS = ("not seen yet", "good", "note", "bad")
_RECORD = struct.Struct("<dQ")  # the Unix time of the transition, and the level
_OFFSETS = {what: number * _RECORD.size for number, what in enumerate(("Consul", "Redis", "Registration"))}
_memory = SharedMemory(len(_OFFSETS) * _RECORD.size)
_threads = threading.Lock()  # the memory's own locks exclude processes only


def seen(what: str, level: str) -> datetime:
    """Record that `what` is good, note or bad now; returns the time since when it is."""
    offset, now = _OFFSETS[what], _LEVELS.index(level)
    began, before = _RECORD.unpack_from(_memory.data, offset)
    if before == now:  # nearly always; when the document changes, all workers call this at once
        return datetime.fromtimestamp(began, UTC)
    with _threads, _memory.locked(offset):
        began, before = _RECORD.unpack_from(_memory.data, offset)
        if before != now:
            began = time.time()
            _RECORD.pack_into(_memory.data, offset, began, now)
    return datetime.fromtimestamp(began, UTC)
