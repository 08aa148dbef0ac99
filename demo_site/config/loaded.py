"""A document together with where it came from."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from .document import Document, parse


@dataclass(frozen=True)
class Stored:
    """A document as it was stored, and where it came from.

    `kind` is "consul", "file" or "snapshot", `place` the key or the file's path, `raw` the document's bytes.
    """

    raw: bytes = field(repr=False)
    kind: str
    place: str
    index: int | None
    loaded_at: datetime

    @property
    def origin(self) -> str:
        """For people: "Consul key demo-config, ModifyIndex 86"."""
        if self.kind == "file":
            return f"file {self.place}"
        snapshot = "snapshot of " if self.kind == "snapshot" else ""
        return f"{snapshot}Consul key {self.place}, ModifyIndex {self.index}"

    def same_as(self, other: "Stored") -> bool:
        """Whether both are the same write of the same value (a Consul that lost its state may reuse an index)."""
        return (self.kind, self.index, self.raw) == (other.kind, other.index, other.raw)


@dataclass(frozen=True)
class Loaded(Stored):
    """A valid document and where it came from."""

    document: Document


def loaded(raw: bytes, kind: str, place: str, index: int | None = None, at: datetime | None = None) -> Loaded:
    """Parse `raw`; `at` is when it was loaded, now unless given. Raises `DocumentInvalid`."""
    return Loaded(raw, kind, place, index, at or datetime.now(UTC), parse(raw))
