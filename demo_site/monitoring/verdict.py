"""How everything is, in one sentence: the worst of what the fleet and the checks say."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..fleet.instances import Fleet, Instance
from ..fleet.worker import Worker
from ..messages import Message, _, joined
from .checks import Line

MOST_NAMES = 3  # of instances, in a sentence
NO_WORKER = _("No worker has published itself, and no instance is registered.")
REJECTED = _("Version %(index)s is rejected by %(count)s of %(all)s workers")
RUN_IT = _("Version %(index)s: %(count)s of %(all)s workers run it")


@dataclass(frozen=True)
class Verdict:
    """`level` is good, note or bad. `text` says what is worst, `others` what else there is, worst first."""

    level: str
    text: Message
    others: tuple[Message, ...] = ()


class _Finding(NamedTuple):
    level: str
    text: Message


def of(fleet: Fleet | None, lines: Iterable[Line] = (), index: int | None = None) -> Verdict:
    """The verdict on a fleet, None where it could not be read, and on what `checks.lines` found here.

    `index` is the ModifyIndex of Consul's key. Without lines it is a verdict on the fleet alone.
    """
    checked = {line.what: line for line in lines}
    found = [*_here(checked), *(_there(fleet, checked, index) if _is_known("Consul", checked) else ())]
    if not found and fleet:
        return Verdict("good", _all_well(fleet))
    worst, *others = sorted(found, key=lambda finding: finding.level != "bad")  # stable: each level in its order
    return Verdict(worst.level, worst.text, tuple(finding.text for finding in others))


def _is_known(what: str, checked: dict[str, Line]) -> bool:
    return what not in checked or checked[what].good


def _here(checked: dict[str, Line]) -> Iterator[_Finding]:
    """First what visitors feel, then what hides everything else."""
    for what in ("Redis", "Consul"):
        if what in checked and checked[what].level != "good":
            yield _Finding(checked[what].level, checked[what].text)


def _there(fleet: Fleet | None, checked: dict[str, Line], index: int | None) -> Iterator[_Finding]:
    instances = fleet.instances if fleet else ()
    unfound = [*_unfound(instances)]
    yield from unfound
    # What a worker has not published yet, or cannot publish, is still known of the one that answers.
    wrong = [*untrue(fleet.workers if fleet else [])]
    yield from wrong
    for what, known in (("Document", wrong), ("Registration", unfound)):
        if not known and not _is_known(what, checked):
            yield _Finding("bad", checked[what].brief or checked[what].text)
    if fleet is None:
        yield _Finding("note", _("Which worker runs what cannot be read"))
    elif not instances:
        yield _Finding("note", NO_WORKER)
    elif index and not wrong:
        yield from _rollout(fleet.workers, index)


def _unfound(instances: Iterable[Instance]) -> Iterator[_Finding]:
    """Instances that lack workers, or do not get the traffic that they should get."""
    instances = [instance for instance in instances if not instance.good]
    if lacking := [instance for instance in instances if instance.missing]:
        missing = sum(instance.missing for instance in lacking)
        one, many = _("1 worker missing on %(instances)s"), _("%(count)s workers missing on %(instances)s")
        yield _Finding("bad", counted(one, many, missing, instances=_names(lacking)))
    if lost := [instance for instance in instances if instance.lost]:
        yield _Finding("bad", _("Not registered, but should be: %(instances)s", instances=_names(lost)))
    for health in ("critical", "warning"):
        if unwell := [instance for instance in instances if instance.health == health]:
            known = {"health": Message(health), "instances": _names(unwell)}
            yield _Finding("bad", _("The health check says %(health)s: %(instances)s", **known))


def untrue(workers: list[Worker]) -> Iterator[_Finding]:
    """Workers that do not run what they should."""
    states = Counter((worker.state, worker.rejected) for worker in workers if not worker.good)
    for (state, index), count in sorted(states.items(), key=lambda each: each[0][0] != "rejected"):
        known = {"count": count, "all": len(workers), "index": index, "state": Message.of(state)}
        if state == "rejected" and index:
            yield _Finding("bad", Message(REJECTED, **known))
        else:
            yield _Finding("bad", _("%(count)s of %(all)s workers: %(state)s", **known))


def _rollout(workers: list[Worker], index: int) -> Iterator[_Finding]:
    """Workers that are about to take a change over."""
    followers = [worker.index for worker in workers if worker.state != "file"]
    count = followers.count(index)
    if count != len(followers):
        known = {"index": index, "count": count, "all": len(followers)}
        yield _Finding("note", Message(RUN_IT, **known))


def _all_well(fleet: Fleet) -> Message:
    """Such as "All well: 3 instances, 7 workers on version 386"."""
    workers = sum(instance.there for instance in fleet.instances)
    known = {
        "instances": counted(_("1 instance"), _("%(count)s instances"), len(fleet.instances)),
        "workers": counted(_("1 worker"), _("%(count)s workers"), workers),
    }
    versions = {worker.index for worker in fleet.workers}
    if len(versions) == 1 and (index := versions.pop()):
        return _("All well: %(instances)s, %(workers)s on version %(index)s", index=index, **known)
    return _("All well: %(instances)s, %(workers)s", **known)


def counted(one: Message, many: Message, count: int, **parameters: Any) -> Message:
    return Message(one if count == 1 else many, count=count, **parameters)


def _names(instances: Iterable[Instance]) -> Message:
    return joined((instance.name for instance in instances), ", ", MOST_NAMES)
