"""A run: the load, the steps of the schedule one after the other, and afterwards what is left."""

import contextlib
import itertools
import time

from tests.chaos import schedule
from tests.chaos.checker import Bounds
from tests.chaos.load import Load
from tests.chaos.parts import Parts
from tests.chaos.record import Step

QUIET = 0.3  # seconds without a failure, after which a step counts as recovered
PAGES = 20  # in that time, at least
MOST_SECONDS = 30.0  # until a step is given up
FIRST_SECONDS = 2.0  # of load before the first fault
SETTLE_SECONDS = 60.0  # Consul forgets the session of a dead worker after 30


def run(seed, *, seconds=None, count=None, predecessor=None):
    """Breaks things for so many seconds, or for so many steps. Returns the record."""
    with contextlib.ExitStack() as stack:
        parts = Parts(stack, predecessor)
        before = parts.resources()
        hits = parts.redis.hits()
        began = parts.now()
        with Load(parts):
            time.sleep(FIRST_SECONDS)
            end = time.monotonic() + (seconds or float("inf"))
            for faults, lasts in itertools.islice(schedule.steps(seed), count):
                if time.monotonic() > end:
                    break
                step = take(parts, faults, lasts)
                parts.record.steps.append(step)
                print(f"{step.began:6.1f} s  {' + '.join(step.faults)}: {_told(step)}", flush=True)
            time.sleep(FIRST_SECONDS)
        parts.record.load = began, parts.now()
        parts.record.accounts = parts.accounts(hits)
        parts.record.resources = _left(parts, before)
        parts.record.logs = {each.label: each.log() for each in (parts.balancer, parts.cluster.agent)}
        parts.record.logs |= {instance.name: instance.log() for instance in parts.instances}
        return parts.record


def take(parts, faults, lasts):
    """One step."""
    names = tuple(fault.name for fault in faults)
    began = parts.now()
    for fault in faults:
        fault.begin(parts)
    time.sleep(lasts)
    for fault in reversed(faults):
        fault.end(parts)
    ended = parts.now()
    recovered = recovery(parts, ended)
    if recovered is not None and parts.is_site:
        with contextlib.suppress(AssertionError):  # the checker says so
            parts.wait_followed(MOST_SECONDS)
    parts.restart(parts.dead() if recovered is not None else parts.instances)
    said = {name: any(getattr(fault, name) for fault in faults) for name in ("cuts", "hides", "leaves")}
    return Step(names, began, ended, recovered, **said)


def recovery(parts, ended):
    """The seconds until visitors get pages only, and every instance is ready and found; None if that takes too long."""
    found = float("inf")
    while parts.now() < ended + MOST_SECONDS:
        time.sleep(0.05)
        if parts.found() < len(parts.instances):
            found = float("inf")
            continue
        found = min(found, parts.now())
        answers = list(itertools.takewhile(lambda answer: answer.ended > ended, reversed(parts.record.answers)))
        failed = [answer.ended for answer in answers if answer.number is None]
        well = max([ended, *failed[:1], *parts.ready_since(ended)])
        if parts.now() - well > QUIET and sum(answer.began > well for answer in answers) >= PAGES:
            return max(well, found) - ended
    return None


def _left(parts, before):
    """What was used before and is used now, by place and name. It may take a while to be given back."""
    end = time.monotonic() + SETTLE_SECONDS
    bounds = Bounds()
    while True:
        now = parts.resources()
        left = {place: {name: (used, now[place][name]) for name, used in of.items()} for place, of in before.items()}
        back = all(
            after <= was * bounds.memory if name == "memory" else after <= was + getattr(bounds, name)
            for of in left.values()
            for name, (was, after) in of.items()
        )
        if back or time.monotonic() > end:
            return left
        time.sleep(0.5)


def _told(step):
    well = "never well again" if step.recovered is None else f"well again after {step.recovered:.2f} s"
    return f"{step.ended - step.began:.1f} s, {well}"
