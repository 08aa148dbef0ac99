"""Workers publish their state in Consul; one that dies, hangs or is cut off disappears within 30 s."""

import base64
import contextlib
import json
import os
import re
import signal
import socket
import statistics
import time
import uuid
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from django.core.management.color import no_style

from demo_site import identity
from demo_site.config.revision import timestamp
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Client
from demo_site.fleet import publisher as publishing
from demo_site.fleet.instances import Instance, overview
from demo_site.fleet.publisher import Publisher
from demo_site.fleet.worker import Worker, key, parsed
from demo_site.management.fleet import _sentence
from demo_site.messages import Message, _, translated
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.site import Site
from tests.support.waiting import wait_until

GONE_WITHIN = 30  # seconds: what the page promises
MEMBERS = {"instance", "pid", "index", "state", "reason", "started_at", "seen_at"}


def client_of(consul, token=""):
    return Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": consul.address, "CONSUL_HTTP_TOKEN": token}))


def fleet(consul, config_key, service=identity.NAME):
    """The overview as a page would read it, by instance."""
    with contextlib.closing(client_of(consul, consul.management_token or "")) as client:
        return {instance.name: instance for instance in overview(client, config_key, service).instances}


def pids(consul, config_key, name):
    """The pids that instance `name` shows."""
    instance = fleet(consul, config_key).get(name)
    return {worker.pid for worker in instance.workers} if instance else set()


def wait_published(consul, config_key, site, bound=30):
    """Wait until all workers that the site should have, and no others, are shown; return them by pid."""
    name = site.environment["SERVICE_ID"]

    def complete():
        instance = fleet(consul, config_key).get(name)
        shown = sorted(instance.workers, key=lambda worker: worker.pid) if instance else []
        is_complete = [worker.pid for worker in shown] == sorted(site.worker_pids())
        return shown if is_complete and all(worker.workers == len(shown) for worker in shown) else None

    return wait_until(complete, bound, f"{name}'s workers")


def consul_sessions(consul, name):
    """The Consul sessions of instance `name`."""
    return [found for found in consul.api("GET", "/v1/session/list").json() if f"/{name}/" in found["Name"]]


@pytest.fixture(scope="module")
def key_of_module(session_consul, session_redis):
    """One key for the sites that the tests share."""
    config_key = f"{identity.KEY}-{uuid.uuid4()}"
    session_consul.put(config_key, document(session_redis))
    return config_key


@pytest.fixture(scope="module")
def steady(session_consul, key_of_module):
    """A site with two workers that nothing happens to."""
    environment = {"CONSUL_HTTP_ADDR": session_consul.address, "DEMO_CONFIG_KEY": key_of_module}
    with Site({**environment, "SERVICE_ID": "steady"}) as site:
        yield site.gunicorn(workers=2)


class Troubled:
    """Sites of two workers; one worker of each gets into trouble, all at the same time: the tests share the wait."""

    def __init__(self, consul, config_key, stack):
        self.consul, self.config_key = consul, config_key
        self.proxy = stack.enter_context(Proxy(consul.http_port))
        addresses = {"killed": consul.address, "stopped": consul.address, "cut-off": self.proxy.address}
        self.sites = {name: stack.enter_context(self._site(name, address)) for name, address in addresses.items()}
        for site in self.sites.values():
            site.gunicorn("--timeout", "120", workers=2, wait=False)
        self.before = {name: wait_published(consul, config_key, site) for name, site in self.sites.items()}
        os.kill(self.victim("killed"), signal.SIGKILL)
        os.kill(self.victim("stopped"), signal.SIGSTOP)
        stack.callback(os.kill, self.victim("stopped"), signal.SIGCONT)
        self.proxy.silence()
        self.since = time.monotonic()

    def _site(self, name, address):
        return Site({"CONSUL_HTTP_ADDR": address, "DEMO_CONFIG_KEY": self.config_key, "SERVICE_ID": name})

    def victim(self, name):
        return self.before[name][0].pid

    def wait_gone(self, name, gone):
        """Wait until none of these pids is shown any more, for what is left of the 30 s; return the instance."""
        left = GONE_WITHIN - (time.monotonic() - self.since)
        wait_until(lambda: not gone & pids(self.consul, self.config_key, name), left, f"{gone} of {name} to go")
        return fleet(self.consul, self.config_key).get(name)


@pytest.fixture(scope="module")
def troubled(session_consul, key_of_module):
    with contextlib.ExitStack() as stack:
        yield Troubled(session_consul, key_of_module, stack)


# A fleet that is well.


def test_every_worker_appears_with_what_it_runs(session_consul, key_of_module, steady):
    workers = wait_published(session_consul, key_of_module, steady)
    index = session_consul.index(key_of_module)
    assert [(each.instance, each.index, each.state, each.reason, each.workers) for each in workers] == [
        ("steady", index, "current", None, 2)
    ] * 2
    instance = fleet(session_consul, key_of_module)["steady"]
    assert (instance.count, instance.missing, instance.good) == ("2 of 2", 0, True)


def test_worker_says_when_it_started(session_consul, key_of_module, steady):
    worker = wait_published(session_consul, key_of_module, steady)[0]
    started = datetime.fromtimestamp(psutil.Process(worker.pid).create_time(), UTC)
    assert abs(datetime.fromisoformat(worker.started_at) - started) < timedelta(seconds=10)


def test_command_prints_one_row_for_each_worker_as_json(session_consul, key_of_module, steady):
    workers = wait_published(session_consul, key_of_module, steady)
    result = steady.command("effective_config", "--fleet", "--format", "json")
    assert result.status == 0, result.stderr
    rows = [row for row in json.loads(result.stdout) if row["instance"] == "steady"]
    assert [row["pid"] for row in rows] == [worker.pid for worker in workers]
    assert all(row.keys() == MEMBERS for row in rows)


def test_command_prints_a_table_and_how_many_workers_each_instance_should_have(steady, session_consul, key_of_module):
    wait_published(session_consul, key_of_module, steady)
    result = steady.command("effective_config", "--fleet")
    assert "steady: 2 of 2 workers, not registered" in result.stdout.splitlines()


def test_command_with_check_tells_by_its_status_whether_all_is_well(new_site, consul, redis, environment):
    site = new_site({**environment, "SERVICE_ID": "checked"}).gunicorn(workers=2)
    wait_published(consul, environment["DEMO_CONFIG_KEY"], site)

    def checked(**variables):
        done = site.command("effective_config", "--fleet", "--check", **variables)
        return done.status, done.stdout.splitlines()[-1:]

    index = consul.index(environment["DEMO_CONFIG_KEY"])
    assert checked() == (0, [f"All well: 1 instance, 2 workers on version {index}"])
    consul.put(environment["DEMO_CONFIG_KEY"], document(redis, show_message=7))
    rejected = consul.index(environment["DEMO_CONFIG_KEY"])
    said = f"Version {rejected} is rejected by 2 of 2 workers"
    wait_until(lambda: checked() == (1, [said]), 20, said)
    assert checked(CONSUL_HTTP_ADDR="127.0.0.1:1") == (69, [])


def test_check_without_the_fleet_is_a_mistake(steady):
    done = steady.command("effective_config", "--check")
    assert (done.status, done.stdout) == (64, "")
    assert "add --fleet" in done.stderr


@pytest.mark.parametrize(("variables", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_can_be_turned_off(steady, variables, is_coloured):
    done = steady.command("effective_config", "--fleet", "--force-color", **variables)
    assert ("\x1b[" in done.stdout) == is_coloured


def test_change_of_state_is_published_at_once(new_site, consul, redis, environment):
    config_key = environment["DEMO_CONFIG_KEY"]
    site = new_site({**environment, "SERVICE_ID": "changing"}).gunicorn(workers=2)
    wait_published(consul, config_key, site)

    def shown():
        return [(worker.state, worker.index) for worker in fleet(consul, config_key)["changing"].workers]

    def runs(state, index):
        # Long before the next renewal would bring it.
        wait_until(lambda: shown() == [(state, index)] * 2, publishing.RENEW_SECONDS * 0.6, f"{state} {index}")

    consul.put(config_key, document(redis, "another"))
    good = consul.index(config_key)
    runs("current", good)
    consul.put(config_key, document(redis, show_message=7))
    runs("rejected", good)
    worker = fleet(consul, config_key)["changing"].workers[0]
    assert "show_message" in worker.reason
    assert not fleet(consul, config_key)["changing"].good
    consul.delete(config_key)
    runs("stale", good)
    consul.put(config_key, document(redis))
    runs("current", consul.index(config_key))


def test_instance_says_how_many_workers_it_should_have_when_their_number_changes(new_site, consul, environment):
    config_key = environment["DEMO_CONFIG_KEY"]
    site = new_site({**environment, "SERVICE_ID": "growing"}).gunicorn(workers=1)
    wait_published(consul, config_key, site)
    for number, count in ((signal.SIGTTIN, "2 of 2"), (signal.SIGTTOU, "1 of 1")):
        site.signal(number)
        wait_until(lambda wanted=count: fleet(consul, config_key)["growing"].count == wanted, 20, count)


def test_clean_exit_removes_the_workers_at_once(new_site, consul, environment):
    config_key = environment["DEMO_CONFIG_KEY"]
    site = new_site({**environment, "SERVICE_ID": "leaving"}).gunicorn(workers=2)
    wait_published(consul, config_key, site)
    assert site.stop() == 0
    assert fleet(consul, config_key) == {}
    assert consul_sessions(consul, "leaving") == []


def test_reload_shows_the_new_workers_and_not_the_old_ones(new_site, consul, environment):
    site = new_site({**environment, "SERVICE_ID": "reloaded"}).gunicorn(workers=2)
    old = set(site.worker_pids())
    wait_published(consul, environment["DEMO_CONFIG_KEY"], site)
    site.signal(signal.SIGHUP)
    wait_until(lambda: not old & set(site.worker_pids()), 30, "the old workers to end")
    wait_published(consul, environment["DEMO_CONFIG_KEY"], site, bound=10)


def test_runserver_publishes_itself_under_the_port_that_it_serves(new_site, consul, environment):
    site = new_site(environment).runserver("--noreload")
    name = f"{identity.NAME}-{socket.gethostname()}-{site.port}"
    wait_until(lambda: pids(consul, environment["DEMO_CONFIG_KEY"], name) == {site.pid}, 10, "runserver")
    assert fleet(consul, environment["DEMO_CONFIG_KEY"])[name].count == "1 of 1"
    site.signal(signal.SIGINT)
    site.wait()
    assert fleet(consul, environment["DEMO_CONFIG_KEY"]) == {}


# Who dies, hangs, or is cut off.


@pytest.mark.slow
def test_killed_worker_disappears_and_its_replacement_is_there(troubled):
    assert troubled.wait_gone("killed", {troubled.victim("killed")}).count == "2 of 2"


@pytest.mark.slow
def test_stopped_worker_disappears_and_is_missed_and_comes_back(troubled):
    victim = troubled.victim("stopped")
    instance = troubled.wait_gone("stopped", {victim})
    assert (instance.count, instance.missing, instance.good) == ("1 of 2", 1, False)
    os.kill(victim, signal.SIGCONT)
    wait_published(troubled.consul, troubled.config_key, troubled.sites["stopped"], bound=15)


@pytest.mark.slow
def test_workers_cut_off_from_consul_disappear_and_come_back_with_it(troubled):
    site, before = troubled.sites["cut-off"], troubled.before["cut-off"]
    troubled.wait_gone("cut-off", {worker.pid for worker in before})
    assert site.get().status_code == 200
    troubled.proxy.pass_through()
    after = wait_published(troubled.consul, troubled.config_key, site, bound=20)
    assert [worker.started_at for worker in after] == [worker.started_at for worker in before]


def test_exit_does_not_wait_for_a_consul_that_is_silent(new_site, new_proxy, consul, environment):
    proxy = new_proxy(consul.http_port)
    site = new_site({**environment, "CONSUL_HTTP_ADDR": proxy.address, "SERVICE_ID": "hurried"}).gunicorn(workers=1)
    wait_published(consul, environment["DEMO_CONFIG_KEY"], site)
    proxy.silence()
    began = time.monotonic()
    assert site.stop() == 0
    assert time.monotonic() - began < 10


def test_published_again_after_consul_lost_its_state(new_site, own_consul, redis):
    own_consul.put(identity.KEY, document(redis))
    site = new_site({"CONSUL_HTTP_ADDR": own_consul.address, "SERVICE_ID": "again"}).gunicorn(workers=2)
    wait_published(own_consul, identity.KEY, site)
    own_consul.restart()
    own_consul.put(identity.KEY, document(redis))
    for worker in wait_published(own_consul, identity.KEY, site, bound=30):
        assert worker.reason is None or worker.state == "stale"
    assert site.log().count("This worker is not published") <= 2 * 2  # once for each kind of trouble


# A token without the rights.


@pytest.fixture(scope="module")
def acl_consul():
    with ConsulServer(acl=True) as server:
        yield server


WRITER = f'key_prefix "{identity.KEY}" {{ policy = "write" }} session_prefix "" {{ policy = "write" }}'
LACKING = {
    "session": f'key_prefix "{identity.KEY}" {{ policy = "write" }}',
    "key": f'key_prefix "{identity.KEY}" {{ policy = "read" }} session_prefix "" {{ policy = "write" }}',
}


@pytest.mark.parametrize("rules", LACKING.values(), ids=LACKING)
def test_token_without_rights_turns_publishing_off_with_one_line(new_site, acl_consul, redis, rules):
    acl_consul.put(identity.KEY, document(redis))
    token = acl_consul.token(rules)
    environment = {"CONSUL_HTTP_ADDR": acl_consul.address, "CONSUL_HTTP_TOKEN": token, "SERVICE_ID": "mute"}
    site = new_site(environment).gunicorn(workers=1)
    site.wait_logged("This worker is not published")
    time.sleep(1)
    (line,) = [line for line in site.log().splitlines() if "not published" in line]
    assert f"`session:write` on the agent's node and `key:write` on `{identity.KEY}.workers/mute/" in line
    assert site.get().status_code == 200
    assert site.ready()["config"]["state"] == "current"
    assert "mute" not in fleet(acl_consul, identity.KEY)


def test_rights_that_come_later_are_used(acl_consul, tmp_path, make_publisher):
    token_file = tmp_path / "token"
    token_file.write_text(acl_consul.token(LACKING["key"]))
    publisher = make_publisher(acl_consul, identity.KEY, "patient", CONSUL_HTTP_TOKEN_FILE=str(token_file))
    steps = publisher.steps()
    assert next(steps) == publishing.DENIED_SECONDS
    assert "key:write" in publisher.trouble
    assert next(steps) == publishing.DENIED_SECONDS
    token_file.write_text(acl_consul.token(WRITER))
    assert next(steps) < publishing.TTL_SECONDS
    assert publisher.trouble is None
    assert pids(acl_consul, identity.KEY, "patient") == {4711}


def test_command_says_why_it_shows_nothing(new_site, acl_consul):
    environment = {"CONSUL_HTTP_ADDR": f"127.0.0.1:{free_port()}", "DEMO_CONFIG_FILE": "deploy/local/document.json"}
    result = new_site(environment).command("effective_config", "--fleet")
    assert (result.status, result.stdout) == (os.EX_UNAVAILABLE, "")
    unknown = {**environment, "CONSUL_HTTP_ADDR": acl_consul.address, "CONSUL_HTTP_TOKEN": str(uuid.uuid4())}
    assert new_site(unknown).command("effective_config", "--fleet").status == os.EX_NOPERM


def test_command_says_what_publishing_needs_where_nobody_is_published(new_site, acl_consul, redis):
    acl_consul.put("nobody", document(redis))
    token = acl_consul.token('key_prefix "" { policy = "read" }')
    variables = {"CONSUL_HTTP_ADDR": acl_consul.address, "CONSUL_HTTP_TOKEN": token, "DEMO_CONFIG_KEY": "nobody"}
    result = new_site(variables).command("effective_config", "--fleet")
    assert result.status == 0, result.stderr
    assert "needs `session:write` and `key:write` on `nobody.workers/`" in result.stdout


def test_instance_that_may_not_register_itself_is_loud(new_site, acl_consul, redis):
    acl_consul.put(identity.KEY, document(redis))
    token = acl_consul.token(WRITER)  # no service:write
    environment = {"CONSUL_HTTP_ADDR": acl_consul.address, "CONSUL_HTTP_TOKEN": token, "SERVICE_ID": "refused"}
    site = new_site({**environment, "CONSUL_REGISTER": "1", "SERVICE_DRAIN_SECONDS": "0"}).gunicorn(workers=1)
    wait_published(acl_consul, identity.KEY, site)
    instance = fleet(acl_consul, identity.KEY)["refused"]
    assert (instance.registered, instance.lost, instance.good) == (False, True, False)
    printed = site.command("effective_config", "--fleet").stdout
    assert "refused: 1 of 1 workers, NOT REGISTERED, but it should be" in printed


# One publisher, step by step.


@pytest.fixture
def make_publisher(monkeypatch):
    """Make publishers of a worker with pid 4711; each is due at every step. They leave with the test."""
    made = []
    monkeypatch.setattr(publishing, "RENEW_SECONDS", 0)

    def make(consul, config_key, instance, worker=None, **environment):
        address = AgentAddress.from_environ({"CONSUL_HTTP_ADDR": consul.address, **environment})
        said, path = worker or a_worker(instance, 4711), key(config_key, instance, 4711)
        made.append(Publisher(lambda: said, lambda timeouts: Client(address, timeouts), path))
        return made[-1]

    yield make
    for publisher in made:
        publisher.leave()


def a_worker(instance, pid, **members):
    now = timestamp(datetime.now(UTC))
    stated = {"started_at": now, "index": 10, "state": "current", "reason": None, "workers": 4, "seen_at": now}
    return Worker(instance, pid, **{**stated, **members})


def test_renewing_writes_nothing(consul, config_key, make_publisher):
    publisher = make_publisher(consul, config_key, "idle")
    steps = publisher.steps()
    next(steps)
    written = consul.index(key(config_key, "idle", 4711))
    for _turn in range(5):
        next(steps)
    assert consul.index(key(config_key, "idle", 4711)) == written


def test_session_that_was_ended_is_replaced(consul, config_key, make_publisher):
    publisher = make_publisher(consul, config_key, "ended")
    steps = publisher.steps()
    next(steps)
    (found,) = consul_sessions(consul, "ended")
    consul.api("PUT", f"/v1/session/destroy/{found['ID']}")
    assert pids(consul, config_key, "ended") == set()
    next(steps)
    assert publisher.trouble is None
    assert pids(consul, config_key, "ended") == {4711}


def test_key_that_was_deleted_is_written_again(consul, config_key, make_publisher):
    steps = make_publisher(consul, config_key, "deleted").steps()
    next(steps)
    consul.delete(key(config_key, "deleted", 4711))
    for _turn in range(publishing.RENEWALS_PER_LOOK):
        next(steps)
    assert pids(consul, config_key, "deleted") == {4711}


def test_worker_with_the_pid_of_a_dead_one_is_published_when_that_one_is_gone(consul, config_key, make_publisher):
    dead, replacement = (make_publisher(consul, config_key, "restarted") for _ in range(2))
    next(dead.steps())
    steps = replacement.steps()
    assert next(steps) >= publishing.LEAST_BACKOFF_SECONDS
    assert "Another process holds the key" in replacement.trouble
    dead.leave()
    next(steps)
    assert replacement.trouble is None


def test_consul_that_is_away_is_asked_rarely(config_key, make_publisher, new_proxy, consul):
    proxy = new_proxy(consul.http_port)
    publisher = make_publisher(proxy, config_key, "waiting")
    steps = publisher.steps()
    next(steps)
    proxy.refuse()
    for _turn in range(5):
        assert publishing.LEAST_BACKOFF_SECONDS <= next(steps) <= publishing.MOST_BACKOFF_SECONDS
        assert "refused the connection" in publisher.trouble
    proxy.pass_through()
    next(steps)
    assert publisher.trouble is None


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Internal Server Error", "302 Found"])
def test_answer_that_is_not_consuls_is_trouble(config_key, make_publisher, new_proxy, consul, status):
    proxy = new_proxy(consul.http_port)
    publisher = make_publisher(proxy, config_key, "misled")
    steps = publisher.steps()
    next(steps)
    proxy.answer_http(status, "<!doctype html><title>Sign in</title>", Content_Type="text/html")
    proxy.cut()
    assert next(steps) >= publishing.LEAST_BACKOFF_SECONDS
    assert f"127.0.0.1:{proxy.port}" in publisher.trouble
    assert pids(consul, config_key, "misled") == {4711}


def test_fault_of_our_own_does_not_end_the_thread(consul, config_key, make_publisher, caplog):
    publisher = make_publisher(consul, config_key, "faulty")
    publisher._describe = lambda: 1 / 0
    waits = []

    def wait(pause):
        waits.append((pause, publisher.trouble))
        publisher._left = len(waits) == 2

    publisher._wait = wait
    publisher.run()
    assert [pause for pause, _trouble in waits] == [publishing.DENIED_SECONDS] * 2
    assert all(trouble.startswith("an unexpected ZeroDivisionError at publisher.py:") for _pause, trouble in waits)


# What the reader makes of it.


def test_site_that_runs_on_a_file_asks_no_consul(new_site, new_proxy, consul, redis, tmp_path):
    path = tmp_path / "document.json"
    path.write_text(json.dumps(document(redis)))
    proxy = new_proxy(consul.http_port)
    site = new_site({"CONSUL_HTTP_ADDR": proxy.address, "DEMO_CONFIG_FILE": str(path)}).gunicorn(workers=1)
    assert site.get().status_code == 200
    time.sleep(1)
    assert proxy.connections == 0


def test_worker_was_last_seen_when_its_session_was_known_to_live(consul, config_key, make_publisher):
    long_ago = "2026-01-01T00:00:00.000Z"
    worker = a_worker("quiet", 4711, seen_at=long_ago)
    next(make_publisher(consul, config_key, "quiet", worker).steps())
    consul.put(key(config_key, "unheld", 4711), worker.as_json())
    seen = datetime.fromisoformat(fleet(consul, config_key)["quiet"].workers[0].seen_at)
    assert timedelta(0) < datetime.now(UTC) - seen < timedelta(seconds=GONE_WITHIN)
    assert fleet(consul, config_key)["unheld"].workers[0].seen_at == long_ago


def test_registered_instance_without_workers_is_shown_as_missing_them(consul, config_key):
    consul.register(config_key, ID="silent", Port=8000, Check={"TTL": "10m", "Status": "passing"})
    instance = wait_until(lambda: fleet(consul, config_key, service=config_key).get("silent"))
    assert (instance.health, instance.count, instance.missing, instance.good) == ("passing", "0 of ?", 1, False)


# An entry that somebody else made, as Kubernetes' catalog sync does: on a node of its own, with an id of its own.


def sync(consul, service, address, *ids, status="passing"):
    for service_id in ids:
        entry = {
            "Node": "k8s-sync",
            "Address": "127.0.0.1",
            "NodeMeta": {"external-source": "kubernetes"},
            "Service": {"ID": service_id, "Service": service, "Address": address, "Port": 8000},
            "Check": {"CheckID": service_id, "Name": "readiness", "ServiceID": service_id, "Status": status},
            "SkipNodeUpdate": True,
        }
        assert consul.api("PUT", "/v1/catalog/register", json=entry).ok


@pytest.fixture
def synced(consul, config_key):
    yield lambda *arguments, **options: sync(consul, config_key, *arguments, **options)
    consul.api("PUT", "/v1/catalog/deregister", json={"Node": "k8s-sync"})


def put_worker(consul, config_key, instance, **members):
    consul.put(key(config_key, instance, 7), a_worker(instance, 7, workers=1, **members).as_json())


def healths(consul, config_key):
    return {name: each.health for name, each in fleet(consul, config_key, service=config_key).items()}


def test_entry_with_another_id_is_that_of_the_instance_at_its_address_and_port(consul, config_key, synced):
    put_worker(consul, config_key, "pod-1", address="10.0.0.1", port=8000)
    put_worker(consul, config_key, "pod-2", address="10.0.0.2", port=8000)
    put_worker(consul, config_key, "elsewhere", address="10.0.0.2", port=8001)
    synced("10.0.0.1", f"{config_key}-1a2b")
    synced("10.0.0.2", f"{config_key}-3c4d", status="critical")
    assert healths(consul, config_key) == {"pod-1": "passing", "pod-2": "critical", "elsewhere": None}
    assert fleet(consul, config_key, service=config_key)["pod-1"].good


def test_instance_that_is_registered_twice_is_shown_once_with_the_worse_health(consul, config_key, synced):
    """Its own entry says where it is, where its workers do not know: the local agent had told the address."""
    consul.register(config_key, ID="pod-1", Address="10.0.0.1", Port=8000, Check={"TTL": "10m", "Status": "passing"})
    put_worker(consul, config_key, "pod-1")
    synced("10.0.0.1", f"{config_key}-1a2b", status="critical")
    wait_until(lambda: healths(consul, config_key) == {"pod-1": "critical"})


def test_entry_at_an_address_of_two_instances_or_of_none_is_shown_by_itself(consul, config_key, synced):
    """Instances of two machines may both listen on 127.0.0.1."""
    for name in ("web-1", "web-2"):
        put_worker(consul, config_key, name, address="127.0.0.1", port=8000)
    put_worker(consul, config_key, "of-an-older-version")
    synced("127.0.0.1", "somebody")
    synced("10.0.0.9", "nobody")
    alone = {"somebody": "passing", "nobody": "passing"}
    assert healths(consul, config_key) == {"web-1": None, "web-2": None, "of-an-older-version": None, **alone}


def test_worker_says_where_others_reach_its_instance(session_consul, key_of_module, steady):
    for worker in wait_published(session_consul, key_of_module, steady):
        assert (worker.address, worker.port) == ("127.0.0.1", steady.port)


def test_health_is_the_worst_of_the_checks(consul, config_key):
    checks = [{"TTL": "10m", "Status": status} for status in ("passing", "critical", "warning")]
    consul.register(config_key, ID="ill", Port=8000, Checks=checks)
    assert wait_until(lambda: fleet(consul, config_key, service=config_key).get("ill")).health == "critical"


def test_health_is_that_of_the_node_too(consul, config_key):
    consul.register(config_key, ID="on-a-bad-node", Port=8000, Check={"TTL": "10m", "Status": "passing"})
    bad_node = {"Name": "disk", "ID": "disk", "TTL": "10m", "Status": "critical"}
    assert consul.api("PUT", "/v1/agent/check/register", json=bad_node).ok
    try:
        name = "on-a-bad-node"
        wait_until(lambda: fleet(consul, config_key, service=config_key)[name].health == "critical", message=name)
    finally:
        consul.api("PUT", "/v1/agent/check/deregister/disk")


def test_worker_that_believes_itself_current_with_another_version_than_consul_has_is_behind(consul, config_key):
    said = {1: ("current", 25), 2: ("current", 19), 3: ("rejected", 19), 4: ("file", None)}
    for pid, (state, index) in said.items():
        consul.put(key(config_key, "mixed", pid), a_worker("mixed", pid, state=state, index=index).as_json())
    with contextlib.closing(client_of(consul)) as client:
        (instance,) = overview(client, config_key, identity.NAME, stored_index=25).instances
        assert [worker.state for worker in instance.workers] == ["current", "behind", "rejected", "file"]
        assert instance.workers[1].reason == "Consul has version 25"
        assert [worker.good for worker in instance.workers] == [True, False, False, True]


def test_key_that_holds_something_else_is_shown_as_unreadable(consul, config_key):
    for value in (b"", b"[]", b"{", b'{"state": "current"}', b"\xff", b'{"index": "x"}', b"[" * 100_000):
        consul.put(key(config_key, "odd", 1), value)
        (worker,) = fleet(consul, config_key)["odd"].workers
        assert (worker.state, worker.pid, worker.good) == ("unreadable", 1, False)
    consul.put(f"{config_key}.workers/odd/not-a-pid", b"{}")
    consul.put(f"{config_key}.workers/1", b"{}")
    assert set(fleet(consul, config_key)) == {"odd"}
    assert fleet(consul, config_key)["odd"].count == "1 of ?"


def test_long_reason_is_cut(consul, config_key):
    """Where it is written, and where it is read: another version may have written it."""
    worker = a_worker("wordy", 1, reason="x" * 10_000)
    for value in (worker.as_json(), json.dumps(asdict(worker))):
        consul.put(key(config_key, "wordy", 1), value)
        assert len(fleet(consul, config_key)["wordy"].workers[0].reason) == 500


def test_five_hundred_workers_are_read_in_three_requests(consul, config_key, new_proxy):
    for number, workers in ((2, 5), (125, 500)):
        service = f"{config_key}-{workers}"
        for i in range(number):
            checks = [{"TTL": "10m", "Status": "passing", "CheckID": f"{service}-{i}-{n}"} for n in range(2)]
            consul.register(service, ID=f"{service}-{i}", Port=8000, Checks=checks)
        _put_all([a_worker(f"{service}-{n % number}", n + 1) for n in range(workers)], service, consul)

    def timed(service):
        began = time.thread_time()  # the site's own share, whoever else keeps the machine busy
        found = fleet(consul, service, service)
        return time.thread_time() - began, found

    wait_until(lambda: len(timed(f"{config_key}-500")[1]) == 125)
    pairs = [(timed(f"{config_key}-5"), timed(f"{config_key}-500")) for _ in range(15)]  # in turn
    few, many = zip(*pairs, strict=True)
    assert sum(len(instance.workers) for instance in many[0][1].values()) == 500
    assert all(instance.registered and instance.count == "4 of 4" for instance in many[0][1].values())
    proxy = new_proxy(consul.http_port)
    client = Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": proxy.address}))
    overview(client, f"{config_key}-500", f"{config_key}-500")
    client.close()
    assert len(re.findall(rb"GET /v1/", bytes(proxy.seen))) == 3
    ratio = statistics.median(seconds for seconds, _ in many) / statistics.median(seconds for seconds, _ in few)
    assert ratio < 15, "100 times the workers must cost far less than 100 times"


def _put_all(workers, config_key, consul):
    """Write the workers' keys as they would themselves, 60 in a transaction."""
    for start in range(0, len(workers), 60):
        operations = [
            {"KV": {"Verb": "set", "Key": key(config_key, each.instance, each.pid), "Value": _base64(each.as_json())}}
            for each in workers[start : start + 60]
        ]
        assert consul.api("PUT", "/v1/txn", json=operations).ok


def _base64(raw):
    return base64.b64encode(raw).decode()


GERMAN = {"Consul at %(place)s is away: %(reason)s.": "Consul ist weg, und zwar %(reason)s, bei %(place)s."}
REASON = _("the disk is full")
WHOLE = _("Consul at %(place)s is away: %(reason)s.", place="127.0.0.1", reason=REASON)


def german(template):
    return GERMAN.get(template, template)


# A worker publishes its reason as text and as a message, for readers of every version and language.


def published(**changes):
    """What a worker's key has, with these members changed; `...` takes one away."""
    worker = Worker("instance", 7, "2026-01-01", 3, "rejected", WHOLE, 1, seen_at="2026-01-01")
    members = json.loads(worker.as_json()) | changes
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


def reason_read(value):
    return parsed("instance/7", value).reason


def test_a_published_reason_is_read_as_the_message_that_it_was():
    reason = reason_read(published())
    assert reason == WHOLE
    assert reason.translated(german) == WHOLE.translated(german)


@pytest.mark.parametrize(
    "message", [..., None, "text", {}, REASON.as_json(), {"template": "%(a)s", "parameters": {}}], ids=repr
)
def test_a_reason_whose_message_is_missing_malformed_or_another_one_is_its_text(message):
    reason = reason_read(published(reason_message=message))
    assert reason == str(WHOLE)
    assert not isinstance(reason, Message)


def test_a_message_of_another_version_that_nobody_translates_is_shown_as_its_text():
    newer = _("a sentence of a newer version: %(why)s", why="x")
    reason = reason_read(published(reason=str(newer), reason_message=newer.as_json()))
    assert translated(reason, german) == "a sentence of a newer version: x"


def test_name_of_an_instance_in_consul_is_text_and_no_line_of_its_own():
    said = _sentence(Instance("evil\x1b[2J\n\u202ename\x9b", "passing", (), 1), no_style())
    assert said.isprintable() and "name" in said and "1 MISSING" in said
