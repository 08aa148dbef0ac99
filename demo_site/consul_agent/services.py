"""Service registration with the local agent, and what agent, catalog and health say of it.

https://developer.hashicorp.com/consul/api-docs/agent/service. python-consul's own calls know no meta and no second
check, so these use its HTTP layer. All raise `ConsulError`.
"""

import json
from typing import Any
from urllib.parse import quote

from .client import Client
from .errors import Garbled, Missing


def _parsed(response: Any) -> Any:
    if response.code == 404:
        raise Missing(response.body or "not found")
    return json.loads(response.body)


def _object(client: Client, path: str) -> dict[str, Any]:
    found = client.http.get(_parsed, path)
    if not isinstance(found, dict):
        raise Garbled(f"What listens at {client.address.url} is not a Consul agent: it sent no object.")
    return found


def _list(client: Client, path: str) -> list[dict[str, Any]]:
    found = client.http.get(_parsed, path)
    if not isinstance(found, list):
        raise Garbled(f"What listens at {client.address.url} is not a Consul agent: it sent no list.")
    return found


def register(client: Client, definition: dict[str, Any]) -> None:
    """Register the service that `definition` describes, in the form of the agent's API; replaces the same id."""
    client.http.put(lambda response: None, "/v1/agent/service/register", data=json.dumps(definition))


def deregister(client: Client, service_id: str) -> bool:
    """Remove the service and its checks. False when the agent does not have it."""
    if agent_service(client, service_id) is None:
        return False
    client.http.put(lambda response: None, f"/v1/agent/service/deregister/{quote(service_id, safe='')}")
    return True


def agent_service(client: Client, service_id: str) -> dict[str, Any] | None:
    """The agent's entry (Service, Tags, Meta, Port, Address, ...), or None."""
    try:
        return _object(client, f"/v1/agent/service/{service_id}")
    except Missing:
        return None


def agent_checks(client: Client, service_id: str) -> dict[str, dict[str, Any]]:
    """The agent's checks of the service, by check id."""
    checks = _object(client, "/v1/agent/checks")
    return {name: check for name, check in checks.items() if check.get("ServiceID") == service_id}


def catalog_instances(client: Client, name: str) -> list[dict[str, Any]]:
    """The catalog's entries of the service: what other machines and DNS see."""
    return _list(client, f"/v1/catalog/service/{name}")


def health_instances(client: Client, name: str) -> list[dict[str, Any]]:
    """The catalog's entries with their checks: ``[{"Node": {}, "Service": {}, "Checks": []}]``."""
    return _list(client, f"/v1/health/service/{name}")


def names(client: Client) -> dict[str, list[str]]:
    """All services of the catalog, each with its tags."""
    return _object(client, "/v1/catalog/services")


def beat(client: Client, check_id: str, status: str, output: str) -> None:
    """Set a TTL check to passing, warning or critical, with a sentence for people."""
    body = json.dumps({"Status": status, "Output": output})
    client.http.put(lambda response: None, f"/v1/agent/check/update/{check_id}", data=body)
