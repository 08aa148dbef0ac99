"""The connection pool: its connections retry to connect, never a command, and it can be retired while in use."""

import socket
import time
from typing import Any

from redis.backoff import ConstantBackoff
from redis.connection import Connection, ConnectionPool
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from .. import metrics
from . import EXCHANGE_TIMEOUT

_CONNECT_RETRIES = 2
_CONNECT_BACKOFF = 0.05  # seconds
_SHORTEST_SECRET = 4  # a shorter one is part of ordinary words


class CannotConnect(RedisConnectionError):
    """No connection could be made: refused, no route, unknown name. Nothing was sent."""


class DeadlineSocket(socket.socket):
    """A socket whose `recv` also ends at a deadline, not only at its time-out."""

    deadline = 0.0

    def recv(self, *args: Any) -> bytes:
        """As usual. Raises `TimeoutError` at the deadline at the latest."""
        timeout = self.gettimeout()
        if not timeout:  # it does not wait
            return super().recv(*args)
        left = self.deadline - time.monotonic()
        if left >= timeout:
            return super().recv(*args)
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        self.settimeout(left)
        try:
            return super().recv(*args)
        finally:
            self.settimeout(timeout)


class ConnectRetryingConnection(Connection):
    """A TCP connection that briefly retries to connect.

    Only that: redis-py's own `retry` covers sending and reading as well, and would count a hit once for each lost
    reply. A time-out is not retried (the visitor waits), nor a wrong password (it stays wrong), nor an unknown name
    (the resolver has already retried).
    """

    _is_counted = False
    _deadline = 0.0

    def connect(self) -> None:
        """Connect unless connected. Raises `CannotConnect`, or redis-py's `TimeoutError` or `AuthenticationError`.

        The pool calls it whenever it lends the connection: from now on the exchange may take `EXCHANGE_TIMEOUT`.
        """
        self._deadline = time.monotonic() + EXCHANGE_TIMEOUT
        if self.is_connected:
            sock: Any = self._sock
            sock.deadline = self._deadline
            return
        retry = Retry(ConstantBackoff(_CONNECT_BACKOFF), _CONNECT_RETRIES, supported_errors=(RedisConnectionError,))
        try:
            retry.call_with_retry(super().connect, self.disconnect, is_retryable=_is_transient)
        except (AuthenticationError, ResponseError) as error:
            raise type(error)(_without_password(str(error), self.password)) from None
        except RedisConnectionError as error:
            raise CannotConnect(*error.args) from error
        self._is_counted = True
        metrics.POOL_CONNECTIONS.add(1)

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        super().disconnect(*args, **kwargs)
        if self._is_counted:
            self._is_counted = False
            metrics.POOL_CONNECTIONS.add(-1)

    def _connect(self) -> DeadlineSocket:
        plain = super()._connect()
        sock = DeadlineSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
        sock.settimeout(self.socket_timeout)
        sock.deadline = self._deadline
        return sock


def _without_password(text: str, password: str | None) -> str:
    """The server's error for pages and logs: a server that does not know AUTH repeats its arguments, or their start."""
    words = text.partition(", with args")[0]
    repeats = password is not None and len(password) >= _SHORTEST_SECRET and password[:8] in words
    return "an answer that repeats the password" if repeats else words


def _is_transient(error: Exception) -> bool:
    is_unknown_name = isinstance(error.__context__, socket.gaierror)
    return not is_unknown_name and not isinstance(error, AuthenticationError)


class RetirablePool(ConnectionPool):
    """A pool that, once retired, closes each connection after its command."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(connection_class=ConnectRetryingConnection, **kwargs)
        self._retired = False

    def retire(self) -> None:
        """Close idle connections now, and busy ones when they are released. No command is interrupted."""
        self._retired = True
        self.disconnect(inuse_connections=False)

    def release(self, connection: Any) -> None:
        """Take a connection back, then check: a pool that was retired meanwhile must not keep it."""
        super().release(connection)
        if self._retired:
            self.disconnect(inuse_connections=False)
