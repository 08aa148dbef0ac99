"""The counter: the plain Redis key `hits`. The only place that touches it."""

from typing import NamedTuple

from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from .group_commit import CommitFailed, Committed, GroupCommit

KEY = "hits"


class Hit(NamedTuple):
    """One counted page view: its number, and the message of the configuration that it was counted under."""

    number: int
    message: str


class CountingFailed(Exception):
    """Redis did not answer the INCR. It may or may not have been counted; it is never sent again."""


def count() -> Hit:
    """Count one page view. Raises `CountingFailed`, within a second."""
    try:
        number, message = _commits.take()
    except CommitFailed as error:
        if isinstance(error.__cause__, RedisError):
            raise CountingFailed(str(error.__cause__)) from error
        raise
    return Hit(number, message)


def _increment(hits: int) -> Committed[str]:
    """Add `hits` in one command; the last number of the range, and the message that goes with it."""
    while True:
        in_force = settings.CONFIGURATION.in_force
        redis = get_redis_connection("default")
        if settings.CONFIGURATION.in_force is in_force:
            break  # the connection and the message are of one configuration: none was swapped in between
    number = redis.incr(KEY) if hits == 1 else redis.incrby(KEY, hits)
    return Committed(int(number), in_force.show_message)


_commits = GroupCommit(_increment)
