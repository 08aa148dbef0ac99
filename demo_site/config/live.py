"""The configuration in force in this process, and its state."""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .source import Loaded, Start

if TYPE_CHECKING:
    from redis import Redis


@dataclass(frozen=True)
class Rejected:
    """A newer document that did not take effect: its index and why."""

    index: int | None
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    """`state` is one of current, rejected, stale, snapshot, file; `reason` says why it is not current."""

    state: str
    reason: str | None = None
    rejected: Rejected | None = None


class InForce:
    """One configuration as a whole: the document, where it came from, and the Redis client that goes with it."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.document = loaded.document
        self.show_message = loaded.document.show_message
        self._redis: Redis | None = None
        self._lock = threading.Lock()

    @property
    def redis(self) -> "Redis":
        """The client, built when first asked for: after the fork, and not at all for most commands."""
        if self._redis is None:
            from ..redis_cache.client import open_client  # redis-py takes 0.15 s to import

            with self._lock:
                self._redis = self._redis or open_client(self.document.redis_config)
        return self._redis


class Live:
    """One per process. `in_force` is replaced as a whole, so whoever reads it once sees one configuration."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self._in_force = InForce(start.loaded) if start.loaded else None
        self.status = Status("file" if start.loaded and start.loaded.kind == "file" else "current")

    @property
    def in_force(self) -> InForce:
        """The configuration in force. Raises the `StartupError` of a start that found none."""
        if self._in_force is None:
            raise self.start.error or RuntimeError("started without a configuration")
        return self._in_force

    def redis(self) -> "Redis":
        """The Redis client in force, for django-redis to follow."""
        return self.in_force.redis
