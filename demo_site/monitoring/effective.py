"""The effective configuration as rows: each setting, its value or mask, where it came from, and what it feeds."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac
from pydantic import SecretStr

from ..config.live import InForce, Live
from ..environment import TABLE, Environment
from ..identity import FINGERPRINT_SALT
from ..instance.listeners import bound
from ..registration.definition import DEFAULT_ADDRESS, DefinitionInvalid, address_is_open, define

_STARTED_AT = datetime.now(UTC)
_FEEDS = {
    "redis_config.redis_host": 'CACHES["default"] LOCATION',
    "redis_config.redis_port": 'CACHES["default"] LOCATION',
    "redis_config.redis_db": 'CACHES["default"] LOCATION',
    "redis_config.redis_password": 'CACHES["default"] OPTIONS PASSWORD',
    "show_message": "SHOW_MESSAGE, the page",
}
_BOUND = ("SERVICE_ADDRESS", "SERVICE_PORT")
# Up to the last "@", as what parses URLs does: an unquoted one may stand in the password. And libpq's parameters.
_URL_PASSWORD = re.compile(r"((?<=://)[^/?#\s:]*:)([^/?#\s]+)(?=@)")
_URL_PARAMETER = re.compile(r"([?&][^=&#\s]*password=)([^&#\s]+)", re.IGNORECASE)
_SHORTEST_SECRET = 4  # a shorter one would blank out parts of every value


@dataclass(frozen=True)
class Row:
    """One setting. `value` is masked where `secret`; `loaded_at` is ISO 8601 in UTC, `None` when never loaded.

    `told`: the value is a sentence of ours, which can be translated, and nothing that anybody has set.
    """

    setting: str
    value: str | int | None
    origin: str
    loaded_at: str | None
    feeds: str
    secret: bool = False
    told: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The row as `effective_config --format json` prints it."""
        return {name: value for name, value in asdict(self).items() if name != "told"}


class _Told(str):
    """A sentence of ours where a value would stand."""


class Masker:
    """Hides secrets by type, and by value wherever one turns up, a password inside a URL included."""

    def __init__(self, secrets: list[str]) -> None:
        self._secrets = sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True)

    def mask(self, secret: str) -> str:
        """A mask with a keyed fingerprint: equal on two instances exactly when secret and SECRET_KEY are equal."""
        fingerprint = salted_hmac(FINGERPRINT_SALT, secret, algorithm="sha256").hexdigest()[:8]
        return f"•••••••• (fingerprint {fingerprint})"

    def clean(self, value: Any) -> Any:
        """A value with every known secret, and every password in a URL, masked. Numbers stay numbers."""
        if not isinstance(value, str):
            return value
        text = value
        for pattern in (_URL_PASSWORD, _URL_PARAMETER):
            text = pattern.sub(lambda found: found[1] + self.mask(found[2]), text)
        for secret in self._secrets:
            text = text.replace(secret, self.mask(secret))
        return text


def rows(live: Live, state: str | None = None) -> list[Row]:
    """Every setting of the site. Works in all four start-up conditions; asks neither Consul nor Redis.

    `state` is what to say of a document that was loaded, where this process does not follow it.
    """
    environment = live.start.environment
    masker = Masker([*environment_secrets(environment), *_document_secrets(live)])
    found = [_state_row(live, state), *_document_rows(live, masker), *_environment_rows(live, masker)]
    return [_cleaned(row, masker) for row in found]


def _cleaned(row: Row, masker: Masker) -> Row:
    return row if row.secret else replace(row, value=masker.clean(row.value))


def environment_secrets(environment: Environment) -> list[str]:
    """The secrets that came from the environment, those inside DATABASE_URL included; some may be empty."""
    database = settings.DATABASES["default"]
    options = [value for name, value in database.get("OPTIONS", {}).items() if "password" in name.lower()]
    variables = [environment.text[variable.name] for variable in TABLE if variable.secret]
    return [*variables, settings.SECRET_KEY, *map(str, filter(None, [database.get("PASSWORD"), *options]))]


def _document_secrets(live: Live) -> list[str]:
    if live.start.error:
        return []
    password = live.in_force.document.redis_config.redis_password
    return [password.get_secret_value()] if password else []


def _state_row(live: Live, state: str | None) -> Row:
    """The first row: the state of the document, with every fault of one that could not be used."""
    error = live.start.error
    if error:
        return Row("document", f"{error.condition}: {error}", _source(live), None, "start-up", told=True)
    loaded = live.in_force.loaded
    state = state or str(live.status)
    return Row("document", state, loaded.origin, _time(loaded.loaded_at), "CACHES, SHOW_MESSAGE", told=True)


def _source(live: Live) -> str:
    environment = live.start.environment
    file = environment["DEMO_CONFIG_FILE"]
    return f"file {file}" if file else f"Consul key {environment['DEMO_CONFIG_KEY']}"


def _document_rows(live: Live, masker: Masker) -> Iterator[Row]:
    if live.start.error:
        yield from (Row(path, None, "not loaded", None, feeds) for path, feeds in _FEEDS.items())
        return
    in_force: InForce = live.in_force
    origin, loaded_at = in_force.loaded.origin, _time(in_force.loaded.loaded_at)
    values = dict(in_force.document.redis_config) | {"show_message": in_force.document.show_message}
    for path, feeds in _FEEDS.items():
        value = values[path.rpartition(".")[2]]
        if isinstance(value, SecretStr):
            yield Row(path, masker.mask(value.get_secret_value()), origin, loaded_at, feeds, secret=True)
        else:
            yield Row(path, value, origin, loaded_at, feeds)
    for path, value in in_force.document.ignored.items():
        # Whatever an unknown member holds may be a misspelt secret: its kind is shown, never its value.
        feeds = "nothing: not a member this version knows"
        yield Row(path, f"ignored: {_kind(value)}", origin, loaded_at, feeds, told=True)


def _kind(value: Any) -> str:
    kinds = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", type(None): "null"}
    return kinds.get(type(value), "an object")


def _environment_rows(live: Live, masker: Masker) -> Iterator[Row]:
    environment, effective = live.start.environment, _effective_values(live)
    for variable in TABLE:
        name = variable.name
        value = effective.get(name, environment.text[name]) or None
        origin = "environment" if name in environment.given else "default"
        if name == "DJANGO_SECRET_KEY":
            value, origin = settings.SECRET_KEY, origin if value else f"file {settings.LOCAL_DIR / 'secret_key'}"
        if name in _BOUND and origin == "default" and (where := bound()):
            origin = f"gunicorn bind {where.address}:{where.port}"
        if variable.secret and value:
            value = masker.mask(str(value))
        told = isinstance(value, _Told)
        yield Row(name, value, origin, _time(_STARTED_AT), variable.feeds, secret=variable.secret, told=told)


def _effective_values(live: Live) -> dict[str, Any]:
    """What the variables come to where that is more than their text: the service's defaults, the agent's URL."""
    values: dict[str, Any] = {"CONSUL_HTTP_ADDR": live.start.address.url}
    environment = live.start.environment
    # Which address that is, only the registration asks the agent: these rows ask nobody.
    told_by_agent = (
        _Told("(the address that the local Consul agent advertises)") if address_is_open(environment) else None
    )
    try:
        service = define(environment, address=told_by_agent and DEFAULT_ADDRESS)
    except DefinitionInvalid as error:
        return values | {"SERVICE_NAME": _Told(f"invalid: {error}")}
    values |= {"SERVICE_NAME": service.name, "SERVICE_ID": service.id, "SERVICE_TAGS": ",".join(service.tags)}
    return values | {"SERVICE_ADDRESS": told_by_agent or service.address, "SERVICE_PORT": service.port}


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
