"""The watch: follows the key with blocking queries, and gives each answer to the follower.

https://developer.hashicorp.com/consul/api-docs/features/blocking
"""

import logging
import time
from collections.abc import Iterator

from ..consul_agent import kv
from ..consul_agent.client import Client, Timeouts
from ..consul_agent.durations import jittered
from ..consul_agent.errors import ConsulError
from ..messages import _, trace
from .follower import Follower

# A blocking query does not end when the leader hangs, when there is no quorum, or when the servers lost their state and
# have a lower index: so it is a short one. With Consul's jitter (a sixteenth) and the read time-out on top, a silent
# peer is noticed 4.3 s after its end. A document whose Redis did not answer is probed again as often: it may have been
# put before its server was up.
WAIT_SECONDS = 4
TIMEOUTS = Timeouts(connect=1.0, read=4.0)
LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 1.0, 4.6  # so that it follows again within 5 s
# An agent may answer at once for ever: with the same value it is asked ten times a second, with another one each time
# not more often either in the long run. So many changes in a row, as a script puts them, reach a worker at once.
LEAST_SECONDS_PER_ANSWER, MOST_CHANGES_AT_ONCE = 0.1, 200

logger = logging.getLogger(__name__)


def watch(follower: Follower, timeouts: Timeouts = TIMEOUTS, wait: int = WAIT_SECONDS) -> Iterator[float]:
    """Each step asks Consul once, does what follows from the answer, and yields the seconds to pause. Never ends.

    The first step asks without waiting. After any error, and after an index that went back, the next one does too, on
    a new connection: what the index was worth is unknown then, and a Consul that lost its state may hold another
    document under the same index.
    """
    failures = 0
    while True:
        client = follower.live.start.open_client(timeouts, on_answer=follower.expect_answer)
        try:
            for pause in _follow(follower, client, wait):
                # The first success after a failure pauses too: a Consul may fail every other time.
                yield max(pause, LEAST_PAUSE_SECONDS if failures else 0.0)
                failures = 0
        except ConsulError as error:
            follower.lose_contact(kv.reason(error, follower.live.start.key))
        finally:
            client.close()
        failures += 1
        # Jitter, so that workers do not ask in step. With the publisher and the keeper, which ask a failing Consul as
        # well, a worker stays below one request a second.
        longest = min(LEAST_PAUSE_SECONDS * 2**failures, MOST_PAUSE_SECONDS)
        yield jittered(0.7 * longest, longest)


def _follow(follower: Follower, client: Client, wait: int) -> Iterator[float]:
    """One step for each answer, until there is an error or an index that goes back: a restored or emptied store."""
    index, value, key = 0, None, follower.live.start.key
    pace = _Pace()
    while True:
        asked_at = time.monotonic()
        follower.prove(wait)
        found, entry = kv.query(client, key, index, wait)
        while follower.is_past(entry):
            found, entry = kv.query(client, key)
        if entry is None:
            follower.lose_key(_("the key `%(key)s` was deleted", key=key))
        else:
            follower.offer(entry)
        if found < index:
            return
        quick = time.monotonic() - asked_at < LEAST_PAUSE_SECONDS
        # Consul answers at once only with news. What does so without news, or without the key, is not asked in a loop.
        pause = LEAST_PAUSE_SECONDS if quick and (entry is None or found == index) else 0.0
        is_same = entry is not None and entry.value == value
        yield max(pause, LEAST_SECONDS_PER_ANSWER if quick and is_same else 0.0, pace.pause())
        value = entry and entry.value
        index = max(found, 1)


class _Pace:
    """A token bucket: many answers at once are not slowed down, an endless stream of them is."""

    def __init__(self) -> None:
        self._due = 0.0

    def pause(self) -> float:
        """The seconds until the next question, after one more answer."""
        now = time.monotonic()
        self._due = max(self._due, now - MOST_CHANGES_AT_ONCE * LEAST_SECONDS_PER_ANSWER) + LEAST_SECONDS_PER_ANSWER
        return max(self._due - now, 0.0)


def run(follower: Follower, wait: int = WAIT_SECONDS) -> None:
    """Step for ever; for a thread of its own. Not even a fault of our own ends the watch."""
    while True:
        try:
            for pause in watch(follower, wait=wait):
                follower.prove(pause)
                time.sleep(pause)
        except Exception as error:
            logger.error("The watch failed and starts again:\n%s", trace(error))
            follower.fail(error)
            follower.prove(MOST_PAUSE_SECONDS)
            time.sleep(MOST_PAUSE_SECONDS)
