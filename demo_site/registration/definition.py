"""The service definition: what the site registers, validated as a whole before it is sent."""

import ipaddress
import platform
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
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

DEFAULT_ADDRESS, DEFAULT_PORT = "127.0.0.1", 8000  # where runserver listens

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?"  # as in a Host header
ID = r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}"


class DefinitionInvalid(ValueError):
    """The definition is invalid; `faults` lists every reason."""

    def __init__(self, faults: list[Message]) -> None:
        self.faults = tuple(faults)
        self.message = joined(faults, "\n")
        super().__init__(self.message)


@dataclass(frozen=True)
class ServiceDefinition:
    """One instance of the service. Durations are in Go's format: "10s", "1m30s"."""

    name: str
    id: str
    address: str
    port: int
    tags: Sequence[str] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    check: str = "http"
    check_url: str = ""
    interval: str = "10s"
    timeout: str = "2s"
    deregister_after: str = "10m"
    scheme: str = "http"
    tls_skip_verify: bool = False
    tls_server_name: str = ""
    check_host: str = ""

    @property
    def place(self) -> tuple[str, int]:
        return self.address, self.port

    @property
    def base_url(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def ready_check_id(self) -> str:
        """The id of the readiness check, which decides whether the instance gets traffic."""
        return f"service:{self.id}:ready"

    @property
    def live_check_id(self) -> str:
        """The id of the liveness check, which deregisters an instance that never comes back."""
        return f"service:{self.id}:live"

    @property
    def ready_url(self) -> str:
        return self.check_url or f"{self.base_url}/readyz"

    def payload(self, status: str = "critical") -> dict[str, Any]:
        """The body of https://developer.hashicorp.com/consul/api-docs/agent/service#register-service.

        `status` is that of the readiness check until it first runs. The agent does not report how a check is done, so
        its notes do, for people and for the comparison with the desired definition.
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
        notes = [f"GET {url} every {self.interval}", f"answered within {self.timeout}"]
        notes += [f"Host: {self.check_host}"] if self.check_host else []
        tls = self._tls(url)
        notes += [f"certificate of {self.tls_server_name}"] if "TLSServerName" in tls else []
        notes += ["certificate not verified"] if "TLSSkipVerify" in tls else []
        return ", ".join(notes)

    def _probe(self, url: str) -> dict[str, Any]:
        if self.check == "ttl":  # like an HTTP check, it notices a dead instance within two intervals
            return {"TTL": f"{2 * seconds(self.interval):g}s"}
        header = {"Header": {"Host": [self.check_host]}} if self.check_host else {}
        return {"HTTP": url, "Interval": self.interval, "Timeout": self.timeout} | header | self._tls(url)

    def _tls(self, url: str) -> dict[str, Any]:
        """What is set, only: an agent refuses a field that its version does not know, as 1.8 refuses TLSServerName."""
        wanted = {"TLSServerName": self.tls_server_name, "TLSSkipVerify": self.tls_skip_verify}
        return {name: value for name, value in wanted.items() if value and url.startswith("https:")}


def define(environment: Environment, **options: Any) -> ServiceDefinition:
    """The definition from the SERVICE_ variables, each overridden by an option that is neither None nor empty.

    The default of address, port and scheme is where gunicorn listens. Raises `DefinitionInvalid` with every fault.
    """
    given = {name: value for name, value in options.items() if value not in (None, "", [], {})}
    listens = bound() or Bound(DEFAULT_ADDRESS, DEFAULT_PORT)
    address = DEFAULT_ADDRESS if listens.is_wildcard else listens.address  # a placeholder where the address is open
    versions = {"version": __version__, "python": platform.python_version(), "django": django.get_version()}
    name = given.pop("name", environment["SERVICE_NAME"])
    port = given.pop("port", environment["SERVICE_PORT"] or listens.port)
    definition = ServiceDefinition(
        name=name,
        id=given.pop("id", environment["SERVICE_ID"] or f"{name}-{socket.gethostname()}-{port}"),
        address=given.pop("address", environment["SERVICE_ADDRESS"] or address),
        port=port,
        tags=given.pop("tags", environment["SERVICE_TAGS"]),
        meta=versions | given.pop("meta", {}),
        check=given.pop("check", environment["SERVICE_CHECK"]),
        interval=given.pop("interval", environment["SERVICE_CHECK_INTERVAL"]),
        scheme=environment["SERVICE_CHECK_SCHEME"] or listens.scheme,
        tls_skip_verify=environment["SERVICE_CHECK_TLS_SKIP_VERIFY"],
        tls_server_name=environment["SERVICE_CHECK_TLS_SERVER_NAME"],
        check_host=environment["SERVICE_CHECK_HOST"],
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


def known_instance_id(environment: Environment) -> str | None:
    """The same, or None where the definition is invalid: another place says why."""
    try:
        return instance_id(environment)
    except DefinitionInvalid:
        return None


def instance_place(environment: Environment) -> tuple[str, int]:
    """The address and port at which others reach this instance; no address where only the local agent knows it."""
    where = bound() or Bound(DEFAULT_ADDRESS, listeners.runserver_port or DEFAULT_PORT)
    address = "" if where.is_wildcard else where.address
    return environment["SERVICE_ADDRESS"] or address, environment["SERVICE_PORT"] or where.port


def address_is_open(environment: Environment) -> bool:
    """Whether the agent has to supply the address: gunicorn listens on every address, and no variable names one."""
    where = bound()
    return where is not None and where.is_wildcard and not environment["SERVICE_ADDRESS"]


def _faults(service: ServiceDefinition) -> Iterator[Message]:
    duration = _("must be a duration, such as 500ms, 10s or 1m30s")
    meta = _("must be letters, digits, - and _, with a value of at most 512 characters")
    server_name, host = _("must be a host name"), _("must be a host name or an IP address, with a port or without")
    rules = (
        ("name", re.fullmatch(_LABEL, service.name), _("must be a DNS label (RFC 1123: letters, digits, -)")),
        ("id", re.fullmatch(ID, service.id), _("must be one path segment (letters, digits and . _ : -)")),
        ("address", _is_address(service.address), _("must be a host name, or an IP address that is no wildcard")),
        ("port", 1 <= service.port <= 65535, _("must be 1 to 65535")),
        *(("tag", 0 < len(tag) <= 255 and tag.isprintable(), _("must be printable")) for tag in service.tags),
        *((f"meta {key[:128]!r}", _is_meta(key, value), meta) for key, value in service.meta.items()),
        ("check", service.check in ("http", "ttl"), _("must be http or ttl")),
        ("check-scheme", service.scheme in ("http", "https"), _("must be http or https")),
        ("check-tls-server-name", not service.tls_server_name or _is_name(service.tls_server_name), server_name),
        ("check-host", not service.check_host or bool(re.fullmatch(_HOST, service.check_host)), host),
        ("check-url", not service.check_url or _is_url(service.check_url), _("must be an http URL")),
        ("interval", _seconds(service.interval) >= 1, _("must be a duration of at least 1s, such as 10s or 1m30s")),
        ("timeout", _seconds(service.timeout) > 0, duration),
        ("deregister-after", _seconds(service.deregister_after) > 0, duration),
    )
    for what, holds, rule in rules:
        if not holds:
            yield _("%(what)s: %(problem)s", what=what, problem=rule)


def _is_address(text: str) -> bool:
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        return _is_name(text)


def _is_name(text: str) -> bool:
    return bool(re.fullmatch(rf"{_LABEL}(\.{_LABEL})*\.?", text)) and len(text) <= 253


def _is_meta(key: str, value: str) -> bool:
    """https://developer.hashicorp.com/consul/docs/services/configuration/services-configuration-reference#meta"""
    return bool(re.fullmatch(r"[A-Za-z0-9_-]{1,128}", key)) and len(value) <= 512 and value.isprintable()


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and text.isprintable()
    except ValueError:
        return False


def _seconds(text: str) -> float:
    """The duration in seconds; 0 for text that is none."""
    try:
        return seconds(text)
    except ValueError:
        return 0.0
