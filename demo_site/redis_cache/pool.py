"""The connection pool: its connections retry connecting, never a command, and it can be retired while in use."""

import socket
from typing import Any

from redis.backoff import ConstantBackoff
from redis.connection import Connection, ConnectionPool
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from .. import metrics

_CONNECT_RETRIES = 2
_CONNECT_BACKOFF = 0.05  # seconds
_SHORTEST_SECRET = 4  # a shorter one stands in ordinary words as well


class CannotConnect(RedisConnectionError):
    """There is no connection to be had: refused, no route, no such name. Nothing was sent."""


class ConnectRetryingConnection(Connection):
    """A TCP connection that tries again to connect, briefly.

    Only that: redis-py's own `retry` covers sending and reading as well, and would count a hit once for each lost
    reply. A time-out is not tried again (the visitor waits), nor a wrong password (it stays wrong), nor a name that is
    not found: the resolver has tried for as long as it was told to.
    """

    _is_counted = False

    def connect(self) -> None:
        """Connect unless connected. Raises `CannotConnect`, or redis-py's `TimeoutError` or `AuthenticationError`."""
        if self.is_connected:
            return
        try:
            self._connect_with_retries()
        except (AuthenticationError, ResponseError) as error:
            raise type(error)(_without_password(str(error), self.password)) from None
        except RedisConnectionError as error:
            raise CannotConnect(*error.args) from error
        self._is_counted = True
        metrics.POOL_CONNECTIONS.add(1)

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """Close the connection, if there is one."""
        super().disconnect(*args, **kwargs)
        if self._is_counted:
            self._is_counted = False
            metrics.POOL_CONNECTIONS.add(-1)

    def _connect_with_retries(self) -> None:
        retry = Retry(ConstantBackoff(_CONNECT_BACKOFF), _CONNECT_RETRIES, supported_errors=(RedisConnectionError,))
        retry.call_with_retry(super().connect, self.disconnect, is_retryable=_is_transient)


def _without_password(said: str, password: str | None) -> str:
    """The server's words, for pages and logs: one that does not know AUTH repeats the arguments, or their beginning."""
    words = said.partition(", with args")[0]
    repeats = password is not None and len(password) >= _SHORTEST_SECRET and password[:8] in words
    return "an answer that repeats the password" if repeats else words


def _is_transient(error: Exception) -> bool:
    is_unknown_name = isinstance(error.__context__, socket.gaierror)
    return not is_unknown_name and not isinstance(error, AuthenticationError)


class RetirablePool(ConnectionPool):
    """A pool that, once retired, closes each connection when its command has ended and keeps none open."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(connection_class=ConnectRetryingConnection, **kwargs)
        self._retired = False

    def retire(self) -> None:
        """Close the idle connections now and the busy ones as they come back. Nothing in flight is cut."""
        self._retired = True
        self.disconnect(inuse_connections=False)

    def release(self, connection: Any) -> None:
        """Take a connection back. The check comes after: a pool retired meanwhile must not keep it."""
        super().release(connection)
        if self._retired:
            self.disconnect(inuse_connections=False)
