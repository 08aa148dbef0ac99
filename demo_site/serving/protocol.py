"""What a client may hold of a worker, and for how long: uvicorn's HTTP protocol, with bounds."""

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

from httptools import HttpParserInvalidMethodError
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ..bounded import LONGEST_BODY

if TYPE_CHECKING:  # it imports Django, and gunicorn loads this module before the settings
    from ..answer import Headers

HEAD_SECONDS = 10
BODY_SECONDS = 30
ANSWER_SECONDS = 30  # for a client that does not read
STOPPING_SECONDS = 2  # as gunicorn's threads: for a request that was sent when the worker began to stop
LINGER_SECONDS = 2  # what a refused client is still sending is thrown away: a reset would take the answer from it
MOST_CONNECTIONS = 1000  # for each worker
LONGEST_URL = 4096
LONGEST_HEAD = 32 * 1024
SMALL_BODY = 64 * 1024
MOST_IN_BODIES = 16 * LONGEST_BODY  # for each worker, in bodies that are not small: each is kept until it is answered

_HEAD, _BODY, _NOTHING = "head", "body", ""


class OneWrite:
    """A transport that sends the head of an answer together with the beginning of its body.

    uvicorn writes each by itself: for a line of text that is one system call of two, here and at the client.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head: bytes | None = b""  # None: it has been sent

    def write(self, data: bytes) -> None:
        """Keep the head until the first write of the body, which follows at once. An interim answer does not wait."""
        if self._head is None or data.startswith(b"HTTP/1.1 100 "):
            self._transport.write(data)
        elif self._head:
            head, self._head = self._head, None
            self._transport.write(head + data)
        else:
            self._head = data

    def write_whole(self, data: bytes) -> None:
        """Write an answer that is complete."""
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Cycle(RequestResponseCycle):
    """One request and its answer, which an application can give as a whole."""

    transport: OneWrite  # type: ignore[assignment]

    def answer(self, status: int, headers: "Headers", body: bytes) -> bool:
        """Send all of it now; False where that cannot be, and `send` has to do it.

        uvicorn's `send` looks into each header for what may not stand there: a third of the time that an answer takes.
        """
        if self.access_log or self.flow.write_paused or self.scope["method"] == "HEAD":
            return False
        if self.disconnected:
            return True
        self.response_started = self.response_complete = True
        parts = [_head(status, headers), b"content-length: %d\r\n" % len(body)]
        parts += [b"%s: %s\r\n" % header for header in self.default_headers]
        parts += [b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n", body]
        self.transport.write_whole(b"".join(parts))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


@lru_cache(64)
def _head(status: int, headers: "Headers") -> bytes:
    return STATUS_LINE[status] + b"".join(b"%s: %s\r\n" % (name.lower(), value) for name, value in headers)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. What exceeds a bound gets 408, 413, 414, 431 or 503, and its connection is closed."""

    _SECONDS: ClassVar = {_HEAD: HEAD_SECONDS, _BODY: BODY_SECONDS}
    _in_bodies = 0  # of all connections, small bodies not counted
    is_leaving = False  # the instance or this worker: each answer closes its connection, so that clients go elsewhere

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading = self._timed = _NOTHING
        self._timer: Any = None
        self._unread: Any = None
        self._received = 0  # of a head or a body that is not complete
        self._most = self._kept = 0
        self._is_refused = self._is_stopping = self._has_ended = False

    def connection_made(self, transport: Any) -> None:
        """Refuse one too many at once. One that says nothing is as good as a head that does not come."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(503)
            transport.close()
        else:
            self._watch(_HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._watch(_NOTHING)
        self._forget_unread()
        self._release()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._has_ended = False
        super().data_received(data)
        if self._reading is _NOTHING and not self._has_ended and self._is_idle:
            self._reading = _HEAD  # blank lines, which may precede one
        if self._reading is _HEAD:
            self._received += len(data)
            if self._received > LONGEST_HEAD:
                self._refuse(431 if self.headers else 414)
        if self._reading is not self._timed and not self._is_refused:
            self._watch(self._reading)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading = _HEAD

    def on_headers_complete(self) -> None:
        self._reading, self._received = _BODY, 0
        if self._is_refused:
            return
        status = self._exceeds()
        if status:
            self._refuse(status)
            return
        super().on_headers_complete()
        self.cycle.__class__ = Cycle  # uvicorn does not ask which class to take
        if self.scope["method"] != "HEAD":  # its answer has no body
            self.cycle.transport = OneWrite(self.transport)  # type: ignore[assignment]
        if self._is_stopping or BoundedProtocol.is_leaving:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._received += len(body)
        if self._received > SMALL_BODY:
            self._keep(len(body))
        if self._received > self._most and not self._is_refused:
            self._refuse(413)
        if BoundedProtocol._in_bodies > MOST_IN_BODIES and self._kept and not self._is_refused:
            self._refuse(503)
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._reading, self._received, self._has_ended = _NOTHING, 0, True
        if not self._is_refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_idle and self._reading is not _BODY:  # there may be pipelined requests
            self._release()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(ANSWER_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_unread()

    def shutdown(self) -> None:
        """The worker stops: end each request, and let a kept-alive client know with its next one, if it comes soon."""
        self._is_stopping = True
        if self._is_idle:
            self.loop.call_later(STOPPING_SECONDS, self._close_if_idle)
        else:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """What the parser refuses: a method that it does not know is not allowed anywhere."""
        if isinstance(sys.exc_info()[1], HttpParserInvalidMethodError):
            self._refuse(405, b"Allow: GET, HEAD\r\n")
        else:
            self._refuse(400)

    def _unsupported_upgrade_warning(self) -> None:
        """Some clients offer HTTP/2 with each request: that is worth no line in the log, let alone uvicorn's two."""

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _exceeds(self) -> int:
        """The status for a head that asks for too much."""
        if len(self.url) > LONGEST_URL:
            return 414
        length, is_chunked, size = 0, False, 0
        for name, value in self.headers:
            size += len(name) + len(value)
            if name == b"content-length":
                length = int(value)  # the parser has refused what is no number
            elif name == b"transfer-encoding":
                is_chunked = True
        if size > LONGEST_HEAD:
            return 431
        if not length and not is_chunked:
            return 0
        from .lean import PATHS  # only here: gunicorn loads this module before the settings

        self._most = 0 if unquote(self.url.partition(b"?")[0].decode()) in PATHS else LONGEST_BODY
        return 413 if length > self._most or not self._most else 0

    def _keep(self, size: int) -> None:
        self._kept += size
        BoundedProtocol._in_bodies += size

    def _release(self) -> None:
        self._keep(-self._kept)

    def _forget_unread(self) -> None:
        if self._unread:
            self._unread.cancel()

    def _watch(self, what: str) -> None:
        """Time what is being read."""
        if self._timer:
            self._timer.cancel()
        self._timed = what
        self._timer = self.loop.call_later(self._SECONDS[what], self._too_slow) if what else None

    def _too_slow(self) -> None:
        was_silent = self._reading is _NOTHING
        if was_silent or (self._reading is _BODY and self.cycle.response_started):
            self.transport.close()
        else:
            self._refuse(408)

    def _close_if_idle(self) -> None:
        if self._is_idle:
            self.transport.close()

    def _refuse(self, status: int, header: bytes = b"") -> None:
        """Answer on behalf of the application, and read no more."""
        self._is_refused = True
        self._watch(_NOTHING)
        if not self._is_idle:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._unset_keepalive_if_required()
        if not self.transport.is_closing():
            self.transport.write(STATUS_LINE[status] + header + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
