"""Each of gunicorn's workers is pinned to one CPU if every CPU gets the same number."""

import os
import signal

import psutil
import pytest

from demo_site.serving import affinity
from tests.support.waiting import wait_until

CPUS = sorted(os.sched_getaffinity(0))


@pytest.fixture
def processors(monkeypatch):
    """Say which CPUs there are."""
    return lambda *cpus: monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cpus))


def kept(site):
    """The CPUs that each worker may use, those of all its threads."""
    workers = [worker for worker in psutil.Process(site.pid).children() if worker.status() != psutil.STATUS_ZOMBIE]
    return sorted(
        tuple(sorted({cpu for thread in worker.threads() for cpu in os.sched_getaffinity(thread.id)}))
        for worker in workers
    )


def test_each_cpu_gets_as_many_as_the_others(processors):
    processors(0, 2, 5)
    taken = []
    for _ in range(6):
        taken.append(affinity.choose(6, taken))
    assert sorted(taken) == [0, 0, 2, 2, 5, 5]


def test_one_that_died_leaves_its_cpu_to_the_next(processors):
    processors(0, 1)
    assert affinity.choose(2, [0]) == 1
    assert affinity.choose(2, [1]) == 0


@pytest.mark.parametrize(("cpus", "workers"), [((0,), 1), ((0, 1), 1), ((0, 1), 3), ((0, 1, 2, 3), 2), ((0, 1), 10)])
def test_workers_move_where_that_would_leave_a_cpu_idle(processors, cpus, workers):
    processors(*cpus)
    assert affinity.choose(workers, []) is None


def test_no_choice_where_the_system_offers_none(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert affinity.choose(2, []) is None


def test_a_worker_starts_where_it_cannot_be_kept_to_its_cpu():
    """The system forbids it, or the CPU is not there any more."""
    affinity.pin_to(max(CPUS) + 1000)
    assert sorted(os.sched_getaffinity(0)) == CPUS


def test_workers_under_gunicorn(environment, new_site):
    site = new_site(environment).gunicorn(workers=len(CPUS))
    one_each = [(cpu,) for cpu in CPUS]
    wait_until(lambda: kept(site) == one_each, 10, "a CPU for each worker")
    for _ in range(3):
        victim = psutil.Process(site.pid).children()[0]
        victim.kill()
        wait_until(lambda: not victim.is_running() and kept(site) == one_each, 20, "its CPU taken over")  # noqa: B023
    before = set(psutil.Process(site.pid).children())
    site.signal(signal.SIGHUP)
    wait_until(lambda: not before & set(psutil.Process(site.pid).children()), 30, "new workers")
    wait_until(lambda: kept(site) == one_each, 10, "a CPU for each new worker")
    assert psutil.Process(site.pid).cpu_affinity() == CPUS, "the master is free to move"
    assert site.get("/").status_code == 200


def test_switched_off(environment, new_site):
    site = new_site({**environment, "GUNICORN_CPU_AFFINITY": "off"}).gunicorn(workers=len(CPUS))
    wait_until(lambda: kept(site) == [tuple(CPUS)] * len(CPUS), 10, "all workers free to move")
