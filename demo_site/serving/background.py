"""What runs in every process that serves requests, beside the requests."""

from django.conf import settings

from ..fleet import this_worker


def start(port: int | None = None) -> None:
    """Follow the configuration and publish this worker. To be called once in each, after the fork.

    gunicorn's workers know where they listen; runserver gives the `port`.
    """
    settings.CONFIGURATION.follow()
    this_worker.publish(settings.CONFIGURATION, port)
