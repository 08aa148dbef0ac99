"""`consul_register` and `consul_deregister`, as seen by DNS and in the catalog."""

import json
import signal
import socket

import dns.resolver
import pytest

from demo_site import identity
from demo_site.environment import Environment
from demo_site.registration.definition import DefinitionInvalid, define
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.ports import free_port
from tests.support.waiting import wait_until

DENIED, UNREACHABLE, INVALID = 77, 69, 78


def look_up(consul, name, kind):
    """The answer of Consul's own DNS, as `dig @127.0.0.1 -p <port> <name> <kind>` shows it."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], consul.dns_port, 10
    return list(resolver.resolve(name, kind, search=False))


@pytest.fixture
def served(environment, new_site):
    """A site that answers, and whose commands register where it listens."""
    site = new_site(environment)
    site.environment["SERVICE_PORT"] = str(site.port)
    return site.gunicorn()


@pytest.fixture
def commands(environment, new_site):
    """A site that only runs commands; nothing listens on its port."""
    return new_site({**environment, "SERVICE_PORT": "8123"})


def default_id(port, name=identity.NAME):
    return f"{name}-{socket.gethostname()}-{port}"


# Found by others.


def test_dns_gives_address_and_port_once_the_check_passes(served, consul):
    assert served.command("consul_register", "--interval", "1s").status == 0
    consul.wait_registered(identity.NAME, passing=True)
    assert [answer.address for answer in look_up(consul, f"{identity.NAME}.service.consul", "A")] == ["127.0.0.1"]
    assert [answer.port for answer in look_up(consul, f"{identity.NAME}.service.consul", "SRV")] == [served.port]


def test_health_checks_pass_and_count_no_hit(served, consul, redis):
    served.command("consul_register", "--interval", "1s")
    [instance] = consul.wait_registered(identity.NAME, passing=True)
    statuses = {check["CheckID"]: check["Status"] for check in instance["Checks"] if check["ServiceID"]}
    assert list(statuses.values()) == ["passing", "passing"]
    assert redis.hits() == 0
    assert served.get("/").text.endswith("I have been seen 1 times.\n")


def test_check_turns_critical_while_redis_is_down_and_back(new_proxy, redis, consul, environment, new_site, config_key):
    proxy = new_proxy(redis.port)
    value = document(redis)
    value["redis_config"]["redis_port"] = proxy.port
    consul.put(config_key, value)
    site = new_site(environment)
    site.gunicorn().command("consul_register", "--port", str(site.port), "--interval", "1s")
    consul.wait_registered(identity.NAME, passing=True)
    proxy.refuse()
    wait_until(lambda: not consul.health(identity.NAME, passing=True), message="the instance to leave")
    [instance] = consul.health(identity.NAME)
    states = {check["Name"]: check["Status"] for check in instance["Checks"] if check["ServiceID"]}
    assert sorted(states.values()) == ["critical", "passing"], "/livez must stay passing: it removes the instance"
    proxy.pass_through()
    consul.wait_registered(identity.NAME, passing=True)


def test_entry_says_what_the_design_promises(commands, consul):
    ended = commands.command("consul_register")
    assert (ended.status, ended.stderr) == (0, "")
    assert len(ended.stdout.splitlines()) == 1
    [entry] = consul.agent_services().values()
    assert (entry["ID"], entry["Service"]) == (default_id(8123), identity.NAME)
    assert (entry["Address"], entry["Port"]) == ("127.0.0.1", 8123)
    assert {"version", "python", "django"} <= set(entry["Meta"])


def test_two_checks_for_traffic_and_for_removal(commands, consul, new_proxy):
    """One check for both would delete every live instance in a long Redis outage."""
    proxy = new_proxy(consul.http_port)
    commands.command("consul_register", CONSUL_HTTP_ADDR=proxy.address)
    ready, live = sorted(sent_checks(proxy), key=lambda check: "/livez" in check["HTTP"])
    assert (ready["HTTP"], ready["Interval"]) == ("http://127.0.0.1:8123/readyz", "10s")
    assert "DeregisterCriticalServiceAfter" not in ready
    assert (live["HTTP"], live["DeregisterCriticalServiceAfter"]) == ("http://127.0.0.1:8123/livez", "10m")
    assert all(check["Timeout"] for check in (ready, live))


def sent_checks(proxy):
    """The checks of the registration that passed the proxy."""
    body = bytes(proxy.seen).split(b"PUT /v1/agent/service/register", 1)[1].split(b"\r\n\r\n", 1)[1]
    return json.JSONDecoder().raw_decode(body.decode())[0]["Checks"]


def test_options_override_the_environment(commands, consul):
    commands.environment |= {"SERVICE_NAME": "other", "SERVICE_ID": "other-1", "SERVICE_TAGS": "a,b"}
    commands.environment |= {"SERVICE_ADDRESS": "10.0.0.1", "SERVICE_PORT": "81"}
    assert commands.command("consul_register").status == 0
    entry = consul.agent_services()["other-1"]
    assert (entry["Service"], entry["Address"], entry["Port"], entry["Tags"]) == ("other", "10.0.0.1", 81, ["a", "b"])
    options = "--name third --id third-1 --address ::1 --port 82 --tag c --tag d --meta team=blue --meta k=v"
    assert commands.command("consul_register", *options.split()).status == 0
    entry = consul.agent_services()["third-1"]
    assert (entry["Service"], entry["Address"], entry["Port"], entry["Tags"]) == ("third", "::1", 82, ["c", "d"])
    assert {"team": "blue", "k": "v"}.items() <= entry["Meta"].items()


def test_ipv6_address_is_checked_in_brackets(commands, consul, new_proxy):
    proxy = new_proxy(consul.http_port)
    commands.command("consul_register", "--address", "::1", CONSUL_HTTP_ADDR=proxy.address)
    assert {check["HTTP"] for check in sent_checks(proxy)} == {
        f"http://[::1]:8123/{name}" for name in ("livez", "readyz")
    }
    assert consul.wait_registered(identity.NAME)[0]["Service"]["Address"] == "::1"


def test_check_url_of_your_own_decides_on_traffic(commands, consul, new_proxy):
    proxy = new_proxy(consul.http_port)
    options = ["--check-url", "http://10.0.0.1/ok", "--interval", "7s", "--timeout", "3s", "--deregister-after", "20m"]
    assert commands.command("consul_register", *options, CONSUL_HTTP_ADDR=proxy.address).status == 0
    ready, live = sorted(sent_checks(proxy), key=lambda check: "/livez" in check["HTTP"])
    assert (ready["HTTP"], ready["Interval"], ready["Timeout"]) == ("http://10.0.0.1/ok", "7s", "3s")
    assert live["DeregisterCriticalServiceAfter"] == "20m"


# Again, and away.


def test_registering_twice_leaves_one_instance_and_changes_nothing(commands, consul):
    first = commands.command("consul_register")
    [before] = consul.catalog(identity.NAME)
    second = commands.command("consul_register")
    assert (first.status, second.status) == (0, 0)
    assert [entry["ModifyIndex"] for entry in consul.catalog(identity.NAME)] == [before["ModifyIndex"]]
    assert "nothing changed" in second.stdout


@pytest.mark.parametrize("change", [["--tag", "b"], ["--meta", "a=b"], ["--address", "10.0.0.1"], ["--interval", "5s"]])
def test_registering_with_a_change_replaces_the_entry(commands, consul, change):
    commands.command("consul_register")
    assert "nothing changed" not in commands.command("consul_register", *change).stdout
    assert len(consul.agent_services()) == len(consul.catalog(identity.NAME)) == 1


def test_deregistering_removes_this_instance_only(commands, consul):
    commands.command("consul_register")
    commands.command("consul_register", "--port", "8124")
    assert commands.command("consul_deregister").status == 0
    assert list(consul.agent_services()) == [default_id(8124)]
    assert commands.command("consul_deregister", "--id", default_id(8124)).status == 0
    wait_until(lambda: not consul.catalog(identity.NAME))


def test_deregistering_what_is_not_there_is_said(commands):
    ended = commands.command("consul_deregister", "--id", "never-there")
    assert (ended.status, ended.stderr) == (0, "")
    assert "never-there" in ended.stdout


# What Consul does not allow.


@pytest.fixture(scope="module")
def acl_consul():
    with ConsulServer(acl=True) as server:
        yield server


def acl_site(server, redis, new_site, rules):
    server.put(identity.KEY, document(redis))
    token = server.token(f'key_prefix "{identity.KEY}" {{ policy = "read" }} {rules}')
    return new_site({"CONSUL_HTTP_ADDR": server.address, "CONSUL_HTTP_TOKEN": token, "SERVICE_PORT": "8123"})


def test_token_with_the_rights_registers(acl_consul, redis, new_site):
    rules = f'service "{identity.NAME}" {{ policy = "write" }} node_prefix "" {{ policy = "read" }}'
    site = acl_site(acl_consul, redis, new_site, rules)
    ended = site.command("consul_register")
    assert (ended.status, ended.stderr) == (0, "")
    assert len(acl_consul.catalog(identity.NAME)) == 1
    assert site.command("consul_deregister").status == 0
    assert acl_consul.agent_services() == {}


@pytest.mark.parametrize(
    "rules", ["", f'service "{identity.NAME}" {{ policy = "read" }}', 'service "another" { policy = "write" }']
)
def test_token_without_service_write_is_told_as_denied(acl_consul, redis, new_site, rules):
    ended = acl_site(acl_consul, redis, new_site, rules).command("consul_register")
    assert ended.status == DENIED
    assert "service:write" in ended.stderr
    assert identity.NAME in ended.stderr
    assert "Traceback" not in ended.stderr
    assert acl_consul.agent_services() == {}


def test_deregistering_without_the_right_is_told_as_denied(acl_consul, redis, new_site):
    acl_consul.register(identity.NAME, ID=default_id(8123))
    site = acl_site(acl_consul, redis, new_site, f'service "{identity.NAME}" {{ policy = "read" }}')
    ended = site.command("consul_deregister")
    acl_consul.deregister_all()
    assert ended.status == DENIED
    assert "service:write" in ended.stderr


@pytest.mark.parametrize("token", ["token of the command", "token of the agent"])
def test_entry_that_the_agent_took_and_the_catalog_never_got_is_told(redis, new_site, token):
    """An agent without ACLs of its own answers 200; the servers refuse what the token behind it may not write."""
    rules = 'key_prefix "" { policy = "read" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
    with ConsulServer(acl=True) as server, ConsulServer(joins=server) as agent:
        site = acl_site(server, redis, new_site, rules)
        site.environment["CONSUL_HTTP_ADDR"] = agent.address
        if token == "token of the agent":
            server.allow_anybody(rules)
            site.environment["CONSUL_HTTP_TOKEN"] = ""
        ended = site.command("consul_register")
        assert list(agent.agent_services()) == [default_id(8123)]
        assert server.catalog(identity.NAME) == []
    assert ended.status == DENIED
    assert all(
        saying in ended.stderr for saying in ("the catalog does not show it", "service:write", "agent's own token")
    )
    assert ended.seconds < 20


def test_unreachable_agent(new_site, redis, tmp_path):
    path = tmp_path / "document.json"
    path.write_text(json.dumps(document(redis)))
    site = new_site({"DEMO_CONFIG_FILE": str(path), "CONSUL_HTTP_ADDR": f"127.0.0.1:{free_port()}"})
    for command in ("consul_register", "consul_deregister"):
        ended = site.command(command)
        assert (ended.status, ended.stdout) == (UNREACHABLE, "")
        assert "refused the connection" in ended.stderr


# What nobody may register.


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("name", name) for name in ("my_demo", "-demo", "demo-", "my.demo", "m\u00fcdemo", "a b", "a/b", "x" * 64)],
        *[("id", value) for value in ("a/b", "a b", ".", "..", "../x", "a?b", "a%2fb", "\u00fc", "a\n", "x" * 300)],
        *[("port", port) for port in (0, 65536, -1)],
        *[("address", address) for address in ("0.0.0.0", "::", "a b", "http://a", "127.0.0.1:80", "-a", "a\n")],  # noqa: S104
        *[("interval", text) for text in ("10", "ten", "-1s", "0s", "1 s", "10sec", "1d", "\u0661s", "1ms", "999ms")],
        *[("timeout", text) for text in ("10", "0s")],
        *[("deregister_after", text) for text in ("10", "1y")],
        *[("check_url", url) for url in ("ftp://a", "a", "http://", "http://[::1", "http://a:0", "http://a\n/b")],
        *[("tags", [text]) for text in ("a\nb", "x" * 256, "")],
        *[("meta", {name: "c"}) for name in ("a b", "", "\u00fc", "x" * 129)],
        *[("meta", {"k": text}) for text in ("v" * 513, "a\nb")],
        ("check", "tcp"),
    ],
)
def test_invalid_value_is_refused_by_name(option, value):
    with pytest.raises(DefinitionInvalid) as caught:
        define(Environment({}), **{option: value})
    shown = "tag" if option == "tags" else option.replace("_", "-")
    assert caught.value.faults[0].startswith(shown)  # the default id holds the name, so it may be at fault as well


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("name", name) for name in ("a", "my-demo-2", "2fast", "x" * 63)],
        *[("address", address) for address in ("10.0.0.1", "::1", "fe80::1", "redis.example.org", "host")],
        *[("interval", text) for text in ("1s", "1000ms", "1m30s", "1.5s", "10m", "1h")],
    ],
)
def test_unusual_value_is_taken(option, value):
    assert getattr(define(Environment({}), **{option: value}), option) == value


def test_all_that_is_wrong_is_told_and_nothing_is_sent(commands, consul, new_proxy):
    proxy = new_proxy(consul.http_port)
    wrong = ["--name=my_demo", "--id=a/b", "--port=0", "--interval=10", "--address=::"]
    ended = commands.command("consul_register", *wrong, CONSUL_HTTP_ADDR=proxy.address)
    assert ended.status == INVALID
    assert all(f"{name}: " in ended.stderr for name in ("name", "id", "port", "interval", "address"))
    assert "Traceback" not in ended.stderr
    assert b"PUT" not in proxy.seen


# Kept.


@pytest.fixture
def kept(environment, own_consul, redis, new_site):
    """A site that answers, and another process that keeps its registration with a Consul of their own."""
    own_consul.put(identity.KEY, document(redis))
    variables = {"CONSUL_HTTP_ADDR": own_consul.address}
    site = new_site(variables).gunicorn()

    def keep(*options):
        keeper = new_site({**variables, "SERVICE_PORT": str(site.port)})
        return keeper.background("consul_register", "--keep", "--interval", "1s", *options)

    return keep


@pytest.mark.parametrize("kind", ["http", "ttl"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_kept_registration_goes_with_its_keeper(kept, own_consul, kind, number):
    keeper = kept("--check", kind)
    own_consul.wait_registered(identity.NAME, passing=True)
    keeper.signal(number)
    assert keeper.wait(10) == 0
    assert own_consul.agent_services() == {}
    assert "Traceback" not in keeper.log()


@pytest.mark.parametrize("kind", ["http", "ttl"])
def test_agent_that_lost_its_state_gets_the_registration_back(kept, own_consul, kind):
    kept("--check", kind)
    own_consul.wait_registered(identity.NAME, passing=True)
    own_consul.restart()
    own_consul.wait_registered(identity.NAME, passing=True, bound=15)


def test_entry_that_was_removed_or_changed_by_hand_is_repaired(kept, own_consul):
    kept("--tag", "a")
    [instance] = own_consul.wait_registered(identity.NAME, passing=True)
    own_consul.deregister_all()
    own_consul.wait_registered(identity.NAME, bound=10)
    own_consul.register(identity.NAME, ID=instance["Service"]["ID"], Port=1)
    wait_until(lambda: own_consul.catalog(identity.NAME)[0]["ServiceTags"] == ["a"], bound=10)
    assert own_consul.catalog(identity.NAME)[0]["ServicePort"] == instance["Service"]["Port"]


@pytest.mark.parametrize("gone", ["dead", "silent"])
def test_keeper_ends_in_time_while_consul_is_gone(kept, own_consul, gone):
    keeper = kept()
    own_consul.wait_registered(identity.NAME)
    own_consul.kill() if gone == "dead" else own_consul.pause()
    keeper.signal(signal.SIGTERM)
    assert keeper.wait(15) in (0, UNREACHABLE)
    assert "Traceback" not in keeper.log()
