"""What outlives a worker: the handover to those that replace it, and the snapshot for the next start."""

import logging
from datetime import UTC, datetime
from pathlib import Path

from . import snapshot
from .handover import Handover
from .loaded import Loaded, loaded

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
        with self._handover.locked():
            kept = self._handover.read()
        if kept is None:
            return None
        return loaded(kept.raw, kept.kind, kept.place, kept.index, kept.loaded_at, kept.generation)

    def keep(self, value: Loaded) -> None:
        """Keep `value`, unless another process has kept it already, or one that came after it."""
        with self._handover.locked():
            kept = self._handover.read()
            if kept and value.older_than(kept):
                return
            if kept is None or not kept.same_as(value):
                self._handover.write(value)
            self._keep_snapshot(value, value.loaded_at)

    def confirm(self, value: Loaded) -> None:
        """Consul was just seen to hold `value` still."""
        if self._snapshot:
            with self._handover.locked():
                kept = self._handover.read()
                if kept and kept.same_as(value):
                    self._keep_snapshot(value, datetime.now(UTC))

    def _keep_snapshot(self, value: Loaded, right_at: datetime) -> None:
        if self._snapshot is None or value.kind != "consul":
            return
        try:
            snapshot.keep(self._snapshot, value, right_at)
            self._snapshot_error = ""
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if reason != self._snapshot_error:  # said once, not at every answer of Consul
                logger.error("The snapshot %s cannot be written: %s", self._snapshot, reason)
            self._snapshot_error = reason
