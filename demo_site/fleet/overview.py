"""Reading the fleet: the workers that published themselves, beside the registered instances."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ..consul_agent import kv, services
from ..consul_agent.client import Client
from .publisher import GONE_SECONDS
from .worker import Worker, parsed, prefix, timestamp


@dataclass(frozen=True)
class Instance:
    """One instance of the service: its registration, and the workers of it that published themselves, by pid.

    `health` is passing, warning or critical, or None where no such instance is registered; `address` is host:port, or
    empty. `expected` is how many workers it should have, or None where not even one is there to say it.
    """

    name: str
    health: str | None
    address: str
    workers: tuple[Worker, ...]
    expected: int | None

    @property
    def registered(self) -> bool:
        """Whether others find the instance in Consul's catalog."""
        return self.health is not None

    @property
    def missing(self) -> int:
        """How many workers are not there: dead, hanging, or cut off from Consul. At least 1 where all are gone."""
        return max((self.expected or 1) - len(self.workers), 0)

    @property
    def good(self) -> bool:
        """Whether every worker is there and runs what it should, and Consul's checks pass, if it is registered."""
        return not self.missing and all(worker.good for worker in self.workers) and self.health in (None, "passing")

    @property
    def count(self) -> str:
        """For people: "1 of 2"; "0 of ?" where nothing is left that could say how many there should be."""
        return f"{len(self.workers)} of {'?' if self.expected is None else self.expected}"


def overview(client: Client, config_key: str, service: str) -> list[Instance]:
    """Every instance by name, in two requests whatever their number: the workers' keys and the health of `service`.

    An instance that is not registered is there by its workers; a registered one without workers is there with none.
    What the token may not read is left out. Raises `ConsulError`.
    """
    workers = _workers(client, config_key)
    registered = {entry["Service"]["ID"]: entry for entry in services.health_instances(client, service)}
    return [_instance(name, workers[name], registered.get(name)) for name in sorted({*workers, *registered})]


def _workers(client: Client, config_key: str) -> dict[str, list[Worker]]:
    """The workers by instance."""
    start = prefix(config_key)
    alive_at = timestamp(datetime.now(UTC) - timedelta(seconds=GONE_SECONDS))
    found = defaultdict(list)
    for entry in kv.tree(client, start):
        worker = parsed(entry.key.removeprefix(start), entry.value)
        if worker is not None:
            # Consul would have deleted the key of a session that was not renewed since.
            held_since = alive_at if entry.session else ""
            found[worker.instance].append(replace(worker, seen_at=max(worker.seen_at, held_since)))
    return found


def _instance(name: str, workers: list[Worker], entry: dict[str, Any] | None) -> Instance:
    ordered = tuple(sorted(workers, key=lambda worker: worker.pid))
    # The youngest knows best: the number may have changed since the others started.
    expected = max(workers, key=lambda worker: worker.started_at).workers if workers else None
    if entry is None:
        return Instance(name, None, "", ordered, expected)
    service = entry["Service"]
    address = f"{service.get('Address') or entry['Node'].get('Address')}:{service.get('Port')}"
    return Instance(name, _health(entry.get("Checks") or []), address, ordered, expected)


def _health(checks: Iterable[dict[str, Any]]) -> str:
    """The worst of the checks, as Consul counts them."""
    statuses = {check.get("Status") for check in checks}
    return next((status for status in ("critical", "warning") if status in statuses), "passing")
