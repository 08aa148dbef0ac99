"""Where a start reads the document: Consul, a snapshot, or a file. Each of the four conditions is a `StartupError`."""

import functools
import json
import os
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..bounded import read_file
from ..consul_agent import kv
from ..consul_agent.address import AddressInvalid, AgentAddress
from ..consul_agent.client import Client, Timeouts
from ..consul_agent.errors import ConsulError, Denied, Missing, Unreachable
from ..document.fields import example
from ..document.model import Document
from ..document.parsing import MAX_BYTES, DocumentInvalid
from ..environment import Environment, invalid
from ..messages import Message, _, joined
from ..redis_cache.finder import Finder
from ..startup import StartupError, is_offline_command
from . import snapshot
from .revision import Revision, parsed

START_SECONDS = 5.0  # for all tries together: a Consul that starts a moment later than the site is no failure
LEADERLESS = Timeouts(connect=0.3, read=0.7)  # for the last of them
QUICK = Timeouts(connect=0.5, read=1.0)  # for what must not hang while Consul does
_MOST_FILE_BYTES = 4 * MAX_BYTES  # what is a little too long is told as an invalid document
_MOST_FAULTS = 20
_DENIED = _(
    "The key `%(key)s` cannot be read. %(reason)s\n"
    "Give a token with `key:read` on it in CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE."
)
_UNREACHABLE = _(
    "The key `%(key)s` cannot be read. %(reason)s\n"
    "Start Consul, point CONSUL_HTTP_ADDR at a running agent, or set DEMO_CONFIG_FILE to do without."
)
_UNCONFIRMED = _("%(reason)s One of its servers has this document, but perhaps not the newest.")
_INVALID = _(
    "The document at the Consul key `%(key)s` (ModifyIndex %(index)s) is invalid:\n  %(faults)s\n"
    "Put a correct one: consul kv put %(key)s @document.json"
)


@dataclass(frozen=True)
class Start:
    """What a start found: the environment, the agent's address, and either a document or the reason why not.

    `read_at` is when the environment was read.
    """

    environment: Environment
    address: AgentAddress
    revision: Revision | None
    error: StartupError | None
    read_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def key(self) -> str:
        return str(self.environment["DEMO_CONFIG_KEY"])

    @property
    def finder(self) -> Finder:
        """Finds the Redis that a document does not name itself."""
        return Finder(functools.partial(self.open_client, QUICK), Path(self.environment["REDIS_PASSWORD_DIR"]))

    def open_client(self, timeouts: Timeouts = Timeouts(), **options: Any) -> Client:  # noqa: B008 (immutable)
        return Client(self.address, timeouts, **options)


@functools.cache
def start() -> Start:
    """Read the process's environment and the document it points to, once: settings may be executed several times.

    A failure is remembered too, in `error`; only an invalid environment raises `StartupError` here.
    """
    environment = Environment(os.environ)
    try:
        address = AgentAddress.from_environ(os.environ)
    except AddressInvalid as error:
        raise invalid(list(error.faults)) from None
    try:
        return Start(environment, address, load(environment, address), None)
    except StartupError as error:
        return Start(environment, address, None, error)


def load(environment: Environment, address: AgentAddress) -> Revision:
    """The document from DEMO_CONFIG_FILE; or else from Consul; or, while that is unreachable, from the snapshot.

    Raises `StartupError`.
    """
    if is_offline_command():
        raise StartupError("missing", _("This command does not read the document in force."))
    if environment["DEMO_CONFIG_FILE"]:
        return _from_file(Path(environment["DEMO_CONFIG_FILE"]))
    try:
        return _from_consul(address, environment["DEMO_CONFIG_KEY"])
    except StartupError as error:
        if error.condition == "unreachable" and environment["DEMO_CONFIG_SNAPSHOT"]:
            return _from_snapshot(environment, error)
        raise


def _from_snapshot(environment: Environment, unreachable: StartupError) -> Revision:
    path, max_age = environment["DEMO_CONFIG_SNAPSHOT"], environment["DEMO_CONFIG_SNAPSHOT_MAX_AGE"]
    try:
        return snapshot.read(Path(path), environment["DEMO_CONFIG_KEY"], max_age)
    except snapshot.SnapshotUnusable as error:
        text = _("%(start)s\nThe snapshot %(path)s (DEMO_CONFIG_SNAPSHOT) cannot be used: %(reason)s.")
        message = Message(text, start=unreachable.message, path=path, reason=error.message)
        raise StartupError(unreachable.condition, message) from unreachable


def _from_file(path: Path) -> Revision:
    try:
        raw = read_file(path, _MOST_FILE_BYTES)
    except PermissionError:
        raise StartupError("denied", _("DEMO_CONFIG_FILE %(path)s: no permission to read it.", path=path)) from None
    except OSError as error:
        text = _("DEMO_CONFIG_FILE %(path)s cannot be read: %(reason)s.\nWrite the document there: %(document)s")
        message = Message(text, path=path, reason=error.strerror, document=_example())
        raise StartupError("missing", message) from None
    try:
        return parsed(raw, "file", str(path))
    except DocumentInvalid as error:
        text = _("The document in %(path)s is invalid:\n  %(faults)s\nCorrect the file (DEMO_CONFIG_FILE).")
        raise StartupError("invalid", Message(text, path=path, faults=_listed(error))) from None


def _from_consul(address: AgentAddress, key: str) -> Revision:
    try:
        entry, unconfirmed = _read(address, key)
    except Missing as error:
        text = _("%(reason)s\nPut the document there: consul kv put %(key)s '%(document)s'")
        message = Message(text, reason=error.message, key=key, document=_example())
        raise StartupError("missing", message) from error
    except ConsulError as error:
        is_denied = isinstance(error, Denied)
        text = _DENIED if is_denied else _UNREACHABLE
        message = Message(text, key=key, reason=error.message)
        raise StartupError("denied" if is_denied else "unreachable", message) from error
    try:
        return replace(parsed(entry.value, "consul", key, entry.modify_index), unconfirmed=unconfirmed)
    except DocumentInvalid as error:
        message = Message(_INVALID, key=key, index=entry.modify_index, faults=_listed(error))
        raise StartupError("invalid", message) from None


def _example() -> Message:
    return Message(json.dumps(example(Document)))


def _listed(error: DocumentInvalid) -> Message:
    return joined((fault.message for fault in error.faults), "\n  ", _MOST_FAULTS)


def _read(address: AgentAddress, key: str) -> tuple[kv.Entry, Message | None]:
    """The key's entry, and if no leader stands behind it why not. docs/decisions/consistency.md"""
    try:
        return _read_patiently(address, key), None
    except Unreachable as error:
        try:
            with Client(address, LEADERLESS, leaderless=True) as client:
                return kv.read(client, key), Message(_UNCONFIRMED, reason=error.message)
        except ConsulError:  # not even that; nor does it count what such a server says of rights and missing keys
            raise error from None


def _read_patiently(address: AgentAddress, key: str) -> kv.Entry:
    """Read the key; while Consul is unreachable, again and again, until it is time for the last try."""
    deadline = time.monotonic() + START_SECONDS - sum(LEADERLESS)

    def attempt() -> kv.Entry:
        left = max(deadline - time.monotonic(), 0.1)
        return kv.read(Client(address, Timeouts(min(1.0, left), min(2.0, left))), key)

    try:
        return attempt()
    except Unreachable:
        pass
    import tenacity  # here, because a healthy start does without it

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Unreachable),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=0.5),
        stop=tenacity.stop_before_delay(deadline - time.monotonic()),
        reraise=True,
    )(attempt)
