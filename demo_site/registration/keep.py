"""The registration's control loop: compares the agent's entry with the desired one, and repairs it."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from .. import metrics
from ..consul_agent import catalog, services
from ..consul_agent.catalog import CatalogInstance
from ..consul_agent.client import Client
from ..consul_agent.durations import jittered, seconds
from ..consul_agent.errors import ConsulError, Missing
from ..messages import Message, _
from .definition import ServiceDefinition
from .other_nodes import OtherNodes
from .register import repair
from .self_check import CheckResult, live, ready

# With either of them and a step on top, a lost entry is back within 5 s of its loss, or of Consul's return.
CHECK_SECONDS = 2.5
# A balancer that leads each request to another agent moves the entry at each step: what one finds then is not removed.
SETTLED_SECONDS = 10.0
REMOVE_SECONDS = 60.0  # between two tries to remove entries on other nodes
# The watch and the publisher retry a failing Consul too: all three stay below one request a second.
MOST_BACKOFF_SECONDS = 2.8

logger = logging.getLogger(__name__)


class Keeper:
    """Keeps one service registered with one agent, and deregisters it at the end. For one thread.

    `own_url` is where this process reaches the instance, if not at the address that others use. `find_address`
    supplies the address of a definition that leaves it open. `report` is told after each step why the registration
    cannot be kept, or None.
    """

    def __init__(
        self,
        client: Client,
        definition: ServiceDefinition,
        own_url: str = "",
        find_address: Callable[[Client], str] | None = None,
        report: Callable[[Message | None], None] = lambda trouble: None,
    ) -> None:
        self._client = client
        self._definition = definition
        self._own_url = own_url or definition.base_url
        self._find_address = find_address
        self._report = report
        self._address_is_old = True
        self._next_heartbeat = 0.0
        self._in_catalog = False  # as it was last seen
        self._node = ""  # of the agent that has the entry
        self._settled_at = self._remove_at = 0.0
        self._others = OtherNodes(client)
        self._token: str | None = None  # of the last step
        self._logged: set[type] = set()  # kinds of failures

    def steps(self) -> Iterator[float]:
        """Each step makes the agent's entry the desired one and yields the seconds until the next. Never ends."""
        failures, interval = 0, seconds(self._definition.interval)
        while True:
            try:
                self._reconcile()
                failures = 0
                yield self._check_seconds
            except ConsulError as error:
                failures += 1
                self._address_is_old = True  # the agent may return with another one
                self._failed(error)
                yield min(_backoff(failures), interval)  # so that a lost heartbeat is repeated within the TTL

    def leave(self) -> Iterator[float]:
        """Deregister; yields the seconds to wait after each failed attempt."""
        failures = 0
        while True:
            try:
                found = services.deregister(self._client, self._definition.id)
                break
            except ConsulError as error:
                failures += 1
                self._failed(error)
                yield _backoff(failures)
        metrics.REGISTERED.set(-1)
        if found:
            logger.info("Deregistered %s", self._definition.id)
        self._others.leave(self._definition, "" if found else self._node)

    def heartbeat(self) -> None:
        """Report `/readyz` and `/livez` to the TTL checks. Raises `ConsulError`."""
        alive = live(self._definition, self._own_url)
        services.update_check(self._client, self._definition.ready_check_id, *self._ready())
        services.update_check(self._client, self._definition.live_check_id, *alive)
        self._next_heartbeat = time.monotonic() + seconds(self._definition.interval)

    @property
    def _check_seconds(self) -> float:
        return min(CHECK_SECONDS, seconds(self._definition.interval) / 2)

    def _reconcile(self) -> None:
        if self._find_address and self._address_is_old:
            self._definition = replace(self._definition, address=self._find_address(self._client))
            self._address_is_old = False
        # The agent syncs the entry to the catalog with the token that registered it, which may be deleted next.
        token = self._client.http.token()
        is_renewed = self._token not in (None, token)
        registered, node = repair(self._client, self._definition, lambda: self._ready().status, again=is_renewed)
        self._token = token
        if node not in ("", self._node):
            self._moved(node)
        if registered:
            self._registered()
        # The heartbeat is due when the next check would be too late for it.
        is_due = time.monotonic() + self._check_seconds >= self._next_heartbeat
        if self._definition.check == "ttl" and (registered or is_due):
            self.heartbeat()
        if not registered:
            self._look()
        self._succeeded()

    def _moved(self, node: str) -> None:
        """The agent that answers is the one of another node than before."""
        now = time.monotonic()
        if self._node and now >= self._settled_at:
            logger.warning(
                "%s leads to the agent of node %s now; %s was registered on node %s. It should name one agent",
                *(self._client.address.url, node, self._definition.id, self._node),
            )
        self._node, self._address_is_old, self._in_catalog = node, True, False
        self._settled_at = self._remove_at = now + SETTLED_SECONDS

    def _registered(self) -> None:
        metrics.REGISTRATIONS.inc()
        logger.info("Registered %s with Consul", self._definition.id)
        # An agent that lost the entry may be a new one; and it needs a moment to update the catalog.
        self._address_is_old, self._in_catalog = True, False

    def _ready(self) -> CheckResult:
        return ready(self._definition, self._own_url)

    def _look(self) -> None:
        """Look into the catalog, for the entry and for others with its id.

        What the agent has is not what others find: the servers may have no leader, or have lost their state.
        """
        definition, now = self._definition, time.monotonic()
        found = catalog.with_id(self._client, definition.name, definition.id)
        others = [entry for entry in found if self._node and entry.node_name != self._node]
        self._verify([entry for entry in found if entry not in others])
        removes = now >= self._remove_at
        if removes:
            self._remove_at = now + REMOVE_SECONDS
        self._others.review(definition, others, removes=removes)

    def _verify(self, own: list[CatalogInstance]) -> None:
        """An agent accepts an entry even if its own token does not allow it to update the catalog."""
        was_there, self._in_catalog = self._in_catalog, any(entry.place == self._definition.place for entry in own)
        if self._in_catalog:
            return
        # What is registered the agent tells the servers once. If they cannot take it then, or lose it later, that comes
        # with the agent's next comparison of all its entries: once a minute, and some seconds after it lost servers.
        services.register(self._client, self._definition.payload(self._ready().status))
        if not was_there:
            raise Missing(
                _(
                    "The agent has it, but the catalog does not show it, so nobody will find it. With ACLs on, the "
                    "agent's own token needs `node:write` and `service:write`, and this one `node:read` and "
                    "`service:write`."
                )
            )
        self._registered()

    def _failed(self, error: ConsulError) -> None:
        """Log each kind of failure once, until the next success."""
        self._report(error.message)
        metrics.REGISTRATION_ERRORS.inc()
        metrics.REGISTERED.set(-1)
        self._others.forget()
        if type(error) not in self._logged:
            self._logged.add(type(error))
            logger.warning("The registration of %s cannot be kept: %s", self._definition.id, error)

    def _succeeded(self) -> None:
        self._report(None)
        if self._in_catalog:
            metrics.REGISTERED.set(1)
        if self._logged:
            self._logged.clear()
            logger.info("The registration of %s is kept again", self._definition.id)


def _backoff(failures: int) -> float:
    longest = min(2.0**failures, MOST_BACKOFF_SECONDS)
    return jittered(0.8 * longest, longest)
