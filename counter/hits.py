"""The counter: a plain Redis key. No other module changes it."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import AuthenticationError, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from demo_site import metrics
from demo_site.identity import COUNTER_KEY
from demo_site.redis_cache.diagnosis import diagnose
from demo_site.redis_cache.exchange import Exchange
from demo_site.redis_cache.pool import CannotConnect
from demo_site.redis_cache.probe import explained, told

from .breaker import Breaker
from .group_commit import CommitFailed, Committed, GroupCommit

DEADLINE = 0.8  # seconds: more than an exchange with Redis may take, and little enough for an answer within a second

logger = logging.getLogger(__name__)


class Counted(Protocol):
    """The settings of the document that the counter uses."""

    show_message: str


class Hit(NamedTuple):
    """One counted page view: its number, and the document in force when it was counted."""

    number: int
    document: Counted


class CountingFailed(Exception):
    """Redis did not confirm the INCR, which may have been counted or not. It is never sent again."""


class _BreakerOpen(RedisError):
    """Redis was out of reach a moment ago: it is not asked now."""


async def count() -> Hit:
    """Count one page view. Raises `CountingFailed`, within a second."""
    try:
        if _breaker_of(settings.CONFIGURATION.in_force.client).is_open:
            raise CommitFailed from _BreakerOpen()
        number, document = await _commits.take()
    except CommitFailed as error:
        metrics.FAILURES.inc(_kind(error.__cause__))
        if isinstance(error.__cause__, (RedisError, TimeoutError)):
            raise CountingFailed(str(error.__cause__)) from error
        raise
    metrics.HITS.inc()
    return Hit(number, document)


def _begin(hits: int) -> tuple[Exchange, Callable[[], Committed[Counted]]] | None:
    """Send the command at once, if the client that `get_redis_connection` would return has a connection ready."""
    in_force = settings.CONFIGURATION.in_force
    redis = in_force.client.usable
    if redis is None or _breaker_of(in_force.client).is_open:
        return None
    exchange = Exchange.begin(redis.connection_pool, "INCRBY", COUNTER_KEY, hits)
    if exchange is None:
        return None
    return exchange, partial(_counted, in_force.client, in_force.document, exchange.reply)


def _increment(hits: int) -> Committed[Counted]:
    """Add `hits` in one command. Returns the last number of the range, and the document in force."""
    while True:
        in_force = settings.CONFIGURATION.in_force
        breaker = _breaker_of(in_force.client)
        if breaker.is_open:  # it opened while these callers waited
            raise _BreakerOpen
        try:
            redis = get_redis_connection("default")
        except CannotConnect as error:  # it is not known where it leads, which may have taken time to ask
            _failed(breaker, in_force.client, error)
            raise
        if settings.CONFIGURATION.in_force is in_force:
            break  # no swap in between: connection and document belong to one configuration
    return _counted(in_force.client, in_force.document, partial(redis.incrby, COUNTER_KEY, hits))


def _counted(client: Any, document: Counted, reply: Callable[[], Any]) -> Committed[Counted]:
    """The last number of the range, which is Redis's reply, and the document with which it was counted."""
    breaker = _breaker_of(client)
    try:
        number = reply()
    except RedisError as error:
        _failed(breaker, client, error)
        if isinstance(error, ReadOnlyError):  # it was a primary: its name may be another server's now
            client.drop()
        raise
    if not isinstance(number, int):  # the error of int() would repeat it
        raise TypeError("what answers INCR with no number is not Redis")
    if (seconds := breaker.succeeded()) is not None:
        logger.info("Redis is back after %.1f s, page views are counted again", seconds)
    return Committed(number, document)


def _failed(breaker: Breaker, client: Any, error: RedisError) -> None:
    opens = isinstance(error, (RedisTimeoutError, CannotConnect))
    if breaker.failed(opens, kind=diagnose(error).what):
        reason = told(explained(client, error), client.place)
        logger.warning("Page views are not counted and answered 503 until Redis is back: %s", reason)


def _kind(error: BaseException | None) -> str:
    """The failure's kind in the metrics."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if not isinstance(error, RedisError):
        return "internal"
    if isinstance(error, _BreakerOpen):
        return "breaker_open"
    if isinstance(error, RedisTimeoutError):
        return "timeout"
    if isinstance(error, CannotConnect):
        return "unreachable"
    is_lost = isinstance(error, RedisConnectionError) and not isinstance(error, AuthenticationError)
    return "connection_lost" if is_lost else "error_reply"


_commits = GroupCommit(_increment, deadline=DEADLINE, begin=_begin)
_guarded: tuple[Any, Breaker] = (None, Breaker())


def _breaker_of(client: Any) -> Breaker:
    """The breaker of the Redis client in force. A new client starts with a closed one."""
    global _guarded
    guarded, breaker = _guarded
    if guarded is not client:
        breaker = Breaker()
        _guarded = client, breaker
    return breaker
