"""TCP peers that misbehave: each connection is given to a function, in a thread of its own."""

import contextlib
import itertools
import socket
import threading
import time


class Peer:
    """Listens on 127.0.0.1; `behave` is called with each accepted connection, which is closed when it returns.

    `receive_bytes` limits what the kernel takes in for a peer that does not read.
    """

    def __init__(self, behave, receive_bytes=None):
        self._behave = behave
        self._open = set()
        self._listener = socket.socket()
        if receive_bytes:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.add(connection)
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            self._behave(connection)


def dripping(start, drops, seconds=0.1):
    """Read the request, send `start` at once and then each of the `drops`, so many seconds apart, again and again."""

    def behave(connection):
        connection.recv(65536)
        connection.sendall(start)
        for drop in itertools.cycle([bytes([byte]) for byte in drops] if isinstance(drops, bytes) else drops):
            connection.sendall(drop)
            time.sleep(seconds)

    return behave


def flooding(start, content):
    """Read the request, send `start`, and then `content` again and again, as fast as it goes."""

    def behave(connection):
        connection.recv(65536)
        connection.sendall(start)
        while True:
            connection.sendall(content * (65536 // len(content) + 1))

    return behave


def answering(reply):
    """Read what comes first of a request, send this reply, and say that there is no more.

    The rest of the request, a body in a packet of its own, is read until the client goes: closing before that would be
    a reset, which takes from the client what it has not read yet of the reply.
    """

    def behave(connection):
        connection.recv(65536)
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    return behave
