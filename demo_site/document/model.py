"""The members of the configuration document. A setting of your own is one line here."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

from ..messages import Message, _
from .fields import Group, Setting, SettingField, fields_of

_LOCATION = 'CACHES["default"] LOCATION'
_USERNAME, _PASSWORD = (f'CACHES["default"] OPTIONS {name}' for name in ("USERNAME", "PASSWORD"))
_TLS = 'CACHES["default"] OPTIONS CONNECTION_POOL_KWARGS'
_LONGEST_PATH, _LONGEST_SOCKET_PATH = 1024, 107  # the second: sun_path in unix(7)


def network_host(value: str) -> str:
    """`value`, if it is a host name or an IP address. Raises `ValueError` with what it must be."""
    if not value:
        raise ValueError(_("must not be empty"))
    if ":" in value:
        try:
            zone = ipaddress.IPv6Address(value).scope_id
        except ValueError:
            zone = ""
        if zone is not None and not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", zone):  # an interface, where there is one
            raise ValueError(_("must be a host name or an IP address, without a port"))
    elif not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", value):
        raise ValueError(_("must be a host name or an IP address (letters, digits, dots, hyphens)"))
    elif not all(0 < len(label) < 64 for label in value.removesuffix(".").split(".")):
        raise ValueError(_("must be a host name: 1 to 63 characters between its dots"))  # a resolver refuses to ask
    return value


def _absolute_path(value: str) -> str:
    if not (value.startswith("/") and value.isprintable() and len(value.encode()) <= _LONGEST_PATH):
        raise ValueError(_("must be an absolute path (/..., at most %(bytes)s bytes)", bytes=_LONGEST_PATH))
    return value


def _socket_path(value: str) -> str:
    if len(value.encode()) > _LONGEST_SOCKET_PATH:
        raise ValueError(_("must have at most %(bytes)s bytes: a socket's path is limited", bytes=_LONGEST_SOCKET_PATH))
    return _absolute_path(value)


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", value):
        raise ValueError(_("must be a name (letters, digits, dots, hyphens, underscores)"))
    return value


def _user(value: str) -> str:
    if not (value.isprintable() and re.fullmatch(r"\S{1,128}", value)):
        raise ValueError(_("must be a user's name, without spaces"))
    return value


def _host_and_port(value: str) -> str:
    host, _colon, port = value.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535):
        raise ValueError(_("must be HOST:PORT"))
    network_host(host.removeprefix("[").removesuffix("]"))
    return value


# Where Redis may be found; a document has one of them. What needs what beside it; what cannot stand beside what.
PLACES = ("redis_host", "redis_socket", "redis_service", "redis_sentinels")
_COMPLETE = {"redis_host": "redis_port", "redis_sentinels": "redis_master", "redis_cert_file": "redis_key_file"}
_NEEDED = {
    "redis_port": "redis_host",
    "redis_tag": "redis_service",
    "redis_master": "redis_sentinels",
    **dict.fromkeys(("redis_ca_file", "redis_tls_name"), "redis_tls"),
    "redis_cert_file": "redis_tls",
    "redis_key_file": "redis_cert_file",
}
_EXCLUDED = (("redis_password_file", "redis_password"), ("redis_tls", "redis_socket"))


HostName = Annotated[str, AfterValidator(network_host)]
HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
Name = Annotated[str, AfterValidator(_name)]
FilePath = Annotated[str, AfterValidator(_absolute_path)]


class RedisConfig(Group, probe="demo_site.redis_cache.probe.faults"):
    """The Redis server to count in. It is at a host, or at a socket, or what Consul or Sentinel name."""

    redis_host: Annotated[HostName | None, Setting(_("Redis host"), _LOCATION, example="127.0.0.1")] = None
    redis_port: Annotated[int | None, Field(ge=1, le=65535), Setting(_("Redis port"), _LOCATION, example=6379)] = None
    redis_db: Annotated[int, Field(ge=0, le=2**31 - 1), Setting(_("Redis database"), _LOCATION, moves_secrets=False)]
    redis_password: Annotated[SecretStr | None, Setting(_("Redis password"), _PASSWORD)] = None
    redis_password_file: Annotated[
        FilePath | None,
        Setting(_("Redis password file"), _PASSWORD, moves_secrets=False, names_secret=True),
    ] = None
    redis_username: Annotated[
        Annotated[str, AfterValidator(_user)] | None, Setting(_("Redis user name"), _USERNAME, moves_secrets=False)
    ] = None
    redis_socket: Annotated[
        Annotated[str, AfterValidator(_socket_path)] | None, Setting(_("Redis socket"), _LOCATION)
    ] = None
    redis_service: Annotated[Name | None, Setting(_("Redis service"), _LOCATION)] = None
    redis_tag: Annotated[Name | None, Setting(_("Redis service tag"), _LOCATION)] = None
    redis_sentinels: Annotated[
        Annotated[list[HostAndPort], Field(min_length=1, max_length=9)] | None,
        Setting(_("Sentinel addresses"), _LOCATION),
    ] = None
    redis_master: Annotated[Name | None, Setting(_("Sentinel master name"), _LOCATION)] = None
    redis_tls: Annotated[bool, Setting(_("Redis over TLS"), _LOCATION)] = False
    redis_ca_file: Annotated[FilePath | None, Setting(_("CA certificate file"), _TLS)] = None
    redis_tls_name: Annotated[HostName | None, Setting(_("Name in the server certificate"), _TLS)] = None
    redis_cert_file: Annotated[FilePath | None, Setting(_("Client certificate file"), _TLS, moves_secrets=False)] = None
    redis_key_file: Annotated[FilePath | None, Setting(_("Client key file"), _TLS, moves_secrets=False)] = None

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, Message]]:
        """One place, with what belongs to it; one password; TLS's files with TLS."""
        there = {name for name, value in given.items() if value is not False}
        place, *others = [name for name in PLACES if name in there] or [""]
        if not place:
            yield "redis_host", _("is missing; in its place may be %(others)s", others=", ".join(PLACES[1:]))
        yield from (
            (name, _("is missing")) for owner, name in _COMPLETE.items() if owner in there and name not in there
        )
        for name, other in (*((name, place) for name in others), *_EXCLUDED):
            if name in there and other in there:
                yield name, _("cannot stand beside %(other)s", other=other)
        for name, other in _NEEDED.items():
            if name in there and other not in there and (place or other not in PLACES):
                yield name, _("needs %(other)s beside it", other=other)


class Document(Group):
    """What the key holds."""

    redis_config: RedisConfig
    show_message: Annotated[
        str, Setting(_("Message on the page"), _("SHOW_MESSAGE, the page"), multiline=True, example="hello")
    ]


FIELDS: dict[str, SettingField] = {field.path: field for field in fields_of(Document)}
