"""Entries with this instance's id on other nodes than its agent's, and removing those that were left behind.

An entry belongs to the agent that it was made at. Where CONSUL_HTTP_ADDR leads to another agent later, as a load
balancer does, or to a new one with a new name, the old entry stays. What can remove it for good is its own agent or,
when that has failed, the catalog: a living agent puts back what is removed there.
"""

import logging

from .. import metrics
from ..consul_agent import catalog, services
from ..consul_agent.catalog import CatalogInstance
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError
from ..consul_agent.services import AgentEntry
from ..messages import Message, _
from .definition import ServiceDefinition

_ATTEMPTS = 4  # connections, of which a load balancer may lead one to the other agent

logger = logging.getLogger(__name__)


class OtherNodes:
    """What is known of them, logged once for each node, and in the metric."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._entries: list[CatalogInstance] = []
        self._logged: set[tuple[str, type]] = set()  # nodes, with the kind of failure or of entry

    def review(self, definition: ServiceDefinition, entries: list[CatalogInstance], *, removes: bool) -> None:
        """Remove what can be removed of these entries, if that is wanted, and say what stays."""
        self._entries = [entry for entry in entries if not (removes and self._removed(definition, entry))]
        metrics.OTHER_NODES.set(1 + len(self._entries))
        self._logged = {key for key in self._logged if key[0] in {entry.node_name for entry in self._entries}}
        for entry in self._entries:
            self._log_once(entry, CatalogInstance, f"{described(entry)}. {remedy(entry)}")

    def forget(self) -> None:
        """It is not known how they are."""
        metrics.OTHER_NODES.set(0)

    def leave(self, definition: ServiceDefinition, node: str) -> None:
        """Deregister at the own agent of `node` and at those of own entries, as far as the address leads there."""
        self.forget()
        nodes = {node, *(entry.node_name for entry in self._entries if entry.place == definition.place)} - {""}
        for name in nodes:
            try:
                deregister_at(self._client, name, definition.id)
            except ConsulError as error:
                logger.warning("The entry of %s on node %s may stay: %s", definition.id, name, error)

    def _removed(self, definition: ServiceDefinition, entry: CatalogInstance) -> bool:
        try:
            if not remove(self._client, definition, entry):
                return False
        except ConsulError as error:
            self._log_once(entry, type(error), f"The entry of {definition.id} on node {entry.node_name} stays: {error}")
            return False
        logger.info("Removed the entry of %s that was left on node %s", definition.id, entry.node_name)
        return True

    def _log_once(self, entry: CatalogInstance, kind: type, text: str) -> None:
        if (entry.node_name, kind) not in self._logged:
            self._logged.add((entry.node_name, kind))
            logger.warning("%s", text)


def find(client: Client, name: str, service_id: str, here: AgentEntry | None) -> list[CatalogInstance]:
    """The entries with this id on other nodes than the agent's, which has the entry `here`. Raises `ConsulError`."""
    if here and not here.node:  # without a check, which would name the node: this site did not make it
        return []
    node = here.node if here else ""
    return [entry for entry in catalog.with_id(client, name, service_id) if entry.node_name != node]


def remove(client: Client, definition: ServiceDefinition, entry: CatalogInstance) -> bool:
    """Remove the entry for good, if that is possible. Raises `ConsulError`.

    An entry of a living agent may be another instance's, unless it is at this one's place; and even then at another
    place of the same name, as 127.0.0.1 is on each machine, unless the address of the own agent leads there, too.
    """
    if entry.agent_failed:
        services.remove_from_catalog(client, entry.node_name, definition.id)
        return True
    return entry.place == definition.place and deregister_at(client, entry.node_name, definition.id)


def deregister_at(client: Client, node: str, service_id: str) -> bool:
    """Deregister the service at the agent of this node, if a connection leads there. Raises `ConsulError`."""
    for _attempt in range(_ATTEMPTS):
        with client.another() as there:
            entry = services.agent_entry(there, service_id)
            if entry and entry.node == node:
                return services.deregister(there, service_id)
    return False


def described(entry: CatalogInstance) -> Message:
    address, port = entry.place
    known = {"id": entry.service.id, "node": entry.node_name, "address": f"{address}:{port}"}
    return _("%(id)s has an entry on another node, %(node)s, at %(address)s", **known)


def remedy(entry: CatalogInstance) -> Message:
    """What people can do about it."""
    if entry.agent_failed:
        return _("That node's agent has failed. With CONSUL_REGISTER the site removes the entry (`service:write`).")
    return _(
        "If that is another instance, give each its own SERVICE_ID. If not, the entry was left behind, and only that "
        "node's agent can remove it: run `consul services deregister -id=%(id)s` there, and let CONSUL_HTTP_ADDR name "
        "one agent, the one of this machine.",
        id=entry.service.id,
    )
