"""Live configuration as users see it: gunicorn with four workers, and runserver. The full counts are in soak/."""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

import psutil
import pytest
import requests

from tests.support.binaries import PROJECT
from tests.support.documents import document
from tests.support.ports import free_port
from tests.support.processes import clean_environment
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until
from tests.support.workers import Load, Workers

COUNT = 4


@pytest.fixture
def proxy(consul, new_proxy):
    return new_proxy(consul.http_port)


@pytest.fixture
def start(environment, new_site):
    """Start a site with four workers and connect to each."""
    opened = []

    def make(through=None, **variables):
        variables = {**environment, **variables, **({"CONSUL_HTTP_ADDR": through.address} if through else {})}
        site = new_site(variables).gunicorn("--keep-alive", "600", workers=COUNT)
        opened.append(Workers(site, COUNT).find())
        return site, opened[-1]

    yield make
    for workers in opened:
        workers.close()


def server_clients(server):
    """The connections to the server, except the one that asks."""
    with server.client() as client:
        return len(client.client_list()) - 1


# Changes.


def test_change_reaches_every_worker_and_costs_no_request(start, consul, redis, config_key):
    site, workers = start()
    with Load(site, clients=2) as load:
        seconds = []
        for number in range(20):
            consul.put(config_key, document(redis, f"message {number}"))
            seconds.append(workers.wait_message(f"message {number}", bound=10))
    assert statistics.median(seconds) < 1  # milliseconds on an idle machine; the figures are in docs/reliability.md
    assert (load.failed, load.cut) == ([], 0)
    index = consul.index(config_key)
    workers.wait_state("current", index=index, rejected=None, reason=None)
    assert len(set(site.worker_pids())) == COUNT


@pytest.mark.parametrize("arguments", [["--noreload"], []])
def test_runserver_follows_without_a_restart(environment, new_site, consul, redis, config_key, arguments):
    site = new_site(environment).runserver(*arguments)
    pid = site.ready()["pid"]
    consul.put(config_key, document(redis, "second"))
    wait_until(lambda: site.get("/").text.startswith("second!"), message="the new message")
    consul.put(config_key, "{")
    wait_until(lambda: site.ready()["config"]["state"] == "rejected", message="the bad document to be rejected")
    assert site.get("/").text.startswith("second!")
    assert site.ready()["pid"] == pid


def test_swap_between_two_servers_under_load_loses_no_request(start, consul, redis, own_redis, config_key):
    servers = {"one": redis, "two": own_redis}
    consul.put(config_key, document(redis, "one"))
    site, workers = start()
    workers.wait_message("one")
    before = {name: server.hits() for name, server in servers.items()}
    with Load(site, clients=8) as load:
        for name in ("two", "one") * 4:
            consul.put(config_key, document(servers[name], name))
            workers.wait_state("current", index=consul.index(config_key))
            time.sleep(0.1)
    assert (load.failed, load.cut) == ([], 0)
    load.assert_numbers_unique()
    for name, server in servers.items():
        served = sum(message == name for message, _ in load.served)
        assert server.hits() - before[name] == served
    wait_until(lambda: server_clients(own_redis) == 0, 10, "the connections to the unused server to be closed")


def test_password_rotation_costs_no_request(start, consul, own_redis, config_key):
    consul.put(config_key, document(own_redis))
    site, workers = start()
    with Load(site, clients=8) as load:
        for number in range(3):
            old, new = own_redis.password, GUARD.new(f"Redis password {number}")
            with own_redis.client() as client:
                client.execute_command("ACL", "SETUSER", "default", f">{new}")
            own_redis.password = new
            consul.put(config_key, document(own_redis))
            workers.wait_state("current", index=consul.index(config_key))
            with own_redis.client() as client:
                client.execute_command("ACL", "SETUSER", "default", f"<{old}")
    assert (load.failed, load.cut) == ([], 0)
    load.assert_numbers_unique()
    with own_redis.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)  # whoever connects now needs the last password
    assert {connection.get()[0] for connection in workers.by_pid.values()} == {200}


# Documents that cannot take effect.


def test_bad_documents_change_nothing_are_explained_and_the_next_good_one_works(start, consul, redis, config_key):
    site, workers = start()
    silent = document(redis) | {"redis_config": redis.document(redis_port=free_port())}
    wrong = document(redis) | {"redis_config": redis.document(redis_password=GUARD.new("a wrong password"))}
    with Load(site, clients=2) as load:
        for bad, path in [
            ("{", "(document)"),
            ({"show_message": 5}, "show_message"),
            (silent, "redis_config.redis_host"),
            (wrong, "redis_config.redis_password"),
        ]:
            consul.put(config_key, bad)
            index = consul.index(config_key)
            for state in workers.wait_state("rejected", bound=5):
                assert state["rejected"]["index"] <= index
            wait_until(
                lambda index=index: {r["config"]["rejected"]["index"] for r in workers.ready().values()} == {index},
                5,
                "each worker to say why",
            )
            for ready in workers.ready().values():
                assert any(fault.startswith(f"{path}: ") for fault in ready["config"]["rejected"]["faults"])
        assert {connection.get("/readyz")[0] for connection in workers.by_pid.values()} == {200}
        consul.put(config_key, document(redis, "good again"))
        workers.wait_message("good again", bound=10)
    assert (load.failed, load.cut) == ([], 0)


def test_effective_config_calls_no_document_current_that_the_workers_rejected(start, consul, redis, config_key):
    site, workers = start()
    in_force = consul.index(config_key)
    consul.put(config_key, document(redis) | {"redis_config": redis.document(redis_port=free_port())})
    workers.wait_state("rejected", bound=10)

    def said():
        rows = json.loads(site.command("effective_config", "--format", "json").stdout)
        [row] = [row for row in rows if row["setting"] == "document"]
        assert row["value"].startswith("valid, as Consul has it now; its Redis was not asked")
        assert row["origin"].endswith(f"ModifyIndex {consul.index(config_key)}")
        return row["value"]

    wait_until(lambda: said().endswith(f"; workers: {COUNT} rejected on version {in_force}"), 30, "the workers' words")


# Consul away.


def requests_seen(proxy):
    """All requests to Consul, not only those of the watch."""
    return proxy.seen.count(b" HTTP/1.1\r\n")


HTML = "<!doctype html><title>Sign in</title>"
AWAY = {
    "500": lambda proxy: proxy.answer_http("500 Internal Server Error", "rpc error"),
    "HTML": lambda proxy: proxy.answer_http("200 OK", HTML, Content_Type="text/html"),
}


def test_failing_consul_is_asked_once_a_second_and_the_watch_is_back(start, proxy, consul, redis, config_key):
    site, workers = start(proxy, CONSUL_REGISTER="1", SERVICE_DRAIN_SECONDS="0")
    with Load(site, clients=2, pause=0.01) as load:
        for name, fault in AWAY.items():
            fault(proxy)
            proxy.cut()
            workers.wait_state("stale", bound=10)
            before, began = requests_seen(proxy), time.monotonic()
            time.sleep(4)
            asked, seconds = requests_seen(proxy) - before, time.monotonic() - began
            assert asked <= COUNT * (seconds + 1), f"{name}: {asked} requests in {seconds:.1f} s"
            consul.put(config_key, document(redis, f"after {name}"))
            proxy.pass_through()
            workers.wait_message(f"after {name}", bound=10)
    assert (load.failed, load.cut) == ([], 0)
    workers.wait_state("current")


def test_deleted_key_is_stale_and_does_not_spin(start, proxy, consul, redis, config_key):
    _, workers = start(proxy)
    consul.delete(config_key)
    for state in workers.wait_state("stale", bound=10):
        assert re.fullmatch(r"since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC: .* was deleted", state["reason"])
    asked, began = f"GET /v1/kv/{config_key}".encode(), time.monotonic()
    before = proxy.seen.count(asked)
    for number in range(30):
        consul.put("some-other-key", str(number))
        time.sleep(0.1)
    assert proxy.seen.count(asked) - before <= COUNT * (time.monotonic() - began + 1)
    assert {connection.get()[0] for connection in workers.by_pid.values()} == {200}
    consul.put(config_key, document(redis, "put again"))
    workers.wait_message("put again", bound=10)


def test_consul_stopped_and_back_with_an_empty_state(start, own_consul, redis, config_key):
    for number in range(20):
        own_consul.put(config_key, document(redis, f"before {number}"))
    site, workers = start(own_consul)
    index = own_consul.index(config_key)
    with Load(site, clients=2, pause=0.01) as load:
        own_consul.kill()
        workers.wait_state("stale", bound=10)
        own_consul.start()
        own_consul.put(config_key, document(redis, "after"))
        workers.wait_message("after", bound=10)
    assert (load.failed, load.cut) == ([], 0)
    assert own_consul.index(config_key) < index
    workers.wait_state("current", index=own_consul.index(config_key))


def test_worker_that_nobody_made_follow_does_not_claim_to_be_current(environment, new_site, tmp_path):
    """gunicorn that was started in another directory finds no gunicorn.conf.py, and no watch is started."""
    settings = tmp_path / "nothing.py"
    settings.touch()
    site = new_site(environment).gunicorn(
        "--config", str(settings), "--worker-class", "demo_site.serving.worker.Worker"
    )
    ready = site.get("/readyz")
    config = ready.json()["config"]
    assert (ready.status_code, config["state"]) == (200, "stale")
    assert "this process does not follow the key: gunicorn.conf.py" in config["reason"]


# Workers that are replaced.


@pytest.mark.parametrize("trouble", ["bad document", "redis of a newer one out of reach", "deleted key", "outage"])
def test_killed_worker_comes_back_with_the_value_in_force(start, proxy, consul, redis, config_key, trouble):
    site, workers = start(proxy)
    consul.put(config_key, document(redis, "in force"))
    workers.wait_message("in force", bound=10)
    index = consul.index(config_key)
    state = "stale"
    if trouble == "deleted key":
        consul.delete(config_key)
    elif trouble == "outage":
        proxy.refuse()
    else:
        newer = document(redis, "newer") | {"redis_config": redis.document(redis_port=free_port())}
        consul.put(config_key, "{" if trouble == "bad document" else newer)
        state = "rejected"
    workers.wait_state(state, bound=10)
    for pid in list(workers.by_pid)[:2]:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: not psutil.pid_exists(pid), 10, "the worker to be gone")
        wait_until(lambda: len(site.worker_pids()) == COUNT, 30, "a new worker")
        workers.find()
        workers.wait_message("in force", bound=10)
    workers.wait_state(state, bound=10, index=index)
    assert site.running


def test_hup_replaces_all_workers_with_the_value_in_force(start, consul, redis, config_key):
    site, workers = start()
    consul.put(config_key, document(redis, "in force"))
    workers.wait_message("in force", bound=10)
    consul.put(config_key, "{")
    workers.wait_state("rejected", bound=10)
    before = set(workers.by_pid)
    site.signal(signal.SIGHUP)
    wait_until(lambda: len(site.worker_pids()) == COUNT and not before & set(site.worker_pids()), 60, "new workers")
    workers.find().wait_message("in force", bound=10)
    workers.wait_state("rejected", bound=10)


def test_worker_that_ends_after_its_requests_hands_the_value_on(
    environment, new_site, proxy, consul, redis, config_key
):
    site = new_site(environment | {"CONSUL_HTTP_ADDR": proxy.address})
    site.gunicorn("--max-requests", "60", workers=2)
    consul.put(config_key, document(redis, "in force"))
    wait_until(lambda: site.ready()["config"]["index"] == consul.index(config_key), message="the change to be seen")
    consul.put(config_key, "{")
    wait_until(lambda: site.ready()["config"]["state"] == "rejected", message="the bad document to be rejected")
    before = set(site.worker_pids())

    def both_have_it():  # without a session each request may meet another worker
        return all(site.get("/", session=requests).text.startswith("in force!") for _ in range(20))

    wait_until(both_have_it, message="both workers to have the value")
    proxy.refuse()
    with Load(site, clients=4) as load:
        wait_until(lambda: not before & set(site.worker_pids()), 120, "the replacement of both workers")
        pages = len(load.served)
        wait_until(lambda: len(load.served) > pages + 100, 60, "100 pages more")
    assert load.failed == []
    assert {message for message, _ in load.served} == {"in force"}


def test_workers_import_nothing_of_the_site_when_they_serve(environment):
    """Threads that import at once get half-initialised modules: the first visitors would see a 500."""
    program = """if True:
        import asyncio, sys
        from demo_site.asgi import application
        before = set(sys.modules)
        async def send(message):
            assert message.get("status", 200) == 200
        for path in ("/", "/livez", "/readyz", "/metrics"):
            scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"accept", b"text/plain")]}
            asyncio.run(application(scope, None, send))
        new = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(sorted(new & {"demo_site", "counter", "redis", "django_redis"}))
    """
    command = [sys.executable, "-c", program]
    variables = {**clean_environment(PROJECT), **environment, "DJANGO_SECRET_KEY": GUARD.new("DJANGO_SECRET_KEY")}
    result = subprocess.run(command, cwd=PROJECT, env=variables, capture_output=True, text=True, timeout=60)  # noqa: S603 (our own command)
    assert (result.stdout, result.stderr) == ("[]\n", "")


# What it leaves behind.


def test_swaps_leave_no_socket_and_say_one_line_each(start, consul, redis, config_key):
    with RedisServer() as other:
        site, workers = start()
        workers.wait_message(document(redis)["show_message"])
        sockets, lines = workers.sockets(), len(site.log().splitlines())
        for server in (other, redis) * 10:
            consul.put(config_key, document(server))
            workers.wait_state("current", index=consul.index(config_key))
            for connection in workers.by_pid.values():
                assert connection.get()[0] == 200
        grown = {pid: count - sockets[pid] for pid, count in workers.sockets().items()}
        assert max(grown.values()) <= 3, grown
        wait_until(lambda: server_clients(other) == 0, 10, "the connections to the unused server to be closed")
        said = site.log().splitlines()[lines:]
        assert len(said) <= 20 * COUNT, "\n".join(said[:20])
        assert not re.search("ERROR|Traceback", "\n".join(said))
        assert json.dumps(redis.password) not in site.log()
