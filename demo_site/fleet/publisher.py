"""Publishing this worker: a key in Consul KV, held by a Consul session that the worker renews.

docs/decisions/fleet.md says why each worker has a session.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

from ..consul_agent import kv, sessions
from ..consul_agent.client import Client, Timeouts
from ..consul_agent.durations import jittered
from ..consul_agent.errors import ConsulError, Denied, Refused
from ..messages import Message, _, joined, unforeseen
from .worker import Worker

TTL_SECONDS = sessions.LEAST_TTL_SECONDS
GONE_SECONDS = 2 * TTL_SECONDS  # Consul ends a session at most this long after its last renewal
RENEW_SECONDS = TTL_SECONDS / 2
RENEWALS_PER_LOOK = 12  # once a minute: does the key still exist?
LEAST_GAP_SECONDS = 0.5  # between two writes, so that several changes in a row cause one or two writes
# The watch and the keeper retry a failing Consul too: all three stay below one request a second.
LEAST_BACKOFF_SECONDS, MOST_BACKOFF_SECONDS = 1.0, 4.6
DENIED_SECONDS = 60.0  # people grant rights
LEAVE_SECONDS = 0.5  # how long an exit waits for a running step, for a connection and for an answer

TIMEOUTS = Timeouts(connect=1.0, read=4.0)

_RIGHTS = _("The token needs `session:write` on the agent's node and `key:write` on `%(key)s`.")

logger = logging.getLogger(__name__)


class Publisher:
    """One per serving process. `trouble` says why the worker is not published, None while it is.

    `describe` returns the worker's current state. Its `seen_at` is the time of the last write, because renewals do not
    write: each write is a commit of the whole Consul cluster and wakes everyone who watches the keys. A reader can
    infer a later time, because Consul deletes the key of a session that is not renewed (instances.py).
    """

    def __init__(self, describe: Callable[[], Worker], open_client: Callable[[Timeouts], Client], key: str) -> None:
        self.trouble: Message | None = _("not published yet")
        self._describe, self._open_client, self._key = describe, open_client, key
        self._changed, self._stepping, self._left = threading.Event(), threading.Lock(), False
        self._logged: set[type] = set()  # kinds of failures
        self._session: str | None = None
        self._published: Worker | None = None
        self._wrote_at = 0.0
        self._renew_at = 0.0
        self._renewals = 0

    def change(self) -> None:
        """Publish soon, because the worker's state has changed."""
        self._changed.set()

    def steps(self) -> Iterator[float]:
        """Each step updates Consul and yields the seconds until the next one is due. Never ends."""
        longest = LEAST_BACKOFF_SECONDS
        while True:
            try:
                with closing(self._open_client(TIMEOUTS)) as client:
                    while True:
                        self._step(client)
                        self._note(None)
                        longest = LEAST_BACKOFF_SECONDS
                        yield max(self._renew_at - time.monotonic(), 0.0)
            except ConsulError as error:
                self._note(error)
                self._renew_at = 0.0  # servers that lost their state do not know the session
                pause = DENIED_SECONDS if isinstance(error, Denied) else jittered(longest, 1.1 * longest)
                longest = min(2 * longest, MOST_BACKOFF_SECONDS / 1.1)
            yield pause

    def run(self) -> None:
        """Step until `leave`; for a thread of its own. A bug ends a step, not the thread."""
        steps = self.steps()
        while True:
            with self._stepping:
                if self._left:
                    return
                try:
                    pause = next(steps)
                except Exception as error:
                    logger.exception("Publishing this worker as %s failed and starts again", self._key)
                    self.trouble, pause, steps = unforeseen(error), DENIED_SECONDS, self.steps()
            self._wait(pause)

    def _wait(self, pause: float) -> None:
        """Wait until `pause` is over or the state changes. After a failure, a change does not shorten the pause."""
        if self.trouble:
            time.sleep(pause)
        elif self._changed.wait(pause):
            time.sleep(max(0.0, self._wrote_at + LEAST_GAP_SECONDS - time.monotonic()))
        self._changed.clear()

    def _step(self, client: Client) -> None:
        if self._session is None or time.monotonic() >= self._renew_at:
            self._renew(client)
        worker = self._describe()
        if worker != self._published:
            self._write(client, worker)

    def _renew(self, client: Client) -> None:
        """Renew the session, or create one."""
        due = time.monotonic() + jittered(0.8 * RENEW_SECONDS, 1.2 * RENEW_SECONDS)
        if self._session is None or not sessions.renew(client, self._session):
            self._session = self._published = None
            self._session = sessions.create(client, self._key, TTL_SECONDS)
        self._renew_at = due
        self._renewals += 1
        if self._renewals % RENEWALS_PER_LOOK == 0:  # somebody may have deleted the key
            _index, entry = kv.query(client, self._key)
            if entry is None or entry.session != self._session:
                self._published = None

    def _write(self, client: Client, worker: Worker) -> None:
        if not sessions.acquire(client, self._key, worker.as_json(), self._session or ""):
            # A killed process with the same pid, as in a container: its session ends soon.
            raise Refused(_("Another process holds the key `%(key)s` until its session ends.", key=self._key))
        self._published, self._wrote_at = worker, time.monotonic()

    def _note(self, error: ConsulError | None) -> None:
        """Store the trouble for the admin; log each kind of failure once, and its end."""
        self.trouble = error.message if error else None
        if isinstance(error, Denied):
            self.trouble = joined([error.message, Message(_RIGHTS, key=self._key)], " ")
        if error and type(error) not in self._logged:
            self._logged.add(type(error))
            logger.warning("This worker is not published: %s", self.trouble)
        elif error is None and self._logged:
            self._logged.clear()
            logger.info("This worker is published again as %s", self._key)

    def leave(self) -> None:
        """Delete the key and stop publishing, at the exit: it waits only briefly for a Consul that does not answer."""
        self._stepping.acquire(timeout=LEAVE_SECONDS)  # not released again: no further step begins
        self._left = True
        if self._session is None:
            return
        with closing(self._open_client(Timeouts(LEAVE_SECONDS, LEAVE_SECONDS))) as client:
            try:
                sessions.destroy(client, self._session)
            except ConsulError as error:
                logger.info("Consul deletes the key %s within %d s: %s", self._key, GONE_SECONDS, error)
