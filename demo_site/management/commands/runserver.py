from typing import Any

from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand

from ...instance import listeners
from ...serving import background


class Command(RunserverCommand):
    """Django's runserver, which also starts what every serving process runs beside the requests."""

    port: str

    def inner_run(self, *args: Any, **options: Any) -> None:
        listeners.runserver_port = int(self.port)
        background.start()
        super().inner_run(*args, **options)
