"""Follows the server of the document in force where Consul, Sentinel or a file says which one, or its password."""

import contextlib
import logging
import threading
import time
from contextlib import closing
from dataclasses import replace

from ..document.model import RedisConfig
from ..messages import Message, trace
from ..redis_cache.lazy import LazyClient
from ..redis_cache.servers import FailoverUnderWay, NotFound, Seeker, Server, moves
from .live import Live

_LEAST_SECONDS = 0.1  # of a step: what has always news is not heard in a loop
_PAUSE_SECONDS = 1.0  # after a fault of our own

logger = logging.getLogger(__name__)


class ServerWatch:
    """One per serving process. A thread follows while the document in force needs it.

    Each configuration has a thread of its own: the one before may wait for Consul for seconds until it ends.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._lock = threading.Lock()
        self._followed: RedisConfig | None = None

    def ensure(self) -> None:
        """Call it after another configuration came in force."""
        config = self._live.in_force.client.config
        with self._lock:
            is_new, self._followed = config is not self._followed, config
        if is_new and moves(config):
            threading.Thread(target=self._run, args=(config,), name="server-watch", daemon=True).start()

    def _run(self, config: RedisConfig) -> None:
        while (client := self._live.in_force.client).config is config:
            try:
                with closing(self._live.start.finder.seeker(config)) as seeker:
                    _Follower(self._live, client, seeker).follow()
            except Exception as error:  # not even that ends it
                logger.error("Following the server of Redis failed and starts again:\n%s", trace(error))
                time.sleep(_PAUSE_SECONDS)


class _Follower:
    """Follows one configuration, for as long as it is in force."""

    def __init__(self, live: Live, client: LazyClient, seeker: Seeker) -> None:
        self._live, self._client, self._seeker = live, client, seeker
        self._logged: set[Message] = set()  # kinds of reasons, while the server is not known

    def follow(self) -> None:
        while self._live.in_force.client is self._client:
            began = time.monotonic()
            self._step()
            time.sleep(max(_LEAST_SECONDS - (time.monotonic() - began), 0.0))

    def _step(self) -> None:
        try:
            servers = self._seeker.servers()
        except FailoverUnderWay as error:
            self._client.hold(error.message)
            self._note(error.message, "nothing is counted meanwhile")
        except NotFound as error:
            self._note(error.message)
            self._renew_password()
        else:
            self._choose(servers)
        self._seeker.wait()

    def _renew_password(self) -> None:
        """Of the server in use, while nobody says which one is meant: its file says more than they do."""
        from ..redis_cache.probe import first_usable

        if self._client.server is None:
            return
        with contextlib.suppress(NotFound):
            renewed = replace(self._client.server, password=self._seeker.password())
            if renewed != self._client.server and first_usable(self._client.config, [renewed])[0]:
                self._move(renewed)

    def _choose(self, servers: list[Server]) -> None:
        """Take the first that can count. One that cannot is tried again each time."""
        from ..redis_cache.probe import first_usable

        if servers == [self._client.server]:
            usable = self._client.server
            problem = None
        else:
            usable, faults = first_usable(self._client.config, servers)
            problem = faults[0].problem if faults else None
        if usable and usable != self._client.server:
            self._move(usable)
        elif usable:
            self._client.hold(None)
        self._note(problem)

    def _move(self, server: Server) -> None:
        old = self._client
        moved = self._live.move(old, server)
        if moved:  # else another document came in force meanwhile: that one's client is not ours to move
            self._client = moved
            if old.server:
                change = "with its new password" if str(server) == str(old.server) else f"no longer {old.place}"
                logger.info("The Redis in use is the one at %s now, %s", server, change)

    def _note(self, reason: Message | None, meanwhile: str = "") -> None:
        is_news = self._live.note(self._client, reason)
        if reason is None:
            self._logged.clear()
        # Without the words of another program, which may choose others each time.
        elif is_news and (kind := reason.outline()) not in self._logged:
            self._logged.add(kind)
            stays = f"the one at {self._client.server} stays" if self._client.server else "none is in use"
            logger.warning("The Redis that the document means cannot be used, %s: %s", meanwhile or stays, reason)
