"""The members of the configuration document. A setting of your own is one line here."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from ..messages import _
from .fields import Group, Setting, SettingField, fields_of

_LOCATION = 'CACHES["default"] LOCATION'


def _network_host(value: str) -> str:
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


class RedisConfig(Group, probe="demo_site.redis_cache.probe.faults"):
    """The Redis server to count in."""

    redis_host: Annotated[str, AfterValidator(_network_host), Setting(_("Redis host"), _LOCATION, example="127.0.0.1")]
    redis_port: Annotated[int, Field(ge=1, le=65535), Setting(_("Redis port"), _LOCATION, example=6379)]
    redis_db: Annotated[int, Field(ge=0, le=2**31 - 1), Setting(_("Redis database"), _LOCATION, moves_secrets=False)]
    redis_password: Annotated[SecretStr | None, Setting(_("Redis password"), 'CACHES["default"] OPTIONS PASSWORD')] = (
        None
    )


class Document(Group):
    """What the key holds."""

    redis_config: RedisConfig
    show_message: Annotated[
        str, Setting(_("Message on the page"), _("SHOW_MESSAGE, the page"), multiline=True, example="hello")
    ]


FIELDS: dict[str, SettingField] = {field.path: field for field in fields_of(Document)}
