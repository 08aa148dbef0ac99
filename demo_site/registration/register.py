"""Making the agent's entry the desired one, and looking the instance up in the catalog."""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from ..consul_agent import catalog, services
from ..consul_agent.client import Client
from .definition import ServiceDefinition

CATALOG_SECONDS = 5.0  # a healthy agent syncs to the catalog within milliseconds
_DEFAULT_WEIGHTS = {"Passing": 1, "Warning": 1}

logger = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """Whether it took a registration, and the node of the agent that had the entry before; empty where it had none."""

    is_registered: bool
    node: str


def repair(client: Client, definition: ServiceDefinition, status: Callable[[], str], *, again: bool = False) -> Outcome:
    """Make the agent's entry the desired one. Raises `ConsulError`.

    `status` tells the readiness check's status until Consul first runs it. `again`: register in any case.
    """
    entry = services.agent_entry(client, definition.id)
    is_due = again or entry is None or not is_desired(entry, definition)
    if is_due:
        services.register(client, definition.payload(status()))
    # Maintenance is up to the operator; any other foreign check could turn the instance critical.
    ours = (definition.ready_check_id, definition.live_check_id)
    for check in (entry and entry.checks) or ():
        if check.id not in ours and not check.id.startswith(services.MAINTENANCE):
            services.remove_check(client, check.id)
            logger.warning("Removed the check %s, which is not in the registration of %s", check.id, definition.id)
    return Outcome(is_due, entry.node if entry else "")


def is_desired(entry: services.AgentEntry, definition: ServiceDefinition) -> bool:
    """Whether the agent's entry is the desired one, with the desired checks among its checks."""
    wanted, service = definition.payload(), entry.service
    checks = {(check.id, check.name, check.notes) for check in entry.checks or []}
    return all(
        (
            service.name == wanted["Name"],
            service.address == wanted["Address"],
            service.port == wanted["Port"],
            sorted(service.tags or []) == sorted(wanted["Tags"]),
            (service.meta or {}) == wanted["Meta"],
            service.weights in (None, _DEFAULT_WEIGHTS),
            not service.enable_tag_override,
            checks >= {(check["CheckID"], check["Name"], check["Notes"]) for check in wanted["Checks"]},
        )
    )


def reaches_catalog(client: Client, definition: ServiceDefinition, bound: float = CATALOG_SECONDS) -> bool:
    """Whether the catalog gets the instance at its address and port within `bound` seconds. Raises `ConsulError`."""
    deadline = time.monotonic() + bound
    while True:
        found = catalog.with_id(client, definition.name, definition.id)
        if any(entry.place == definition.place for entry in found):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
