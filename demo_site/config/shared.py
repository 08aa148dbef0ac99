"""The revision in force, as the processes of an instance share it: what a replaced worker starts on.

The snapshot, for a start without Consul, is written from here too: only the revision that is in force may get there.
"""

import json
import logging
import struct
import zlib
from datetime import datetime
from pathlib import Path

from ..document.parsing import MAX_BYTES, parse_again
from ..instance.memory import SharedMemory
from . import snapshot
from .revision import Revision, StoredRevision

# Two slots, written in turn: a writer that is killed half way leaves the other one whole. Each holds a sequence number,
# the lengths of its two parts, a checksum of all, then the parts: where the document came from, and its bytes.
_FACTS, _CHECKSUM = struct.Struct("<QII"), struct.Struct("<I")
_HEADER_SIZE = _FACTS.size + _CHECKSUM.size
_SLOT = _HEADER_SIZE + 64 * 1024 + MAX_BYTES

logger = logging.getLogger(__name__)


class SharedRevision:
    """One revision in shared memory, made before the workers are forked. Read and write while holding `locked()`."""

    def __init__(self) -> None:
        self._memory = SharedMemory(2 * _SLOT)
        self.locked = self._memory.locked

    def write(self, value: StoredRevision) -> None:
        """Put `value` in the place of the last one."""
        facts = [value.kind, value.place, value.index, value.loaded_at.isoformat(), value.generation]
        origin = json.dumps(facts).encode()
        content = origin + value.raw
        sequence = self._newest()[0] + 1
        slot = sequence % 2 * _SLOT
        body = slot + _HEADER_SIZE
        self._memory.data[body : body + len(content)] = content
        head = _FACTS.pack(sequence, len(origin), len(value.raw))
        self._memory.data[slot:body] = head + _CHECKSUM.pack(_checksum(head, content))

    def read(self) -> StoredRevision | None:
        """The last one written whole, if any. Not parsed: the lock should not be held so long."""
        return self._newest()[1]

    def _newest(self) -> tuple[int, StoredRevision | None]:
        whole = [slot for slot in map(self._slot, (0, _SLOT)) if slot is not None]
        if not whole:
            return 0, None
        sequence, origin, raw = max(whole)
        kind, place, index, loaded_at, generation = json.loads(origin)
        return sequence, StoredRevision(raw, kind, place, index, datetime.fromisoformat(loaded_at), generation)

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


class SharedState:
    """The revision that the processes of an instance agreed on last, and the snapshot of it.

    Made before the workers are forked, with the revision of the start. Only those that serve write the snapshot.
    """

    def __init__(self, snapshot_path: Path | None, revision: Revision | None) -> None:
        self._shared = SharedRevision()
        self._snapshot = snapshot_path
        self._snapshot_error = ""
        if revision:
            self._shared.write(revision)

    def read(self) -> Revision | None:
        """The revision that the instance has in force."""
        stored = self._stored()
        return _parsed(stored) if stored else None

    def newer_than(self, revision: Revision) -> Revision | None:
        """What another process has put in force since `revision` was, if any did."""
        stored = self._stored()
        is_newer = stored and revision.older_than(stored) and not stored.same_as(revision)
        return _parsed(stored) if stored and is_newer else None

    def _stored(self) -> StoredRevision | None:
        """Parsed after the lock is released: the other processes wait for it."""
        with self._shared.locked():
            return self._shared.read()

    def publish(self, revision: Revision) -> None:
        """Share `revision` with the other processes, unless they have it already, or one that came after it."""
        with self._shared.locked():
            stored = self._shared.read()
            if stored is None or not (revision.older_than(stored) or stored.same_as(revision)):
                self._shared.write(revision)

    def save_snapshot(self, revision: Revision, right_at: datetime) -> None:
        """Write the snapshot, if `revision` is the one in force; `right_at` is when Consul was last seen to have it."""
        if self._snapshot is None or revision.kind != "consul":
            return
        with self._shared.locked():
            stored = self._shared.read()
            if stored and stored.same_as(revision):
                self._write_snapshot(self._snapshot, revision, right_at)

    def _write_snapshot(self, path: Path, revision: Revision, right_at: datetime) -> None:
        try:
            snapshot.keep(path, revision, right_at)
            self._snapshot_error = ""
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if reason != self._snapshot_error:  # logged once, not at every answer of Consul
                logger.error("The snapshot %s cannot be written: %s", path, reason)
            self._snapshot_error = reason


def _parsed(stored: StoredRevision) -> Revision:
    return Revision(**vars(stored), document=parse_again(stored.raw))
