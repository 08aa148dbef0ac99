from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from pydantic import TypeAdapter, ValidationError

from ...consul_agent import catalog, services
from ...consul_agent.client import Client
from ...consul_agent.errors import ConsulError, Missing
from ...document.fields import printable
from ...messages import CutLine, Message, _
from ..errors import command_error
from ..table import as_json, table

_VERSIONS = ("version", "python", "django")
_TAGS = TypeAdapter(list[CutLine])
_UNREADABLE: dict[str, Any] = {
    "id": "?",
    "address": "",
    "port": None,
    "health": "unreadable",
    "tags": [],
    "versions": {},
}
_NONE = "no services that the token may see (`service:read`)"


class Command(BaseCommand):
    help = "List the services of the catalog, or the instances of one. Works whatever state the configuration is in."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", help="list the instances of this service")
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, **options: Any) -> None:
        client = settings.CONFIGURATION.start.open_client()
        try:
            rows = _instances(client, options["name"]) if options["name"] else _services(client)
        except ConsulError as error:
            raise command_error(error, "The token needs `service:read` and `node:read`.") from error
        if options["format"] == "json":
            self.stdout.write(as_json(rows))
        else:
            flat = [_flat(row) for row in rows]
            self.stdout.write(table(flat, list(rows[0]), self.stdout, self.style) if rows else _NONE)


def _services(client: Client) -> list[dict[str, Any]]:
    return [{"service": printable(name), "tags": _tags(tags)} for name, tags in sorted(services.names(client).items())]


def _tags(tags: Any) -> list[str]:
    try:
        return sorted(_TAGS.validate_python(tags, strict=True))
    except ValidationError:
        return ["(unreadable)"]


def _instances(client: Client, name: str) -> list[dict[str, Any]]:
    found, unreadable = catalog.instances(client, name)
    if not found and not unreadable:
        unseen = _("The catalog has no service %(name)s, or the token may not see it (`service:read`, `node:read`).")
        raise Missing(Message(unseen, name=name))
    return [*sorted(map(_instance, found), key=lambda row: str(row["id"])), *[_UNREADABLE] * unreadable]


def _instance(found: catalog.CatalogInstance) -> dict[str, Any]:
    meta = found.service.meta or {}
    return {
        "id": found.service.id,
        "address": found.address,
        "port": found.service.port,
        "health": _health(found),
        "tags": found.service.tags or [],
        "versions": {name: meta[name] for name in _VERSIONS if name in meta},
    }


def _health(found: catalog.CatalogInstance) -> str:
    """The worst status of the checks; maintenance has a name of its own."""
    ids = [check.id for check in found.checks or []]
    if any(services.MAINTENANCE in check_id or check_id == "_node_maintenance" for check_id in ids):
        return "maintenance"
    return found.health


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    versions = {"versions": " ".join(f"{k}={v}" for k, v in row["versions"].items())} if "versions" in row else {}
    return row | {"tags": ", ".join(row["tags"])} | versions
