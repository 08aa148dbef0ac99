"""The connection pool: its connections retry connecting, never a command, and it can be retired while in use."""

from typing import Any

from redis.backoff import ConstantBackoff
from redis.connection import Connection, ConnectionPool
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

_CONNECT_RETRIES = 2
_CONNECT_BACKOFF = 0.05  # seconds


class ConnectRetryingConnection(Connection):
    """A TCP connection that tries again to connect, briefly.

    Only that: redis-py's own `retry` covers sending and reading as well, and would count a hit once for each lost
    reply. A time-out is not tried again (the visitor waits), nor a wrong password (it stays wrong).
    """

    def connect(self) -> None:
        """Connect unless connected. Raises redis-py's `ConnectionError` or `TimeoutError`."""
        if self.is_connected:
            return
        retry = Retry(ConstantBackoff(_CONNECT_BACKOFF), _CONNECT_RETRIES, supported_errors=(RedisConnectionError,))
        retry.call_with_retry(super().connect, self.disconnect, is_retryable=_is_transient)


def _is_transient(error: Exception) -> bool:
    return not isinstance(error, AuthenticationError)


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
