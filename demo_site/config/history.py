"""The history of the document: what each save replaced, kept in Consul beside it, without secrets.

An entry is written in the transaction of its save, so its own ModifyIndex is the one that the save gave the document.
"""

import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pydantic import TypeAdapter

from ..consul_agent import kv
from ..consul_agent.client import Client
from ..consul_agent.errors import Garbled, Missing, Unreachable
from .masking import Difference, Settings, differences

_READ_SECONDS = 10.0  # for all entries, where they are read one by one


@dataclass(frozen=True)
class Save:
    """One save. `replaced` are the settings that were stored before, at `replaced_index`; None if unreadable.

    `kind` is "edit" or "rollback"; `index` the ModifyIndex that the save gave the document, 0 while it has none.
    """

    saved_at: str
    user: str
    comment: str
    kind: str
    replaced_index: int
    replaced: Settings | None
    changes: tuple[Difference, ...]
    id: str = ""
    index: int = 0

    def encoded(self) -> bytes:
        return _JSON.dump_json(self, exclude={"id", "index"})

    @property
    def after(self) -> Settings | None:
        """The settings that the save put in place."""
        if self.replaced is None:
            return None
        return {**self.replaced, **{change.setting: change.after for change in self.changes}}


_JSON = TypeAdapter(Save)


@dataclass(frozen=True)
class Event:
    """One change of the document on the timeline: by a `save`, or with None outside of this site.

    `index` is 0 where the document was deleted. `changes` is None where it is not known what was there. `is_oldest`:
    not a change, but what the oldest one replaced. `in_force_since` is there for the version that this process runs.
    """

    index: int
    save: Save | None
    changes: Sequence[Difference] | None
    is_oldest: bool = False
    in_force_since: datetime | None = None


def new_id(now: datetime) -> str:
    """A name for an entry: it sorts by time, and no two are equal."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}"


def is_id(text: str) -> bool:
    return re.fullmatch(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{8}", text) is not None


def prefix(key: str) -> str:
    return f"{key}.history/"


def keys(client: Client, key: str) -> list[str]:
    """The entries' keys, newest first. What others put beside them does not count."""
    _, found = client.kv.get(prefix(key), keys=True)
    return sorted([name for name in found or [] if is_id(name.removeprefix(prefix(key)))], reverse=True)


def newest(client: Client, key: str, count: int) -> list[Save]:
    """The newest saves, newest first. What is no entry of ours is left out."""
    return _by_index(read(client, key, name.removeprefix(prefix(key))) for name in keys(client, key)[:count])


def read_all(client: Client, key: str) -> tuple[list[Save], int]:
    """Every save, newest first, and how many could not be read in time.

    In one request; where that is too much for one answer, one by one.
    """
    start = len(prefix(key))
    try:
        entries = kv.tree(client, prefix(key))
    except (Unreachable, Garbled):
        names, deadline = keys(client, key), time.monotonic() + _READ_SECONDS
        found: list[Save | None] = []
        while len(found) < len(names) and time.monotonic() < deadline:
            found.append(read(client, key, names[len(found)][start:]))
        return _by_index(found), len(names) - len(found)
    return _by_index(_decoded(entry.value, entry.key[start:], entry.modify_index) for entry in entries), 0


def _by_index(saves: Iterable[Save | None]) -> list[Save]:
    return sorted([save for save in saves if save], key=lambda save: save.index, reverse=True)


def read(client: Client, key: str, save_id: str) -> Save | None:
    try:
        entry = kv.read(client, prefix(key) + save_id)
    except Missing:
        return None
    return _decoded(entry.value, save_id, entry.modify_index)


def _decoded(raw: bytes, save_id: str, index: int) -> Save | None:
    try:
        return replace(_JSON.validate_json(raw), id=save_id, index=index)
    except (ValueError, RecursionError):
        return None


def timeline(saves: Sequence[Save], index: int, current: Settings | None) -> Iterator[Event]:
    """The changes, newest first: the saves, and between them what was written by others.

    `saves` are newest first; `index` and `current` are the document as it is stored now.
    """
    for save in saves:
        if index != save.index:
            yield Event(index, None, _between(save.after, current))
        yield Event(save.index, save, save.changes)
        index, current = save.replaced_index, save.replaced
    if not saves:
        yield Event(index, None, None)
    elif index:
        yield Event(index, None, None, is_oldest=True)


def _between(before: Settings | None, after: Settings | None) -> Sequence[Difference] | None:
    return None if before is None or after is None else differences(before, after)
