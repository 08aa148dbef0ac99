"""An instance leaves the catalog before it stops answering, and rolling restarts cost no visitor a request."""

import os
import signal
import threading
import time

import psutil
import pytest
import requests

from demo_site import identity
from tests.support.binaries import PROJECT
from tests.support.membership import NAME, Visitors, registrations, restart, seconds_until_passing
from tests.support.waiting import wait_until
from tests.support.workers import Connection


@pytest.fixture
def new_member(environment, new_site):
    """Make instances that register themselves."""
    return lambda **variables: new_site({**environment, "CONSUL_REGISTER": "1", **variables})


def test_sigterm_leaves_the_catalog_then_drains_then_stops(new_member, consul):
    site = new_member(SERVICE_DRAIN_SECONDS="4").gunicorn(workers=2)
    seconds_until_passing(consul)
    began = time.monotonic()
    site.signal(signal.SIGTERM)
    wait_until(lambda: not consul.catalog(NAME), 2, "the entry to go", interval=0.005)
    while time.monotonic() - began < 2.8:
        assert site.get("/", session=requests).status_code == 200, "it goes on serving meanwhile"
        assert consul.catalog(NAME) == []
        time.sleep(0.05)
    assert site.wait() == 0
    assert 4 <= time.monotonic() - began < 12
    assert "error" not in site.log().lower()


def test_request_in_flight_is_answered(new_member, new_proxy, consul, redis, config_key):
    slow = new_proxy(redis.port)
    value = {"redis_config": redis.document(redis_port=slow.port), "show_message": "slow"}
    consul.put(config_key, value)
    site = new_member(SERVICE_DRAIN_SECONDS="0.1").gunicorn()
    seconds_until_passing(consul)
    site.get("/")
    slow.delay(0.3)
    answers = []

    def visit():
        answers.append(site.get("/", session=requests).status_code)

    visitors = [threading.Thread(target=visit) for _ in range(3)]
    for visitor in visitors:
        visitor.start()
    time.sleep(0.1)
    assert site.stop() == 0
    for visitor in visitors:
        visitor.join()
    assert answers == [200, 200, 200]


def test_connections_in_the_backlog_are_answered(new_member, consul):
    """The kernel has connected them, and no worker has accepted them when the sockets are closed."""
    site = new_member(SERVICE_DRAIN_SECONDS="0.1").gunicorn(workers=2)
    seconds_until_passing(consul)
    workers = [psutil.Process(pid) for pid in site.worker_pids()]
    for worker in workers:
        worker.suspend()
    connections = [Connection(site) for _ in range(50)]
    for connection in connections:
        connection.send()
    site.signal(signal.SIGTERM)
    master = psutil.Process(site.pid)
    wait_until(lambda: not [c for c in master.net_connections() if c.status == "LISTEN"], message="the drain to end")
    for worker in workers:
        worker.resume()
    answers = [connection.receive() for connection in connections]
    assert {status for status, _ in answers} == {200}
    assert len({page for _, page in answers}) == 50
    with pytest.raises(ConnectionRefusedError):
        Connection(site)
    assert site.wait() == 0


def test_second_sigterm_stops_at_once(new_member, consul):
    site = new_member(SERVICE_DRAIN_SECONDS="60").gunicorn()
    seconds_until_passing(consul)
    site.signal(signal.SIGTERM)
    wait_until(lambda: not consul.catalog(NAME), 2, "the entry to go")
    assert site.running
    site.signal(signal.SIGTERM)
    assert site.wait(15) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_quick_ways_to_stop_leave_the_catalog_too(new_member, consul, number):
    site = new_member(SERVICE_DRAIN_SECONDS="60").gunicorn(workers=2)
    seconds_until_passing(consul)
    site.signal(number)
    assert site.wait(15) == 0
    assert consul.catalog(NAME) == []


@pytest.mark.parametrize("registered", ["0", "1"])
def test_readyz_says_leaving_at_once_and_the_site_serves_on(environment, new_site, registered):
    """For Kubernetes, HAProxy and Consul's checks alike; a kept-alive client is sent away with its next answer."""
    variables = {"CONSUL_REGISTER": registered, "SERVICE_DRAIN_SECONDS": "3"}
    site = new_site({**environment, **variables}).gunicorn(workers=2)
    kept = [requests.Session() for _ in range(8)]
    assert {site.get("/", session=session).headers.get("Connection") for session in kept} == {None}
    began = time.monotonic()
    site.signal(signal.SIGTERM)
    wait_until(lambda: site.get("/readyz", session=requests).status_code == 503, 2, "the first sign")
    while time.monotonic() - began < 2:
        ready, page = site.get("/readyz", session=requests), site.get("/", session=requests)
        assert (ready.status_code, ready.json()["status"], ready.json()["redis"]["ok"]) == (503, "leaving", True)
        assert page.status_code == site.get("/livez").status_code == 200
        time.sleep(0.1)
    assert {site.get("/", session=session).headers.get("Connection") for session in kept} == {"close"}
    assert site.wait() == 0
    assert time.monotonic() - began >= 3


def test_instance_leaves_while_consul_is_down(own_consul, redis, new_member):
    own_consul.put(identity.KEY, {"redis_config": redis.document(), "show_message": "hello"})
    variables = {"CONSUL_HTTP_ADDR": own_consul.address, "DEMO_CONFIG_KEY": identity.KEY}
    site = new_member(SERVICE_DRAIN_SECONDS="1", **variables).gunicorn()
    seconds_until_passing(own_consul)
    own_consul.kill()
    assert site.stop() == 0
    assert "Traceback" not in site.log()


def test_consul_that_comes_back_during_the_drain_hears_it(own_consul, redis, new_member):
    """No worker registers again after the first SIGTERM, and the entry that the agent kept is taken out."""
    own_consul.put(identity.KEY, {"redis_config": redis.document(), "show_message": "hello"})
    variables = {"CONSUL_HTTP_ADDR": own_consul.address, "DEMO_CONFIG_KEY": identity.KEY}
    site = new_member(SERVICE_DRAIN_SECONDS="8", **variables).gunicorn(workers=2)
    seconds_until_passing(own_consul)
    own_consul.pause()
    site.signal(signal.SIGTERM)
    time.sleep(1)
    own_consul.resume()
    wait_until(lambda: not own_consul.catalog(NAME), 6, "the entry to go")
    assert site.get("/").status_code == 200
    time.sleep(1.5)
    assert own_consul.catalog(NAME) == []


def test_hup_rolls_the_workers_and_the_registration_stays(new_member, new_proxy, consul):
    proxy = new_proxy(consul.http_port)
    site = new_member(CONSUL_HTTP_ADDR=proxy.address).gunicorn(workers=2)
    seconds_until_passing(consul)
    with Visitors(consul, threads=2, pause=0.05) as visitors:
        for _ in range(2):
            before = set(site.worker_pids())
            site.signal(signal.SIGHUP)
            wait_until(lambda before=before: len(set(site.worker_pids()) - before) == 2, message="two new workers")
            wait_until(lambda before=before: not before & set(site.worker_pids()), message="the old ones to end")
        visitors.wait_for(100)
    assert visitors.failures == []
    assert registrations(proxy) == 1


SLOW_START = """
import pathlib, time
exec(compile(pathlib.Path({original!r}).read_text(), {original!r}, "exec"))
_start = post_worker_init

def post_worker_init(worker):
    time.sleep(1.5)
    _start(worker)
"""


def test_hup_leaves_nobody_waiting_for_the_new_workers(environment, new_site):
    """They take a second and a half to start, as on a busy machine; the old ones serve for two."""
    site = new_site(environment)
    config = site.directory / "slow_start.conf.py"
    config.write_text(SLOW_START.format(original=str(PROJECT / "gunicorn.conf.py")))
    site.gunicorn("--config", config, workers=2)
    before = set(site.worker_pids())
    site.signal(signal.SIGHUP)
    slowest = 0.0
    while before & set(site.worker_pids()):
        began = time.monotonic()
        assert site.get("/livez", headers={"Connection": "close"}).status_code == 200
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1.4, "it would be the time that they take to start"


def test_new_master_takes_over_the_registration(new_member, new_proxy, consul):
    """SIGUSR2 and then SIGTERM to the old master: gunicorn's way to a new version without closing the socket."""
    proxy = new_proxy(consul.http_port)
    pid_file = "gunicorn.pid"
    site = new_member(CONSUL_HTTP_ADDR=proxy.address, SERVICE_DRAIN_SECONDS="60")
    site.gunicorn("--pid", str(site.directory / pid_file))
    seconds_until_passing(consul)
    site.signal(signal.SIGUSR2)
    wait_until((site.directory / f"{pid_file}.2").exists, message="the new master")
    wait_until(lambda: site.log().count("Booting worker") == 2, message="its worker")
    time.sleep(2)
    assert site.stop(15) == 0, "the old master has nothing to drain"
    for _ in range(20):
        assert len(consul.catalog(NAME)) == 1
        assert site.get("/", session=requests).status_code == 200
        time.sleep(0.1)


class Absences:
    """Asks the catalog all the time, and notes how often it does not show the instance."""

    def __init__(self, consul):
        self._consul, self._stop = consul, threading.Event()
        self.seen = self.missing = 0
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        self._thread.join()

    def _look(self):
        while not self._stop.wait(0.02):
            self.seen += 1
            self.missing += not self._consul.catalog(NAME)


CANNOT_BOOT = """
exec(open("gunicorn.conf.py").read())
_start = post_worker_init
def post_worker_init(worker):
    if os.path.exists({marker!r}):
        raise RuntimeError("this version cannot boot")
    _start(worker)
"""


@pytest.mark.parametrize("end", ["stopped", "cannot boot"])
def test_upgrade_that_is_backed_out_of_leaves_the_entry_in_the_catalog(new_member, consul, end):
    """SIGUSR2, and then the new master ends, not the old one: with the same entry, which the old one keeps."""
    site = new_member(SERVICE_DRAIN_SECONDS="2")
    config, marker = site.directory / "gunicorn.py", site.directory / "cannot-boot"
    config.write_text(CANNOT_BOOT.format(marker=str(marker)))
    site.gunicorn("--pid", str(site.directory / "gunicorn.pid"), "--config", str(config))
    seconds_until_passing(consul)
    with Absences(consul) as absences:
        if end == "cannot boot":
            marker.touch()
        site.signal(signal.SIGUSR2)
        if end == "stopped":
            wait_until(lambda: site.log().count("Booting worker") == 2, message="the new master's worker")
            time.sleep(2)  # the old one has seen it
            os.kill(int((site.directory / "gunicorn.pid.2").read_text()), signal.SIGTERM)
        site.wait_logged("Shutting down: Master.2")
        before = absences.seen
        wait_until(lambda: absences.seen > before + 50, message="looks after the end")
        assert site.get("/", session=requests).status_code == 200
    assert absences.missing == 0
    consul.deregister_all()
    assert seconds_until_passing(consul) < 5, "the old master keeps it again"
    assert site.stop() == 0
    assert consul.catalog(NAME) == []


def test_rolling_restart_costs_no_request(new_member, consul):
    sites = [new_member(SERVICE_DRAIN_SECONDS="1") for _ in range(3)]
    for site in sites:
        site.gunicorn()
    seconds_until_passing(consul, 3)
    with Visitors(consul, threads=2, pause=0.05) as visitors:
        for site in sites:
            assert restart(site, consul, 3, site.gunicorn) == 0
        visitors.wait_for(200)
    assert visitors.failures == []
    assert len(visitors.served_by) == 3
