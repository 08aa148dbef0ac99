"""A revision: a document together with where it came from and when."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..document.model import Document
from ..document.parsing import parse
from ..messages import Message, _


def timestamp(moment: datetime) -> str:
    """The moment in ISO 8601, UTC, with milliseconds: texts of this form sort as the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class StoredRevision:
    """A revision as bytes, not parsed.

    `kind` is "consul", "file" or "snapshot", `place` the key or the file's path, `raw` the document's bytes.
    `generation` counts how often the key's index was seen to go back: a Consul that lost its state, or was restored.
    """

    raw: bytes = field(repr=False)
    kind: str
    place: str
    index: int | None
    loaded_at: datetime
    generation: int

    @property
    def origin(self) -> Message:
        """For people: "Consul key KEY, ModifyIndex 86"."""
        if self.kind == "file":
            return _("file %(path)s", path=self.place)
        where = {"key": self.place, "index": self.index}
        if self.kind == "snapshot":
            return _("snapshot of Consul key %(key)s, ModifyIndex %(index)s", **where)
        return _("Consul key %(key)s, ModifyIndex %(index)s", **where)

    def same_as(self, other: "StoredRevision") -> bool:
        """Whether both are the same write of the same value (a Consul that lost its state may reuse an index)."""
        return (self.kind, self.index, self.raw) == (other.kind, other.index, other.raw)

    def older_than(self, other: "StoredRevision") -> bool:
        """Whether `other` came after this one: by Consul's own order where there is one, else by when each was loaded.

        Which of two processes parsed first does not tell in which order their documents were put.
        """
        if self.kind == other.kind == "consul" and self.generation == other.generation:
            return (self.index or 0) < (other.index or 0)
        return self.loaded_at < other.loaded_at <= datetime.now(UTC)  # else the clock was set back since


@dataclass(frozen=True)
class Revision(StoredRevision):
    """A revision whose document is valid. `unconfirmed`: why it may not be what Consul holds, if no leader said so."""

    document: Document
    unconfirmed: Message | None = None


def parsed(
    raw: bytes, kind: str, place: str, index: int | None = None, at: datetime | None = None, generation: int = 0
) -> Revision:
    """Parse `raw`; `at` is when it was loaded, now unless given. Raises `DocumentInvalid`."""
    return Revision(raw, kind, place, index, at or datetime.now(UTC), generation, parse(raw))
