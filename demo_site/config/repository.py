"""The document as it is stored in Consul now, and saving another in its place: compare-and-set with its history."""

from dataclasses import dataclass, field

from ..consul_agent import kv, txn
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError, Denied, Garbled, Refused, Unreachable
from ..document.model import Document
from ..document.parsing import DocumentInvalid, Fault, parse
from ..messages import Message, MessageError, _, joined
from . import history

# No key ever has it, so a compare-and-set on it changes nothing; but the agent checks the token's rights first.
_IMPOSSIBLE_INDEX = 2**63 - 1


@dataclass(frozen=True)
class StoredDocument:
    """What the key holds: `index` is its ModifyIndex, 0 when the key is not there; the document, or what is wrong."""

    raw: bytes = field(repr=False)
    index: int
    document: Document | None = None
    faults: tuple[Fault, ...] = ()


def parsed(raw: bytes, index: int) -> StoredDocument:
    """The stored bytes as a document, if they are a valid one."""
    try:
        return StoredDocument(raw, index, parse(raw))
    except DocumentInvalid as error:
        return StoredDocument(raw, index, faults=error.faults)


@dataclass(frozen=True)
class Saved:
    """A save that was made, and the ModifyIndex that it gave the document; `earlier`: by another request."""

    index: int
    earlier: bool = False


class Conflict(Exception):
    """Somebody else changed the document since it was read; nothing was written."""


class Unconfirmed(MessageError):
    """Consul did not confirm the save. Saving again under the same id is safe: it is made once at most."""


def read(client: Client, key: str) -> StoredDocument:
    """The document as it is stored now. Raises `ConsulError`."""
    try:
        _index, entry = kv.query(client, key)
    except Denied as error:
        raise Denied(kv.reason(error, key)) from None
    return parsed(entry.value, entry.modify_index) if entry else parsed(b"", 0)


def write_refusal(client: Client, key: str) -> Message | None:
    """Which right the token lacks to save, or None. Changes nothing; raises `ConsulError` when there is no answer."""
    places = (key, history.prefix(key))
    attempt = [txn.compare_and_set(place, b"", _IMPOSSIBLE_INDEX) for place in places]
    try:
        failures = txn.commit(client, attempt).failures
        history.surplus(client, key, 0)  # a token may lack `key:list`
    except Denied as error:
        return error.message
    denied = [places[failure.operation] for failure in failures if failure.is_denied]
    return _lacking(denied) if denied else None


def _lacking(places: list[str]) -> Message:
    return Message("key:write: %(places)s", places=", ".join(f"`{place}`" for place in places))


def save(client: Client, key: str, raw: bytes, entry: history.Save, keep: int) -> Saved:
    """Write the document and its history entry, and drop entries beyond the newest `keep`, all or nothing.

    An id that was saved before is not saved again: what is returned is the earlier save.
    Raises `Conflict`, `Unconfirmed`, or a `ConsulError` after which nothing was written.
    """
    place = history.prefix(key) + entry.id
    operations = [txn.compare_and_set(key, raw, entry.replaced_index), txn.compare_and_set(place, entry.encoded(), 0)]
    try:
        surplus = history.surplus(client, key, max(keep - 1, 0))
        operations += [txn.delete(name) for name in surplus[: txn.MAX_OPERATIONS - len(operations)]]
        if txn.size(operations) > txn.MAX_BYTES:
            raise Refused(_("The document and its history do not fit into one transaction of Consul (512 KiB)."))
        outcome = txn.commit(client, operations)
    except (Unreachable, Garbled) as error:
        # The reply is lost, not necessarily the write. The entry is there exactly if the transaction was made.
        return _confirmed(client, key, entry.id, error)
    return Saved(outcome.index) if outcome.index else _why_not(client, key, entry.id, outcome.failures)


def _confirmed(client: Client, key: str, save_id: str, error: ConsulError) -> Saved:
    try:
        made = history.read(client, key, save_id)
    except ConsulError:
        made = None
    if made is None:
        text = _("Consul did not confirm the save. It is never made twice: try again. (%(reason)s)")
        raise Unconfirmed(Message(text, reason=error.message)) from error
    return Saved(made.index)


def _why_not(client: Client, key: str, save_id: str, failures: tuple[txn.Failure, ...]) -> Saved:
    if any(failure.is_denied for failure in failures):
        places = (key, history.prefix(key))
        raise Denied(_lacking([places[min(f.operation, 1)] for f in failures if f.is_denied]))
    if made := history.read(client, key, save_id):
        return Saved(made.index, earlier=True)
    if any(failure.operation == 0 for failure in failures):
        raise Conflict
    raise Refused(joined(failure.reason for failure in failures))
