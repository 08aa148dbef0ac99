"""Reading keys. https://developer.hashicorp.com/consul/api-docs/kv"""

from dataclasses import dataclass, field
from typing import Any

from ..messages import _
from .client import Client
from .errors import Garbled, Missing

WAIT_SECONDS = 300


@dataclass(frozen=True)
class Entry:
    """A key's value at `modify_index`, the index of its last write. The value may hold secrets: not in the repr.

    `session` is the Consul session that holds the key, or empty.
    """

    key: str
    value: bytes = field(repr=False)
    modify_index: int
    session: str = ""


def read(client: Client, key: str) -> Entry:
    """The key's entry now. Raises `Missing` when there is none, or another `ConsulError`."""
    _index, entry = query(client, key)
    if entry is None:
        raise Missing(_("Consul at %(url)s has no key `%(key)s`.", url=client.address.url, key=key))
    return entry


def query(client: Client, key: str, index: int = 0, wait: int = WAIT_SECONDS) -> tuple[int, Entry | None]:
    """The answer's index and the entry, `None` when the key is not there.

    With an `index` of at least 1 it is a blocking query: it answers when the key's index has passed `index`, or after
    `wait` seconds and up to a sixteenth more. The caller gives the answer's index to the next query.
    """
    found, item = client.kv.get(key, index=index, wait=f"{wait}s")
    try:
        return int(found), None if item is None else _entry(item)
    except (LookupError, TypeError, ValueError) as error:
        raise Garbled.sent(client.address.url, _("no KV entry")) from error


def tree(client: Client, prefix: str) -> list[Entry]:
    """Every entry whose key starts with `prefix`, in one request, ordered by key.

    Those that the token may not read are left out. Raises `ConsulError`.
    """
    _index, items = client.kv.get(prefix, recurse=True)
    try:
        return [_entry(item) for item in items or []]
    except (LookupError, TypeError, ValueError) as error:
        raise Garbled.sent(client.address.url, _("no KV entries")) from error


def _entry(item: dict[str, Any]) -> Entry:
    return Entry(item["Key"], item["Value"] or b"", int(item["ModifyIndex"]), item.get("Session") or "")
