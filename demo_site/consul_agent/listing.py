"""Reading many keys, bounded in count, size and time: who may write them decides how many and how long they are."""

import time
from collections.abc import Sequence
from contextlib import suppress

from ..messages import _
from . import kv
from .client import MANY, Client
from .errors import Garbled, TooLong, Unreachable
from .kv import Entry

_MOST_IN_ONE_ANSWER = 5_000  # keys whose values are asked for together: a few megabytes, and some 0.1 s


def names(client: Client, prefix: str) -> list[str]:
    """The keys that start with `prefix` and that the token may read, without it; sorted.

    Raises `ConsulError`: `TooLong` where they are more than one answer may hold, about 200,000.
    """
    try:
        _index, found = client.kv.get(prefix, keys=True)
    except TooLong as error:
        below = {"prefix": prefix}
        text = _("Below `%(prefix)s` are more keys than can be read. Delete those that are not the site's.", **below)
        raise TooLong(text) from error
    keys = [] if found is None else found
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Garbled.sent(client.address.url, _("no list of keys"))
    return sorted(key.removeprefix(prefix) for key in keys)


def entries(client: Client, prefix: str, chosen: Sequence[str], total: int, seconds: float) -> dict[str, Entry | None]:
    """The entries of the `chosen` names below `prefix`, where `total` keys are; None for one that has gone since.

    In one request; where the answer is too long, one by one: those not read within `seconds` are not in the
    result. Raises `ConsulError`.
    """
    if 1 < total <= _MOST_IN_ONE_ANSWER:
        try:
            there = {entry.key.removeprefix(prefix): entry for entry in kv.tree(client, prefix)}
            return {name: there.get(name) for name in chosen}
        except (TooLong, Unreachable):  # an agent that has to send very much does not begin in time
            pass
    return one_by_one(client, prefix, chosen, seconds)


def some(client: Client, prefix: str, chosen: Sequence[str], seconds: float) -> dict[str, Entry | None]:
    """As `entries`, of a few keys among many: a request for each took twice as long as all else about a page."""
    if 1 < len(chosen) <= kv.MOST_AT_ONCE:
        with suppress(TooLong):
            found = kv.several(client, [prefix + name for name in chosen])
            if found is not None:
                return {entry.key.removeprefix(prefix): entry for entry in found}
    return one_by_one(client, prefix, chosen, seconds)


def one_by_one(client: Client, prefix: str, chosen: Sequence[str], seconds: float) -> dict[str, Entry | None]:
    """As `entries`, with a request for each, and no more bytes than one answer may have."""
    found: dict[str, Entry | None] = {}
    deadline, left = time.monotonic() + seconds, MANY
    for name in chosen:
        if time.monotonic() > deadline or left < 0:
            break
        _index, entry = kv.query(client, prefix + name)
        found[name] = entry
        left -= len(entry.value) if entry else 0
    return found
