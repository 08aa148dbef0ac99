"""One keep-alive HTTP connection to an agent: bounded in time and size, with a message for every failure.

It uses the standard library's client, because every worker reads an answer of Consul at each change, and urllib3 takes
twice the CPU time, requests three times.
"""

import http.client
import io
import re
import select
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..messages import Message, _
from .address import AgentAddress, authorities
from .errors import Garbled, TooLong, Unreachable

_PIECE_BYTES = 64 * 1024
_TLS_RECORD_BYTES = 16 * 1024


# Status, headers, content. The headers have their canonical names (X-Consul-Index), however a proxy spells them.
Answer = tuple[int, dict[str, str], bytes]


class Connection:
    """Connects at its first use, and again when the agent has closed the connection. For one thread.

    `on_answer` is called when an answer has arrived, or the connection has ended, before it is read.
    """

    def __init__(self, address: AgentAddress, connect_seconds: float, on_answer: Callable[[], None] | None) -> None:
        self._address = address
        self._connect_seconds = connect_seconds
        self._on_answer = on_answer
        self._http = http.client.HTTPConnection(address.host, address.port)

    def exchange(
        self, method: str, uri: str, body: bytes, headers: Mapping[str, str], seconds: float, most_bytes: int
    ) -> Answer:
        """Send a request once; `seconds` later the answer is there, however the agent drips, or given up.

        It has `most_bytes` at most, its head and framing included. No redirect is followed: it could leak the token.
        Raises `Unreachable` or `Garbled`.
        """
        try:
            return self._exchange(method, uri, body, headers, seconds, most_bytes)
        except BaseException:
            self.close()  # what is left of this answer must not be taken for the next one
            raise

    def close(self) -> None:
        self._http.close()

    def __del__(self) -> None:
        self.close()

    def _exchange(
        self, method: str, uri: str, body: bytes, headers: Mapping[str, str], seconds: float, most_bytes: int
    ) -> Answer:
        sock = self._connected()
        sock.bound(seconds, most_bytes)
        try:
            self._http.request(method, uri, body or None, headers)
            if self._on_answer:
                sock.await_answer()
                self._on_answer()
            with self._http.getresponse() as response:
                content = _content(response)
        except _TooLong:
            raise TooLong.sent(self._address.url, _("more than %(bytes)s bytes", bytes=most_bytes)) from None
        except (OSError, http.client.IncompleteRead) as error:
            place = {"url": self._address.url, "seconds": f"{seconds:g}"}
            late = _("Consul at %(url)s accepted the connection and sent no answer within %(seconds)s s.", **place)
            raise _unreachable(self._address.url, error, late) from error
        except (http.client.HTTPException, ValueError):  # ValueError: of a chunk whose size is negative
            raise Garbled.sent(self._address.url, _("an answer that is not HTTP")) from None  # the error repeats it
        return response.status, {name.title(): value for name, value in response.getheaders()}, content

    def _connected(self) -> "_BoundedSocket":
        sock: Any = self._http.sock
        if isinstance(sock, _BoundedSocket) and not sock.is_readable(0):  # readable: the agent closed it
            return sock
        self.close()
        try:
            self._http.sock = new = _BoundedSocket(_open(self._address, self._connect_seconds))
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that DNS does not allow
            place = {"url": self._address.url, "seconds": f"{self._connect_seconds:g}"}
            late = _("Consul at %(url)s did not accept a connection within %(seconds)s s.", **place)
            raise _unreachable(self._address.url, error, late) from error
        return new


class _TooLong(Exception):
    """An answer has more bytes than it may."""


class _BoundedSocket:
    """A socket for `http.client`, plain or TLS: all that is sent and read since `bound` ends at one deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._deadline = 0.0
        self._room = 0

    def bound(self, seconds: float, most_bytes: int) -> None:
        """Begin an exchange: it may take `seconds` from now, and may read `most_bytes`."""
        self._deadline, self._room = time.monotonic() + seconds, most_bytes

    def await_answer(self) -> None:
        """Raises `TimeoutError` at the deadline."""
        if not self.is_readable(_left(self._deadline)):
            raise TimeoutError

    def is_readable(self, seconds: float) -> bool:
        waiting = select.poll()
        waiting.register(self._sock, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))

    def sendall(self, data: bytes) -> None:
        for start in range(0, len(data), _TLS_RECORD_BYTES):  # for each of which the time-out starts anew
            self._sock.settimeout(_left(self._deadline))
            self._sock.sendall(data[start : start + _TLS_RECORD_BYTES])

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self, self._sock.makefile("rb", buffering=0)))

    def receive(self, source: socket.SocketIO, buffer: Any) -> int | None:
        """Read once from `source`. Raises `TimeoutError` at the deadline, `_TooLong` after too many bytes."""
        self._sock.settimeout(_left(self._deadline))
        count = source.readinto(buffer)
        self._room -= count or 0
        if self._room < 0:
            raise _TooLong
        return count

    def close(self) -> None:
        self._sock.close()


class _Reader(io.RawIOBase):
    """What a bounded socket receives. As a socket's own file, it can be read to its end after the socket was closed."""

    def __init__(self, sock: _BoundedSocket, source: socket.SocketIO) -> None:
        self._sock, self._source = sock, source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self._sock.receive(self._source, buffer)

    def close(self) -> None:
        self._source.close()
        super().close()


def _content(response: http.client.HTTPResponse) -> bytes:
    """The body, in pieces: whatever length the head promises, no memory is taken for it before it comes."""
    pieces = []
    while response.length != 0 and (piece := response.read(_PIECE_BYTES)):
        pieces.append(piece)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(pieces)


def _open(address: AgentAddress, seconds: float) -> socket.socket:
    """A connection within `seconds`, TLS included; only the time of the resolver comes on top."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    deadline = time.monotonic() + seconds
    sock = _connected_socket(found, deadline)
    if address.scheme == "http":
        return sock
    try:
        sock.settimeout(_left(deadline))
        return _encrypted(sock, address)
    except BaseException:
        sock.close()
        raise


def _connected_socket(found: list[tuple[Any, ...]], deadline: float) -> socket.socket:
    """To the first of these addresses that accepts one; each has an equal share of the time that is left."""
    family, kind, protocol, _name, place = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(_left(deadline) / len(found))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(place)
    except OSError:
        sock.close()
        if len(found) == 1:
            raise
        return _connected_socket(found[1:], deadline)
    return sock


def _left(deadline: float) -> float:
    """The seconds until the deadline. Raises `TimeoutError` after it."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _encrypted(sock: socket.socket, address: AgentAddress) -> socket.socket:
    """TLS on the socket. The certificates are read again, because they may have been renewed."""
    import ssl  # here, because most agents are on the loopback address and speak plain HTTP

    first, *others = authorities(address.verify) if isinstance(address.verify, str) else [None]
    context = ssl.create_default_context(cafile=first)
    for path in others:
        context.load_verify_locations(path)
    if address.verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if address.cert:
        context.load_cert_chain(*address.cert, "")  # without a password OpenSSL would ask on the terminal
    return context.wrap_socket(sock, server_hostname=address.server_name or address.host)


def _unreachable(url: str, error: Exception, late: Message) -> Unreachable:
    """With the operating system's or OpenSSL's own words where we have no better ones; `late` describes a time-out."""
    if isinstance(error, TimeoutError):
        return Unreachable(late)
    if isinstance(error, http.client.RemoteDisconnected):
        return Unreachable(_("Consul at %(url)s closed the connection without an answer.", url=url))
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(_("Consul at %(url)s refused the connection.", url=url))
    if isinstance(error, http.client.IncompleteRead):
        return Unreachable(_("Consul at %(url)s cut off its answer.", url=url))
    reason = re.sub(r"^\[.*?\] | \(_ssl\.c:\d+\)", "", getattr(error, "strerror", None) or str(error))
    return Unreachable(_("Consul at %(url)s is out of reach: %(reason)s.", url=url, reason=reason))
