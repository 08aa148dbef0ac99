"""A change of the document: what it starts from, and the document that it makes. Pure: asks nobody, writes nothing."""

import copy
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from ..document.fields import complete, destination, given, put, values
from ..document.model import FIELDS, Document
from ..document.parsing import Fault
from ..messages import Message, _, joined
from . import masking
from .masking import Masker, Settings
from .repository import StoredDocument
from .revision import Revision

SECRETS = [path for path, field in FIELDS.items() if field.secret]
NAMING_SECRETS = [path for path, field in FIELDS.items() if field.declared.names_secret]


@dataclass(frozen=True)
class Base:
    """The document that a change starts from, and the ModifyIndex that it must still have when it is saved.

    `members` is its JSON object, unknown members included. `values` has the settings that are there, by path, a secret
    as a `SecretStr`; null is as absent. `faults` says what is wrong with the stored document; the settings at the paths
    `wrong` are those in force. `held` are the documents at hand, each as all its settings by path: the stored one, and
    the one in force.
    """

    index: int
    members: Mapping[str, Any] = field(repr=False)
    values: Mapping[str, Any]
    wrong: frozenset[str] = frozenset()
    faults: tuple[Fault, ...] = ()
    held: tuple[Mapping[str, Any], ...] = ()

    def secrets_for(self, path: str, settings: Mapping[str, Any]) -> list[Any]:
        """What this secret is in each document at hand that would send it where these `settings`, by path, do."""
        places = [place.path for place in destination(FIELDS, path)]
        return [held[path] for held in self.held if all(held[place] == settings[place] for place in places)]

    @property
    def ruling(self) -> Mapping[str, Any]:
        """The settings in force."""
        return self.held[-1]

    def is_from_force(self, path: str) -> bool:
        """Whether the value is the one in force, because the stored one is wrong or cannot be read."""
        return path in self.wrong or len(self.held) == 1

    def merged(self, new: Mapping[str, Any]) -> dict[str, Any]:
        """All settings by path as they are after `changed(new)`."""
        known = {**self.values, **new}
        return {path: field.default if known.get(path) is None else known[path] for path, field in FIELDS.items()}

    def astray(self, new: Document, typed: Collection[str]) -> list[Fault]:
        """The secrets that a new document would send to where they were not sent before, but for those just `typed`.

        One that a file has cannot be typed here: only who may write to Consul sends it somewhere.
        """
        settings = values(new)
        known = {path: settings[path] for path in SECRETS if path not in typed}
        strays = [path for path, value in known.items() if value and value not in self.secrets_for(path, settings)]
        text = _("the stored one belongs to another destination (%(settings)s): type it again")
        faults = [Fault(path, Message(text, settings=places(path))) for path in strays]
        named = [
            path for path in NAMING_SECRETS if settings[path] and settings[path] not in self.secrets_for(path, settings)
        ]
        elsewhere = _(
            "only a document put into Consul changes a password in a file, or sends it elsewhere (%(settings)s)"
        )
        return faults + [Fault(path, Message(elsewhere, settings=places(path))) for path in named]

    def changed(self, new: Mapping[str, Any]) -> bytes:
        """The document with these settings by path, JSON values or None: the member goes. Every other one as it was."""
        result = copy.deepcopy(dict(self.members))
        repaired = {path: plain(self.values.get(path)) for path in self.wrong}
        for path, value in {**repaired, **new}.items():
            if path not in self.wrong and value == plain(self.values.get(path)):
                continue  # 5 stays 5 where 5.0 is the same, and null stays null
            if value is None:
                _remove(result, path.split("."))
            else:
                put(result, path, value)
        complete(Document, result)
        return json.dumps(result, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass") + b"\n"


def base(stored: StoredDocument, in_force: Revision) -> Base:
    """Start from what is stored; where that is missing or wrong, from what is in force."""
    ruling = values(in_force.document)
    if stored.document:
        there = _there(stored.document)
        return Base(stored.index, json_object(stored.raw) or {}, there, held=(values(stored.document), ruling))
    members, known = json_object(stored.raw), _there(in_force.document)
    if members is None:
        faults = stored.faults if stored.index else ()
        return Base(stored.index, json_object(in_force.raw) or {}, known, faults=faults, held=(ruling,))
    found = {path: _member(members, path) for path in FIELDS}
    faulty = {fault.path for fault in stored.faults}
    wrong = frozenset(path for path, value in found.items() if _is_wrong(path, value, faulty))
    right = {path: typed(path, value) for path, value in found.items() if path not in wrong and value is not None}
    repaired = {path: value for path, value in known.items() if path in wrong}
    as_stored = {path: right.get(path, field.default) for path, field in FIELDS.items()}
    return Base(stored.index, members, right | repaired, wrong, stored.faults, (as_stored, ruling))


def as_shown(stored: StoredDocument, in_force: Revision, masks: Masker) -> Settings | None:
    """The settings of the stored document as people may see them. None: what is stored is no JSON object."""
    if json_object(stored.raw) is None:
        return None if stored.index else masking.shown({}, masks)
    start = base(stored, in_force)
    return {**masking.shown(start.values, masks), **dict.fromkeys(start.wrong, masking.INVALID)}


def places(path: str) -> Message:
    """For people: the settings that say where a secret goes."""
    return joined((place.declared.label for place in destination(FIELDS, path)), ", ")


def _there(document: Document) -> dict[str, Any]:
    return {path: value for path, value in given(document).items() if value is not None}


def json_object(raw: bytes) -> dict[str, Any] | None:
    """The JSON object that `raw` holds, whatever its members; None if it holds none."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def typed(path: str, value: Any) -> Any:
    """A setting's value as a document has it, of what stands in JSON or was typed."""
    return SecretStr(value) if FIELDS[path].secret else value


def plain(value: Any) -> Any:
    """A setting's value as it stands in the JSON document."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _is_wrong(path: str, value: Any, faulty: Iterable[str]) -> bool:
    """Whether one of these faults is the setting's, or of an item of it, or of a group that it is in.

    Where something else broke the parser, a fault may be missing: then the value is of another kind.
    """
    kinds = (int, float) if FIELDS[path].kind is float else FIELDS[path].kind
    is_of_kind = value is None or isinstance(value, kinds)
    return not is_of_kind or any(path == at or path.startswith(f"{at}.") or at.startswith(f"{path}[") for at in faulty)


def _member(members: Any, path: str) -> Any:
    for name in path.split("."):
        members = members.get(name) if isinstance(members, Mapping) else None
    return members


def _remove(members: dict[str, Any], names: list[str]) -> None:
    """A group that becomes empty goes too, and so does what stands where a group should."""
    name, *below = names
    if below and isinstance(group := members.get(name), dict):
        _remove(group, below)
        if any(member != {} for member in group.values()):
            return
    members.pop(name, None)
