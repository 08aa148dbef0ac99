"""Reading keys. https://developer.hashicorp.com/consul/api-docs/kv"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import bounded
from ..messages import Message, _, joined
from .client import MANY, Client
from .errors import ConsulError, Denied, Garbled, Missing

MOST_AT_ONCE = 64  # keys that one transaction reads

_RIGHT = _("The token needs `key:read` on `%(key)s`.")


@dataclass(frozen=True)
class Entry:
    """A key's value and `modify_index`, the index of its last write. The repr omits the value: it may contain secrets.

    `session` is the Consul session that holds the key, if any.
    """

    key: str
    value: bytes = field(repr=False)
    modify_index: int
    session: str = ""


def read(client: Client, key: str) -> Entry:
    """The key's entry now. Raises `Missing` or another `ConsulError`."""
    _index, entry = query(client, key)
    if entry is None:
        raise Missing(_("Consul at %(url)s has no key `%(key)s`.", url=client.address.url, key=key))
    return entry


def query(client: Client, key: str, index: int = 0, wait: int = 0) -> tuple[int, Entry | None]:
    """The answer's index, and the entry if the key exists.

    With an `index` of at least 1 it is a blocking query: Consul answers when the key's index has passed `index`, or
    after `wait` seconds and up to a sixteenth more. Pass the answer's index to the next query. The leader answers it,
    or whichever server is asked if the client is `leaderless`.
    """
    consistency = {"consistency": "stale"} if client.leaderless else {}
    found, entries = _entries(client, key, index=index, wait=f"{wait}s", **consistency)
    return found, entries[0] if entries else None


def reason(error: ConsulError, key: str) -> Message:
    """Why the key cannot be read: the error's message, and where that is `Denied` the right that allows it."""
    return joined([error.message, Message(_RIGHT, key=key)], " ") if isinstance(error, Denied) else error.message


def tree(client: Client, prefix: str) -> list[Entry]:
    """Every entry whose key starts with `prefix` and that the token may read, ordered by key. Raises `ConsulError`."""

    def entries(response: Any) -> list[Entry]:
        return [] if response.code == 404 else _tree(response.body)

    found: list[Entry] = client.http.get(entries, f"/v1/kv/{prefix}", [("recurse", "1")], most_bytes=MANY)
    return found


@bounded.remembering(1, 1024 * 1024)
def _tree(body: str) -> list[Entry]:
    return [_decoded(item) for item in json.loads(body)]


def _decoded(item: dict[str, Any]) -> Entry:
    """An entry as it is in JSON."""
    return _entry(item | {"Value": base64.b64decode(item["Value"] or "")})


def several(client: Client, keys: Sequence[str]) -> list[Entry] | None:
    """The entries of up to `MOST_AT_ONCE` keys, from one request; None unless all are there and may be read.

    Raises `ConsulError`.
    """

    def entries(response: Any) -> list[Entry] | None:
        if response.code == 409:
            return None
        return [_decoded(result["KV"]) for result in json.loads(response.body)["Results"]]

    reading = json.dumps([{"KV": {"Verb": "get", "Key": key}} for key in keys])
    found: list[Entry] | None = client.http.put(entries, "/v1/txn", data=reading, most_bytes=MANY)
    return found


def _entries(client: Client, key: str, **options: Any) -> tuple[int, list[Entry]]:
    index, found = client.kv.get(key, **options)
    items = [found] if isinstance(found, dict) else found or []
    try:
        return int(index), [_entry(item) for item in items]
    except (LookupError, TypeError, ValueError, OverflowError) as error:  # the last: int() of 1e999
        raise Garbled.sent(client.address.url, _("no KV entries")) from error


def _entry(item: dict[str, Any]) -> Entry:
    key, value, index = item["Key"], item["Value"] or b"", item["ModifyIndex"]
    session = item.get("Session") or ""
    if not (isinstance(key, str) and isinstance(value, bytes) and isinstance(session, str) and type(index) is int):
        raise TypeError("not an entry's members")
    return Entry(key, value, index, session)
