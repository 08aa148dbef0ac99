import contextlib
import os
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand
from django.core.management.base import OutputWrapper

from ...instance import listeners
from ...serving import background


class Command(RunserverCommand):
    """Django's runserver, which also starts what every serving process runs beside the requests.

    With `--verbosity 0` it says nothing of its own; for Django its banner is no matter of verbosity.
    """

    port: str

    def inner_run(self, *args: Any, **options: Any) -> None:
        listeners.runserver_port = int(self.port)
        background.start()
        with contextlib.ExitStack() as stack:
            if options["verbosity"] == 0:
                self.stdout = OutputWrapper(stack.enter_context(Path(os.devnull).open("w")))
            super().inner_run(*args, **options)
