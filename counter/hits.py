"""The counter: the plain Redis key `hits`. The only place that touches it."""

import logging
from typing import NamedTuple

from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import RedisError

KEY = "hits"

logger = logging.getLogger(__name__)


class Hit(NamedTuple):
    """One counted page view: its number, and the message of the configuration that it was counted under."""

    number: int
    message: str


class CountingFailed(Exception):
    """Redis did not answer the INCR. It may or may not have been counted; it is never sent again."""


def count() -> Hit:
    """Count one page view. Raises `CountingFailed`, within a second."""
    while True:
        in_force = settings.CONFIGURATION.in_force
        redis = get_redis_connection("default")
        if settings.CONFIGURATION.in_force is in_force:
            break  # the connection and the message are of one configuration: none was swapped in between
    try:
        return Hit(int(redis.incr(KEY)), in_force.show_message)
    except RedisError as error:
        raise CountingFailed(str(error)) from error
