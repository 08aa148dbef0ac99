import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from ...config import effective
from ..table import table


class Command(BaseCommand):
    help = "Show the effective configuration and where each value came from. Works when the site cannot start."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, **options: Any) -> None:
        rows = [row.as_dict() for row in effective.rows(settings.CONFIGURATION)]
        if options["format"] == "json":
            self.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2))
        else:
            self.stdout.write(table(rows, ["setting", "value", "origin", "feeds"]))
