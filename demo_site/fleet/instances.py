"""Reading the fleet: the workers that published themselves, beside the registered instances."""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from ..config.revision import timestamp
from ..consul_agent import kv, services
from ..consul_agent.client import Client
from ..messages import Message, _
from .publisher import GONE_SECONDS
from .worker import Worker, parsed, prefix

# What Consul says of a check, from good to bad.
PASSING, WARNING, CRITICAL = _("passing"), _("warning"), _("critical")
_SEVERITY: dict[str, int] = {PASSING: 0, WARNING: 1, CRITICAL: 2}
BEHIND = _("behind")


@dataclass(frozen=True)
class Instance:
    """One instance of the service: its registration, and the workers of it that published themselves, by pid.

    `health` is passing, warning or critical, or None where no such instance is registered. `expected` is how many
    workers it should have, or None where not even one is there to say it.
    """

    name: str
    health: str | None
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
        """Whether every worker is there and runs what it should, and visitors are sent here, if they should be."""
        is_found = self.health == "passing" if self.registered else not self.lost
        return not self.missing and all(worker.good for worker in self.workers) and is_found

    @property
    def lost(self) -> bool:
        """Whether it keeps itself registered, and is not."""
        return not self.registered and any(worker.registers for worker in self.workers)

    @property
    def count(self) -> str:
        """For people: "1 of 2"; "0 of ?" where nothing is left that could say how many there should be."""
        return f"{len(self.workers)} of {'?' if self.expected is None else self.expected}"


def overview(client: Client, config_key: str, service: str, stored_index: int | None = None) -> list[Instance]:
    """Every instance by name, in two requests whatever their number: the workers' keys and the health of `service`.

    An instance that is not registered is there by its workers; a registered one without workers is there with none.
    `stored_index` is the one that the key has, if it is known: a worker that believes itself current with another is
    "behind", because its watch hears nothing. What the token may not read is left out. Raises `ConsulError`.
    """
    workers = _workers(client, config_key, stored_index)
    health = _health(client, service)
    return [_instance(name, workers[name], health.get(name)) for name in sorted({*workers, *health})]


def _workers(client: Client, config_key: str, stored_index: int | None) -> dict[str, list[Worker]]:
    start = prefix(config_key)
    alive_at = timestamp(datetime.now(UTC) - timedelta(seconds=GONE_SECONDS))
    found = defaultdict(list)
    for entry in kv.tree(client, start):
        # Consul would have deleted the key of a session that was not renewed since.
        worker = parsed(entry.key.removeprefix(start), entry.value, alive_at if entry.session else "")
        if worker is not None:
            found[worker.instance].append(_judged(worker, stored_index))
    return found


def _judged(worker: Worker, stored_index: int | None) -> Worker:
    if worker.state != "current" or stored_index is None or worker.index == stored_index:
        return worker
    return replace(worker, state=BEHIND, reason=_("Consul has ModifyIndex %(index)s", index=stored_index))


def _instance(name: str, workers: list[Worker], health: str | None) -> Instance:
    # The youngest knows best: the number may have changed since the others started.
    expected = max(workers, key=lambda worker: worker.started_at).workers if workers else 0
    return Instance(name, health, tuple(sorted(workers, key=lambda worker: worker.pid)), expected or None)


def _health(client: Client, service: str) -> dict[str, str]:
    """The worst check of each instance and of the node it is on, as Consul counts them: both keep visitors away."""
    found: dict[str, str] = {}
    for entry in services.health_instances(client, service):
        statuses = [str(check.get("Status")) for check in entry.get("Checks") or ()]
        worst = max(PASSING, *statuses, key=lambda status: _SEVERITY.get(status, -1))
        found[str(entry.get("Service", {}).get("ID"))] = Message(worst)
    return found
