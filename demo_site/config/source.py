"""Where a start reads the document: Consul, a snapshot, or a file. Each of the four conditions is a `StartupError`."""

import functools
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..consul_agent import kv
from ..consul_agent.address import AddressInvalid, AgentAddress
from ..consul_agent.client import Client, Timeouts
from ..consul_agent.errors import ConsulError, Denied, Missing, Unreachable
from ..document.fields import example
from ..document.model import Document
from ..document.parsing import DocumentInvalid
from ..environment import Environment, invalid
from ..messages import Message, _, joined
from ..startup import StartupError
from . import snapshot
from .revision import Revision, parsed

START_SECONDS = 5.0  # for all tries together: a Consul that starts a moment later than the site is no failure
_MOST_FAULTS = 20


@dataclass(frozen=True)
class Start:
    """What a start found: the environment, the agent's address, and either a document or the reason why not."""

    environment: Environment
    address: AgentAddress
    revision: Revision | None
    error: StartupError | None

    @property
    def key(self) -> str:
        """The Consul key of the document."""
        return str(self.environment["DEMO_CONFIG_KEY"])

    def open_client(self, timeouts: Timeouts = Timeouts(), **options: Any) -> Client:  # noqa: B008 (immutable)
        """A client of the agent, to be closed by the caller."""
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
        unusable = _(
            "The snapshot %(path)s (DEMO_CONFIG_SNAPSHOT) cannot be used: %(reason)s.", path=path, reason=error.message
        )
        message = joined([unreachable.message, unusable], "\n")
        raise StartupError(unreachable.condition, message) from unreachable


def _from_file(path: Path) -> Revision:
    try:
        raw = path.read_bytes()
    except PermissionError:
        message = _("DEMO_CONFIG_FILE %(path)s: no permission to read it.", path=path)
        raise StartupError("denied", message) from None
    except OSError as error:
        cause = _("DEMO_CONFIG_FILE %(path)s cannot be read: %(reason)s.", path=path, reason=error.strerror)
        remedy = _("Write the document there: %(document)s", document=_example())
        raise StartupError("missing", joined([cause, remedy], "\n")) from None
    try:
        return parsed(raw, "file", str(path))
    except DocumentInvalid as error:
        what = _("The document in %(path)s is invalid:", path=path)
        raise _invalid(what, error, _("Correct the file (DEMO_CONFIG_FILE).")) from None


def _from_consul(address: AgentAddress, key: str) -> Revision:
    try:
        entry = _read_patiently(address, key)
    except Denied as error:
        cause = _("The key `%(key)s` cannot be read. %(reason)s", key=key, reason=error.message)
        remedy = _("Give a token with `key:read` on it in CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE.")
        raise StartupError("denied", joined([cause, remedy], "\n")) from error
    except Missing as error:
        remedy = _("Put the document there: consul kv put %(key)s '%(document)s'", key=key, document=_example())
        raise StartupError("missing", joined([error.message, remedy], "\n")) from error
    except ConsulError as error:
        cause = _("The key `%(key)s` cannot be read. %(reason)s", key=key, reason=error.message)
        remedy = _("Start Consul, point CONSUL_HTTP_ADDR at a running agent, or set DEMO_CONFIG_FILE to do without.")
        raise StartupError("unreachable", joined([cause, remedy], "\n")) from error
    try:
        return parsed(entry.value, "consul", key, entry.modify_index)
    except DocumentInvalid as error:
        where = {"key": key, "index": entry.modify_index}
        what = _("The document at the Consul key `%(key)s` (ModifyIndex %(index)s) is invalid:", **where)
        remedy = _("Put a correct one: consul kv put %(key)s @document.json", key=key)
        raise _invalid(what, error, remedy) from None


def _example() -> Message:
    return Message(json.dumps(example(Document)))


def _read_patiently(address: AgentAddress, key: str) -> kv.Entry:
    """Read the key; while Consul is unreachable, again and again for `START_SECONDS`."""
    deadline = time.monotonic() + START_SECONDS

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


def _invalid(what: Message, error: DocumentInvalid, remedy: Message) -> StartupError:
    faults = [fault.message for fault in error.faults]
    shown, more = faults[:_MOST_FAULTS], len(faults) - _MOST_FAULTS
    if more > 0:
        shown.append(_("and %(count)s more", count=more))
    message = joined([joined([what, *shown], "\n  "), remedy], "\n")
    return StartupError("invalid", message)
