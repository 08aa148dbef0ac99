import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ...consul_agent import services
from ...consul_agent.errors import ConsulError
from ...registration import other_nodes
from ...registration.definition import DefinitionInvalid, define
from ..errors import command_error


class Command(BaseCommand):
    help = "Remove this site's entry from Consul. Works whatever state the configuration is in."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--id", help="instance id (SERVICE_ID; default NAME-HOSTNAME-PORT)")

    def handle(self, **options: Any) -> None:
        start = settings.CONFIGURATION.start
        try:
            definition = define(start.environment, id=options["id"])
            with start.open_client() as client:
                found = services.deregister(client, definition.id)
                others = [] if found else other_nodes.find(client, definition.name, definition.id, None)
        except DefinitionInvalid as error:
            raise CommandError(str(error), returncode=os.EX_CONFIG) from None
        except ConsulError as error:
            raise command_error(error, "The token needs `service:write` on the service.") from error
        self.stdout.write(f"{definition.id}: {'deregistered' if found else 'was not registered with this agent'}.")
        for entry in others:
            self.stderr.write(f"{other_nodes.described(entry)}. {other_nodes.remedy(entry)}")
