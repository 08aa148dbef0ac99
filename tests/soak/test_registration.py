"""Registration, leaving and health in full length; scaled down, `make test` runs the same in tests/test_*.py."""

import os
import signal
import socket
import statistics
import time

import psutil
import pytest

from demo_site import identity
from tests.support.documents import document
from tests.support.membership import NAME, Visitors, check_statuses, registrations, restart, seconds_until_passing
from tests.support.outage import pause_under_load
from tests.support.waiting import wait_until
from tests.test_keeping import CHANGES, run_cycles, start_without_consul

REPAIR_SECONDS = 5


@pytest.fixture
def new_member(own_consul, own_redis, new_site):
    """Make instances that register themselves with a Consul of the test's own."""
    own_consul.put(identity.KEY, document(own_redis))
    return lambda **more: new_site({"CONSUL_HTTP_ADDR": own_consul.address, "CONSUL_REGISTER": "1", **more})


def told(seconds):
    return f"median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s of {len(seconds)}"


@pytest.mark.parametrize("check", ["http", "ttl"])
def test_agent_that_lost_its_state(new_member, own_consul, figure, check):
    new_member(SERVICE_CHECK=check).gunicorn(workers=2)
    seconds_until_passing(own_consul)
    seconds = []
    for _ in range(20):
        own_consul.restart()
        seconds.append(seconds_until_passing(own_consul))
    figure(f"agent restarted with empty state, {check.upper()} check: passing again after", told(seconds))
    assert max(seconds) < REPAIR_SECONDS


@pytest.mark.parametrize("origin", ["file", "snapshot"])
def test_consul_that_starts_after_the_site(own_consul, own_redis, new_site, figure, origin):
    """It starts empty: the site on a snapshot does not find its document there either."""
    seconds = []
    for _ in range(5):
        site = new_site({"CONSUL_HTTP_ADDR": own_consul.address, "CONSUL_REGISTER": "1", "SERVICE_DRAIN_SECONDS": "0"})
        start_without_consul(site, own_consul, own_redis, origin)
        time.sleep(5)
        own_consul.start()
        seconds.append(seconds_until_passing(own_consul))
        site.stop()
    figure(f"Consul started after the site, which ran on a {origin}: registered after", told(seconds))
    assert max(seconds) < REPAIR_SECONDS


def test_changes_by_hand(new_member, own_consul, new_proxy, figure):
    proxy = new_proxy(own_consul.http_port)
    new_member(CONSUL_HTTP_ADDR=proxy.address).gunicorn(workers=2)
    seconds_until_passing(own_consul)
    wanted, notes = own_consul.agent_services(), check_notes(own_consul)
    [entry] = wanted.values()
    seconds = []
    for _ in range(5):
        for change in CHANGES.values():
            change(own_consul, entry)
            began = time.monotonic()
            wait_until(lambda: own_consul.agent_services() == wanted and check_notes(own_consul) == notes)
            seconds.append(time.monotonic() - began)
            time.sleep(0.5)
    made = registrations(proxy) - 1
    figure("entry removed or changed by hand: repaired after", f"{told(seconds)}, by {made} registrations")
    assert max(seconds) < REPAIR_SECONDS
    assert made == len(seconds)


def check_notes(consul):
    return {name: check["Notes"] for name, check in consul.api("GET", "/v1/agent/checks").json().items()}


@pytest.mark.parametrize("check", ["http", "ttl"])
def test_undisturbed_minute(new_member, own_consul, new_proxy, figure, check):
    proxy = new_proxy(own_consul.http_port)
    site = new_member(CONSUL_HTTP_ADDR=proxy.address, SERVICE_CHECK=check).gunicorn(workers=1)
    seconds_until_passing(own_consul)
    time.sleep(5)
    [worker] = site.worker_pids()
    before, cpu, asked = registrations(proxy), psutil.Process(worker).cpu_times(), bytes(proxy.seen).count(b" HTTP/1.1")
    time.sleep(60)
    after = psutil.Process(worker).cpu_times()
    used = (after.user + after.system - cpu.user - cpu.system) / 60
    asked = bytes(proxy.seen).count(b" HTTP/1.1") - asked
    made = registrations(proxy) - before
    figure(
        f"undisturbed minute, {check.upper()} check",
        f"{made} registrations, {asked} requests to Consul, {used:.2%} CPU of the worker (its own checks included)",
    )
    assert made == 0


def test_rolling_restarts(new_member, own_consul, figure):
    sites = [new_member(SERVICE_DRAIN_SECONDS="5") for _ in range(3)]  # the default
    for site in sites:
        site.gunicorn()
    seconds_until_passing(own_consul, 3)
    with Visitors(own_consul) as visitors:
        for _ in range(10):
            for site in sites:
                assert restart(site, own_consul, 3, site.gunicorn) == 0
        visitors.wait_for(10_000)
    figure(
        "rolling restart, 3 instances 10 times each", f"{len(visitors.failures)} of {visitors.requests} requests failed"
    )
    assert visitors.failures == []


def test_rolling_workers(new_member, own_consul, new_proxy, figure):
    proxy = new_proxy(own_consul.http_port)
    sites = [new_member(CONSUL_HTTP_ADDR=proxy.address) for _ in range(3)]
    for site in sites:
        site.gunicorn(workers=2)
    seconds_until_passing(own_consul, 3)
    with Visitors(own_consul) as visitors:
        for _ in range(10):
            for site in sites:
                before = set(site.worker_pids())
                site.signal(signal.SIGHUP)
                wait_until(lambda b=before, s=site: len(set(s.worker_pids()) - b) == 2, 60, "two new workers")
                wait_until(lambda b=before, s=site: not b & set(s.worker_pids()), 60, "the old ones to end")
        visitors.wait_for(10_000)
    made = registrations(proxy)
    figure(
        "HUP, 3 instances 10 times each",
        f"{len(visitors.failures)} of {visitors.requests} requests failed, {made} registrations in all",
    )
    assert visitors.failures == []
    assert made == 3


@pytest.mark.parametrize("check", ["http", "ttl"])
def test_crash(new_member, own_consul, figure, check):
    site = new_member(SERVICE_CHECK=check).gunicorn()
    seconds_until_passing(own_consul)
    seconds = []
    for _ in range(3):
        time.sleep(12)  # the agent has asked at least once
        os.killpg(site.pid, signal.SIGKILL)
        site.wait()
        began = time.monotonic()
        wait_until(lambda: check_statuses(own_consul)["ready"] == "critical", 60)
        seconds.append(time.monotonic() - began)
        site.gunicorn()
        seconds_until_passing(own_consul)
        assert [entry["ServiceID"] for entry in own_consul.catalog(NAME)] == [
            f"{NAME}-{socket.gethostname()}-{site.port}"
        ]
    figure(f"kill -9, {check.upper()} check, interval 10 s: critical after; one entry after the restart", told(seconds))
    assert max(seconds) < 20


def test_cycles(own_consul, figure):
    process, sizes = psutil.Process(), {}

    def measure(number):
        sizes[number + 1] = process.memory_info().rss, process.num_fds()

    run_cycles(own_consul, 500, measure)
    growth = (sizes[500][0] - sizes[50][0]) / 1024
    figure(
        "500 cycles of register and deregister, from the 50th on",
        f"{growth:.0f} KiB and {sizes[500][1] - sizes[50][1]} descriptors more, no entry left",
    )
    assert growth < 2048
    assert sizes[500][1] <= sizes[50][1]


def test_redis_pause(new_member, own_redis, figure):
    site = new_member(CONSUL_REGISTER="0").gunicorn(workers=2)
    site.get("/")
    pages, lives, recovery = pause_under_load(site, own_redis, 10)
    figure(
        "Redis paused for 10 s under 50 requests/s",
        f"/livez p99 {lives.quantile(0.99) * 1000:.0f} ms of {len(lives.seconds)}, longest answer of / "
        f"{max(pages.seconds):.2f} s of {len(pages.seconds)}, itself again after {recovery:.2f} s",
    )
    assert set(lives.statuses) == {200}
    assert lives.quantile(0.99) < 0.25
    assert set(pages.statuses) == {503}
    assert max(pages.seconds) < 1
    assert recovery < 2


def test_outage_longer_than_deregister_after(new_member, new_site, own_consul, own_redis, figure):
    sites, keepers = [], []
    for _ in range(2):
        site = new_member(CONSUL_REGISTER="0")
        site.environment["SERVICE_PORT"] = str(site.port)
        sites.append(site.gunicorn())
        keepers.append(new_site({**site.environment, "SERVICE_PORT": str(site.port)}))
        keepers[-1].background("consul_register", "--keep", "--interval", "2s", "--deregister-after", "1m")
    seconds_until_passing(own_consul, 2)
    log_size = len(own_consul.log())
    own_redis.kill()
    time.sleep(130)  # the agent looks every 30 s for what to remove
    assert own_consul.health(NAME, passing=True) == []
    assert len(own_consul.health(NAME)) == 2
    own_redis.start()
    seconds = seconds_until_passing(own_consul, 2)
    removed = own_consul.log()[log_size:].count("deregistered critical service")
    figure(
        "Redis away for 130 s, deregister-after 1 m", f"{removed} deregistered, all passing again after {seconds:.1f} s"
    )
    assert removed == 0
