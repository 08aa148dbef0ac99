from typing import Any

from django.conf import settings
from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand


class Command(RunserverCommand):
    """Django's own, which also follows the configuration in the process that serves."""

    def inner_run(self, *args: Any, **options: Any) -> None:
        settings.CONFIGURATION.follow()
        super().inner_run(*args, **options)
