"""The service definition: what is registered, validated as a whole before anything is sent."""

import ipaddress
import platform
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import django

from .. import __version__
from ..consul_agent.durations import seconds
from ..environment import Environment
from ..instance import listeners
from ..instance.listeners import Bound, bound
from ..messages import Message, _, joined

LEAST_INTERVAL_SECONDS = 1  # the keeper looks twice in an interval
DEFAULT_ADDRESS, DEFAULT_PORT = "127.0.0.1", 8000  # where runserver listens

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


class DefinitionInvalid(ValueError):
    """The service cannot be registered like this; `faults` lists every reason."""

    def __init__(self, faults: list[Message]) -> None:
        self.faults = tuple(faults)
        self.message = joined(faults, "\n")
        super().__init__(self.message)


@dataclass(frozen=True)
class ServiceDefinition:
    """One instance of the service. Durations are Consul's (Go's): "10s", "1m30s"."""

    name: str
    id: str
    address: str
    port: int
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    check: str = "http"
    check_url: str = ""
    interval: str = "10s"
    timeout: str = "2s"
    deregister_after: str = "10m"

    @property
    def base_url(self) -> str:
        """Where this instance answers."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}"

    @property
    def ready_check_id(self) -> str:
        """The id of the check that decides whether the instance gets traffic."""
        return f"service:{self.id}:ready"

    @property
    def live_check_id(self) -> str:
        """The id of the check that deregisters an instance which never comes back."""
        return f"service:{self.id}:live"

    @property
    def ready_url(self) -> str:
        """What the readiness check asks."""
        return self.check_url or f"{self.base_url}/readyz"

    def payload(self, status: str = "critical") -> dict[str, Any]:
        """The form of https://developer.hashicorp.com/consul/api-docs/agent/service#register-service.

        `status` (passing, critical) is what the readiness check says until it first runs. The agent tells nobody how a
        check is done, so its notes say it, to people and to whoever compares.
        """
        ready = {"CheckID": self.ready_check_id, "Name": "ready (/readyz)", "Status": status}
        live = {"CheckID": self.live_check_id, "Name": "alive (/livez)", "Status": "passing"}
        removal = {
            "DeregisterCriticalServiceAfter": self.deregister_after,
            "Notes": f"{self._notes(f'{self.base_url}/livez')}; removed after {self.deregister_after} without",
        }
        return {
            "ID": self.id,
            "Name": self.name,
            "Address": self.address,
            "Port": self.port,
            "Tags": list(self.tags),
            "Meta": dict(self.meta),
            "Checks": [
                ready | self._probe(self.ready_url) | {"Notes": self._notes(self.ready_url)},
                live | self._probe(f"{self.base_url}/livez") | removal,
            ],
        }

    def _notes(self, url: str) -> str:
        if self.check == "ttl":
            return f"the instance reports {url} every {self.interval}"
        return f"GET {url} every {self.interval}, answered within {self.timeout}"

    def _probe(self, url: str) -> dict[str, str]:
        if self.check == "ttl":  # as an HTTP check does, it tells within two intervals that the instance is dead
            return {"TTL": f"{2 * seconds(self.interval):g}s"}
        return {"HTTP": url, "Interval": self.interval, "Timeout": self.timeout}


def define(environment: Environment, **options: Any) -> ServiceDefinition:
    """The definition from the SERVICE_ variables, each overridden by an option that is neither None nor empty.

    Where neither says an address or a port, it is where gunicorn listens. Raises `DefinitionInvalid` with every fault.
    """
    given = {name: value for name, value in options.items() if value not in (None, "", [], {})}
    listens = bound() or Bound(DEFAULT_ADDRESS, DEFAULT_PORT)
    name = given.pop("name", environment["SERVICE_NAME"])
    port = given.pop("port", environment["SERVICE_PORT"] or listens.port)
    definition = ServiceDefinition(
        name=name,
        id=given.pop("id", environment["SERVICE_ID"] or f"{name}-{socket.gethostname()}-{port}"),
        address=given.pop("address", environment["SERVICE_ADDRESS"] or listens.address),
        port=port,
        tags=tuple(given.pop("tags", environment["SERVICE_TAGS"])),
        meta=versions() | given.pop("meta", {}),
        check=given.pop("check", environment["SERVICE_CHECK"]),
        interval=given.pop("interval", environment["SERVICE_CHECK_INTERVAL"]),
        **given,
    )
    faults = list(_faults(definition))
    if faults:
        raise DefinitionInvalid(faults)
    return definition


def instance_id(environment: Environment) -> str:
    """The id that this instance is registered under. Raises `DefinitionInvalid`.

    The address is no part of it, and need not be known yet: on a wildcard address the local agent tells it.
    """
    return define(environment, address="localhost", port=environment["SERVICE_PORT"] or listeners.runserver_port).id


def address_is_open(environment: Environment) -> bool:
    """Whether the address is the local agent's to tell: gunicorn listens on all, and no variable names one."""
    where = bound()
    return where is not None and where.is_wildcard and not environment["SERVICE_ADDRESS"]


def versions() -> dict[str, str]:
    """The meta of every registration. Nothing in it changes while the site runs: each change would be a write."""
    return {"version": __version__, "python": platform.python_version(), "django": django.get_version()}


def _faults(definition: ServiceDefinition) -> Iterator[Message]:
    checks: tuple[tuple[str, Any, Callable[[Any], Message | None]], ...] = (
        ("name", definition.name, _name_problem),
        ("id", definition.id, _id_problem),
        ("address", definition.address, _address_problem),
        ("port", definition.port, _port_problem),
        *(("tag", tag, _tag_problem) for tag in definition.tags),
        *((f"meta {key[:128]!r}", (key, value), _meta_problem) for key, value in definition.meta.items()),
        ("check", definition.check, _check_problem),
        ("check-url", definition.check_url, _url_problem),
        ("interval", definition.interval, lambda text: _duration_problem(text, LEAST_INTERVAL_SECONDS)),
        ("timeout", definition.timeout, _duration_problem),
        ("deregister-after", definition.deregister_after, _duration_problem),
    )
    for what, value, check in checks:
        if problem := check(value):
            yield _("%(what)s: %(problem)s", what=what, problem=problem)


def _name_problem(name: str) -> Message | None:
    return None if re.fullmatch(_LABEL, name) else _("must be a DNS label (RFC 1123: letters, digits, -)")


def _id_problem(service_id: str) -> Message | None:
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}", service_id):
        return None
    return _("must be one path segment of plain text (letters, digits and . _ : -)")


def _address_problem(address: str) -> Message | None:
    try:
        wildcard = ipaddress.ip_address(address).is_unspecified
        return _("must be one that others can reach, not a wildcard") if wildcard else None
    except ValueError:
        host = re.fullmatch(rf"{_LABEL}(\.{_LABEL})*\.?", address) and len(address) <= 253
        return None if host else _("must be an IP address or a host name")


def _port_problem(port: int) -> Message | None:
    return None if 1 <= port <= 65535 else _("must be 1 to 65535")


def _tag_problem(tag: str) -> Message | None:
    return None if tag and tag.isprintable() and len(tag) <= 255 else _("must be printable")


def _meta_problem(pair: tuple[str, str]) -> Message | None:
    """https://developer.hashicorp.com/consul/docs/services/configuration/services-configuration-reference#meta"""
    key, value = pair
    if re.fullmatch(r"[A-Za-z0-9_-]{1,128}", key) and len(value) <= 512 and value.isprintable():
        return None
    return _("must be letters, digits, - and _, with a value of at most 512 characters")


def _check_problem(check: str) -> Message | None:
    return None if check in ("http", "ttl") else _("must be http or ttl")


def _url_problem(text: str) -> Message | None:
    try:
        url = urlsplit(text)
        good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and text.isprintable()
    except ValueError:
        good = False
    return None if good or not text else _("must be an http URL")


def _duration_problem(text: str, least: float = 0) -> Message | None:
    try:
        length = seconds(text)
    except ValueError as error:
        return Message.of(error.args[0])
    if length < least:
        return _("must be at least %(least)s", least=f"{least:g}s")
    return None if length else _("must be more than zero")
