"""The value in force, in memory that the instance's processes share: what a replaced worker starts on."""

import json
import struct
import zlib
from datetime import datetime

from ..document.parsing import MAX_BYTES
from ..instance.memory import SharedMemory
from .revision import Stored

# Two slots, written in turn: a writer that is killed half way leaves the other one whole. Each holds a sequence number,
# the lengths of its two parts, a checksum of all, then the parts: where the document came from, and its bytes.
_FACTS, _CHECKSUM = struct.Struct("<QII"), struct.Struct("<I")
_HEADER_SIZE = _FACTS.size + _CHECKSUM.size
_SLOT = _HEADER_SIZE + 64 * 1024 + MAX_BYTES


class Handover:
    """Made before the workers are forked; each writes what it puts in force, a new one reads what is.

    Read and write while holding `locked()`.
    """

    def __init__(self) -> None:
        self._memory = SharedMemory(2 * _SLOT)
        self.locked = self._memory.locked

    def write(self, value: Stored) -> None:
        """Keep `value` as the one in force."""
        facts = [value.kind, value.place, value.index, value.loaded_at.isoformat(), value.generation]
        origin = json.dumps(facts).encode()
        content = origin + value.raw
        sequence = self._newest()[0] + 1
        slot = sequence % 2 * _SLOT
        body = slot + _HEADER_SIZE
        self._memory.data[body : body + len(content)] = content
        head = _FACTS.pack(sequence, len(origin), len(value.raw))
        self._memory.data[slot:body] = head + _CHECKSUM.pack(_checksum(head, content))

    def read(self) -> Stored | None:
        """The value in force, or None when none was written yet. Not parsed: a lock should not be held so long."""
        return self._newest()[1]

    def _newest(self) -> tuple[int, Stored | None]:
        whole = [slot for slot in map(self._slot, (0, _SLOT)) if slot is not None]
        if not whole:
            return 0, None
        sequence, origin, raw = max(whole)
        kind, place, index, loaded_at, generation = json.loads(origin)
        return sequence, Stored(raw, kind, place, index, datetime.fromisoformat(loaded_at), generation)

    def _slot(self, start: int) -> tuple[int, bytes, bytes] | None:
        body = start + _HEADER_SIZE
        facts = self._memory.data[start : start + _FACTS.size]
        sequence, origin_size, raw_size = _FACTS.unpack(facts)
        content = self._memory.data[body : body + min(origin_size + raw_size, _SLOT - _HEADER_SIZE)]
        if _CHECKSUM.pack(_checksum(facts, content)) != self._memory.data[start + _FACTS.size : body]:
            return None
        return sequence, content[:origin_size], content[origin_size:]


def _checksum(facts: bytes, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(facts))
