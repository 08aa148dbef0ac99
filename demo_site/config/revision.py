"""A document together with where it came from."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..document.parsing import Document, parse


@dataclass(frozen=True)
class Stored:
    """A document as it was stored, and where it came from.

    `kind` is "consul", "file" or "snapshot", `place` the key or the file's path, `raw` the document's bytes.
    `generation` is how often the key's index was seen to go back: by a Consul that lost its state, or was restored.
    """

    raw: bytes = field(repr=False)
    kind: str
    place: str
    index: int | None
    loaded_at: datetime
    generation: int

    @property
    def origin(self) -> str:
        """For people: "Consul key KEY, ModifyIndex 86"."""
        if self.kind == "file":
            return f"file {self.place}"
        snapshot = "snapshot of " if self.kind == "snapshot" else ""
        return f"{snapshot}Consul key {self.place}, ModifyIndex {self.index}"

    def same_as(self, other: "Stored") -> bool:
        """Whether both are the same write of the same value (a Consul that lost its state may reuse an index)."""
        return (self.kind, self.index, self.raw) == (other.kind, other.index, other.raw)

    def older_than(self, other: "Stored") -> bool:
        """Whether `other` came after this one: by Consul's own order where there is one, else by when each was loaded.

        Which of two processes parsed first says nothing of the order in which their documents were put.
        """
        if self.kind == other.kind == "consul" and self.generation == other.generation:
            return (self.index or 0) < (other.index or 0)
        return self.loaded_at < other.loaded_at <= datetime.now(UTC)  # else the clock was set back since


@dataclass(frozen=True)
class Loaded(Stored):
    """A valid document and where it came from."""

    document: Document


def loaded(
    raw: bytes, kind: str, place: str, index: int | None = None, at: datetime | None = None, generation: int = 0
) -> Loaded:
    """Parse `raw`; `at` is when it was loaded, now unless given. Raises `DocumentInvalid`."""
    return Loaded(raw, kind, place, index, at or datetime.now(UTC), generation, parse(raw))
