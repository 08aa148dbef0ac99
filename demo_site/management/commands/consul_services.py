import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from ...consul_agent import services
from ...consul_agent.client import Client
from ...consul_agent.errors import ConsulError, Missing
from ...messages import Message, _
from ..errors import command_error
from ..table import table

_VERSIONS = ("version", "python", "django")
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
            self.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2))
        else:
            columns = list(rows[0]) if rows else []
            self.stdout.write(table([_flat(row) for row in rows], columns) if rows else _NONE)


def _services(client: Client) -> list[dict[str, Any]]:
    names = services.names(client).items()
    return [{"service": name, "tags": sorted(tags)} for name, tags in sorted(names)]


def _instances(client: Client, name: str) -> list[dict[str, Any]]:
    found = services.health_instances(client, name)
    if not found:
        unseen = _("The catalog has no service %(name)s, or the token may not see it (`service:read`, `node:read`).")
        raise Missing(Message(unseen, name=name))
    return sorted((_instance(entry) for entry in found), key=lambda row: str(row["id"]))


def _instance(entry: dict[str, Any]) -> dict[str, Any]:
    service, meta = entry["Service"], entry["Service"].get("Meta") or {}
    return {
        "id": service["ID"],
        "address": service["Address"] or entry["Node"]["Address"],  # Consul's own rule for a service without an address
        "port": service["Port"],
        "health": _health(entry["Checks"]),
        "tags": service.get("Tags") or [],
        "versions": {name: meta[name] for name in _VERSIONS if name in meta},
    }


def _health(checks: list[dict[str, Any]]) -> str:
    """The worst status of the checks; maintenance has a name of its own."""
    if any(services.MAINTENANCE in check["CheckID"] or check["CheckID"] == "_node_maintenance" for check in checks):
        return "maintenance"
    return services.worst_status(checks)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    versions = {"versions": " ".join(f"{k}={v}" for k, v in row["versions"].items())} if "versions" in row else {}
    return row | {"tags": ", ".join(row["tags"])} | versions
