"""What outlives a worker: the handover to those that replace it, and the snapshot for the next start."""

import logging
from datetime import datetime
from pathlib import Path

from ..document.parsing import parse_again
from . import snapshot
from .revision import Loaded, Stored
from .shared import Handover

logger = logging.getLogger(__name__)


class Kept:
    """The value that an instance has in force, as its processes last agreed.

    Made before the workers are forked, with the value of the start. The snapshot is written by those that serve only.
    """

    def __init__(self, snapshot_path: Path | None, value: Loaded | None) -> None:
        self._handover = Handover()
        self._snapshot = snapshot_path
        self._snapshot_error = ""
        if value:
            self._handover.write(value)

    def read(self) -> Loaded | None:
        """The value that the instance has in force."""
        kept = self._stored()
        return _parsed(kept) if kept else None

    def newer_than(self, value: Loaded) -> Loaded | None:
        """What another process has put in force since `value` was, if any did."""
        kept = self._stored()
        return _parsed(kept) if kept and value.older_than(kept) and not kept.same_as(value) else None

    def _stored(self) -> Stored | None:
        """Not parsed under the lock: the others wait for it."""
        with self._handover.locked():
            return self._handover.read()

    def keep(self, value: Loaded) -> None:
        """Keep `value` for the other processes, unless one has kept it already, or one that came after it."""
        with self._handover.locked():
            kept = self._handover.read()
            if kept is None or not (value.older_than(kept) or kept.same_as(value)):
                self._handover.write(value)

    def save(self, value: Loaded, right_at: datetime) -> None:
        """Write the snapshot, if `value` is the one in force; `right_at` is when Consul was last seen to hold it."""
        if self._snapshot is None or value.kind != "consul":
            return
        with self._handover.locked():
            kept = self._handover.read()
            if kept and kept.same_as(value):
                self._write_snapshot(self._snapshot, value, right_at)

    def _write_snapshot(self, path: Path, value: Loaded, right_at: datetime) -> None:
        try:
            snapshot.keep(path, value, right_at)
            self._snapshot_error = ""
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if reason != self._snapshot_error:  # said once, not at every answer of Consul
                logger.error("The snapshot %s cannot be written: %s", path, reason)
            self._snapshot_error = reason


def _parsed(kept: Stored) -> Loaded:
    document = parse_again(kept.raw)
    return Loaded(kept.raw, kept.kind, kept.place, kept.index, kept.loaded_at, kept.generation, document)
