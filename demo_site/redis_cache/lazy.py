"""A Redis client that is created at its first use and can be retired."""

import threading
from collections.abc import Callable
from typing import Any

from ..document.model import RedisConfig
from ..messages import Message
from .servers import NotFound, Server


class LazyClient:
    """The client of one server, created at its first use: after the fork, and never for most commands.

    `find` then says which server it is, unless that is known before; it may raise `NotFound`.
    """

    def __init__(self, config: RedisConfig, find: Callable[[], Server], server: Server | None = None) -> None:
        self.config = config
        self.server = server
        self._find = find
        self._client: Any = None
        self._usable: Any = None  # the client, unless it is held
        self._held: Message | None = None
        self._lock = threading.Lock()
        self._retired = False

    def get(self) -> Any:
        """The client, always the same one. Raises `CannotConnect` where there is none now."""
        return self._usable or self._build()

    def _build(self) -> Any:
        from .client import open_client  # redis-py takes 0.15 s to import
        from .pool import CannotConnect

        with self._lock:
            if self._held:
                raise CannotConnect(self._held)
            if self._client is None:
                try:
                    self.server = self.server or self._find()
                except NotFound as error:
                    raise CannotConnect(error.message) from None
                self._client = open_client(self.config, self.server)
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
