"""gunicorn's worker: uvicorn's event loop, with bounds on its clients."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from importlib import import_module
from types import FrameType
from typing import Any, ClassVar

from uvicorn.config import Config
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from ..instance import leaving
from .protocol import MOST_CONNECTIONS, BoundedProtocol

# gunicorn tells the old workers to end when it has forked the new ones, which are still starting.
_HANDOVER_SECONDS = 2
_OTHER_FILES = 200  # beside the clients' connections: listeners, pools, databases, static files

logger = logging.getLogger(__name__)


class QuietServer(Server):
    """Wakes once a second, not ten times, and at once to stop. It ends when gunicorn's master, `master_pid`, is gone.

    Without a master nobody would stop this worker, and its socket would keep a new start from listening.
    """

    def __init__(self, config: Config, master_pid: int) -> None:
        super().__init__(config)
        self._master_pid = master_pid
        self._loop = asyncio.get_running_loop()  # here, because a signal may come before the main loop begins
        self._stop = self._loop.create_future()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            # For uvicorn it is the wall clock that says when gunicorn has to hear again that this worker lives: after
            # one that was set back it would be too late.
            self.last_notified = 0.0
            await asyncio.wait([self._stop], timeout=1)
            if os.getppid() != self._master_pid and not self.should_exit:
                logger.error("gunicorn's master, process %d, is gone: this worker ends", self._master_pid)
                self._end()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Unlike uvicorn's: that one dies of the signal in the end, without what is registered with `atexit`."""
        is_replaced = sig == signal.SIGTERM and leaving.current is not None and not leaving.is_leaving()
        self._loop.call_soon_threadsafe(self._loop.call_later, _HANDOVER_SECONDS if is_replaced else 0, self._end)

    def _end(self) -> None:
        self.should_exit = True
        if not self._stop.done():
            self._stop.set_result(None)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve the backlog, too: when the last worker closes a socket, the kernel resets what waits there."""
        BoundedProtocol.is_leaving = True  # for what is accepted here; the others are told one by one
        waiting: list[socket.socket] = []
        for server, listener in zip(self.servers, sockets or [], strict=True):
            waiting += _backlog(listener)
            server.close()
            listener.close()
        accepted = asyncio.gather(*map(self._serve_accepted, waiting), return_exceptions=True)
        await super().shutdown()
        accepted.cancel()  # whoever has not finished a TLS handshake until now

    async def _serve_accepted(self, connection: socket.socket) -> None:
        await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self.config.ssl)

    def _protocol(self) -> asyncio.Protocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state, self._loop)


class Worker(UvicornWorker):
    """docs/decisions/serving.md says why this one."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": BoundedProtocol,
        "ws": "none",
        "lifespan": "off",
        "proxy_headers": False,  # Django reads them: DJANGO_SECURE_PROXY_SSL_HEADER
        "server_header": False,
    }

    def init_process(self) -> None:
        """The usual limit of 1,024 open files is less than the connections need."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_CONNECTIONS + _OTHER_FILES
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == -1 else min(wanted, hard), hard))
        super().init_process()

    def load_wsgi(self) -> None:
        """Whatever the command names: SIGUSR2 repeats that of an earlier version, `gunicorn demo_site.wsgi`."""
        self.wsgi = import_module("demo_site.asgi").application

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGQUIT, sys.exit, 0)  # the quick stop of gunicorn's master
        if leaving.current:
            latch = leaving.current.latch.fileno()
            loop.add_reader(latch, _leave, loop, latch)
        # Not gunicorn's wrappers: uvloop closes the sockets, and a wrapper logs that it could not do so a second time.
        await QuietServer(self.config, self.ppid).serve(sockets=[wrapper.sock for wrapper in self.sockets])


def _backlog(listener: socket.socket) -> Iterator[socket.socket]:
    """What the kernel has connected, and nobody has accepted."""
    with contextlib.suppress(OSError):
        while True:
            yield listener.accept()[0]


def _leave(loop: asyncio.AbstractEventLoop, latch: int) -> None:
    loop.remove_reader(latch)  # it stays readable
    BoundedProtocol.is_leaving = True
