"""The environment variables of the site: one table, and their values with where each came from."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import EX_CONFIG
from typing import Any
from urllib.parse import urlsplit

from . import identity
from .consul_agent.address import DEFAULT as CONSUL_DEFAULT
from .consul_agent.durations import seconds
from .messages import _, joined
from .startup import StartupError


def _boolean(text: str) -> bool:
    values = {"1": True, "true": True, "yes": True, "on": True, "": False}
    values |= {"0": False, "false": False, "no": False, "off": False}
    if text.lower() not in values:
        raise ValueError("must be true or false")
    return values[text.lower()]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _port(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError("must be a port, 1 to 65535")
    return int(text)


def _duration(text: str) -> float | None:
    return seconds(text) if text else None


def _drain(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text) or float(text) > 3600:
        raise ValueError("must be a number of seconds, 0 to 3600")
    return float(text)


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= 1000:
        raise ValueError("must be a number, 1 to 1000")
    return int(text)


def _key(text: str) -> str:
    if text.startswith("/") or not text.isprintable() or {".", ".."} & set(text.split("/")):
        raise ValueError("must be a key of Consul KV: printable, no leading slash, no . or .. between slashes")
    return text


def _database_url(text: str) -> str:
    url = urlsplit(text)
    try:
        good = not text or url.scheme == "sqlite" or (url.scheme in ("postgres", "postgresql") and url.port != 0)
    except ValueError:  # of a port that is no number
        good = False
    if not good:  # without the URL itself: it may hold a password
        raise ValueError("must be sqlite:///PATH or postgres://USER:PASSWORD@HOST:PORT/NAME")
    return text


def _header(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    name, separator, value = text.partition(",")
    if not separator or not re.fullmatch(r"HTTP_[A-Z0-9_]+", name.strip()) or not value.strip():
        raise ValueError("must be a header as WSGI names it and its value: HTTP_X_FORWARDED_PROTO,https")
    return name.strip(), value.strip()


@dataclass(frozen=True)
class Variable:
    """One row of the table. `parse` turns the text into the value, or raises ValueError saying what it must be."""

    name: str
    default: str
    feeds: str
    parse: Callable[[str], Any] = str
    secret: bool = False


_CONSUL, _DOCUMENT, _SERVICE = _("Consul client"), _("configuration document"), _("service registration")
TABLE = (
    Variable("CONSUL_HTTP_ADDR", CONSUL_DEFAULT, _CONSUL),
    Variable("CONSUL_HTTP_TOKEN", "", _CONSUL, secret=True),
    Variable("CONSUL_HTTP_TOKEN_FILE", "", _CONSUL),
    Variable("CONSUL_HTTP_SSL", "", _CONSUL),
    Variable("CONSUL_HTTP_SSL_VERIFY", "", _CONSUL),
    Variable("CONSUL_CACERT", "", _CONSUL),
    Variable("CONSUL_CLIENT_CERT", "", _CONSUL),
    Variable("CONSUL_CLIENT_KEY", "", _CONSUL),
    Variable("DEMO_CONFIG_KEY", identity.KEY, _DOCUMENT, _key),
    Variable("DEMO_CONFIG_FILE", "", _DOCUMENT),
    Variable("DEMO_CONFIG_HISTORY", "50", _DOCUMENT, _count),
    Variable("DEMO_CONFIG_SNAPSHOT", "", _DOCUMENT),
    Variable("DEMO_CONFIG_SNAPSHOT_MAX_AGE", "", _DOCUMENT, _duration),
    Variable("SERVICE_NAME", identity.NAME, _SERVICE),
    Variable("SERVICE_ID", "", _SERVICE),
    Variable("SERVICE_ADDRESS", "", _SERVICE),
    Variable("SERVICE_PORT", "", _SERVICE, _port),
    Variable("SERVICE_TAGS", "", _SERVICE, _words),
    Variable("SERVICE_CHECK", "http", _SERVICE),
    Variable("SERVICE_CHECK_INTERVAL", "10s", _SERVICE),
    Variable("SERVICE_DRAIN_SECONDS", "5", _SERVICE, _drain),
    Variable("CONSUL_REGISTER", "false", _SERVICE, _boolean),
    Variable("DJANGO_SECRET_KEY", "", "SECRET_KEY", secret=True),
    Variable("DJANGO_DEBUG", "false", "DEBUG", _boolean),
    Variable("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", "ALLOWED_HOSTS", _words),
    Variable("DJANGO_CSRF_TRUSTED_ORIGINS", "", "CSRF_TRUSTED_ORIGINS", _words),
    Variable("DJANGO_SECURE_PROXY_SSL_HEADER", "", "SECURE_PROXY_SSL_HEADER", _header),
    Variable("DATABASE_URL", "", 'DATABASES["default"]', _database_url),
)


class Environment(Mapping[str, Any]):
    """The variables' parsed values by name. An empty variable means unset. Raises `StartupError` with all faults."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.text = {variable.name: environ.get(variable.name, "") or variable.default for variable in TABLE}
        self.given = frozenset(variable.name for variable in TABLE if environ.get(variable.name))
        self._values: dict[str, Any] = {}
        faults = []
        for variable in TABLE:
            try:
                self._values[variable.name] = variable.parse(self.text[variable.name])
            except ValueError as error:
                faults.append(f"{variable.name}: {error}")
        if faults:
            raise invalid(faults)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def invalid(faults: list[str]) -> StartupError:
    """The error for environment variables that cannot be used."""
    listed = joined([_("The environment is invalid:"), *faults], "\n  ")
    return StartupError("invalid", EX_CONFIG, joined([listed, _("Correct or unset it.")], "\n"), faults)
