"""Service registration with the local agent, and what agent, catalog and health say of it.

https://developer.hashicorp.com/consul/api-docs/agent/service. python-consul's own calls know no meta and no second
check, so these use its HTTP layer. All raise `ConsulError`.
"""

import json
from dataclasses import dataclass
from typing import Any

from ..messages import Message, _
from .client import Client
from .errors import Garbled, Missing, Unreachable

# An operator's `consul maint` is a check of this name.
MAINTENANCE = "_service_maintenance:"


def _parsed(response: Any) -> Any:
    if response.code == 404:
        raise Missing(Message.of(response.body or "not found"))
    return json.loads(response.body)


def _object(client: Client, path: str) -> dict[str, Any]:
    found = client.http.get(_parsed, path)
    if not isinstance(found, dict):
        raise Garbled.sent(client.address.url, _("no object"))
    return found


def _list(client: Client, path: str) -> list[dict[str, Any]]:
    found = client.http.get(_parsed, path)
    if not isinstance(found, list):
        raise Garbled.sent(client.address.url, _("no list"))
    return found


def _write(client: Client, path: str, data: str = "") -> None:
    """Only a 200 says that it was done; a 404 is also what something that is not Consul answers to all."""

    def done(response: Any) -> None:
        if response.code != 200:
            reason = " ".join(response.body[:200].split()) or "nothing"
            answer = {"url": client.address.url, "status": response.code, "reason": reason}
            raise Garbled(_("What listens at %(url)s did not accept a write: %(status)s, %(reason)s.", **answer))

    client.http.put(done, path, data=data)


def register(client: Client, definition: dict[str, Any]) -> None:
    """Register the service that `definition` describes, in the form of the agent's API; replaces the same id."""
    _write(client, "/v1/agent/service/register", json.dumps(definition))


def deregister(client: Client, service_id: str) -> bool:
    """Remove the service and its checks. False when the agent does not have it."""
    if agent_entry(client, service_id) is None:
        return False
    _write(client, f"/v1/agent/service/deregister/{service_id}")
    return True


@dataclass(frozen=True)
class AgentEntry:
    """What the agent holds: `service` (Service, Tags, Meta, Port, Address, ...) and `checks` by check id."""

    service: dict[str, Any]
    checks: dict[str, dict[str, Any]]


def agent_entry(client: Client, service_id: str) -> AgentEntry | None:
    """The agent's entry with its checks, asked for at once; None when there is none.

    The agent's status says how the service is: 200 passing, 429 warning, 503 critical. A 503 without an entry is an
    agent in trouble. Of an unknown service it says 404, and that `Service` is null.
    """

    def entry(response: Any) -> AgentEntry | None:
        if response.code == 503 and not response.body.startswith("{"):
            raise Unreachable.answered(client.address.url, 503, response.body[:200].strip())
        found = json.loads(response.body)
        if response.code == 404 and found["Service"] is None:
            return None
        return AgentEntry(dict(found["Service"]), {check["CheckID"]: check for check in found["Checks"] or []})

    path = f"/v1/agent/health/service/id/{service_id}"
    found: AgentEntry | None = client.http.get(entry, path, [("format", "json")], expected=(404, 429, 503))
    return found


def remove_check(client: Client, check_id: str) -> None:
    """Remove one check."""
    _write(client, f"/v1/agent/check/deregister/{check_id}")


def advertised_address(client: Client) -> str:
    """The address that the agent tells the other agents it is at. Needs `agent:read`."""
    return str(_object(client, "/v1/agent/self").get("Member", {}).get("Addr", ""))


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
    _write(client, f"/v1/agent/check/update/{check_id}", body)
