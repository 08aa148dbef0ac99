"""The effective configuration as rows: each setting, its value or mask, where it came from, and what it feeds."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from pydantic import SecretStr

from ..config.live import Live
from ..config.masking import Masker
from ..config.revision import timestamp
from ..document.fields import given, unknown, values
from ..document.model import FIELDS
from ..environment import TABLE
from ..instance.listeners import bound
from ..messages import MASK, Message, _
from ..registration.definition import DEFAULT_ADDRESS, DefinitionInvalid, address_is_open, define

DEFAULT, ENVIRONMENT = _("default"), _("environment")
_BOUND = ("SERVICE_ADDRESS", "SERVICE_PORT", "SERVICE_CHECK_SCHEME")
_KINDS = {str: _("text"), bool: _("true or false"), int: _("a number"), float: _("a number"), list: _("a list")}


@dataclass(frozen=True)
class Row:
    """One setting. `value` is masked where `secret`; a `Message` in its place says why there is none.

    `loaded_at` is ISO 8601 in UTC, `None` when never loaded.
    """

    setting: str
    value: Any
    origin: str
    loaded_at: str | None
    feeds: str
    secret: bool = False

    @property
    def is_copyable(self) -> bool:
        """Whether what is shown is the value itself: no mask in it, and no words in its place."""
        is_value = self.value not in (None, "", []) and not isinstance(self.value, Message)
        return is_value and not self.secret and MASK not in str(self.value)


def rows(live: Live, state: Message | None = None) -> list[Row]:
    """Every setting of the site, those of the document first."""
    return [row for part in by_source(live, state) for row in part]


def by_source(live: Live, state: Message | None = None) -> tuple[list[Row], list[Row]]:
    """The rows of the document, and those of the environment.

    Works in all four start-up conditions; asks neither Consul nor Redis. `state` is what to say of a document that was
    loaded, where this process does not follow it.
    """
    document = None if live.start.error else live.in_force.document
    masker = Masker(live.start.environment, document)
    document_rows = [_state_row(live, state), *_document_rows(live, masker)]
    return _cleaned(document_rows, masker), _cleaned(_environment_rows(live, masker), masker)


def _cleaned(found: Iterable[Row], masker: Masker) -> list[Row]:
    return [row if row.secret else replace(row, value=masker.clean(row.value)) for row in found]


def _state_row(live: Live, state: Message | None) -> Row:
    """The first row: the state of the document, with every fault of one that could not be used."""
    if error := live.start.error:
        reason = _("%(condition)s: %(reason)s", condition=error.condition, reason=error.message)
        file = live.start.environment["DEMO_CONFIG_FILE"]
        origin = _("file %(path)s", path=file) if file else _("Consul key %(key)s", key=live.start.key)
        return Row("document", reason, origin, None, _("start-up"))
    revision = live.in_force.revision
    state = state or live.status.message
    return Row("document", state, revision.origin, timestamp(revision.loaded_at), "CACHES, SHOW_MESSAGE")


def _document_rows(live: Live, masker: Masker) -> Iterator[Row]:
    if live.start.error:
        yield from (
            Row(path, None, _("not loaded"), None, field.declared.feeds, field.secret) for path, field in FIELDS.items()
        )
        return
    revision, document = live.in_force.revision, live.in_force.document
    loaded_at, there = timestamp(revision.loaded_at), given(document)
    for path, value in values(document).items():
        origin = revision.origin if path in there else DEFAULT
        is_masked = isinstance(value, SecretStr)
        shown = masker.mask(value.get_secret_value()) if is_masked else value
        yield Row(path, shown, origin, loaded_at, FIELDS[path].declared.feeds, secret=is_masked)
    for path, value in unknown(document).items():
        # Whatever an unknown member holds may be a misspelt secret: its kind is shown, never its value.
        kind = Message("null") if value is None else _KINDS.get(type(value), _("an object"))
        feeds = _("nothing: not a member this version knows")
        yield Row(masker.clean(path), _("ignored: %(kind)s", kind=kind), revision.origin, loaded_at, feeds)


def _environment_rows(live: Live, masker: Masker) -> Iterator[Row]:
    environment, effective = live.start.environment, _effective_values(live)
    for variable in TABLE:
        name = variable.name
        value = effective.get(name, environment.text[name]) or None
        origin = ENVIRONMENT if name in environment.given else DEFAULT
        file = environment.files.get(name)
        if name == "DJANGO_SECRET_KEY" and not value:
            value, file = settings.SECRET_KEY, str(settings.LOCAL_DIR / "secret_key")
        if file:
            origin = _("file %(path)s", path=file)
        if name in _BOUND and origin == DEFAULT and (where := bound()):
            origin = _("gunicorn bind %(place)s", place=f"{where.address}:{where.port}")
        if variable.secret and value:
            value = masker.mask(str(value))
        yield Row(name, value, origin, timestamp(live.start.read_at), variable.feeds, secret=variable.secret)


def _effective_values(live: Live) -> dict[str, Any]:
    """What the variables come to where that is more than their text: the service's defaults, the agent's URL."""
    found: dict[str, Any] = {"CONSUL_HTTP_ADDR": live.start.address.url}
    environment = live.start.environment
    # Which address that is, only the registration asks the agent: these rows ask nobody.
    advertised = _("(the address that the local Consul agent advertises)") if address_is_open(environment) else None
    try:
        service = define(environment, address=DEFAULT_ADDRESS if advertised else None)
    except DefinitionInvalid as error:
        return found | {"SERVICE_NAME": _("invalid: %(faults)s", faults=error.message)}
    found |= {"SERVICE_NAME": service.name, "SERVICE_ID": service.id, "SERVICE_TAGS": ",".join(service.tags)}
    found |= {"SERVICE_ADDRESS": advertised or service.address, "SERVICE_PORT": service.port}
    return found | {"SERVICE_CHECK_SCHEME": service.scheme}
