"""What a change starts from, and whether a changed document may be saved."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from ..document import fields
from ..document.parsing import Document, Fault
from ..redis_cache.lazy import LazyClient
from . import changes
from .live import Live
from .repository import Stored
from .revision import Loaded


@dataclass(frozen=True)
class Base:
    """The document that a change starts from, and the ModifyIndex that it must still have when it is saved.

    `members` is its JSON object, unknown members included; `values` holds each setting by path, a secret as a
    `SecretStr`. `faults` says what is wrong with the stored document; those settings are the ones in force.
    """

    index: int
    members: Mapping[str, Any] = field(repr=False)
    values: Mapping[str, Any]
    faults: tuple[Fault, ...] = ()

    def changed(self, new: Mapping[str, Any]) -> bytes:
        """The document with these settings, by path; None takes an optional one away."""
        new_values = {path: changes.REMOVED if value is None else value for path, value in new.items()}
        return changes.changed(self.members, {p: v for p, v in new_values.items() if not self._holds(p, v)})

    def _holds(self, path: str, value: Any) -> bool:
        held = _member(self.members, path)
        return (
            held is value or (held is None and value is changes.REMOVED) or (type(held), held) == (type(value), value)
        )


def base(stored: Stored, in_force: Loaded) -> Base:
    """Start from what is stored; where that is missing or wrong, from what is in force."""
    if stored.document:
        return Base(stored.index, changes.json_object(stored.raw) or {}, fields.values(stored.document))
    values = fields.values(in_force.document)
    members = changes.json_object(stored.raw)
    if members is None:
        faults = stored.faults if stored.index else ()
        return Base(stored.index, changes.json_object(in_force.raw) or {}, values, faults)
    wrong = {fault.path for fault in stored.faults}
    usable = {path: _typed(setting, members) for path, setting in _by_path().items() if not _is_wrong(path, wrong)}
    return Base(stored.index, members, {**values, **usable}, stored.faults)


def secrets_in_force(live: Live, stored: Stored) -> Mapping[str, Any]:
    """The secrets that a rollback keeps, by path: the stored ones, unless the stored document is in force nowhere."""
    rejected = live.status.rejected
    unusable = stored.document is None or (rejected is not None and rejected.index == stored.index)
    document: Document = live.in_force.document if unusable or stored.document is None else stored.document
    return {path: value for path, value in fields.values(document).items() if _by_path()[path].secret}


def plain(value: Any) -> Any:
    """A setting's value as it stands in the JSON document."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def probe_faults(document: Document) -> list[tuple[str, str]]:
    """Why the Redis that the document names cannot be used: pairs of path and problem. Empty when it answers."""
    from ..redis_cache import probe  # redis-py takes 0.15 s to import

    client = LazyClient(document.redis_config)
    try:
        found = [fault.partition(": ") for fault in probe.faults(client)]
    finally:
        client.retire()
    return [(path, problem) for path, _, problem in found]


def _by_path() -> dict[str, fields.Setting]:
    return {setting.path: setting for setting in fields.settings()}


def _is_wrong(path: str, wrong: set[str]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:length]) in wrong for length in range(1, len(parts) + 1))


def _typed(setting: fields.Setting, members: Mapping[str, Any]) -> Any:
    value = _member(members, setting.path)
    return SecretStr(value) if setting.secret and isinstance(value, str) else value


def _member(members: Any, path: str) -> Any:
    for name in path.split("."):
        members = members.get(name) if isinstance(members, Mapping) else None
    return members
