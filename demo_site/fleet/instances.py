"""Reading the fleet: the workers that published themselves, and the registered instances."""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from ..config.revision import timestamp
from ..consul_agent import kv, services
from ..consul_agent.client import Client
from ..consul_agent.errors import Denied
from ..messages import _
from .publisher import GONE_SECONDS
from .worker import Worker, parsed, prefix

BEHIND = _("behind")


@dataclass(frozen=True)
class Instance:
    """One instance of the service: its registration, and its published workers by pid.

    `health` is passing, warning or critical, or None if the instance is not registered. `expected` is how many workers
    it should have, or None if there is no worker to report that.
    """

    name: str
    health: str | None
    workers: tuple[Worker, ...]
    expected: int | None

    @property
    def registered(self) -> bool:
        """Whether the instance is in Consul's catalog."""
        return self.health is not None

    @property
    def missing(self) -> int:
        """How many workers are missing: dead, hanging, or cut off from Consul. At least 1 if there are none."""
        return max((self.expected or 1) - len(self.workers), 0)

    @property
    def good(self) -> bool:
        """Whether every worker is present and runs what it should, and the instance gets the traffic it should get."""
        is_found = self.health == "passing" if self.registered else not self.lost
        return not self.missing and all(worker.good for worker in self.workers) and is_found

    @property
    def lost(self) -> bool:
        """Whether it is not registered although it registers itself."""
        return not self.registered and any(worker.registers for worker in self.workers)

    @property
    def count(self) -> str:
        """For people: "1 of 2", or "0 of ?" if the expected number is unknown."""
        return f"{len(self.workers)} of {'?' if self.expected is None else self.expected}"


def overview(client: Client, config_key: str, service: str, stored_index: int | None = None) -> list[Instance]:
    """All instances, sorted by name, from two requests: the workers' keys and the health of `service`.

    The list includes instances without a registration and registered ones without workers. A worker that reports to be
    current with another index than the key's `stored_index`, if that is known, is "behind": its watch receives nothing.
    Registrations that the token may not see are omitted: Consul does not tell them from none. Raises `ConsulError`.
    """
    workers = _workers(client, config_key, stored_index)
    found = services.health_instances(client, service)
    health = {
        str(entry.get("Service", {}).get("ID")): services.worst_status(entry.get("Checks") or []) for entry in found
    }
    return [_instance(name, workers[name], health.get(name)) for name in sorted({*workers, *health})]


def _workers(client: Client, config_key: str, stored_index: int | None) -> dict[str, list[Worker]]:
    start = prefix(config_key)
    alive_at = timestamp(datetime.now(UTC) - timedelta(seconds=GONE_SECONDS))
    found = defaultdict(list)
    for entry in _entries(client, start):
        # Without a renewal since then, Consul would have ended the session and deleted the key.
        worker = parsed(entry.key.removeprefix(start), entry.value, alive_at if entry.session else "")
        if worker is not None:
            found[worker.instance].append(_judged(worker, stored_index))
    return found


def _entries(client: Client, start: str) -> list[kv.Entry]:
    if found := kv.tree(client, start):
        return found
    try:
        kv.query(client, start)  # Consul leaves out of a list what the token may not read, and denies a single key
    except Denied as error:
        raise Denied(kv.reason(error, start)) from None
    return []


def _judged(worker: Worker, stored_index: int | None) -> Worker:
    if worker.state != "current" or stored_index is None or worker.index == stored_index:
        return worker
    return replace(worker, state=BEHIND, reason=_("Consul has ModifyIndex %(index)s", index=stored_index))


def _instance(name: str, workers: list[Worker], health: str | None) -> Instance:
    # According to the youngest worker: the number may have changed since the others started.
    expected = max(workers, key=lambda worker: worker.started_at).workers if workers else 0
    return Instance(name, health, tuple(sorted(workers, key=lambda worker: worker.pid)), expected or None)
