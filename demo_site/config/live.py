"""The configuration in force in this process: its state, and how the next one replaces it."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .. import metrics
from ..consul_agent.client import Client
from ..consul_agent.kv import Entry
from ..document.parsing import DocumentInvalid
from ..instance import transitions, worker_count
from ..redis_cache.lazy import LazyClient
from .kept import Kept
from .revision import Loaded, loaded
from .source import Start
from .status import Rejected, Status, now, running_on

if TYPE_CHECKING:
    from redis import Redis

# After a change, for each worker of the instance: what the first ones still have to do, and their next questions, would
# compete with the answers that the last ones wait for.
PAUSE_SECONDS = 0.001
NOT_FOLLOWED = "this process does not follow the key: gunicorn.conf.py, which starts the watch, was not read"

logger = logging.getLogger(__name__)


class InForce:
    """One configuration as a whole: the document, where it came from, and the Redis client that goes with it."""

    def __init__(self, value: Loaded, client: LazyClient | None = None) -> None:
        self.loaded = value
        self.document = value.document
        self.show_message = value.document.show_message
        self.client = client or LazyClient(value.document.redis_config)

    @property
    def redis(self) -> "Redis":
        """The Redis client."""
        return self.client.get()


class Live:
    """One per process. `in_force` is replaced as a whole, so whoever reads it once sees one configuration.

    `listeners` are called, in the watch's thread, after the state or the configuration in force changed.
    """

    def __init__(self, start: Start) -> None:
        self.start = start
        self.watch_errors = 0
        self.rejections = 0
        self.last_contact: datetime | None = None
        self.listeners: list[Callable[[], None]] = []
        snapshot = start.environment["DEMO_CONFIG_SNAPSHOT"]
        self._kept = Kept(Path(snapshot) if snapshot else None, start.loaded)
        self._in_force: InForce | None = None
        self._took_over = False
        self.status = Status("current")
        if start.loaded:
            self._in_force = InForce(start.loaded)
            self.status = Status("file") if start.loaded.kind == "file" else Status(*self._out_of_step(NOT_FOLLOWED))

    @staticmethod
    def _initial_status(value: Loaded) -> Status:
        if value.kind == "snapshot":
            return Status("snapshot", running_on(value))
        return Status("file" if value.kind == "file" else "current")

    @property
    def in_force(self) -> InForce:
        """The configuration in force. Raises the `StartupError` of a start that found none."""
        if self._in_force is None:
            raise self.start.error or RuntimeError("started without a configuration")
        return self._in_force

    def redis(self) -> "Redis":
        """The Redis client in force, for django-redis to follow."""
        return self.in_force.redis

    def follow(self) -> None:
        """Start to follow the key. To be called once in each serving process, after the fork.

        A worker that is replaced first takes over what the other processes of its instance have in force.
        """
        inherited = self._kept.read()
        if inherited and not inherited.same_as(self.in_force.loaded):
            self._in_force = InForce(inherited)
        self.status = self._initial_status(self.in_force.loaded)
        self._kept.keep(self.in_force.loaded)
        self._kept.save(self.in_force.loaded, self.in_force.loaded.loaded_at)
        if self.status.state == "snapshot":
            logger.warning("Consul was out of reach at the start: %s", self.status.reason)
        metrics.publish(self)
        if self.in_force.loaded.kind != "file":
            from . import watcher

            key, address = self.start.environment["DEMO_CONFIG_KEY"], self.start.address
            arguments = (self, lambda on_answer: Client(address, watcher.TIMEOUTS, on_answer), key)
            threading.Thread(target=watcher.run, args=arguments, name="configuration-watch", daemon=True).start()

    def expect_answer(self) -> None:
        """Consul's answer is there, and is not read yet.

        A change comes to all workers at once, and when this one has its turn at a processor, another may have put it in
        force already. To take it over costs a third of reading and checking the answer, and the last one waits for all.
        """
        self._took_over = self._catch_up()
        if self._took_over:
            self._become(Status("current"))
            self._leave_others_the_processor()
            self._tell()

    def is_past(self, entry: Entry | None) -> bool:
        """Whether a value was taken over while this answer was on its way, and the answer has another one.

        Mostly an older one; which of the two Consul holds now, it has to be asked again.
        """
        return self._took_over and not (entry and self._has_in_force(entry))

    def offer(self, entry: Entry) -> None:
        """Put the entry's document in force if it is another one, valid, and its Redis answers; else reject it."""
        self._have_contact()
        rejected = self.status.rejected
        if self._has_in_force(entry):
            self._confirm()
        elif rejected and not rejected.transient and rejected.is_of(entry):
            self._become(Status("rejected", rejected.reason, rejected))
        else:
            self._judge(entry)

    def lose_contact(self, reason: str) -> None:
        """Consul cannot be asked: what is in force stays."""
        transitions.seen("Consul", "bad")
        self.watch_errors += 1
        metrics.WATCH_ERRORS.inc()
        self._catch_up()
        state, why = self._out_of_step(reason)
        self._become(replace(self.status, state=state, reason=why))  # a rejection stays, as what was seen last

    def lose_key(self, reason: str) -> None:
        """Consul answers, but the key is gone: what is in force stays."""
        self._have_contact()
        self._catch_up()
        self._become(Status(*self._out_of_step(reason)))

    def _out_of_step(self, reason: str) -> tuple[str, str]:
        """State and reason while the key cannot be followed."""
        value = self.in_force.loaded
        return ("snapshot", f"{running_on(value)}; {reason}") if value.kind == "snapshot" else ("stale", reason)

    def _have_contact(self) -> None:
        self.last_contact = now()
        transitions.seen("Consul", "good")

    def _judge(self, entry: Entry) -> None:
        try:
            value = loaded(entry.value, "consul", entry.key, entry.modify_index, generation=self._generation(entry))
        except DocumentInvalid as error:
            return self._reject(entry, [str(fault) for fault in error.faults], transient=False)
        client = self.in_force.client
        if value.document.redis_config != client.config:
            from ..redis_cache import probe

            client = LazyClient(value.document.redis_config)
            if faults := probe.faults(client):
                client.retire()
                return self._reject(entry, faults, transient=True)
        return self._swap(InForce(value, client))

    def _generation(self, entry: Entry) -> int:
        """The generation of a value that is not the one in force: its index must be a higher one in the same store."""
        own = self.in_force.loaded
        return own.generation + (own.kind == "consul" and entry.modify_index <= (own.index or 0))

    def _swap(self, new: InForce) -> None:
        self._replace(new)
        logger.info("Put in force: %s", new.loaded.origin)
        self._become(Status("current"))
        self._kept.keep(new.loaded)
        self._leave_others_the_processor()
        self._kept.save(new.loaded, new.loaded.loaded_at)
        self._tell()

    @staticmethod
    def _leave_others_the_processor() -> None:
        time.sleep(PAUSE_SECONDS * worker_count.workers())

    def _replace(self, new: InForce) -> None:
        old = self.in_force
        self._in_force = new  # one reference: every later request sees all of the new, every earlier one all of the old
        if new.client is not old.client:
            old.client.retire()

    def _catch_up(self) -> bool:
        """Take over what another process of the instance put in force since: a value that this one did not see.

        Without, the processes would differ for as long as Consul has no other value to offer.
        """
        own = self.in_force
        kept = self._kept.newer_than(own.loaded)
        if kept is None:
            return False
        same_redis = kept.document.redis_config == own.client.config
        self._replace(InForce(kept, own.client if same_redis else None))
        logger.info("Put in force, as another process of the instance did: %s", kept.origin)
        return True

    def _reject(self, entry: Entry, faults: list[str], transient: bool) -> None:
        self._catch_up()
        if self._has_in_force(entry):
            return self._confirm()  # another process found its Redis a moment ago
        rejected = Rejected(entry.modify_index, tuple(faults), transient, entry.value)
        if rejected != self.status.rejected:
            self.rejections += 1
            metrics.REJECTED.inc()
        return self._become(Status("rejected", rejected.reason, rejected))

    def _has_in_force(self, entry: Entry) -> bool:
        value = self.in_force.loaded
        return (value.kind, value.index, value.raw) == ("consul", entry.modify_index, entry.value)

    def _confirm(self) -> None:
        self._become(Status("current"))
        self._kept.save(self.in_force.loaded, now())

    def _become(self, status: Status) -> None:
        """Change the state; what stays the same keeps its `since` and is not logged again."""
        old = self.status
        if (status.state, status.reason, status.rejected) == (old.state, old.reason, old.rejected):
            return
        self.status = replace(status, since=old.since if status.state == old.state else now())
        origin = self.in_force.loaded.origin
        if status.state == "current":
            logger.info("The configuration is no longer %s", old.state)
        else:
            logger.warning("The configuration is %s, %s stays in force: %s", status.state, origin, status.reason)
        self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()
