"""Making the agent's entry the desired one, and looking the instance up in the catalog."""

import logging
import time
from collections.abc import Callable
from typing import Any

from ..consul_agent import services
from ..consul_agent.client import Client
from .definition import ServiceDefinition

CATALOG_SECONDS = 5.0  # a healthy agent syncs to the catalog within milliseconds
_DEFAULT_WEIGHTS = {"Passing": 1, "Warning": 1}

logger = logging.getLogger(__name__)


def repair(client: Client, definition: ServiceDefinition, status: Callable[[], str], *, again: bool = False) -> bool:
    """Make the agent's entry the desired one. True when that took a registration. Raises `ConsulError`.

    `status` tells the readiness check's status until Consul first runs it. `again`: register in any case.
    """
    entry = services.agent_entry(client, definition.id)
    is_due = again or entry is None or not is_desired(entry, definition)
    if is_due:
        services.register(client, definition.payload(status()))
    # Maintenance is up to the operator; any other foreign check could turn the instance critical.
    ours = (definition.ready_check_id, definition.live_check_id)
    for check_id in entry.checks if entry else ():
        if check_id not in ours and not check_id.startswith(services.MAINTENANCE):
            services.remove_check(client, check_id)
            logger.warning("Removed the check %s, which is not in the registration of %s", check_id, definition.id)
    return is_due


def is_desired(entry: services.AgentEntry, definition: ServiceDefinition) -> bool:
    """Whether the agent's entry is the desired one, with the desired checks among its checks."""
    wanted, service = definition.payload(), entry.service
    return all(
        (
            service.get("Service") == wanted["Name"],
            service.get("Address") == wanted["Address"],
            service.get("Port") == wanted["Port"],
            sorted(service.get("Tags") or []) == sorted(wanted["Tags"]),
            (service.get("Meta") or {}) == wanted["Meta"],
            service.get("Weights") in (None, _DEFAULT_WEIGHTS),
            not service.get("EnableTagOverride"),
            *(_is_same(entry.checks.get(check["CheckID"]), check) for check in wanted["Checks"]),
        )
    )


def _is_same(found: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    return found is not None and (found.get("Name"), found.get("Notes")) == (wanted["Name"], wanted["Notes"])


def in_catalog(client: Client, definition: ServiceDefinition, bound: float = CATALOG_SECONDS) -> bool:
    """Whether the catalog has the instance at its address and port; waits up to `bound` seconds for that."""
    deadline = time.monotonic() + bound
    while True:
        for entry in services.catalog_instances(client, definition.name):
            place = entry.get("ServiceAddress"), entry.get("ServicePort")
            if entry.get("ServiceID") == definition.id and place == (definition.address, definition.port):
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
