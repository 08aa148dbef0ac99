"""Where a start reads the document: Consul, a snapshot, or a file. Each of the four conditions is a `StartupError`."""

import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ..consul_agent import kv
from ..consul_agent.address import AddressInvalid, AgentAddress
from ..consul_agent.client import Client, Timeouts
from ..consul_agent.errors import ConsulError, Denied, Missing, Unreachable
from ..document.parsing import DocumentInvalid
from ..environment import Environment, invalid
from ..startup import StartupError
from . import snapshot
from .revision import Loaded, loaded

START_SECONDS = 5.0  # for all tries together: a Consul that starts a moment later than the site is no failure
_EXAMPLE = (
    '{"redis_config": {"redis_host": "127.0.0.1", "redis_port": 6379, "redis_db": 0, "redis_password": null}, '
    '"show_message": "hello"}'
)
_MOST_FAULTS = 20


@dataclass(frozen=True)
class Start:
    """What a start found: the environment, the agent's address, and either a document or the reason why not."""

    environment: Environment
    address: AgentAddress
    loaded: Loaded | None
    error: StartupError | None


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


def load(environment: Environment, address: AgentAddress) -> Loaded:
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


def _from_snapshot(environment: Environment, unreachable: StartupError) -> Loaded:
    path, max_age = environment["DEMO_CONFIG_SNAPSHOT"], environment["DEMO_CONFIG_SNAPSHOT_MAX_AGE"]
    try:
        return snapshot.read(Path(path), environment["DEMO_CONFIG_KEY"], max_age)
    except snapshot.SnapshotUnusable as error:
        message = f"{unreachable}\nThe snapshot {path} (DEMO_CONFIG_SNAPSHOT) is of no use: {error}."
        raise StartupError(unreachable.condition, unreachable.status, message) from unreachable


def _from_file(path: Path) -> Loaded:
    try:
        raw = path.read_bytes()
    except PermissionError:
        raise StartupError("denied", os.EX_NOPERM, f"DEMO_CONFIG_FILE {path} may not be read.") from None
    except OSError as error:
        raise StartupError(
            "missing",
            os.EX_NOINPUT,
            f"DEMO_CONFIG_FILE {path} cannot be read: {error.strerror}.\nWrite the document there: {_EXAMPLE}",
        ) from None
    try:
        return loaded(raw, "file", str(path))
    except DocumentInvalid as error:
        raise _invalid(f"The document in {path}", error, "Correct the file (DEMO_CONFIG_FILE).") from None


def _from_consul(address: AgentAddress, key: str) -> Loaded:
    try:
        entry = _read_patiently(address, key)
    except Denied as error:
        remedy = "Give a token with `key:read` on it in CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE."
        raise StartupError("denied", os.EX_NOPERM, f"The key `{key}` may not be read. {error}\n{remedy}") from error
    except Missing as error:
        remedy = f"Put the document there: consul kv put {key} '{_EXAMPLE}'"
        raise StartupError("missing", os.EX_NOINPUT, f"{error}\n{remedy}") from error
    except ConsulError as error:
        remedy = "Start Consul, point CONSUL_HTTP_ADDR at a running agent, or set DEMO_CONFIG_FILE to do without."
        message = f"The key `{key}` cannot be read. {error}\n{remedy}"
        raise StartupError("unreachable", os.EX_UNAVAILABLE, message) from error
    try:
        return loaded(entry.value, "consul", key, entry.modify_index)
    except DocumentInvalid as error:
        what = f"The document at the Consul key `{key}` (ModifyIndex {entry.modify_index})"
        raise _invalid(what, error, f"Put a correct one: consul kv put {key} @document.json") from None


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


def _invalid(what: str, error: DocumentInvalid, remedy: str) -> StartupError:
    faults = [str(fault) for fault in error.faults]
    shown = faults[:_MOST_FAULTS] + ([f"and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else [])
    lines = "\n".join(f"  {fault}" for fault in shown)
    return StartupError("invalid", os.EX_CONFIG, f"{what} is invalid:\n{lines}\n{remedy}", faults)
