"""Failovers of Sentinel while something else is wrong, under load."""

import functools
import os
import signal
import time

import pytest

from tests.support.every_redis import put
from tests.support.failovers import fail_over
from tests.support.secrets import GUARD
from tests.support.sentinel import SentinelGroup
from tests.support.waiting import wait_until
from tests.support.workers import Load

pytestmark = pytest.mark.slow


@pytest.fixture
def group():
    with SentinelGroup(GUARD.new("Redis password")) as group:
        yield group


def begin(group, workers, planned):
    """Begin a failover while all is well; the old master."""
    workers.wait_pages()
    group.wait_settled()
    return group.begin_failover() if planned else group.kill_master()


def end(old, new, planned):
    """Have the old master back, and pages counted on the new one."""
    if not planned:
        old.start()
    before = new.hits()
    wait_until(lambda: new.hits() > before + 50, message="pages that are counted there")


def assert_clean(load, planned):
    """What failed was a 503; in a planned failover no number was shown twice."""
    assert {failure[:3] for failure in load.failed} <= {"503"}
    if planned:
        load.assert_numbers_unique()


@pytest.mark.parametrize("trouble", ["paused", "dead"])
def test_planned_failover_loses_nothing_while_one_sentinel_does_not_answer(group, serve, workers_of, trouble):
    site = serve(group.document())
    workers = workers_of(site, 2)
    with Load(site, 8, pause=0.005) as load:
        workers.wait_pages()
        lame = group.sentinel_servers[2]
        lame.pause() if trouble == "paused" else lame.kill()
        group.sentinel_servers.remove(lame)
        try:
            for _ in range(4):
                time.sleep(2.3)
                fail_over(group, site, workers, planned=True)
        finally:
            lame.resume() if trouble == "paused" else lame.start()
    assert {failure[:3] for failure in load.failed} <= {"503"}
    load.assert_numbers_unique()


def grown_at_most(most, count, before):
    return max(number - before[pid] for pid, number in count().items()) <= most


@pytest.mark.parametrize("trouble", ["paused", "dead"])
def test_sentinels_that_do_not_answer_change_nothing(group, serve, workers_of, trouble):
    """Two, then all three; they are back, and the next failover is followed."""
    site = serve(group.document())
    workers = workers_of(site, 2)
    with Load(site, 8, pause=0.005):
        workers.wait_pages()
        time.sleep(1)
    before = workers.threads(), workers.sockets()
    lame = group.sentinel_servers
    with Load(site, 8, pause=0.005) as load:
        workers.wait_pages()
        for count in (2, 3):
            for sentinel in lame[-count:]:
                sentinel.pause() if trouble == "paused" else sentinel.kill()
            time.sleep(5)
            assert {ready["redis"]["ok"] for ready in workers.ready().values()} == {True}
            for sentinel in lame[-count:]:
                sentinel.resume() if trouble == "paused" else sentinel.start()
            time.sleep(1)
        lines = len(site.log().splitlines())
        time.sleep(31)  # a Sentinel that was paused does nothing for 30 s (TILT)
        wait_until(lambda: all(sentinel.state()["flags"] == "master" for sentinel in lame))
        fail_over(group, site, workers, planned=True)
    assert ({failure[:3] for failure in load.failed}, load.cut) == ({"503"}, 0)
    load.assert_numbers_unique()
    assert lines < 40
    for count, known in ((workers.threads, before[0]), (workers.sockets, before[1])):
        as_before = functools.partial(grown_at_most, 1, count, known)
        wait_until(as_before, message=f"as many {count.__name__} as before, which were {known}")


@pytest.mark.parametrize("planned", [True, False], ids=["planned", "kill"])
def test_document_that_leaves_sentinel_and_comes_back_during_a_failover(
    group, serve, workers_of, consul, config_key, redis, planned
):
    site = serve(group.document())
    workers = workers_of(site, 2)
    with redis.client() as client:
        client.set("hits", 1_000_000)
    with Load(site, 8, pause=0.005) as load:
        for turn in range(3):
            old = begin(group, workers, planned)
            time.sleep(0.1 + 0.4 * turn)
            put(consul, config_key, redis.document(), "plain")
            workers.wait_pages(lambda shown: shown > 1_000_000)
            put(consul, config_key, group.document(), "here")
            new = group.wait_failed_over(old)
            workers.wait_pages(lambda shown: shown < 1_000_000)
            end(old, new, planned)
    assert_clean(load, planned)


@pytest.mark.parametrize("planned", [True, False], ids=["planned", "kill"])
def test_worker_that_is_killed_during_a_failover_is_replaced(group, serve, workers_of, planned):
    site = serve(group.document())
    workers = workers_of(site, 2)
    with Load(site, 8, pause=0.005) as load:
        for turn in range(4):
            old = begin(group, workers, planned)
            time.sleep(0.3 * turn)
            os.kill(next(iter(workers.by_pid)), signal.SIGKILL)
            new = group.wait_failed_over(old)
            workers.find()
            workers.wait_pages()
            end(old, new, planned)
    assert_clean(load, planned)
