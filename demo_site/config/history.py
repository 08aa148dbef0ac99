"""The history of the document: what each save replaced, kept in Consul beside it, without secrets.

An entry is written in the transaction of its save, so its own ModifyIndex is the one that the save gave the document.
"""

import re
import secrets
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from ..consul_agent import kv, listing
from ..consul_agent.client import Client
from ..consul_agent.errors import Missing, TooLong
from ..messages import Line
from .masking import INVALID, Difference, Settings, Shown, differences

_READ_SECONDS = 2.0  # for the entries of a page, or of a search
_MOST_SEARCHED = 1000  # as many as DEMO_CONFIG_HISTORY may keep
_NEIGHBOURS = 2  # entries beside those of a page: two clocks may have named neighbours the other way round
_MOST_SETTINGS = 1000


@dataclass(frozen=True)
class Save:
    """One save. `replaced` are the settings that were stored before, at `replaced_index`; None if unreadable.

    `kind` is "edit" or "rollback"; `index` the ModifyIndex that the save gave the document, 0 while it has none. The
    bounds hold where an entry is read: they are above all that this site writes.
    """

    saved_at: Line
    user: Line
    comment: Annotated[str, Field(max_length=5000)]  # 500 as typed, before secrets in it were masked
    kind: Annotated[str, Field(pattern=r"^[a-z_]{1,20}$")]
    replaced_index: Annotated[int, Field(ge=0, lt=2**63)]
    replaced: Annotated[Mapping[Line, Shown], Field(max_length=_MOST_SETTINGS)] | None
    changes: Annotated[tuple[Difference, ...], Field(max_length=_MOST_SETTINGS)]
    id: str = ""
    index: int = 0

    def encoded(self) -> bytes:
        return _JSON.dump_json(self, exclude={"id", "index"})

    @property
    def after(self) -> Settings:
        """The settings that the save put in place; where it is not known what it replaced, all that are set changed."""
        return {**(self.replaced or {}), **{change.setting: change.after for change in self.changes}}

    @property
    def can_be_undone(self) -> bool:
        """Whether it replaced a valid document."""
        return bool(self.replaced_index and self.replaced) and INVALID not in (self.replaced or {}).values()


_JSON = TypeAdapter(Save)


@dataclass(frozen=True)
class Unreadable:
    """An entry that is none: somebody else has written its key, at `index`. It tells nothing about the document."""

    id: str
    index: int


@dataclass(frozen=True)
class Event:
    """One change of the document on the timeline: by a `save`, or with None outside of this site.

    `index` is 0 where the document was deleted. `changes` is None where it is not known what was there, `more` how many
    others are not in it. `entry` is the entry's id, of a change outside the next older one's; `newer` is the save that
    came next. Two are no changes: `is_oldest`, the oldest version that is known of, and `is_unreadable`, an entry that
    cannot be read. `in_force_since` is there for the version that this process runs.
    """

    index: int
    save: Save | None
    changes: Sequence[Difference] | None
    entry: str = ""
    more: int = 0
    is_oldest: bool = False
    is_unreadable: bool = False
    in_force_since: datetime | None = None
    newer: Save | None = None

    @property
    def kind(self) -> str:
        """That of the save; else "outside", or what is no change: "oldest" or "unreadable"."""
        if self.save:
            return self.save.kind
        return "unreadable" if self.is_unreadable else "oldest" if self.is_oldest else "outside"

    @property
    def is_change(self) -> bool:
        return not (self.is_oldest or self.is_unreadable)

    def touches(self, setting: str) -> bool:
        """Whether it changed the setting, or may have."""
        return self.changes is None or any(change.setting == setting for change in self.changes)


def new_id(now: datetime) -> str:
    """A name for an entry: it sorts by time, and no two are equal."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}"


def is_id(text: str) -> bool:
    return re.fullmatch(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{8}", text) is not None


def prefix(key: str) -> str:
    return f"{key}.history/"


def ids(client: Client, key: str) -> tuple[list[str], int]:
    """The entries' ids, newest first, and how many other keys stand beside them. Raises `ConsulError`.

    `TooLong` where there are more keys than can be read.
    """
    names = listing.names(client, prefix(key))
    found = [name for name in reversed(names) if is_id(name)]
    return found, len(names) - len(found)


def surplus(client: Client, key: str, keep: int) -> list[str]:
    """The keys of the entries beyond the newest `keep`, as far as they can be read. Raises `ConsulError`."""
    try:
        return [prefix(key) + name for name in ids(client, key)[0][keep:]]
    except TooLong:
        return []


def position(client: Client, key: str, ids: Sequence[str], index: int) -> int:
    """Where among the `ids`, newest first, the saves begin that made the version at `index` or an older one.

    Reads as many entries as a binary search needs: their names sort as their indexes do. Raises `ConsulError`.
    """

    def age(name: str) -> int:
        _index, entry = kv.query(client, prefix(key) + name)
        return -entry.modify_index if entry else 0  # the oldest go first

    return bisect_left(ids, -index, key=age)


@dataclass(frozen=True)
class Page:
    """Some entries of the history that follow each other, newest first, perhaps with neighbours on both sides.

    `ids` are theirs alone, without those that were not read in time, `unread` of them. `is_first` and `is_last`: it
    begins with the newest entry, or ends with the oldest.
    """

    ids: frozenset[str]
    entries: tuple[Save | Unreadable, ...]
    unread: int
    is_first: bool
    is_last: bool


def read_page(client: Client, key: str, ids: Sequence[str], start: int, end: int) -> Page:
    """The entries of ``ids[start:end]``, where `ids` are all. Raises `ConsulError`."""
    near = ids[max(start - _NEIGHBOURS, 0) : end + _NEIGHBOURS]
    found = listing.some(client, prefix(key), near, _READ_SECONDS)
    own = frozenset(ids[start:end]) & found.keys()
    unread = len(ids[start:end]) - len(own)
    return Page(own, _entries(found), unread, is_first=start == 0, is_last=end >= len(ids) and not unread)


def read_newest(client: Client, key: str, ids: Sequence[str], keys: int) -> Page:
    """The newest entries, as many as can be searched; `ids` are all, `keys` how many keys are there. `ConsulError`."""
    found = listing.entries(client, prefix(key), ids[:_MOST_SEARCHED], keys, _READ_SECONDS)
    unread = len(ids) - len(found)
    return Page(frozenset(found), _entries(found), unread, is_first=True, is_last=not unread)


def _entries(found: Mapping[str, kv.Entry | None]) -> tuple[Save | Unreadable, ...]:
    """What was read under these names, the latest written first."""
    entries = [
        _decoded(entry.value, name, entry.modify_index) or Unreadable(name, entry.modify_index)
        for name, entry in found.items()
        if entry
    ]
    return tuple(sorted(entries, key=lambda entry: entry.index, reverse=True))


def read(client: Client, key: str, save_id: str) -> Save | None:
    try:
        entry = kv.read(client, prefix(key) + save_id)
    except Missing:
        return None
    return _decoded(entry.value, save_id, entry.modify_index)


def _decoded(raw: bytes, save_id: str, index: int) -> Save | None:
    try:
        return replace(_JSON.validate_json(raw, strict=True), id=save_id, index=index)
    except ValidationError:
        return None


def timeline(page: Page, index: int, current: Settings | None) -> Iterator[Event]:
    """The changes of a page, newest first: the saves, and between them what was written by others.

    `index` and `current` are the document as it is stored now.
    """
    for event in _events(page.entries, index if page.is_first else None, current):
        if event.entry in page.ids or (page.is_last and not event.entry):
            yield event


def _events(entries: Sequence[Save | Unreadable], index: int | None, current: Settings | None) -> Iterator[Event]:
    """What the entries tell. `index` and `current` are the document after them, None where that is not known."""
    newer: Save | None = None
    for entry in entries:
        if isinstance(entry, Unreadable):
            yield Event(entry.index, None, None, entry.id, is_unreadable=True)
            continue
        if index is not None and index != entry.index:
            yield Event(index, None, _between(entry.after, current), entry.id, newer=newer)
        yield Event(entry.index, entry, entry.changes, entry.id)
        index, current, newer = entry.replaced_index, entry.replaced, entry
    if index:
        yield Event(index, None, None, is_oldest=True, newer=newer)
    elif index is not None and newer is None:
        yield Event(index, None, None)  # deleted


def _between(before: Settings, after: Settings | None) -> Sequence[Difference] | None:
    return None if after is None else differences(before, after)
