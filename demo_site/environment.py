"""The environment variables of the site: one table, and their values with where each came from."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import identity
from .bounded import read_file
from .consul_agent.address import DEFAULT as CONSUL_DEFAULT
from .consul_agent.durations import seconds
from .messages import _, joined
from .startup import StartupError


def _boolean(text: str) -> bool:
    is_true = text.lower() in ("1", "true", "yes", "on")
    if not is_true and text.lower() not in ("", "0", "false", "no", "off"):
        raise ValueError("must be true or false")
    return is_true


def _utf8(text: str) -> str:
    if not text.isprintable():  # bytes of no character are in there as halves of surrogate pairs
        raise ValueError("must be UTF-8 text without control characters")
    return text


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _keys(text: str) -> list[str]:
    return _words(_utf8(text))


def _number(kind: type[int] | type[float], least: int, most: int) -> Callable[[str], float | None]:
    pattern = r"[0-9]{1,8}" if kind is int else r"[0-9]{1,5}(\.[0-9]{1,3})?"

    def parse(text: str) -> float | None:
        if text and not (re.fullmatch(pattern, text) and least <= kind(text) <= most):
            raise ValueError(f"must be a number, {least} to {most}")
        return kind(text) if text else None

    return parse


def _duration(text: str) -> float | None:
    return seconds(text) if text else None


def _key(text: str) -> str:
    if text.startswith("/") or not text.isprintable() or {".", ".."} & set(text.split("/")):
        raise ValueError("must be a key of Consul KV: printable, no leading slash, no . or .. between slashes")
    return text


def _database_url(text: str) -> str:
    try:
        url = urlsplit(text)
        good = not text or url.scheme == "sqlite" or (url.scheme in ("postgres", "postgresql") and url.port != 0)
    except ValueError:  # the host or the port is invalid
        good = False
    if not good:  # the message omits the URL: it may contain a password
        raise ValueError("must be sqlite:///PATH or postgres://USER:PASSWORD@HOST:PORT/NAME")
    return text


def _path(text: str) -> str:
    if text and not (text.startswith("/") and text.isprintable()):  # not repeated: it may be the secret itself
        raise ValueError("must be the absolute path of a file")
    return text


def _log_format(text: str) -> str:
    if text not in ("plain", "json"):
        raise ValueError("must be plain or json")
    return text


def _header(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    name, separator, value = text.partition(",")
    if not separator or not re.fullmatch(r"HTTP_[A-Z0-9_]+", name.strip()) or not value.strip():
        raise ValueError("must be a header's WSGI name and its value: HTTP_X_FORWARDED_PROTO,https")
    return name.strip(), value.strip()


def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] | None:
    """None for "*", every address."""
    try:
        return None if text.strip() == "*" else tuple(ipaddress.ip_network(word) for word in _words(text))
    except ValueError:
        raise ValueError("must be addresses or networks, 10.0.0.5,10.1.0.0/16, or *") from None


@dataclass(frozen=True)
class Variable:
    """One row of the table. `parse` converts the text to the value, or raises ValueError with what it must be."""

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
    Variable("CONSUL_CAPATH", "", _CONSUL),
    Variable("CONSUL_TLS_SERVER_NAME", "", _CONSUL),
    Variable("CONSUL_CLIENT_CERT", "", _CONSUL),
    Variable("CONSUL_CLIENT_KEY", "", _CONSUL),
    Variable("DEMO_CONFIG_KEY", identity.KEY, _DOCUMENT, _key),
    Variable("DEMO_CONFIG_FILE", "", _DOCUMENT),
    Variable("DEMO_CONFIG_HISTORY", "50", _DOCUMENT, _number(int, 1, 1000)),
    Variable("DEMO_CONFIG_SNAPSHOT", "", _DOCUMENT),
    Variable("DEMO_CONFIG_SNAPSHOT_MAX_AGE", "", _DOCUMENT, _duration),
    Variable("REDIS_PASSWORD_DIR", "/run/secrets", _DOCUMENT),
    Variable("SERVICE_NAME", identity.NAME, _SERVICE),
    Variable("SERVICE_ID", "", _SERVICE),
    Variable("SERVICE_ADDRESS", "", _SERVICE),
    Variable("SERVICE_PORT", "", _SERVICE, _number(int, 1, 65535)),
    Variable("SERVICE_TAGS", "", _SERVICE, _words),
    Variable("SERVICE_CHECK", "http", _SERVICE),
    Variable("SERVICE_CHECK_INTERVAL", "10s", _SERVICE),
    Variable("SERVICE_CHECK_SCHEME", "", _SERVICE),
    Variable("SERVICE_CHECK_TLS_SERVER_NAME", "", _SERVICE),
    Variable("SERVICE_CHECK_TLS_SKIP_VERIFY", "false", _SERVICE, _boolean),
    Variable("SERVICE_CHECK_HOST", "", _SERVICE),
    Variable("SERVICE_DRAIN_SECONDS", "5", _SERVICE, _number(float, 0, 3600)),
    Variable("CONSUL_REGISTER", "false", _SERVICE, _boolean),
    Variable("DJANGO_SECRET_KEY", "", "SECRET_KEY", _utf8, secret=True),
    Variable("DJANGO_SECRET_KEY_FILE", "", "SECRET_KEY", _path),
    Variable("DJANGO_SECRET_KEY_FALLBACKS", "", "SECRET_KEY_FALLBACKS", _keys, secret=True),
    Variable("DJANGO_DEBUG", "false", "DEBUG", _boolean),
    Variable("DJANGO_LOG_FORMAT", "plain", "LOGGING", _log_format),
    Variable("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", "ALLOWED_HOSTS", _words),
    Variable("DJANGO_CSRF_TRUSTED_ORIGINS", "", "CSRF_TRUSTED_ORIGINS", _words),
    Variable("DJANGO_SECURE_PROXY_SSL_HEADER", "", "SECURE_PROXY_SSL_HEADER", _header),
    Variable("DJANGO_SECURE_HSTS_SECONDS", "3600", "SECURE_HSTS_SECONDS", _number(int, 0, 99_999_999)),
    Variable("FORWARDED_ALLOW_IPS", "127.0.0.1,::1", _("client addresses"), _networks),
    Variable("DATABASE_URL", "", 'DATABASES["default"]', _database_url),
    Variable("DATABASE_URL_FILE", "", 'DATABASES["default"]', _path),
)
# By variable, the one that names a file with its value: for orchestrators that give secrets as files.
IN_FILES = {name: f"{name}_FILE" for name in ("DJANGO_SECRET_KEY", "DATABASE_URL")}
_MOST_FILE_BYTES = 8 * 1024


class Environment(dict[str, Any]):
    """The parsed values by name. An empty variable counts as unset. Raises `StartupError` with all faults.

    `files` has the path by name of each variable whose value was read from a file.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self.given = frozenset(variable.name for variable in TABLE if environ.get(variable.name))
        self.text = {variable.name: environ.get(variable.name, "") or variable.default for variable in TABLE}
        self.files = {name: path for name, naming in IN_FILES.items() if (path := self.text[naming]).startswith("/")}
        faults = []
        for variable in TABLE:
            try:
                if variable.name in self.files:
                    self.text[variable.name] = self._read(variable.name)
                self[variable.name] = variable.parse(self.text[variable.name])
            except ValueError as error:
                faults.append(f"{self._place(variable.name)}: {error}")
        if faults:
            raise invalid(faults)

    def _read(self, name: str) -> str:
        """The file's content without its last newline. Raises ValueError."""
        if name in self.given:
            raise ValueError(f"cannot stand beside {name}; unset one of them")
        try:
            raw = read_file(Path(self.files[name]), _MOST_FILE_BYTES)
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from None
        text = raw.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
        if not text.strip():
            raise ValueError("is empty")
        return _utf8(text)

    def _place(self, name: str) -> str:
        """Where the value comes from, for people."""
        return f"{IN_FILES[name]} {self.files[name]}" if name in self.files else name

    def __repr__(self) -> str:
        """Without the values: some are secrets, and one may contain one."""
        return f"<Environment with {', '.join(sorted(self.given)) or 'nothing set'}>"


def invalid(faults: list[str]) -> StartupError:
    listed = joined([_("The environment is invalid:"), *faults], "\n  ")
    return StartupError("invalid", joined([listed, _("Correct or unset it.")], "\n"))
