"""A change of the document: what it starts from, and the document that it makes. Pure: asks nobody, writes nothing."""

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from ..document.fields import given, values
from ..document.model import FIELDS, Document
from ..document.parsing import Fault
from .repository import StoredDocument
from .revision import Revision

REMOVED: Any = object()  # as a setting's new value: the member goes, and the default applies


@dataclass(frozen=True)
class Base:
    """The document that a change starts from, and the ModifyIndex that it must still have when it is saved.

    `members` is its JSON object, unknown members included. `values` has each setting by path, a secret as a
    `SecretStr`, the default of one that is not `given`. `faults` says what is wrong with the stored document; the
    settings at the paths `wrong` are those in force.
    """

    index: int
    members: Mapping[str, Any] = field(repr=False)
    values: Mapping[str, Any]
    given: frozenset[str]
    wrong: frozenset[str] = frozenset()
    faults: tuple[Fault, ...] = ()

    def changed(self, new: Mapping[str, Any]) -> bytes:
        """The document with these settings by path, `REMOVED` or JSON values; every other member as it was."""
        result = copy.deepcopy(dict(self.members))
        repaired = {path: plain(self.values[path]) if path in self.given else REMOVED for path in self.wrong}
        for path, value in {**repaired, **new}.items():
            if path not in self.wrong and self._stands(path, value):
                continue
            if value is REMOVED:
                _remove(result, path.split("."))
            else:
                _put(result, path.split("."), value)
        return json.dumps(result, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass") + b"\n"

    def _stands(self, path: str, value: Any) -> bool:
        """Whether the document is so already: 5 stays 5 where 5.0 is the same, and null stays null."""
        if path not in self.given:
            return value is REMOVED
        return value is not REMOVED and bool(value == plain(self.values[path]))


def base(stored: StoredDocument, in_force: Revision) -> Base:
    """Start from what is stored; where that is missing or wrong, from what is in force."""
    if stored.document:
        return _base_of(stored.index, stored.raw, stored.document)
    members = json_object(stored.raw)
    if members is None:
        faults = stored.faults if stored.index else ()
        return _base_of(stored.index, in_force.raw, in_force.document, faults)
    wrong = frozenset(path for path in FIELDS if _is_at_or_below(path, {fault.path for fault in stored.faults}))
    there = {path: value for path in FIELDS if path not in wrong and (value := _member(members, path)) is not REMOVED}
    usable = {path: _typed(path, value) for path, value in there.items()}
    defaults = {path: setting.default for path, setting in FIELDS.items() if path not in wrong}
    return Base(
        index=stored.index,
        members=members,
        values={**values(in_force.document), **defaults, **usable},
        given=frozenset(there) | (given(in_force.document) & wrong),
        wrong=wrong,
        faults=stored.faults,
    )


def _base_of(index: int, raw: bytes, document: Document, faults: tuple[Fault, ...] = ()) -> Base:
    return Base(index, json_object(raw) or {}, values(document), given(document), faults=faults)


def json_object(raw: bytes) -> dict[str, Any] | None:
    """The JSON object that `raw` holds, whatever its members; None if it holds none."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _typed(path: str, value: Any) -> Any:
    return SecretStr(value) if FIELDS[path].secret and isinstance(value, str) else value


def plain(value: Any) -> Any:
    """A setting's value as it stands in the JSON document."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _is_at_or_below(path: str, faulty: Iterable[str]) -> bool:
    """Whether one of these faults is the setting's, or of an item of it, or of a group that it is in."""
    return any(path == at or path.startswith(f"{at}.") or at.startswith(f"{path}[") for at in faulty)


def _member(members: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(members, Mapping) or name not in members:
            return REMOVED
        members = members[name]
    return members


def _put(members: dict[str, Any], names: list[str], value: Any) -> None:
    name, *below = names
    if not below:
        members[name] = value
        return
    if not isinstance(members.get(name), dict):
        members[name] = {}
    _put(members[name], below, value)


def _remove(members: dict[str, Any], names: list[str]) -> None:
    """A group that becomes empty goes too, and so does what stands where a group should."""
    name, *below = names
    if below and isinstance(members.get(name), dict):
        _remove(members[name], below)
        if members[name]:
            return
    members.pop(name, None)
