"""A Redis client that is created at its first use and can be retired."""

import threading
from typing import Any

from ..document.model import RedisConfig


class LazyClient:
    """The client of one `RedisConfig`, created at its first use: after the fork, and never for most commands."""

    def __init__(self, config: RedisConfig) -> None:
        self.config = config
        self._client: Any = None
        self._lock = threading.Lock()
        self._retired = False

    def get(self) -> Any:
        """The client, always the same one."""
        return self._client or self._build()

    def _build(self) -> Any:
        from .client import open_client  # redis-py takes 0.15 s to import

        with self._lock:
            if self._client is None:
                self._client = open_client(self.config)
                self._retire_pool()
            return self._client

    def retire(self) -> None:
        """Close idle connections now and each busy one after its command. The client stays usable."""
        with self._lock:
            self._retired = True
            self._retire_pool()

    def _retire_pool(self) -> None:
        if self._retired and self._client is not None:
            self._client.connection_pool.retire()
