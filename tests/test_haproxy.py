"""HAProxy with the shipped configuration: no visitor notices that instances are restarted, and none is counted twice."""

import pytest

from demo_site.identity import NAME
from tests.support.haproxy import HAProxy, Instances
from tests.support.waiting import wait_until
from tests.support.workers import Load

CLIENTS = 8


@pytest.fixture
def new_haproxy():
    """Make HAProxies; all are ended with the test."""
    made = []

    def make(consul, **options):
        made.append(HAProxy(consul, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_no_request_fails_while_instances_are_restarted(environment, consul, new_site, new_haproxy):
    """And of a crash only those in flight."""
    instances = Instances(new_site, consul, environment, SERVICE_DRAIN_SECONDS="3")
    haproxy = new_haproxy(consul).start(3)
    first, second, third = instances.sites
    with Load(haproxy, CLIENTS, pause=0.01) as load:
        instances.restart(first)
        instances.renew_workers(second)
        assert (load.failed, load.cut) == ([], 0)
        instances.crash(third)
        before = len(load.served)
        wait_until(lambda: len(load.served) > before + 200, message="200 pages after the crash")
    assert len(load.failed) + load.cut <= CLIENTS
    load.assert_numbers_unique()


def test_no_request_fails_where_another_registers_the_instances(environment, consul, new_site, new_haproxy):
    """The entry in Consul stays while the instance is restarted: HAProxy's own check decides."""
    instances = Instances(new_site, consul, environment, 2, registers=False, SERVICE_DRAIN_SECONDS="3")
    haproxy = new_haproxy(consul).start(2)
    with Load(haproxy, CLIENTS, pause=0.01) as load:
        instances.restart(instances.sites[0])
        assert len(consul.health(NAME)) == 2
    assert (load.failed, load.cut) == ([], 0)
    load.assert_numbers_unique()
