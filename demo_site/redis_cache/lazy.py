"""A Redis client that is created at its first use and can be retired."""

import threading
from collections.abc import Callable
from typing import Any

from ..document.model import RedisConfig
from ..messages import Message
from . import where
from .servers import NotFound, Server


class LazyClient:
    """The client of one server, created at its first use: after the fork, and never for most commands.

    `server` may be what says then which one it is; it may raise `NotFound`.
    """

    def __init__(self, config: RedisConfig, server: Server | Callable[[], Server]) -> None:
        self.config, self._server = config, server
        self._client: Any = None
        self._usable: Any = None  # the client, unless it is held
        self._held: Message | None = None
        self._lock = threading.Lock()
        self._retired = False

    @property
    def server(self) -> Server | None:
        """The server, if it is known yet."""
        return None if callable(self._server) else self._server

    @property
    def place(self) -> object:
        """For people: its server, or what the document says of it while none is known."""
        return self.server or where(self.config)

    @property
    def usable(self) -> Any:
        """What `get` returns without waiting, if there is such a client."""
        return self._usable

    def get(self) -> Any:
        """The client, always the same one. Raises `NoServer` where there is none now."""
        return self._usable or self._build()

    def _build(self) -> Any:
        from .client import open_client  # redis-py takes 0.15 s to import
        from .pool import NoServer

        if self._held:
            raise NoServer(self._held)
        try:  # without the lock: to find it may take seconds
            server = self._server() if callable(self._server) else self._server
        except NotFound as error:
            raise NoServer(error.message) from None
        with self._lock:
            if self._held:
                raise NoServer(self._held)
            if self._client is None:
                self._server = server
                self._client = open_client(self.config, server)
                self._retire_pool()
            self._usable = self._client
            return self._client

    def hold(self, reason: Message | None) -> None:
        """Refuse to be used from now on, for this reason; None: no longer."""
        with self._lock:
            self._held = reason
            if reason:
                self._usable = None

    def drop(self) -> None:
        """Close the idle connections: the next one may lead elsewhere."""
        if self._client is not None:
            self._client.connection_pool.disconnect(inuse_connections=False)

    def retire(self) -> None:
        """Close idle connections now and each busy one after its command. The client stays usable."""
        with self._lock:
            self._retired = True
            self._retire_pool()

    def _retire_pool(self) -> None:
        if self._retired and self._client is not None:
            self._client.connection_pool.retire()
