"""How far a version of the document has come in the fleet."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..fleet.instances import Fleet
from ..fleet.worker import Worker
from ..messages import Message, _, joined
from .verdict import MOST_NAMES, NO_WORKER, REJECTED, RUN_IT, Verdict, counted, untrue


@dataclass(frozen=True)
class Rollout:
    """How far a version has come: `running` of so many `workers` run it."""

    verdict: Verdict
    running: int
    workers: int


def of(fleet: Fleet, version: int, stored: int | None) -> Rollout:
    """How far the version has come; `stored` is the ModifyIndex of Consul's key, None if it was deleted."""
    workers = [worker for worker in fleet.workers if worker.state != "file"]
    running = sum(worker.good and worker.index == version for worker in workers)
    return Rollout(_progress(workers, running, version, stored), running, len(workers))


def _progress(workers: list[Worker], running: int, version: int, stored: int | None) -> Verdict:
    known = {"index": version, "count": running, "all": len(workers)}
    rejecting = [worker for worker in workers if worker.rejected == version]
    if rejecting:
        return Verdict("bad", Message(REJECTED, **known | {"count": len(rejecting)}), tuple(_reasons(rejecting)))
    if stored is None:
        return Verdict("note", _("Version %(index)s is no longer stored: the document was deleted", **known))
    if stored != version:
        replaced = _("Version %(index)s was replaced by version %(newer)s", newer=stored, **known)
        return Verdict("note", replaced, (Message(RUN_IT, **known),) if running else ())
    if wrong := [*untrue(workers)]:
        return Verdict("bad", Message(RUN_IT, **known), tuple(finding.text for finding in wrong))
    if not workers:
        return Verdict("note", NO_WORKER)
    if running == len(workers):
        one = _("Version %(index)s is in force: the one worker runs it")
        many = _("Version %(index)s is in force: all %(count)s workers run it")
        return Verdict("good", counted(one, many, running, index=version))
    return Verdict("note", Message(RUN_IT, **known))


def _reasons(rejecting: Iterable[Worker]) -> Iterator[Message]:
    """Who rejects it and why, each reason once."""
    by_reason: dict[str, set[str]] = {}
    for worker in rejecting:
        by_reason.setdefault(worker.reason or "", set()).add(worker.instance)
    for reason, names in by_reason.items():
        yield _("on %(instances)s: %(reason)s", instances=joined(sorted(names), ", ", MOST_NAMES), reason=reason)
