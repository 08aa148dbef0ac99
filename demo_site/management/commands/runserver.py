from typing import Any

from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand

from ...serving import background


class Command(RunserverCommand):
    """Django's runserver, which also starts what every serving process runs beside the requests."""

    port: str

    def inner_run(self, *args: Any, **options: Any) -> None:
        background.start(int(self.port))
        super().inner_run(*args, **options)
