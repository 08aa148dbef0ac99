"""The faults of a Consul cluster, each several times, longer and under more load than in tests/test_cluster.py."""

import contextlib
import time
from collections import defaultdict

import pytest

from demo_site.config.watcher import WAIT_SECONDS
from demo_site.identity import METRICS_PREFIX
from tests.support.cluster import ConsulCluster, outcome, published
from tests.support.documents import document
from tests.support.membership import seconds_until_passing
from tests.support.outage import Load
from tests.support.waiting import wait_until
from tests.support.workers import Workers
from tests.test_metrics import value

WORKERS, ROUNDS, RECOVERY_SECONDS = 4, 5, 5
FAULTS = {
    "leader killed (SIGKILL)": (lambda cluster: cluster.leader_killed(), RECOVERY_SECONDS),
    "leader stopped (SIGSTOP)": (lambda cluster: cluster.leader_stopped(), WAIT_SECONDS + 10),
    "client agent cut off for 20 s": (lambda cluster: cluster.agent_cut_off(20), RECOVERY_SECONDS),
    "all servers restarted with their data": (lambda cluster: cluster.servers_restarted(), RECOVERY_SECONDS),
    "all servers restarted empty": (lambda cluster: cluster.servers_restarted(empty=True), RECOVERY_SECONDS),
}


@pytest.fixture
def cluster():
    with ConsulCluster() as started:
        yield started


@pytest.fixture
def site(cluster, own_redis, new_site):
    wait_until(lambda: cluster.put(document(own_redis)), message="the document")
    started = new_site({"CONSUL_HTTP_ADDR": cluster.agent.address, "CONSUL_REGISTER": "1"})
    started.gunicorn("--keep-alive", "600", workers=WORKERS)
    seconds_until_passing(cluster.agent)
    wait_until(lambda: len(published(cluster.agent)) == WORKERS, message="all workers to be published")
    return started


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(cluster, site, own_redis, report, fault):
    make, bound = FAULTS[fault]
    pages, failed, took = 0, 0, defaultdict(list)
    for _ in range(ROUNDS):
        statuses, changes, seconds = outcome(cluster, site, own_redis, make(cluster), WORKERS, 50)
        assert changes
        pages, failed = pages + len(statuses), failed + sum(status != 200 for status in statuses)
        for what, each in seconds.items():
            took[what].append(each)
    longest = {what: max(each) for what, each in took.items()}
    report(
        f"{fault}, {ROUNDS} times: failed pages; followed, registered, published again after, at most",
        f"{failed} of {pages}; "
        + ", ".join(f"{longest[what]:.1f}" for what in ("followed", "registered", "published")),
        f"0; {bound}, {RECOVERY_SECONDS}, {RECOVERY_SECONDS} s",
    )
    assert failed == 0
    assert longest["followed"] < bound
    assert max(longest["registered"], longest["published"]) < RECOVERY_SECONDS


def test_a_minute_without_a_quorum(cluster, site, report):
    with contextlib.closing(Workers(site, WORKERS).find()) as workers, Load(site, "/", 50) as load:
        began = time.monotonic()
        with cluster.without_quorum():
            workers.wait_state("stale")
            stale = time.monotonic() - began
            wait_until(lambda: value(site, f"{METRICS_PREFIX}_registration_ok") == 0, message="the metric")
            unknown = time.monotonic() - began
            time.sleep(60)
            assert workers.states() == {"stale"}
        cluster.wait_recovered()
        began = time.monotonic()
        workers.wait_state("current")
        wait_until(lambda: value(site, f"{METRICS_PREFIX}_registration_ok") == 1, message="the metric")
        back = time.monotonic() - began
    failed = sum(status != 200 for status in load.seen.statuses)
    report(
        "no quorum for a minute: failed pages; `stale`, `registration_ok` 0 after; both as before after",
        f"{failed} of {len(load.seen.statuses)}; {stale:.1f}, {unknown:.1f} s; {back:.1f} s",
        f"0; {WAIT_SECONDS + 10} s; {RECOVERY_SECONDS} s",
    )
    assert failed == 0
    assert max(stale, unknown) < WAIT_SECONDS + 10
    assert back < RECOVERY_SECONDS
