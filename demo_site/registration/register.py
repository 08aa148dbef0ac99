"""Registering once, and looking up afterwards what came of it."""

import time
from enum import Enum
from typing import Any

from ..consul_agent import services
from ..consul_agent.client import Client
from .definition import ServiceDefinition

CATALOG_SECONDS = 5.0  # the agent syncs to the catalog within milliseconds unless something is wrong


class Outcome(Enum):
    """What a registration came to."""

    REGISTERED = "registered"
    UNCHANGED = "already registered, nothing changed"
    NOT_IN_CATALOG = "not in the catalog"


def register(client: Client, definition: ServiceDefinition) -> Outcome:
    """Register unless the agent has just this entry; then wait until the catalog shows it. Raises `ConsulError`."""
    outcome = Outcome.UNCHANGED
    if not is_registered(client, definition):
        services.register(client, definition.payload())
        outcome = Outcome.REGISTERED
    return outcome if in_catalog(client, definition) else Outcome.NOT_IN_CATALOG


def is_registered(client: Client, definition: ServiceDefinition) -> bool:
    """Whether the agent's entry and its checks are the desired ones."""
    entry = services.agent_service(client, definition.id)
    if entry is None:
        return False
    wanted = definition.payload()
    same = all(
        (
            entry.get("Service") == wanted["Name"],
            entry.get("Address") == wanted["Address"],
            entry.get("Port") == wanted["Port"],
            sorted(entry.get("Tags") or []) == sorted(wanted["Tags"]),
            (entry.get("Meta") or {}) == wanted["Meta"],
        )
    )
    return same and _checks_match(services.agent_checks(client, definition.id), wanted["Checks"])


def _checks_match(found: dict[str, dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    """Compare ids, and kind and interval where the agent tells them (since Consul 1.7 and 1.10)."""
    if set(found) != {check["CheckID"] for check in wanted}:
        return False
    for check in wanted:
        entry = found[check["CheckID"]]
        kind = "ttl" if "TTL" in check else "http"
        if entry.get("Type", kind) != kind or entry.get("Interval") not in (None, "", check.get("Interval")):
            return False
    return True


def in_catalog(client: Client, definition: ServiceDefinition, bound: float = CATALOG_SECONDS) -> bool:
    """Whether the catalog shows the instance where we said; waits for it for `bound` seconds."""
    deadline = time.monotonic() + bound
    while True:
        for entry in services.catalog_instances(client, definition.name):
            place = entry.get("ServiceAddress"), entry.get("ServicePort")
            if entry.get("ServiceID") == definition.id and place == (definition.address, definition.port):
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
