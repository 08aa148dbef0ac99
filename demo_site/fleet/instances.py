"""Reading the fleet: the workers that published themselves, and the registered instances."""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from ..config.revision import timestamp
from ..consul_agent import catalog, kv, listing
from ..consul_agent.catalog import CatalogInstance, worst
from ..consul_agent.client import Client
from ..consul_agent.errors import Denied
from ..consul_agent.kv import Entry
from ..document.fields import printable
from ..messages import Message, _
from .publisher import GONE_SECONDS
from .worker import Worker, instance_of, parsed, prefix

BEHIND = _("behind")
MOST_WORKERS = 800  # that are read: with a reason each, a page of them stays below 5 MB
_LONGEST_ID = 255  # characters


@dataclass(frozen=True)
class Instance:
    """One instance of the service: its registration, and its published workers by pid.

    `health` is passing, warning or critical, or None if the instance is not registered. `expected` is how many workers
    it should have, or None if there is no worker to report that. `unread` is how many more workers are published, but
    were not read. Others reach it at `place`, as far as that is known; else its address is empty.
    """

    name: str
    health: str | None
    workers: tuple[Worker, ...]
    expected: int | None
    unread: int = 0
    place: tuple[str, int] = ("", 0)

    @property
    def started_at(self) -> str | None:
        """When the oldest of its workers started, None without one."""
        return min((worker.started_at for worker in self.workers if worker.started_at), default=None)

    @property
    def registered(self) -> bool:
        """Whether the instance is in Consul's catalog."""
        return self.health is not None

    @property
    def there(self) -> int:
        """How many workers are published."""
        return len(self.workers) + self.unread

    @property
    def missing(self) -> int:
        """How many workers are missing: dead, hanging, or cut off from Consul. At least 1 if there are none."""
        return max((self.expected or 1) - self.there, 0)

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
        return f"{self.there} of {'?' if self.expected is None else self.expected}"


@dataclass(frozen=True)
class Fleet:
    """All instances, sorted by name; `notes` say what there is beside them."""

    instances: tuple[Instance, ...]
    notes: tuple[Message, ...] = ()

    @property
    def workers(self) -> list[Worker]:
        """Those of all instances."""
        return [worker for instance in self.instances for worker in instance.workers]


def overview(
    client: Client, config_key: str, service: str, stored_index: int | None = None, seconds: float = 0.3
) -> Fleet:
    """The fleet, from three requests: the health of `service`, the workers' keys, and what these hold.

    It includes instances without a registration and registered ones without workers. A worker that reports to be
    current with another index than the key's `stored_index`, if that is known, is "behind": its watch receives nothing.
    Registrations that the token may not see are omitted: Consul does not tell them from none. Of more than
    `MOST_WORKERS` workers, some of each instance are read; where each takes a request of its own, as many as `seconds`
    allow. Raises `ConsulError`.
    """
    registered, unreadable = catalog.instances(client, service)
    ids = {_id(entry) for entry in registered}
    names = _names(client, prefix(config_key))
    published = defaultdict(list)
    for name in names:
        published[instance_of(name) or ""].append(name)
    others = [prefix(config_key) + name for name in published.pop("", [])]
    read = listing.entries(client, prefix(config_key), _chosen(published, ids), len(names), seconds)
    workers = _workers(read, stored_index)
    health, places = _health(registered, published, workers), {_id(entry): entry.place for entry in registered}
    instances = []
    for name in sorted({*published, *health}):
        unread = sum(key not in read for key in published[name])
        place = next(((each.address, each.port) for each in workers[name] if each.address), places.get(name, ("", 0)))
        instances.append(_instance(name, workers[name], health.get(name), unread, place))
    return Fleet(tuple(instances), tuple(_notes(instances, others, unreadable)))


def _id(entry: CatalogInstance) -> str:
    return entry.service.id[:_LONGEST_ID]


def _health(
    registered: Iterable[CatalogInstance], published: Container[str], workers: Mapping[str, list[Worker]]
) -> dict[str, Message]:
    """The health by instance, the worst of its entries.

    An entry whose id is no instance's, as Kubernetes' catalog sync makes them, is that of the instance at its address
    and port, if there is one such.
    """
    places = defaultdict(set)
    for name, own in workers.items():
        for worker in own:
            places[worker.address, worker.port].add(name)
    for entry in registered:
        if _id(entry) in published:
            places[entry.address, entry.service.port].add(_id(entry))
    statuses = defaultdict(set)
    for entry in registered:
        there = places[entry.address, entry.service.port] if entry.address else ()
        (name,) = there if _id(entry) not in published and len(there) == 1 else (_id(entry),)
        statuses[name].add(entry.health)
    return {name: worst(found) for name, found in statuses.items()}


def _names(client: Client, start: str) -> list[str]:
    if found := listing.names(client, start):
        return found
    try:
        kv.query(client, start)  # Consul leaves out of a list what the token may not read, and denies a single key
    except Denied as error:
        raise Denied(kv.reason(error, start)) from None
    return []


def _chosen(published: Mapping[str, list[str]], registered: Container[str]) -> list[str]:
    """The keys to read: where that is not all, one of each instance before another of any, registered ones first."""
    turns = [
        (turn, instance not in registered, name)
        for instance, names in published.items()
        for turn, name in enumerate(names)
    ]
    return [name for _turn, _is_other, name in sorted(turns)[:MOST_WORKERS]]


def _workers(read: Mapping[str, Entry | None], stored_index: int | None) -> dict[str, list[Worker]]:
    """The workers by instance."""
    alive_at = timestamp(datetime.now(UTC) - timedelta(seconds=GONE_SECONDS))
    found = defaultdict(list)
    for name, entry in read.items():
        # Without a renewal since then, Consul would have ended the session and deleted the key.
        worker = parsed(name, entry.value, alive_at if entry.session else "") if entry else None
        if worker:
            found[worker.instance].append(_judged(worker, stored_index))
    return found


def _judged(worker: Worker, stored_index: int | None) -> Worker:
    if worker.state != "current" or stored_index is None or worker.index == stored_index:
        return worker
    return replace(worker, state=BEHIND, reason=_("Consul has version %(index)s", index=stored_index))


def _instance(name: str, workers: list[Worker], health: str | None, unread: int, place: tuple[str, int]) -> Instance:
    # According to the youngest worker: the number may have changed since the others started.
    expected = max(workers, key=lambda worker: worker.started_at).workers if workers else 0
    return Instance(
        name, health, tuple(sorted(workers, key=lambda worker: worker.pid)), expected or None, unread, place
    )


def _notes(instances: Iterable[Instance], others: list[str], unreadable: int) -> Iterator[Message]:
    if unread := sum(instance.unread for instance in instances):
        yield _("There are more workers than can be read at once. Not read: %(count)s.", count=unread)
    if others:
        text = _("Keys of the fleet that are not a worker's: %(count)s, such as `%(name)s`.")
        yield Message(text, count=len(others), name=printable(others[0]))
    if unreadable:
        yield _("Registrations in Consul's catalog that cannot be read: %(count)s.", count=unreadable)
