"""The connection pool: its connections retry to connect, never a command, and it can be retired while in use."""

import contextlib
import errno
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from redis.backoff import ConstantBackoff
from redis.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import AuthenticationError, InvalidResponse, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from .. import metrics
from ..bounded import read_file
from . import CONNECT_TIMEOUT, EXCHANGE_TIMEOUT, Tls

_CONNECT_RETRIES = 2
_CONNECT_BACKOFF = 0.05  # seconds
MOST_REPLY_BYTES = 16 * 1024 * 1024  # a peer can send gigabytes before the deadline
_MOST_PEM_BYTES = 1024 * 1024
_SHORTEST_SECRET = 4  # a shorter one is part of ordinary words


class CannotConnect(RedisConnectionError):
    """No connection could be made: refused, no route, unknown name. Nothing was sent."""


class NoServer(CannotConnect):
    """It is not known now which server the document means, or nothing may be sent to it."""


class LostAtOnce(RedisConnectionError):
    """The connection was made, and lost before the first reply."""


class HandshakeTimeout(TimeoutError):
    """The peer took the connection, and did not answer in TLS."""


class FileUnusable(RedisError):
    """A file that `member` of the document names; nothing was sent."""

    def __init__(self, member: str, reason: str) -> None:
        super().__init__(reason)
        self.member = member


class _Deadline:
    """A socket whose operations also end at a deadline, not only at their time-out, and that receives `room` bytes."""

    deadline = 0.0
    room = 0
    gettimeout: Callable[[], float | None]
    settimeout: Callable[[float | None], None]

    def recv(self, *args: Any) -> bytes:
        """As usual. Raises `TimeoutError` at the deadline at the latest, and `OSError` after too many bytes."""
        received: bytes = self._in_time(super().recv, *args)  # type: ignore[misc]  # of the socket
        self.room -= len(received)
        if self.room < 0:
            raise OSError(errno.EMSGSIZE, f"the reply has more than {MOST_REPLY_BYTES} bytes")
        return received

    def sendall(self, *args: Any) -> None:
        self._in_time(super().sendall, *args)  # type: ignore[misc]

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


class DeadlineSocket(_Deadline, socket.socket):
    """TCP, or a Unix socket. With a time-out it never blocks in the kernel; Python polls it before it uses it."""

    early = b""  # what has been received: `recv` returns it next

    def receive_early(self) -> bytes:
        """What has arrived, up to 4 KiB. It stays in `early`."""
        with contextlib.suppress(OSError):  # `recv` finds the connection lost as well
            self.early = os.read(self.fileno(), 4096)
        return self.early

    def recv(self, *args: Any) -> bytes:
        if self.early:
            early, self.early = self.early, b""
            return early
        return super().recv(*args)

    def sendall(self, data: Any, *args: Any) -> None:
        """As usual, but without the poll where the kernel takes it all at once."""
        try:
            sent = os.write(self.fileno(), data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            super().sendall(data[sent:], *args)


class DeadlineTlsSocket(_Deadline, ssl.SSLSocket):
    """TLS. What its `recv` calls has the same time-out, for each record as a whole."""


class ConnectRetrying(AbstractConnection):
    """A connection that briefly retries to connect.

    Only that: redis-py's own `retry` covers sending and reading as well, and would count a hit once for each lost
    reply. A time-out is not retried (the visitor waits), nor a wrong password (it stays wrong), nor an unknown name
    (the resolver has already retried).
    """

    is_read = False  # certainly: nothing of a reply is left with redis-py's parser
    _is_counted = _has_replied = False
    _deadline = 0.0

    @property  # type: ignore[misc]  # nobody sets it
    def socket_connect_timeout(self) -> float:
        """For the next attempt to connect: redis-py reads it for each address that the server's name has."""
        return max(min(CONNECT_TIMEOUT, self._deadline - time.monotonic()), 0.001)

    @property
    def socket(self) -> Any:
        """None while it is not connected."""
        return self._sock

    def fileno(self) -> int:
        """For `poll`."""
        return int(self.socket.fileno())

    def has_news(self) -> bool:
        """Whether there is something to read, if only the end. Does not wait."""
        if not self.is_read:
            try:
                return bool(self.can_read(0))
            except (RedisError, OSError):  # the end
                return True
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(0))

    def connect(self) -> None:
        """Connect unless connected. Raises `CannotConnect`, or redis-py's `TimeoutError` or `AuthenticationError`.

        The pool calls it whenever it lends the connection: from now on the exchange may take `EXCHANGE_TIMEOUT`, in
        which only the resolver's time, for a new connection, is not contained.
        """
        self.is_read = False
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
            reply = super().read_response(*args, **kwargs)
        except RedisError as error:
            error.args = (_without_password(str(error), self.password),)
            is_lost = type(error) is RedisConnectionError and not self._has_replied
            raise (LostAtOnce(*error.args) if is_lost else error).with_traceback(None) from None
        except (ValueError, OverflowError, RecursionError) as error:  # its text is the reply's
            raise InvalidResponse(f"a reply that is not Redis's ({type(error).__name__})") from None
        self._has_replied = True
        return reply

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        super().disconnect(*args, **kwargs)
        if self._is_counted:
            self._is_counted = False
            metrics.POOL_CONNECTIONS.add(-1)

    def _connect(self) -> Any:
        sock: Any = super()._connect()  # type: ignore[safe-super]  # each kind of connection has it
        if not isinstance(sock, _Deadline):
            sock = DeadlineSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
        sock.settimeout(self.socket_timeout)
        self._bound(sock)
        self._has_replied = False
        return sock

    def _bound(self, sock: Any) -> None:
        sock.deadline, sock.room = self._deadline, MOST_REPLY_BYTES


class TcpConnection(ConnectRetrying, Connection):
    pass


class UnixConnection(ConnectRetrying, UnixDomainSocketConnection):
    pass


class TlsConnection(ConnectRetrying, SSLConnection):
    """Reads the files for each connection: a certificate that was renewed counts from the next one on."""

    def __init__(self, tls: Tls, **kwargs: Any) -> None:
        self._tls = tls
        super().__init__(**kwargs)

    def _wrap_socket_with_ssl(self, sock: Any) -> ssl.SSLSocket:
        context = _context(self._tls)
        left = self._deadline - time.monotonic()
        sock.settimeout(max(min(self.socket_timeout or left, left), 0.001))  # of the handshake as a whole
        try:
            return context.wrap_socket(sock, server_hostname=self._tls.name or self.host)
        except TimeoutError as error:
            raise HandshakeTimeout("no answer to the TLS handshake") from error


def _context(tls: Tls) -> ssl.SSLContext:
    authority = _pem("redis_ca_file", tls.ca_file)
    with _blaming("redis_ca_file", tls.ca_file):
        context = ssl.create_default_context(cadata=authority)
    context.sslsocket_class = DeadlineTlsSocket
    if tls.cert_file:  # OpenSSL takes paths only: what is no regular file, which might never end, is refused before
        certificate, _key = _pem("redis_cert_file", tls.cert_file), _pem("redis_key_file", tls.key_file)
        with _blaming("redis_cert_file", tls.cert_file):
            ssl.create_default_context(cadata=certificate)
        with _blaming("redis_key_file", tls.key_file):
            context.load_cert_chain(tls.cert_file, tls.key_file, "")  # else OpenSSL asks a terminal
    return context


def _pem(member: str, name: str) -> str | None:
    with _blaming(member, name):
        return read_file(Path(name), _MOST_PEM_BYTES).decode("ascii", "ignore") if name else None


@contextlib.contextmanager
def _blaming(member: str, name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ssl's are OSError, but for an empty text
        reason = error.reason if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
        raise FileUnusable(member, f"{name}: {reason or 'no PEM'}") from None


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

    def __init__(self, tls: Tls | None = None, connection_class: Any = None, **kwargs: Any) -> None:
        """A URL's scheme stands for one of redis-py's own connections; these take its place."""
        if tls:
            kwargs |= {"connection_class": TlsConnection, "tls": tls}
        else:
            kwargs["connection_class"] = UnixConnection if "path" in kwargs else TcpConnection
        super().__init__(**kwargs)
        self._retired = False

    def retire(self) -> None:
        """Close idle connections now, and busy ones when they are released. No command is interrupted."""
        self._retired = True
        self.disconnect(inuse_connections=False)

    def get_ready(self) -> Any:
        """An idle connection, for `put_back`, if there is one that is made and has nothing to read. Does not wait.

        redis-py's own lending tells its metrics and its events: that takes as long as to send a command.
        """
        if self.connection_class is TlsConnection:  # whether its descriptor can be read says little about a reply
            return None
        self._checkpid()
        with self._lock:
            if not self._available_connections:
                return None
            connection: Any = self._available_connections[-1]
            if not connection.is_connected or connection.has_news():
                return None  # `get_connection` takes the same one, and connects it
            self._available_connections.pop()
            self._in_use_connections.add(connection)
        connection.connect()
        return connection

    def put_back(self, connection: Any) -> None:
        """Take back a connection whose reply has been read, and was all that came."""
        connection.is_read = True
        with self._lock:
            self._in_use_connections.remove(connection)
            self._available_connections.append(connection)
        self._close_if_retired()

    def release(self, connection: Any) -> None:
        """Take a connection back, then check: a pool that was retired meanwhile must not keep it."""
        super().release(connection)
        self._close_if_retired()

    def _close_if_retired(self) -> None:
        if self._retired:
            self.disconnect(inuse_connections=False)
