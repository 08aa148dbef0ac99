"""The instances of a service with their health, as the catalog has them. Any program may register anything there."""

from collections.abc import Container
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from ..messages import CutLine, Message
from .client import Client
from .services import CRITICAL, PASSING, WARNING, health_instances

_AGENT_CHECK = "serfHealth"


class Check(BaseModel):
    id: CutLine = Field("", alias="CheckID")
    status: CutLine = Field("", alias="Status")


class _Node(BaseModel):
    name: CutLine = Field("", alias="Node")
    address: CutLine = Field("", alias="Address")


class _Service(BaseModel):
    id: Annotated[CutLine, Field(min_length=1)] = Field(alias="ID")
    address: CutLine = Field("", alias="Address")
    port: int = Field(0, alias="Port", ge=0, le=65535)
    tags: list[CutLine] | None = Field(None, alias="Tags")
    meta: dict[CutLine, CutLine] | None = Field(None, alias="Meta")


class CatalogInstance(BaseModel):
    """One instance, with its own and its node's checks. Its texts lose control characters and are cut when long."""

    node: _Node | None = Field(None, alias="Node")
    service: _Service = Field(alias="Service")
    checks: list[Check] | None = Field(None, alias="Checks")

    @property
    def address(self) -> str:
        """By Consul's own rule for a service without one, the node's."""
        return self.service.address or (self.node.address if self.node else "")

    @property
    def place(self) -> tuple[str, int]:
        return self.address, self.service.port

    @property
    def node_name(self) -> str:
        return self.node.name if self.node else ""

    @property
    def agent_failed(self) -> bool:
        """Whether the other agents have given up the one of its node, which nobody may have told to leave."""
        return any(check.id == _AGENT_CHECK and check.status != PASSING for check in self.checks or [])

    @property
    def health(self) -> Message:
        """The worst status of the checks: it decides on traffic, as for DNS."""
        return worst({check.status for check in self.checks or []})


def worst(statuses: Container[str]) -> Message:
    """The worst of the statuses; passing without one."""
    return next((status for status in (CRITICAL, WARNING) if status in statuses), PASSING)


def instances(client: Client, name: str) -> tuple[list[CatalogInstance], int]:
    """The instances of the service, and how many entries cannot be read. Raises `ConsulError`."""
    _index, entries = health_instances(client, name)
    found = _readable(entries)
    return found, len(entries) - len(found)


def with_id(client: Client, name: str, service_id: str) -> list[CatalogInstance]:
    """The service's entries with this id, of which each node can have one. Raises `ConsulError`."""
    _index, entries = health_instances(client, name, service_id=service_id)
    return [instance for instance in _readable(entries) if instance.service.id == service_id]


def follow(client: Client, name: str, index: int, wait: float) -> tuple[int, list[CatalogInstance]]:
    """The answer's index, and the instances that can be read: with an index a blocking query of `wait` seconds."""
    found, entries = health_instances(client, name, index, wait)
    return max(found, 1), _readable(entries)


def _readable(entries: list[Any]) -> list[CatalogInstance]:
    return [instance for entry in entries if (instance := _parsed(entry))]


def _parsed(entry: Any) -> CatalogInstance | None:
    try:
        return CatalogInstance.model_validate(entry, strict=True)
    except ValidationError:
        return None
