"""The configuration in force in this process: one reference that is replaced as a whole."""

import logging
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..document.model import RedisConfig
from ..messages import Message, _
from ..redis_cache.lazy import LazyClient
from ..redis_cache.servers import Server
from .revision import Revision
from .shared import SharedState
from .source import Start
from .status import CURRENT, Proof, Status, initial, out_of_step, outlived, transition

# What a step of the watch may take beyond the wait that it asked for: Consul's jitter, a probe, a slow machine.
GRACE_SECONDS = 10.0
NOT_FOLLOWED = _("this process does not follow the key: gunicorn.conf.py, which starts the watch, was not read")

logger = logging.getLogger(__name__)


class InForce:
    """One configuration as a whole: a revision, and the Redis client that goes with its document."""

    def __init__(self, revision: Revision, client: LazyClient) -> None:
        self.revision = revision
        self.document = revision.document
        self.client = client

    @property
    def redis(self) -> Any:
        return self.client.get()


class Live:
    """One per process. Whoever reads `in_force` once sees one configuration, however it changes meanwhile.

    `listeners` are called, in the watch's thread, after the status or the configuration in force changed.
    """

    def __init__(self, start: Start) -> None:
        self.start = start
        snapshot = start.environment["DEMO_CONFIG_SNAPSHOT"]
        self.shared = SharedState(Path(snapshot) if snapshot else None, start.revision)
        self._in_force = self._of(start.revision) if start.revision else None
        self._swapping = threading.Lock()
        self._status = _not_followed(start.revision) if start.revision else Status(CURRENT)
        self._proof: Proof | None = None  # what nobody follows does not grow old
        self.unfollowed: Message | None = None  # why it is not known which Redis the document means, if it is not
        self.listeners: list[Callable[[], None]] = []
        self.process_started_at = start.read_at  # of a worker that was forked since, see `serve`
        self.on_replaced: Callable[[], None] = lambda: None  # called after another configuration came in force

    @property
    def in_force(self) -> InForce:
        """The configuration in force. Raises the `StartupError` of a start that found none."""
        if self._in_force is None:
            raise self.start.error or RuntimeError("started without a configuration")
        return self._in_force

    @property
    def status(self) -> Status:
        """As the watch left it, for as long as it is proven: whatever became of the watch, its word does not last."""
        proof = self._proof
        if proof is None or time.monotonic() <= proof.until:
            return self._status
        return outlived(self._status, self.in_force.revision, proof)

    @property
    def proven_until(self) -> float:
        """When the status ends to hold, in seconds of the monotonic clock."""
        return self._proof.until if self._proof else math.inf

    def prove(self, seconds: float) -> None:
        """The watch works: its next sign comes in so many seconds, and `GRACE_SECONDS` more at most."""
        now, longest = datetime.now(UTC), seconds + GRACE_SECONDS
        is_late = time.monotonic() > self.proven_until
        self._proof = Proof(now, now + timedelta(seconds=longest), time.monotonic() + longest)
        if is_late:
            logger.warning("The watch gives signs again")
            self.notify()

    def redis(self) -> Any:
        return self.in_force.redis

    def serve(self) -> None:
        """Begin to serve requests: once in each serving process, after the fork and before it follows the key.

        A worker that is replaced takes over what the other processes of its instance have in force.
        """
        self.process_started_at = datetime.now(UTC)
        inherited = self.shared.read()
        if inherited and not inherited.same_as(self.in_force.revision):
            self._in_force = self._of(inherited)
        revision = self.in_force.revision
        self._status = initial(revision)
        self.shared.publish(revision)
        if not revision.unconfirmed:
            self.shared.save_snapshot(revision, revision.loaded_at)
        if self._status.reason:
            logger.warning("Consul was out of reach at the start: %s", self._status.reason)

    def replace(self, revision: Revision) -> None:
        """Put a revision in force, whose probe has passed."""
        with self._swapping:
            old = self.in_force
            is_same = revision.document.redis_config == old.client.config
            # One reference: every later request sees all of the new, every earlier one all of the old.
            self._in_force = InForce(revision, old.client) if is_same else self._of(revision)
            self.unfollowed = self.unfollowed if is_same else None
        if not is_same:
            old.client.retire()
        self.on_replaced()

    def note(self, client: LazyClient, reason: Message | None) -> bool:
        """Set `unfollowed`, if this client is in force; whether that is news."""
        with self._swapping:
            is_news = self.in_force.client is client and reason != self.unfollowed
            if is_news:
                self.unfollowed = reason
        return is_news

    def move(self, old: LazyClient, server: Server) -> LazyClient | None:
        """Have the document's Redis be another server, which has been tried; return its client.

        None: `old` is in force no longer, and stays replaced.
        """
        with self._swapping:
            if self.in_force.client is not old:
                return None
            client = LazyClient(old.config, server)
            self._in_force = InForce(self.in_force.revision, client)
        old.retire()
        return client

    def _of(self, revision: Revision) -> InForce:
        config = revision.document.redis_config
        return InForce(revision, LazyClient(config, lambda: self._found(config)))

    def _found(self, config: RedisConfig) -> Server:
        from ..redis_cache.probe import find  # redis-py takes 0.15 s to import

        return find(config, self.start.finder)

    def become(self, status: Status) -> None:
        old, self._status = self._status, transition(self._status, status, self.in_force.revision)
        if self._status is not old:
            self.notify()

    def notify(self) -> None:
        for listener in self.listeners:
            listener()

    def catch_up(self) -> bool:
        """Take over what another process of the instance put in force since: a value that this one did not see.

        Otherwise the processes would differ for as long as Consul has no other value to offer.
        """
        newer = self.shared.newer_than(self.in_force.revision)
        if newer is None:
            return False
        self.replace(newer)
        logger.info("Put in force, as another process of the instance did: %s", newer.origin)
        return True


def _not_followed(revision: Revision) -> Status:
    return initial(revision) if revision.kind == "file" else out_of_step(revision, NOT_FOLLOWED)
