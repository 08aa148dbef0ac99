"""One keep-alive HTTP connection to an agent: bounded in time and size, with a message for every failure.

It uses the standard library's client, because every worker reads an answer of Consul at each change, and urllib3 takes
twice the CPU time, requests three times.
"""

import http.client
import re
import select
import socket
import time
from collections.abc import Callable, Mapping

from ..messages import Message, _
from .address import AgentAddress
from .errors import Garbled, Unreachable

# More than any answer this project expects; an endless one must not fill the memory.
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024


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
        self._http: http.client.HTTPConnection | None = None

    def exchange(self, method: str, uri: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        """Send a request once and wait `seconds` for the answer. No redirect is followed: it could leak the token.

        Raises `Unreachable` or `Garbled`.
        """
        try:
            return self._exchange(method, uri, body, headers, seconds)
        except BaseException:
            self.close()  # what is left of this answer must not be taken for the next one
            raise

    def close(self) -> None:
        if self._http:
            self._http.close()

    def __del__(self) -> None:
        self.close()

    def _exchange(self, method: str, uri: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        connection, sock = self._connected()
        try:
            sock.settimeout(seconds)
            connection.request(method, uri, body or None, headers)
            if self._on_answer:
                if not _is_readable(sock, seconds):
                    raise TimeoutError
                self._on_answer()
            with connection.getresponse() as response:
                content = self._content(response, seconds)
        except (OSError, http.client.IncompleteRead) as error:
            place = {"url": self._address.url, "seconds": f"{seconds:g}"}
            late = _("Consul at %(url)s accepted the connection and sent no answer within %(seconds)s s.", **place)
            raise _unreachable(self._address.url, error, late) from error
        except http.client.HTTPException as error:
            raise Garbled.sent(self._address.url, _("an answer that is not HTTP")) from error
        return response.status, {name.title(): value for name, value in response.getheaders()}, content

    def _connected(self) -> tuple[http.client.HTTPConnection, socket.socket]:
        if self._http and self._http.sock and not _is_readable(self._http.sock, 0):  # readable: the agent closed it
            return self._http, self._http.sock
        self.close()
        try:
            self._http = _connection(self._address, self._connect_seconds)
            self._http.connect()
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that DNS does not allow
            place = {"url": self._address.url, "seconds": f"{self._connect_seconds:g}"}
            late = _("Consul at %(url)s did not accept a connection within %(seconds)s s.", **place)
            raise _unreachable(self._address.url, error, late) from error
        return self._http, self._http.sock

    def _content(self, response: http.client.HTTPResponse, seconds: float) -> bytes:
        """The body, bounded in size and in time: a time-out of a socket does not end an answer that drips."""
        deadline = time.monotonic() + seconds
        body = bytearray()
        while response.length != 0:
            chunk = response.read1(_CHUNK_BYTES)  # what has arrived; `read` would wait until the chunk is full
            if not chunk:
                break
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                raise Garbled.sent(self._address.url, _("more than %(bytes)s bytes", bytes=_MAX_ANSWER_BYTES))
            if time.monotonic() > deadline:
                raise TimeoutError
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return bytes(body)


def _connection(address: AgentAddress, connect_seconds: float) -> http.client.HTTPConnection:
    """A new connection, not open yet. It reads the certificates again, because they may have been renewed."""
    if address.scheme == "http":
        return http.client.HTTPConnection(address.host, address.port, timeout=connect_seconds)
    import ssl  # here, because most agents are on the loopback address and speak plain HTTP

    context = ssl.create_default_context(cafile=address.verify if isinstance(address.verify, str) else None)
    if address.verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if address.cert:
        context.load_cert_chain(*address.cert, "")  # without a password OpenSSL would ask on the terminal
    return http.client.HTTPSConnection(address.host, address.port, timeout=connect_seconds, context=context)


def _is_readable(sock: socket.socket, seconds: float) -> bool:
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))


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
