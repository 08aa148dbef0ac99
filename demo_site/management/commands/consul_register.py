import logging
import os
import signal
import threading
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import fields
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ...consul_agent import services
from ...consul_agent.client import Client
from ...consul_agent.errors import ConsulError
from ...registration import other_nodes
from ...registration.definition import DefinitionInvalid, ServiceDefinition, define
from ...registration.keep import Keeper
from ...registration.register import reaches_catalog, repair
from ...registration.self_check import ready
from ..errors import command_error


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise ArgumentTypeError(f"{text!r} must be KEY=VALUE")
    return key, value


class Command(BaseCommand):
    help = "Register this site with Consul, so that others find it by API and DNS."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", help="service name, a DNS label (SERVICE_NAME)")
        parser.add_argument("--id", help="instance id (SERVICE_ID; default NAME-HOSTNAME-PORT)")
        parser.add_argument("--address", help="address at which others reach it (SERVICE_ADDRESS)")
        parser.add_argument("--port", type=int, help="port (SERVICE_PORT)")
        parser.add_argument("--tag", action="append", dest="tags", metavar="TAG", help="repeatable (SERVICE_TAGS)")
        parser.add_argument("--meta", action="append", type=_pair, metavar="KEY=VALUE", help="repeatable")
        parser.add_argument("--check", choices=("http", "ttl"), help="Consul asks the instance, or --keep reports")
        parser.add_argument("--check-url", help="URL of the readiness check (default: /readyz of this instance)")
        parser.add_argument("--interval", help="between two checks (10s)")
        parser.add_argument("--timeout", help="of one check (2s)")
        parser.add_argument("--deregister-after", help="how long an instance may be dead (10m; at least 1m)")
        parser.add_argument("--keep", action="store_true", help="stay, keep it registered, deregister on SIGTERM")

    def handle(self, **options: Any) -> None:
        definition = self._definition(options)
        client = settings.CONFIGURATION.start.open_client()
        try:
            if options["keep"]:
                self._keep(client, definition)
            else:
                self._register(client, definition)
        except ConsulError as error:
            raise command_error(error, f"The token needs `service:write` on {definition.name}.") from error

    def _definition(self, options: dict[str, Any]) -> ServiceDefinition:
        given = {field.name: options.get(field.name) for field in fields(ServiceDefinition)}
        try:
            return define(settings.ENVIRONMENT, **given | {"meta": dict(given["meta"] or [])})
        except DefinitionInvalid as error:
            problem = f"The service cannot be registered like this:\n{error}"
            raise CommandError(problem, returncode=os.EX_CONFIG) from None

    def _register(self, client: Client, definition: ServiceDefinition) -> None:
        is_new, _node = repair(client, definition, lambda: ready(definition).status)
        if definition.check == "ttl":
            Keeper(client, definition).heartbeat()
        if not reaches_catalog(client, definition):
            raise CommandError(
                f"The agent accepted {definition.id}, but the catalog does not show it, so nobody will find it.\n"
                "With ACLs on, the agent's own token needs `node:write` and `service:write` (its log says which), "
                f"and this command's token needs `node:read` and `service:read` on {definition.name} to see it.",
                returncode=os.EX_NOPERM,
            )
        place = f"{definition.name} as {definition.id} at {definition.address}:{definition.port}"
        outcome = "registered" if is_new else "already registered, nothing changed"
        self.stdout.write(f"{place}: {outcome}; agent and catalog show it.")
        here = services.agent_entry(client, definition.id)
        for entry in other_nodes.find(client, definition.name, definition.id, here):
            self.stderr.write(f"{other_nodes.described(entry)}. {other_nodes.remedy(entry)}")

    def _keep(self, client: Client, definition: ServiceDefinition) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        logging.getLogger("demo_site").setLevel(logging.INFO)
        for pause in Keeper(client, definition).steps():
            if stop.wait(pause):
                break
        if services.deregister(client, definition.id):
            self.stdout.write(f"{definition.id}: deregistered.")
