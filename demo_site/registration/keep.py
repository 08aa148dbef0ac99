"""Keeping the registration: desired state, compared with the agent's entry again and again, and repaired."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from .. import metrics
from ..consul_agent import services
from ..consul_agent.client import Client
from ..consul_agent.durations import seconds
from ..consul_agent.errors import ConsulError, Missing
from ..messages import _
from .definition import ServiceDefinition
from .register import in_catalog, repair
from .self_check import Verdict, ask

# Either, and a step on top, keep the promise that a lost entry is back within 5 s of its loss, or of Consul's return.
LOOK_SECONDS = 2.5
# The watch and the publisher ask a failing Consul as well: together they stay below one request a second.
MOST_BACKOFF_SECONDS = 2.8

logger = logging.getLogger(__name__)


class Keeper:
    """Keeps one service registered with one agent, and takes it out at the end. For one thread.

    `own_url`: where this process reaches the instance, when that is not the address that others use. `find_address`
    completes a definition whose address the agent has to tell.
    """

    def __init__(
        self,
        client: Client,
        definition: ServiceDefinition,
        own_url: str = "",
        find_address: Callable[[Client], str] | None = None,
    ) -> None:
        self._client = client
        self._definition = definition
        self._own_url = own_url or definition.base_url
        self._find_address = find_address
        self._address_is_old = True
        self._next_beat = 0.0
        self._unverified = False
        self._troubles: set[str] = set()

    def steps(self) -> Iterator[float]:
        """Each step makes the agent's entry the desired one and yields the seconds until the next. Never ends."""
        failures, interval = 0, seconds(self._definition.interval)
        while True:
            try:
                self._look()
                failures = 0
                yield self._look_seconds
            except ConsulError as error:
                failures += 1
                self._address_is_old = True  # the agent may come back with another
                self._trouble(error)
                yield min(_backoff(failures), interval)  # a beat that was lost is made good before the TTL is over

    def leave(self) -> Iterator[float]:
        """Take the entry out of the agent; yields the seconds to wait after each attempt that failed."""
        failures = 0
        while True:
            try:
                found = services.deregister(self._client, self._definition.id)
                break
            except ConsulError as error:
                failures += 1
                self._trouble(error)
                yield _backoff(failures)
        metrics.REGISTERED.set(0)
        if found:
            logger.info("Deregistered %s", self._definition.id)

    def beat(self) -> None:
        """Tell the TTL checks the verdicts of `/readyz` and `/livez`. Raises `ConsulError`."""
        live = ask(f"{self._own_url}/livez", seconds(self._definition.timeout))
        services.update_check(self._client, self._definition.ready_check_id, *self._ready())
        services.update_check(self._client, self._definition.live_check_id, *live)
        self._next_beat = time.monotonic() + seconds(self._definition.interval)

    @property
    def _look_seconds(self) -> float:
        return min(LOOK_SECONDS, seconds(self._definition.interval) / 2)

    def _look(self) -> None:
        if self._find_address and self._address_is_old:
            self._definition = replace(self._definition, address=self._find_address(self._client))
            self._address_is_old = False
        registered = repair(self._client, self._definition, lambda: self._ready().status)
        if registered:
            metrics.REGISTRATIONS.inc()
            logger.info("Registered %s with Consul", self._definition.id)
        if self._definition.check == "ttl" and (registered or self._is_beat_due()):
            self.beat()
        if registered:  # an agent that lost the entry may be another; and it needs a moment to tell the catalog
            self._address_is_old = self._unverified = True
        elif self._unverified:
            self._verify()
        self._recovered()

    def _ready(self) -> Verdict:
        definition = self._definition
        return ask(definition.check_url or f"{self._own_url}/readyz", seconds(definition.timeout))

    def _is_beat_due(self) -> bool:
        """Whether the next look would come too late for the beat: two are never further apart than the interval."""
        return time.monotonic() + self._look_seconds >= self._next_beat

    def _verify(self) -> None:
        """An agent takes an entry even where its own token does not let it reach the catalog."""
        if not in_catalog(self._client, self._definition, bound=0.0):
            raise Missing(
                _(
                    "The agent has it, but the catalog does not show it, so nobody will find it. With ACLs on, the "
                    "agent's own token needs `node:write` and `service:write`, and this one `node:read` and "
                    "`service:write`."
                )
            )
        self._unverified = False

    def _trouble(self, error: ConsulError) -> None:
        """Each kind of failure is logged once, until it is over."""
        metrics.REGISTRATION_ERRORS.inc()
        metrics.REGISTERED.set(0)
        kind = type(error).__name__
        if kind not in self._troubles:
            self._troubles.add(kind)
            logger.warning("The registration of %s cannot be kept: %s", self._definition.id, error)

    def _recovered(self) -> None:
        if not self._unverified:
            metrics.REGISTERED.set(1)
        if self._troubles:
            self._troubles.clear()
            logger.info("The registration of %s is kept again", self._definition.id)


def _backoff(failures: int) -> float:
    longest = min(2.0**failures, MOST_BACKOFF_SECONDS)
    return random.uniform(0.8 * longest, longest)  # noqa: S311 (jitter, no secret)
