"""Registration as desired state: whatever happens to the entry, it is repaired, and not written more often."""

import json
import os
import signal
import socket
import time
from types import SimpleNamespace

import psutil
import pytest
import requests

from demo_site.consul_agent import services
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Client
from demo_site.consul_agent.durations import seconds
from demo_site.consul_agent.errors import Garbled
from demo_site.environment import Environment
from demo_site.identity import KEY
from demo_site.identity import METRICS_PREFIX as PREFIX
from demo_site.instance import listeners
from demo_site.registration import keep
from demo_site.registration.definition import define
from demo_site.registration.keep import Keeper
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.membership import NAME, check_statuses, registrations, seconds_until_passing, service_id
from tests.support.waiting import wait_until
from tests.test_metrics import value

REPAIR_SECONDS = 5
ANY = "0.0.0.0"  # noqa: S104 (what is under test)


@pytest.fixture
def new_member(environment, new_site):
    """Make instances that register themselves."""
    return lambda **variables: new_site(
        {**environment, "CONSUL_REGISTER": "1", "SERVICE_DRAIN_SECONDS": "0.2", **variables}
    )


@pytest.fixture
def member(new_member, new_proxy, consul):
    """A registered instance that reaches Consul through `member.proxy`."""
    proxy = new_proxy(consul.http_port)
    site = new_member(CONSUL_HTTP_ADDR=proxy.address)
    site.proxy = proxy
    site.gunicorn(workers=2)
    seconds_until_passing(consul)
    return site


def repaired(consul, is_right):
    """Seconds until the agent's entry is right again."""
    began = time.monotonic()
    wait_until(lambda: is_right(consul.agent_services()), 30, "the repair")
    return time.monotonic() - began


# Healing.


@pytest.mark.parametrize("check", ["http", "ttl"])
def test_agent_that_lost_its_state_gets_the_entry_back(own_consul, redis, new_member, check):
    own_consul.put(KEY, document(redis))
    site = new_member(CONSUL_HTTP_ADDR=own_consul.address, DEMO_CONFIG_KEY=KEY, SERVICE_CHECK=check)
    site.gunicorn(workers=2)
    seconds_until_passing(own_consul)
    for _ in range(2):
        own_consul.restart()
        assert seconds_until_passing(own_consul) < REPAIR_SECONDS


def test_catalog_that_loses_the_entry_again_and_again_gets_it_again(member, consul):
    """From the keeper: the agent itself tells it once, and compares its entries with the catalog once a minute."""
    for _ in range(3):
        [found] = consul.catalog(NAME)
        entry = {"Node": found["Node"], "ServiceID": found["ServiceID"]}
        assert consul.api("PUT", "/v1/catalog/deregister", json=entry).ok
        wait_until(lambda: consul.catalog(NAME), 20, "the entry to return")
    wait_until(lambda: value(member, f"{PREFIX}_registration_ok") == 1, 20, "the registration to be kept")


@pytest.mark.parametrize("origin", ["file", "snapshot"])
def test_consul_that_starts_after_the_site_finds_it(own_consul, redis, new_site, origin):
    site = new_site({"CONSUL_HTTP_ADDR": own_consul.address, "CONSUL_REGISTER": "1", "SERVICE_DRAIN_SECONDS": "0"})
    start_without_consul(site, own_consul, redis, origin)
    time.sleep(2)
    assert site.get("/").status_code == 200, "a site serves without Consul"
    own_consul.start()
    assert seconds_until_passing(own_consul) < REPAIR_SECONDS
    site.wait_logged("is kept again")
    lines = [line for line in site.log().splitlines() if "registration.keep: The registration" in line]
    assert len(lines) == 2, "one line when it begins, one when it ends"
    assert "refused the connection" in lines[0] and lines[1].endswith("is kept again")


def test_failing_consul_is_asked_less_than_once_a_second(environment, new_site, new_proxy, consul):
    """By the one worker that does all: it follows the key, publishes itself and keeps the entry."""
    proxy = new_proxy(consul.http_port)
    site = new_site({**environment, "CONSUL_HTTP_ADDR": proxy.address, "CONSUL_REGISTER": "1"})
    site.gunicorn()
    seconds_until_passing(consul)
    proxy.answer_http("500 Internal Server Error", "rpc error")
    proxy.cut()
    for trouble in ("cannot be kept", "is not published"):
        site.wait_logged(trouble)
    before, began = proxy.seen.count(b" HTTP/1.1\r\n"), time.monotonic()
    time.sleep(20)
    asked = proxy.seen.count(b" HTTP/1.1\r\n") - before
    assert 5 < asked <= time.monotonic() - began
    proxy.pass_through()
    consul.deregister_all()
    assert seconds_until_passing(consul) < REPAIR_SECONDS


def test_agent_that_comes_back_at_another_address_is_asked_for_it(own_consul, redis, new_site):
    """Bound to every address, the instance registers the one that its agent advertises."""
    own_consul.put(KEY, document(redis))
    site = new_site({"CONSUL_HTTP_ADDR": own_consul.address, "CONSUL_REGISTER": "1", "SERVICE_DRAIN_SECONDS": "0"})
    site.address = f"{ANY}:{site.port}"
    site.gunicorn()
    seconds_until_passing(own_consul)
    own_consul.advertised = "127.0.0.2"
    own_consul.restart()
    wait_until(lambda: _addresses(own_consul) == ["127.0.0.2"], 15, "the new address")
    seconds_until_passing(own_consul)


def _addresses(consul):
    return [entry["ServiceAddress"] for entry in consul.catalog(NAME)]


def test_entry_that_does_not_reach_the_catalog_is_not_registered(redis, new_site):
    """The agent has no ACLs and takes it; the servers refuse what the token behind it may not write."""
    rules = 'key_prefix "" { policy = "read" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
    with ConsulServer(acl=True) as server, ConsulServer(joins=server) as agent:
        server.put(KEY, document(redis))
        variables = {"CONSUL_HTTP_ADDR": agent.address, "CONSUL_HTTP_TOKEN": server.token(rules)}
        site = new_site({**variables, "CONSUL_REGISTER": "1", "SERVICE_DRAIN_SECONDS": "0"}).gunicorn()
        site.wait_logged("the catalog does not show it")
        assert list(agent.agent_services()) and server.catalog(NAME) == []
        errors = value(site, f"{PREFIX}_registration_errors_total")
        wait_until(lambda: value(site, f"{PREFIX}_registration_errors_total") >= errors + 2, message="two more looks")
        assert value(site, f"{PREFIX}_registration_ok") == 0
        assert site.log().count("the catalog does not show it") == 1
        assert value(site, f"{PREFIX}_registration_writes_total") == 1, "what the agent has is not written again"


WRITES = {
    "register": lambda client: services.register(client, {"Name": NAME}),
    "update_check": lambda client: services.update_check(client, "a", "passing", ""),
    "remove_check": lambda client: services.remove_check(client, "a"),
    "agent_entry": lambda client: services.agent_entry(client, "a"),
    "deregister": lambda client: services.deregister(client, "a"),
}


@pytest.mark.parametrize("body", ["", "404 page not found", "<!doctype html><title>Not Found</title>", "{}"])
@pytest.mark.parametrize("what", WRITES)
def test_what_answers_404_to_all_is_no_consul(new_proxy, consul, what, body):
    proxy = new_proxy(consul.http_port)
    proxy.answer_http("404 Not Found", body)
    client = Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": proxy.address}))
    with pytest.raises(Garbled, match=f"What listens at http://{proxy.address} "):
        WRITES[what](client)
    client.close()


def start_without_consul(site, consul, redis, origin):
    """Kill Consul and start the site on a file, or on the snapshot that it kept when it ran with Consul."""
    path = site.directory / "kept.json"
    if origin == "file":
        path.write_text(json.dumps(document(redis)))
        site.environment["DEMO_CONFIG_FILE"] = str(path)
    else:
        consul.put(KEY, document(redis))
        site.environment["DEMO_CONFIG_SNAPSHOT"] = str(path)
        site.gunicorn()
        seconds_until_passing(consul)
        wait_until(path.exists, message="the snapshot")
        site.stop()
        site.log_path.unlink()
    consul.kill()
    site.gunicorn()
    assert site.ready()["config"]["state"] == origin


def _deregister(consul, entry):
    consul.api("PUT", f"/v1/agent/service/deregister/{entry['ID']}")


def _register(consul, entry, **changes):
    body = {"ID": entry["ID"], "Name": entry["Service"], "Address": entry["Address"], "Port": entry["Port"]}
    body |= {"Tags": entry["Tags"], "Meta": entry["Meta"], **changes}
    assert consul.api("PUT", "/v1/agent/service/register", json=body).ok


def _other_check(consul, entry):
    """The check as it was named, done in another way."""
    found = consul.api("GET", "/v1/agent/checks").json()[f"service:{entry['ID']}:ready"]
    body = {"ID": found["CheckID"], "Name": found["Name"], "ServiceID": entry["ID"], "TTL": "1h"}
    assert consul.api("PUT", "/v1/agent/check/register", json=body).ok


def _no_check(consul, entry):
    consul.api("PUT", f"/v1/agent/check/deregister/service:{entry['ID']}:live")


CHANGES = {
    "removed": _deregister,
    "tags": lambda consul, entry: _register(consul, entry, Tags=["other"]),
    "meta": lambda consul, entry: _register(consul, entry, Meta={"version": "0"}),
    "port": lambda consul, entry: _register(consul, entry, Port=1),
    "weights": lambda consul, entry: _register(consul, entry, Weights={"Passing": 7, "Warning": 1}),
    "another check": _other_check,
    "no check": _no_check,
}


def test_change_by_hand_is_repaired_with_one_registration(member, consul):
    wanted, checks = consul.agent_services(), _check_notes(consul)
    [entry] = wanted.values()
    for number, (what, change) in enumerate(CHANGES.items(), 2):
        change(consul, entry)
        assert consul.agent_services() != wanted or _check_notes(consul) != checks, what
        took = repaired(consul, lambda found: found == wanted and _check_notes(consul) == checks)
        assert took < REPAIR_SECONDS, what
        assert seconds_until_passing(consul) < 1, what
        assert registrations(member.proxy) == number, what
    time.sleep(5.5)  # two more looks
    assert registrations(member.proxy) == 1 + len(CHANGES), "an undisturbed instance writes nothing"


def _check_notes(consul):
    return {name: check["Notes"] for name, check in consul.api("GET", "/v1/agent/checks").json().items()}


def test_foreign_check_is_removed_and_costs_no_registration(member, consul):
    before = registrations(member.proxy)
    body = {"ID": "mine", "Name": "mine", "ServiceID": service_id(consul), "TTL": "1h"}
    consul.api("PUT", "/v1/agent/check/register", json=body)
    wait_until(lambda: "mine" not in _check_notes(consul), 6, "the check to go")
    assert registrations(member.proxy) == before


def test_maintenance_is_the_operators_word(member, consul):
    before = registrations(member.proxy)
    consul.api("PUT", f"/v1/agent/service/maintenance/{service_id(consul)}?enable=true&reason=disk")
    time.sleep(3.5)
    assert consul.health(NAME, passing=True) == []
    assert registrations(member.proxy) == before


def test_token_that_becomes_valid_later_is_enough(redis, new_member, tmp_path):
    with ConsulServer(acl=True) as consul:
        consul.put(KEY, document(redis))
        token = tmp_path / "token"
        token.write_text(consul.token('key_prefix "" { policy = "read" }'))
        site = new_member(CONSUL_HTTP_ADDR=consul.address, CONSUL_HTTP_TOKEN_FILE=str(token), DEMO_CONFIG_KEY=KEY)
        site.gunicorn()
        site.wait_logged("cannot be kept: Consul")
        rules = 'key_prefix "" { policy = "read" } service_prefix "" { policy = "write" }'
        token.write_text(consul.token(rules))
        assert seconds_until_passing(consul) < REPAIR_SECONDS
        assert site.log().count("cannot be kept") == 1


def test_ttl_beats_carry_the_verdict_of_readyz(new_member, consul, own_redis, config_key):
    consul.put(config_key, document(own_redis))
    new_member(SERVICE_CHECK="ttl", SERVICE_CHECK_INTERVAL="1s").gunicorn()
    seconds_until_passing(consul)
    own_redis.pause()
    wait_until(lambda: check_statuses(consul) == {"ready": "critical", "alive": "passing"}, 10, "critical")
    wait_until(lambda: '"not ready"' in _output(consul), 10, "the reason in the output")
    own_redis.resume()
    seconds_until_passing(consul, bound=10)


@pytest.mark.parametrize("interval", ["1s", "3s", "10s"])
def test_beat_that_is_lost_does_not_turn_the_check_critical(consul, new_proxy, monkeypatch, interval):
    """The keeper's clock is moved by what it yields, so the machine's speed does not matter."""
    proxy, now = new_proxy(consul.http_port), [0.0]
    monkeypatch.setattr(keep, "time", SimpleNamespace(monotonic=lambda: now[0]))
    definition = define(Environment({"SERVICE_PORT": "1"}), check="ttl", interval=interval, timeout="100ms")
    steps = Keeper(Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": proxy.address})), definition).steps()
    beaten_at, longest = 0.0, 0.0
    for number in range(40):
        is_lost = number % 5 == 4
        proxy.answer_http("500 Internal Server Error") if is_lost else proxy.pass_through()
        proxy.cut()
        before = proxy.seen.count(b"PUT /v1/agent/check/update/")
        pause = next(steps)
        if proxy.seen.count(b"PUT /v1/agent/check/update/") > before:
            longest, beaten_at = max(longest, now[0] - beaten_at), now[0]
        now[0] += pause
    [ttl] = {check["TTL"] for check in definition.payload()["Checks"]}
    assert seconds(ttl) == 2 * seconds(interval)
    assert longest <= 0.8 * seconds(ttl)


def _output(consul):
    checks = consul.api("GET", "/v1/agent/checks").json()
    return checks[f"service:{service_id(consul)}:ready"]["Output"]


# One keeper.


def test_one_worker_keeps_and_another_takes_over(new_member, new_proxy, consul):
    proxy = new_proxy(consul.http_port)
    site = new_member(CONSUL_HTTP_ADDR=proxy.address)
    site.gunicorn(workers=4)
    seconds_until_passing(consul)
    for count in (1, 2):
        lines = wait_until(lambda: _registered_lines(site, count), 30, f"{count} registrations in the log")  # noqa: B023
        keeper = lines[-1].split("[")[1].split("]")[0]
        os.kill(int(keeper), signal.SIGKILL)
        before = registrations(proxy)
        consul.deregister_all()
        assert seconds_until_passing(consul) < REPAIR_SECONDS + 1
        assert registrations(proxy) == before + 1
    lines = wait_until(lambda: _registered_lines(site, 3), 30, "3 registrations in the log")
    assert len({line.split("[")[1] for line in lines}) == 3


def _registered_lines(site, count):
    """The lines of the registrations, once there are `count` of them: the log may come after the fact."""
    lines = [line for line in site.log().splitlines() if "INFO demo_site.registration.keep: Registered" in line]
    return lines if len(lines) >= count else None


def test_registration_stays_while_the_workers_are_killed(member, consul):
    for _ in range(3):
        for pid in member.worker_pids():
            os.kill(pid, signal.SIGKILL)
        wait_until(member.is_alive, ignoring=(requests.RequestException,))
    time.sleep(3)
    assert registrations(member.proxy) == 1


# Identity.


@pytest.mark.parametrize(
    ("check", "kill"),
    [("http", os.killpg), ("ttl", os.killpg), ("ttl", os.kill)],
    ids=["http", "ttl", "the master alone"],
)
def test_crashed_instance_turns_critical_and_is_replaced(new_member, consul, check, kill):
    """Workers that have lost their master end: they would keep the entry, and the port from the next start."""
    site = new_member(SERVICE_CHECK=check, SERVICE_CHECK_INTERVAL="4s")
    site.gunicorn()
    seconds_until_passing(consul)
    kill(site.pid, signal.SIGKILL)
    site.wait()
    wait_until(lambda: check_statuses(consul)["ready"] == "critical", 2 * 4 + 3, "critical within two intervals")
    assert list(consul.agent_services()) == [f"{NAME}-{socket.gethostname()}-{site.port}"]
    site.gunicorn()
    seconds_until_passing(consul)
    assert len(consul.health(NAME)) == len(consul.catalog(NAME)) == 1


def test_address_and_port_are_where_gunicorn_is_bound(member, consul):
    [entry] = consul.catalog(NAME)
    assert (entry["ServiceAddress"], entry["ServicePort"]) == ("127.0.0.1", member.port)


@pytest.mark.parametrize(("bind", "address"), [(ANY, "127.0.0.1"), ("[::]", "127.0.0.1"), ("[::1]", "::1")])
def test_bind_that_others_cannot_use_is_replaced(new_member, consul, bind, address):
    site = new_member()
    site.address = f"{bind}:{site.port}"
    if bind == "[::1]":
        site.url = f"http://{site.address}"
    site.gunicorn()
    seconds_until_passing(consul)
    [entry] = consul.catalog(NAME)
    assert (entry["ServiceAddress"], entry["ServicePort"]) == (address, site.port)
    assert site.stop() == 0
    assert consul.catalog(NAME) == []


@pytest.fixture
def listening():
    """A socket on every address, as gunicorn would hold it."""
    with socket.create_server((ANY, 0)) as listener:
        listeners.remember([listener])
        yield listener.getsockname()[1]
    listeners.remember([])


def test_definition_defaults_to_where_gunicorn_listens(listening):
    definition = define(Environment({}), address="10.1.2.3")
    assert (definition.port, definition.id) == (listening, f"{NAME}-{socket.gethostname()}-{listening}")
    assert define(Environment({"SERVICE_PORT": "81"}), address="10.1.2.3").port == 81


def test_rows_say_that_the_bind_decided(environment, new_site):
    script = (
        "import dataclasses, json, socket\n"
        "from django.conf import settings\n"
        "from demo_site.monitoring import effective\n"
        "from demo_site.instance import listeners\n"
        f"listeners.remember([socket.create_server(({ANY!r}, 0))])\n"
        "rows = effective.rows(settings.CONFIGURATION)\n"
        "print(json.dumps([listeners.bound().port, *(dataclasses.asdict(row) for row in rows)]))"
    )
    port, *rows = json.loads(new_site(environment).command("shell", "-v0", "-c", script).stdout)
    found = {row["setting"]: row for row in rows}
    assert found["SERVICE_PORT"]["value"] == port
    assert found["SERVICE_ADDRESS"]["value"] == "(the address that the local Consul agent advertises)"
    for name in ("SERVICE_ADDRESS", "SERVICE_PORT"):
        assert found[name]["origin"] == f"gunicorn bind {ANY}:{port}"


def test_unix_socket_is_no_address(new_member, tmp_path):
    site = new_member()
    site.address = f"unix:{tmp_path}/socket"
    ended = site.failing_gunicorn()
    assert ended.status == os.EX_CONFIG
    assert "set SERVICE_ADDRESS and SERVICE_PORT" in ended.stderr


def test_interval_that_would_make_the_keeper_spin_ends_the_start(new_member):
    ended = new_member(SERVICE_CHECK_INTERVAL="1ms").failing_gunicorn()
    assert ended.status == os.EX_CONFIG
    assert "interval: must be a duration of at least 1s" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["my_demo", "a.b", "-a"])
def test_name_that_is_no_dns_label_ends_the_start(new_member, name):
    ended = new_member(SERVICE_NAME=name).failing_gunicorn()
    assert ended.status == os.EX_CONFIG
    assert "name: must be a DNS label" in ended.stderr
    assert "Traceback" not in ended.stderr


# Cycles.


def run_cycles(consul, count, on_cycle=lambda number: None):
    """Register and deregister so often, each time as a new instance would."""
    address = AgentAddress.from_environ({"CONSUL_HTTP_ADDR": consul.address})
    definition = define(Environment({"SERVICE_PORT": "1"}), timeout="100ms")
    for number in range(count):
        client = Client(address)
        keeper = Keeper(client, definition)
        next(keeper.steps())
        assert list(consul.agent_services()) == [definition.id]
        for pause in keeper.leave():
            time.sleep(pause)
        client.close()
        on_cycle(number)
    assert consul.agent_services() == {} and consul.catalog(NAME) == []


def test_cycles_leave_no_entry_and_no_descriptor(consul):
    run_cycles(consul, 3)
    before = psutil.Process().num_fds()
    run_cycles(consul, 20)
    assert psutil.Process().num_fds() <= before
