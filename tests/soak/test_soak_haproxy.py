"""HAProxy with the shipped configuration, and the drain as shipped: rolling restarts, crashes, Consul away."""

import time

import pytest

from demo_site import identity
from tests.support.documents import document
from tests.support.haproxy import Instances
from tests.support.membership import seconds_until_passing
from tests.support.waiting import wait_until
from tests.support.workers import Load

CLIENTS = 16


@pytest.mark.parametrize("registers", [True, False], ids=["registered by itself", "registered by another"])
def test_restarts_new_workers_and_a_crash(
    environment, consul, redis, new_site, new_haproxy, report, request, registers
):
    instances = Instances(new_site, consul, environment, registers=registers, SERVICE_DRAIN_SECONDS="5")
    haproxy = new_haproxy(consul).start(3)
    with Load(haproxy, CLIENTS, pause=0.01) as load:
        for _ in range(3):
            for site in instances.sites:
                instances.restart(site)
        for site in instances.sites:
            instances.renew_workers(site)
        before_crash = len(load.failed) + load.cut
        instances.crash(instances.sites[0])
        pages = len(load.served)
        wait_until(lambda: len(load.served) > pages + 2000, 60, "2,000 pages after the crash")
    in_flight = len(load.failed) + load.cut - before_crash
    mode = request.node.callspec.id
    asked = len(load.served) + len(load.failed) + load.cut
    report(f"HAProxy, {mode}: 9 restarts, 3 HUPs: failed requests", f"{before_crash} of {asked:,}", "0")
    report("a kill -9: failed requests, of 16 clients", in_flight, "those in flight")
    report("numbers twice; slowest answer", f"{len(load.served) - len(set(load.served))}; {load.slowest:.2f} s", "0")
    assert before_crash == 0
    assert in_flight <= CLIENTS
    load.assert_numbers_unique()
    with redis.client() as client:
        assert 0 <= int(client.get("hits")) - len(load.served) <= in_flight


def test_consul_away_and_back_with_an_empty_state(own_consul, redis, new_site, new_haproxy, report):
    """By default HAProxy drops every server after 30 s without an answer."""
    own_consul.put(identity.KEY, document(redis))
    instances = Instances(new_site, own_consul, {"CONSUL_HTTP_ADDR": own_consul.address}, 2)
    haproxy = new_haproxy(own_consul).start(2)
    with Load(haproxy, CLIENTS, pause=0.05) as load:
        own_consul.kill()
        time.sleep(45)
        assert haproxy.instances_up() == 2
        own_consul.start()
        seconds_until_passing(own_consul, 2)
        time.sleep(3)
    assert haproxy.instances_up() == len(instances.sites)
    report(
        "Consul away for 45 s, back with an empty state: failed requests",
        f"{len(load.failed)} of {len(load.served):,}",
        "0",
    )
    assert (load.failed, load.cut) == ([], 0)
