"""The connection pool: its connections retry to connect, never a command, and it can be retired while in use."""

import errno
import socket
import time
from collections.abc import Callable
from typing import Any

from redis.backoff import ConstantBackoff
from redis.connection import Connection, ConnectionPool
from redis.exceptions import AuthenticationError, InvalidResponse, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from .. import metrics
from . import CONNECT_TIMEOUT, EXCHANGE_TIMEOUT

_CONNECT_RETRIES = 2
_CONNECT_BACKOFF = 0.05  # seconds
MOST_REPLY_BYTES = 16 * 1024 * 1024  # a peer can send gigabytes before the deadline
_SHORTEST_SECRET = 4  # a shorter one is part of ordinary words


class CannotConnect(RedisConnectionError):
    """No connection could be made: refused, no route, unknown name. Nothing was sent."""


class DeadlineSocket(socket.socket):
    """A socket whose operations also end at a deadline, not only at their time-out, and that receives `room` bytes."""

    deadline = 0.0
    room = 0

    def recv(self, *args: Any) -> bytes:
        """As usual. Raises `TimeoutError` at the deadline at the latest, and `OSError` after too many bytes."""
        received: bytes = self._in_time(super().recv, *args)
        self.room -= len(received)
        if self.room < 0:
            raise OSError(errno.EMSGSIZE, f"the reply has more than {MOST_REPLY_BYTES} bytes")
        return received

    def sendall(self, *args: Any) -> None:
        self._in_time(super().sendall, *args)

    def _in_time(self, operation: Callable[..., Any], *args: Any) -> Any:
        timeout = self.gettimeout()
        if not timeout:  # it does not wait
            return operation(*args)
        left = self.deadline - time.monotonic()
        if left >= timeout:
            return operation(*args)
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        self.settimeout(left)
        try:
            return operation(*args)
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

    @property  # type: ignore[misc]  # nobody sets it
    def socket_connect_timeout(self) -> float:
        """For the next attempt to connect: redis-py reads it for each address that the server's name has."""
        return max(min(CONNECT_TIMEOUT, self._deadline - time.monotonic()), 0.001)

    def connect(self) -> None:
        """Connect unless connected. Raises `CannotConnect`, or redis-py's `TimeoutError` or `AuthenticationError`.

        The pool calls it whenever it lends the connection: from now on the exchange may take `EXCHANGE_TIMEOUT`, in
        which only the resolver's time, for a new connection, is not contained.
        """
        self._deadline = time.monotonic() + EXCHANGE_TIMEOUT
        if self.is_connected:
            self._bound(self._sock)
            return
        retry = Retry(ConstantBackoff(_CONNECT_BACKOFF), _CONNECT_RETRIES, supported_errors=(RedisConnectionError,))
        try:
            retry.call_with_retry(super().connect, self.disconnect, is_retryable=_is_transient)
        except AuthenticationError:
            raise
        except RedisConnectionError as error:
            raise CannotConnect(*error.args) from error
        self._is_counted = True
        metrics.POOL_CONNECTIONS.add(1)

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As usual, where the peer speaks Redis's protocol; else redis-py fails with errors that are not its own.

        No error has the password, nor have the frames that it came through.
        """
        try:
            return super().read_response(*args, **kwargs)
        except RedisError as error:
            error.args = (_without_password(str(error), self.password),)
            raise error.with_traceback(None) from None
        except (ValueError, OverflowError, RecursionError) as error:  # its text is the reply's
            raise InvalidResponse(f"a reply that is not Redis's ({type(error).__name__})") from None

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        super().disconnect(*args, **kwargs)
        if self._is_counted:
            self._is_counted = False
            metrics.POOL_CONNECTIONS.add(-1)

    def _connect(self) -> DeadlineSocket:
        plain = super()._connect()
        sock = DeadlineSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
        sock.settimeout(self.socket_timeout)
        self._bound(sock)
        return sock

    def _bound(self, sock: Any) -> None:
        sock.deadline, sock.room = self._deadline, MOST_REPLY_BYTES


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
