"""Service registration with the local agent, and the service's entries in agent, catalog and health endpoints.

https://developer.hashicorp.com/consul/api-docs/agent/service. python-consul's own calls support neither meta nor
several checks, so these use its HTTP layer. All raise `ConsulError`.
"""

import json
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter

from .. import bounded
from ..messages import CutLine, Message, _
from .client import MANY, SMALL, Client
from .errors import Garbled, Missing, Unreachable

# The check that `consul maint` creates has this name.
MAINTENANCE = "_service_maintenance:"
# The statuses of a check.
PASSING, WARNING, CRITICAL = _("passing"), _("warning"), _("critical")

Kind = TypeVar("Kind")


def _get(client: Client, path: str, kind: type[Kind], most_bytes: int | None = None) -> Kind:
    """The answer's JSON, which must be of this kind."""
    return _query(client, path, kind, most_bytes)[1]


def _query(
    client: Client, path: str, kind: type[Kind], most_bytes: int | None = None, **options: Any
) -> tuple[int, Kind]:
    """The answer's index, 0 without one, and its JSON."""

    def parsed(response: Any) -> tuple[int, Kind]:
        if response.code == 404:
            raise Missing(Message.of(client.http.reason(response.body)))
        return int(response.headers.get("X-Consul-Index", 0)), _read(response.body, kind)

    found: tuple[int, Kind] = client.http.get(parsed, path, list(options.items()), most_bytes=most_bytes)
    return found


@bounded.remembering(8, 256 * 1024)
def _read(body: str, kind: type[Kind]) -> Kind:
    return TypeAdapter(kind).validate_json(body, strict=True)


def _write(client: Client, path: str, data: str = "") -> None:
    """Only a 200 confirms the write; a server that is not Consul may answer 404 to everything."""
    response = client.http.put(lambda response: response, path, data=data, most_bytes=SMALL)
    if response.code != 200:
        answer = {"url": client.address.url, "status": response.code, "reason": client.http.reason(response.body)}
        raise Garbled(_("What listens at %(url)s did not accept a write: %(status)s, %(reason)s.", **answer))


def register(client: Client, definition: dict[str, Any]) -> None:
    """Register the service that `definition` describes in the format of the agent's API; replaces the same id."""
    _write(client, "/v1/agent/service/register", json.dumps(definition))


def deregister(client: Client, service_id: str) -> bool:
    """Deregister the service and its checks. False when the agent does not have it."""
    if agent_entry(client, service_id) is None:
        return False
    _write(client, f"/v1/agent/service/deregister/{service_id}")
    return True


def remove_from_catalog(client: Client, node: str, service_id: str) -> None:
    """Remove a node's service from the catalog alone: a living agent of that node puts it back within minutes."""
    _write(client, "/v1/catalog/deregister", json.dumps({"Node": node, "ServiceID": service_id}))


class AgentCheck(BaseModel):
    id: str = Field(alias="CheckID")
    node: CutLine = Field("", alias="Node")
    name: CutLine = Field("", alias="Name")
    status: CutLine = Field("", alias="Status")
    notes: str = Field("", alias="Notes")
    output: CutLine = Field("", alias="Output")


class AgentService(BaseModel):
    name: str = Field(alias="Service")
    address: CutLine = Field("", alias="Address")
    port: int = Field(0, alias="Port")
    tags: list[str] | None = Field(None, alias="Tags")
    meta: dict[str, str] | None = Field(None, alias="Meta")
    weights: Any = Field(None, alias="Weights")
    enable_tag_override: bool = Field(False, alias="EnableTagOverride")


class AgentEntry(BaseModel):
    """A service as the agent has it."""

    service: AgentService = Field(alias="Service")
    checks: list[AgentCheck] | None = Field(None, alias="Checks")

    @property
    def node(self) -> str:
        """The agent's node, as the checks name it; empty without one."""
        return next((check.node for check in self.checks or []), "")


def agent_entry(client: Client, service_id: str) -> AgentEntry | None:
    """The agent's entry with its checks, in one request, if there is one.

    The status tells the service's health: 200 passing, 429 warning, 503 critical. A 503 without an entry means that
    the agent is in trouble. For an unknown service it is 404, with null as `Service`.
    """

    def entry(response: Any) -> AgentEntry | None:
        if response.code == 503 and not response.body.startswith("{"):
            raise Unreachable.answered(client.address.url, 503, client.http.reason(response.body))
        if response.code == 404 and json.loads(response.body)["Service"] is None:
            return None
        return AgentEntry.model_validate_json(response.body, strict=True)

    path = f"/v1/agent/health/service/id/{service_id}"
    found: AgentEntry | None = client.http.get(entry, path, [("format", "json")], expected=(404, 429, 503))
    return found


def remove_check(client: Client, check_id: str) -> None:
    _write(client, f"/v1/agent/check/deregister/{check_id}")


def advertised_address(client: Client) -> str:
    """The address that the agent advertises to other agents. Needs `agent:read`."""
    return _get(client, "/v1/agent/self", _Self).member.address


class _Member(BaseModel):
    address: Annotated[str, Field(min_length=1)] = Field(alias="Addr")


class _Self(BaseModel):
    member: _Member = Field(alias="Member")


# The catalog is read from any server that knows a leader: it is some milliseconds behind at most, and the leader has
# enough to do with the writes. docs/decisions/consistency.md
_STALE = {"stale": "1"}


def health_instances(
    client: Client, name: str, index: int = 0, wait: float = 0, service_id: str = ""
) -> tuple[int, list[Any]]:
    """The answer's index, and the catalog's entries with their checks; see catalog.py for what one is.

    With an `index` of at least 1 it is a blocking query, as `kv.query`; with `service_id` only those with this id.
    """
    options = {"index": str(index), "wait": f"{wait}s"} if index else {}
    options |= {"filter": f'Service.ID == "{service_id}"'} if service_id else {}
    return _query(client, f"/v1/health/service/{name}", list[Any], MANY, **_STALE, **options)


def names(client: Client) -> dict[str, Any]:
    """The names of all services, each with a list of its tags."""
    return _query(client, "/v1/catalog/services", dict[Any, Any], MANY, **_STALE)[1]


def update_check(client: Client, check_id: str, status: str, output: str) -> None:
    """Set a TTL check to passing, warning or critical; people see the output."""
    body = json.dumps({"Status": status, "Output": output})
    _write(client, f"/v1/agent/check/update/{check_id}", body)
