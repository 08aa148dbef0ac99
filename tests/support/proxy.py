"""A TCP proxy that injects network faults: its behaviour can change while connections are open."""

import contextlib
import socket
import threading
import time

from tests.support.ports import free_port


class Proxy:
    """Listens on `host` and forwards to 127.0.0.1:`target_port`; starts in the behaviour `pass_through`.

    `seen` holds every byte that clients sent, whatever became of it; `connections` counts the accepted ones.
    """

    def __init__(self, target_port, host="127.0.0.1"):
        self.target_port, self.host, self.port = target_port, host, free_port()
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.seen = bytearray()
        self.connections = self.lost_replies = 0
        self._open = set()
        self._listener = None
        self.pass_through()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.refuse()

    # The behaviours.

    def pass_through(self):
        """Forward everything, both ways."""
        self._behave()

    def refuse(self):
        """Close everything: open connections are cut, new ones are refused."""
        self._listen(False)
        self.cut()

    def silence(self):
        """Keep connections open and accept new ones, but let nothing through, as a half-open connection does."""
        self._behave(silent=True)

    def silence_waiting(self, part):
        """Silence each open connection whose last request contains `part`; the others and new ones stay as they are."""
        for connection in list(self._open):
            connection.silent = connection.silent or part in connection.last_request

    def lose_replies(self, to=b"", times=None):
        """Forward requests; where one contains `to`, cut the connection when its reply comes back."""
        self._behave(lose=to, lose_times=times)

    def answer(self, reply):
        """Send these bytes to each client, and close; nothing is forwarded."""
        self._behave(reply=reply)

    def answer_http(self, status, body="", **headers):
        """Answer every request with this HTTP status line, such as `"500 Internal Server Error"`."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.answer("\r\n".join([*lines, "", body]).encode())

    def delay(self, seconds):
        """Forward everything, replies `seconds` later."""
        self._behave(seconds=seconds)

    def drip(self, seconds):
        """Forward everything, replies byte by byte with so many seconds before each."""
        self._behave(seconds=seconds, drips=True)

    def halve(self, to=b""):
        """Forward requests; where one contains `to`, forward the first half of its reply, and cut the connection."""
        self._behave(halve=to)

    def cut(self):
        """Cut every open connection; new ones behave as before."""
        for connection in list(self._open):
            connection.cut()
            self._open.discard(connection)

    def _behave(self, *, silent=False, lose=None, lose_times=None, reply=None, seconds=0, drips=False, halve=None):
        self._halve = halve
        self._silent, self._lose, self._lose_times = silent, lose, lose_times
        self._reply, self._seconds, self._drips = reply, seconds, drips
        self._listen(True)

    # What carries them out.

    def _listen(self, wanted):
        if wanted and self._listener is None:
            self._listener = _listener(self.host, self.port)
            threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()
        elif not wanted and self._listener is not None:
            listener, self._listener = self._listener, None
            _cut(listener)

    def _accept(self, listener):
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = listener.accept()
                self.connections += 1
                connection = _Connection(self, client)
                self._open.add(connection)
                threading.Thread(target=connection.carry_requests, daemon=True).start()

    def _takes_request(self, connection, chunk):
        """Handle bytes from a client; false ends the connection."""
        self.seen += chunk
        connection.last_request = chunk
        if self._reply is not None:
            connection.client.sendall(self._reply)
            return False
        if self._lose is not None and self._lose in chunk and (self._lose_times is None or self._lose_times > 0):
            connection.loses_next_reply = True
        connection.halves_next_reply = self._halve is not None and self._halve in chunk
        if not self._silent and not connection.silent:
            connection.target().sendall(chunk)
        return True

    def _takes_reply(self, connection, chunk):
        """Handle bytes from the target; false ends the connection."""
        if connection.loses_next_reply:
            self.lost_replies += 1
            if self._lose_times is not None:
                self._lose_times -= 1
            return False
        if connection.halves_next_reply:
            connection.client.sendall(chunk[: len(chunk) // 2])
            return False
        for part in [bytes([byte]) for byte in chunk] if self._drips else [chunk]:
            time.sleep(self._seconds)
            if not self._silent and not connection.silent:
                connection.client.sendall(part)
        return True

    def _ended(self, connection):
        # A silent network does not tell one side that the other has gone.
        if not self._silent and not connection.silent:
            connection.cut()
            self._open.discard(connection)


class _Connection:
    """A client's connection and the one to the target, which is made when the client has spoken."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.loses_next_reply = self.halves_next_reply = self.silent = False
        self.last_request = b""
        self._target = None

    def target(self):
        if self._target is None:
            self._target = socket.create_connection(("127.0.0.1", self.proxy.target_port))
            threading.Thread(target=self.carry_replies, daemon=True).start()
        return self._target

    def carry_requests(self):
        self._carry(self.client, self.proxy._takes_request)

    def carry_replies(self):
        self._carry(self._target, self.proxy._takes_reply)

    def _carry(self, source, take):
        with contextlib.suppress(OSError):
            while (chunk := source.recv(65536)) and take(self, chunk):
                pass
        self.proxy._ended(self)

    def cut(self):
        _cut(self.client, *([self._target] if self._target else []))


def _listener(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(512)
    return listener


def _cut(*sockets):
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits on it, which close() does not
        each.close()
