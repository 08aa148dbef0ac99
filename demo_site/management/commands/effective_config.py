import os
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ...config.status import initial
from ...messages import Message, _, joined
from ...monitoring import effective
from .. import fleet
from ..table import as_json, table


class Command(BaseCommand):
    help = "Show the effective configuration and where each value came from. Works when the site cannot start."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=("table", "json"), default="table")
        parser.add_argument("--fleet", action="store_true", help="show what every worker runs instead")
        parser.add_argument("--check", action="store_true", help="with --fleet: exit with 1 unless all is well")

    def handle(self, **options: Any) -> None:
        if options["check"] and not options["fleet"]:
            raise CommandError("--check is about the fleet: add --fleet.", returncode=os.EX_USAGE)
        if options["fleet"]:
            rows, shown, notes, is_well = fleet.report(self.stdout, self.style)
            for note in notes:
                self.stderr.write(note)
        else:
            rows = [asdict(row) for row in effective.rows(settings.CONFIGURATION, _state())]
            shown = table(rows, ["setting", "value", "origin", "feeds"], self.stdout, self.style)
        self.stdout.write(as_json(rows) if options["format"] == "json" else shown)
        if options["check"] and not is_well:
            sys.exit(1)


def _state() -> Message | None:
    """The state of the document in this process, which does not follow it; None if it could not be loaded."""
    live = settings.CONFIGURATION
    if live.start.error:
        return None
    revision = live.in_force.revision
    if revision.kind != "consul":
        return initial(revision).message
    known = _("valid, as Consul has it now; its Redis was not asked")
    workers = fleet.summary(revision.index)
    return joined([known, _("workers: %(workers)s", workers=workers)]) if workers else known
