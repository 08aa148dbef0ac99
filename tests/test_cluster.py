"""Three servers of Consul and a client agent: whatever becomes of them, pages are served, and all is as before soon."""

import contextlib

import pytest

from demo_site.config.watcher import WAIT_SECONDS
from demo_site.identity import METRICS_PREFIX
from tests.support.cluster import ConsulCluster, outcome, published
from tests.support.documents import document
from tests.support.membership import seconds_until_passing
from tests.support.site import Site
from tests.support.waiting import wait_until
from tests.support.workers import Workers
from tests.test_metrics import value

RECOVERY_SECONDS, BUSY = 5, 15  # other tests use the machine as well; `make soak` has the bound itself
FAULTS = {
    "leader killed": (lambda cluster: cluster.leader_killed(), RECOVERY_SECONDS),
    "leader stopped": (lambda cluster: cluster.leader_stopped(), WAIT_SECONDS + 10),
    "client agent cut off": (lambda cluster: cluster.agent_cut_off(), RECOVERY_SECONDS),
    "servers restarted": (lambda cluster: cluster.servers_restarted(), RECOVERY_SECONDS),
    "servers restarted empty": (lambda cluster: cluster.servers_restarted(empty=True), RECOVERY_SECONDS),
}


@pytest.fixture(scope="module")
def cluster():
    with ConsulCluster() as started:
        yield started


@pytest.fixture(scope="module")
def site(cluster, session_redis):
    """An instance of two workers that registers itself with the cluster's client agent."""
    wait_until(lambda: cluster.put(document(session_redis)), message="the document")
    variables = {"CONSUL_HTTP_ADDR": cluster.agent.address, "CONSUL_REGISTER": "1", "SERVICE_CHECK_INTERVAL": "1s"}
    with Site(variables) as started:
        started.gunicorn("--keep-alive", "600", workers=2)
        seconds_until_passing(cluster.agent)
        wait_until(lambda: len(published(cluster.agent)) == 2, message="both workers to be published")
        yield started


@pytest.mark.slow
def test_without_a_quorum_it_is_said_that_nothing_is_known(cluster, site, session_redis, new_site):
    """What was known stays in force, and a start is possible: any server has the document, perhaps not the newest."""
    with contextlib.closing(Workers(site, 2).find()) as workers:
        workers.wait_state("current")
        with cluster.without_quorum():
            workers.wait_state("stale", WAIT_SECONDS + 10)
            wait_until(lambda: registration_ok(site) == 0, WAIT_SECONDS + 10, "the metric")
            assert site.get().status_code == 200
            started = new_site({"CONSUL_HTTP_ADDR": cluster.agent.address}).gunicorn()
            assert started.get().status_code == 200
            assert started.ready()["config"]["state"] == "stale"
            assert "One of its servers has this document, but perhaps not the newest." in started.log()
        workers.wait_state("current")
        wait_until(lambda: registration_ok(site) == 1, message="the metric")
        wait_until(lambda: started.ready()["config"]["state"] == "current", message="the other instance to follow")


def registration_ok(site):
    return value(site, f"{METRICS_PREFIX}_registration_ok")


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_cluster_that_recovers_is_followed_again(cluster, site, session_redis, fault):
    make, bound = FAULTS[fault]
    statuses, changes, seconds = outcome(cluster, site, session_redis, make(cluster))
    assert set(statuses) == {200}
    assert changes
    assert seconds["followed"] < bound + BUSY, seconds
    assert max(seconds["registered"], seconds["published"]) < RECOVERY_SECONDS + BUSY, seconds
